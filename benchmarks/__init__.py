"""Measure what an order costs, beside hand-written SQL and django-oscar: `python -m benchmarks`."""
