"""The tests: HTTP requests and public calls, on real databases."""

import pytest

# Helpers assert too; without this a failure in one of them says nothing about the values.
pytest.register_assert_rewrite("tests.hosts", "tests.support")
