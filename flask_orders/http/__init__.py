"""The HTTP side: routes, requests, customers, problem documents. Nothing here is public."""
