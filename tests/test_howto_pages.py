"""The how-to pages: their Python is that of the example shop, whose tests run it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("page", ["admin", "monitoring", "taking-payments"])
def test_its_code_is_the_example_s(page: str) -> None:
    text = ROOT.joinpath("docs", f"{page}.md").read_text()
    blocks = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    assert blocks
    example = {
        line.strip()
        for path in ROOT.joinpath("example_app").rglob("*.py")
        for line in path.read_text().splitlines()
    }
    lines = [line.strip() for block in blocks for line in block.splitlines() if line.strip()]
    assert [line for line in lines if line not in example] == []
