"""The pages of `docs/shops/`: their code is that of the shops that are tested."""

from pathlib import Path

import pytest

from . import hosts

PAGES = {
    "carts-in-turn": ("carts_in_turn", "carts_by_status"),
    "sale-prices": ("sale_prices",),
    "soft-delete": ("soft_delete", "soft_delete_query"),
}


def code(page: str) -> list[str]:
    """Return the lines of Python in a page."""
    text = Path(__file__).parents[1].joinpath("docs", "shops", f"{page}.md").read_text()
    blocks = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("page", PAGES)
def test_its_code_is_a_shop_s(page: str) -> None:
    """Each line is in one of its shops, and the first shop's mapping is there in full."""
    lines = [line for name in PAGES[page] for line in hosts.lines(name)]
    assert set(code(page)) <= set(lines)
    assert set(hosts.mapping(PAGES[page][0])) <= set(code(page))
