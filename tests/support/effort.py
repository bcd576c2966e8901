"""How much the tests try: with ORDERS_TEST_LONG more rounds, more data, every schedule."""

import os

import pytest

LONG = bool(os.environ.get("ORDERS_TEST_LONG"))


def rounds(count: int) -> pytest.MarkDecorator:
    """Return the mark of a test that is run in so many rounds; the quick run has the first."""
    later = [pytest.param(number, marks=pytest.mark.server) for number in range(1, count)]
    return pytest.mark.parametrize("round_", [0, *later])
