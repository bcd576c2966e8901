"""How much the tests try: with ORDERS_TEST_LONG more rounds, more data, every schedule.

The quick run, `pytest -m "not server"`, has one round of each race and fewer generated examples.
"""

import os

import pytest
from hypothesis import settings

LONG = bool(os.environ.get("ORDERS_TEST_LONG"))


def be_quick() -> None:
    """Have Hypothesis try fewer examples; called before the tests are imported."""
    settings.register_profile("quick", max_examples=30)
    settings.load_profile("quick")


def examples(number: int) -> int:
    """Return how many examples a test tries that tries so many instead of Hypothesis' 100."""
    return number * settings().max_examples // 100


def rounds(count: int) -> pytest.MarkDecorator:
    """Return the mark of a test that is run in so many rounds; the quick run has the first."""
    later = [pytest.param(number, marks=pytest.mark.server) for number in range(1, count)]
    return pytest.mark.parametrize("round_", [0, *later])
