"""The database side: transactions, retries, bulk statements. Nothing here is public."""
