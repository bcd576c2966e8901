"""How much the tests try: with ORDERS_TEST_LONG more rounds, more data, every schedule."""

import os

LONG = bool(os.environ.get("ORDERS_TEST_LONG"))
