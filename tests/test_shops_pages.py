"""The pages of `docs/shops/`: their code is that of the shops that are tested."""

import pytest

from . import hosts
from .support.docs import python_lines

PAGES = {
    "carts-in-turn": ("carts_in_turn", "carts_by_status"),
    "no-cart-table": ("association", "server_rendered", "bare_table"),
    "options-and-counters": ("item_options", "counters"),
    "own-fields": ("own_fields",),
    "own-prices-and-vouchers": ("variants", "engravings"),
    "sale-prices": ("sale_prices",),
    "server-rendered": ("server_rendered",),
    "session-carts": ("session_cart",),
    "sign-in": ("bare_table", "gateway"),
    "soft-delete": ("soft_delete", "soft_delete_query"),
    "variants": ("variants",),
}

# Whose shops are about something else than the mapping.
WITHOUT_MAPPING = {"own-prices-and-vouchers", "sign-in"}


def code(page: str) -> list[str]:
    """Return the lines of Python in a page."""
    return python_lines(f"shops/{page}")


@pytest.mark.parametrize("page", PAGES)
def test_its_code_is_a_shop_s(page: str) -> None:
    lines = {line for name in PAGES[page] for line in hosts.lines(name)}
    assert [line for line in code(page) if line not in lines] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page not in WITHOUT_MAPPING])
def test_the_first_shop_s_mapping_is_there_in_full(page: str) -> None:
    missing = [line for line in hosts.mapping(PAGES[page][0]) if line not in code(page)]
    assert missing == []
