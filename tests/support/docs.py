"""The code in the pages of `docs/`."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def python_lines(page: str) -> list[str]:
    """Return the lines of Python in a page, without their indentation."""
    text = ROOT.joinpath("docs", f"{page}.md").read_text()
    blocks = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]
