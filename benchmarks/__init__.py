"""What an order costs, beside hand-written SQL and django-oscar; run by `python -m benchmarks`."""
