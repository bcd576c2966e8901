"""The how-to pages: their Python is that of the example shop, whose tests run it."""

import pytest

from .support.docs import ROOT, python_lines


@pytest.mark.parametrize("page", ["admin", "monitoring", "taking-payments"])
def test_its_code_is_the_example_s(page: str) -> None:
    lines = python_lines(page)
    assert lines
    example = {
        line.strip()
        for path in ROOT.joinpath("example_app").rglob("*.py")
        for line in path.read_text().splitlines()
    }
    assert [line for line in lines if line not in example] == []
