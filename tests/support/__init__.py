"""Helpers shared by the tests: shops, servers, requests and assertions."""
