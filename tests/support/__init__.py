"""Helpers of the tests: shops, servers, workers."""
