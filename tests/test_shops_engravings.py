"""A shop whose prices depend on the cart item: the size and the engraving of a ring."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import URL

from . import hosts
from .hosts.drivers import Buyer, running
from .hosts.driving.engravings import Engravings
from .support.requests import PREVIEW


@pytest.fixture(scope="module")
def module_host(server_url: URL) -> Iterator[Any]:
    with running("engravings", server_url) as host:
        yield host


def test_installing_costs_45_lines_and_eight_parts_at_most() -> None:
    assert hosts.added_lines("engravings") <= 45
    assert hosts.parts("engravings") <= 8


def test_nothing_is_wrong_with_it(host: Engravings) -> None:
    host.put(host.customer(), host.product())
    assert host.problems() == []


def test_each_item_has_its_own_price(host: Engravings) -> None:
    """Two rings of one kind, of which one is large and engraved, are two items."""
    buyer, ring = host.customer(), host.product("100.00", stock=3)
    host.put(buyer, ring)
    host.put_with(buyer, ring, size=62, engraving="ANN", quantity=2)
    seen = host.call("GET", host.order(buyer).headers["Location"], buyer)
    assert [(item["list_price"], item["total_price"]) for item in seen["items"]] == [
        ("100.00", "100.00"),
        ("116.50", "233.00"),
    ]
    assert (seen["total_amount"], seen["savings_on_items"]) == ("333.00", "0.00")
    copied = {(row["size"], row["engraving"]) for row in host.rows("order_items")}
    assert copied == {(54, None), (62, "ANN")}
    assert host.stock() == [0]


RINGS = st.lists(
    st.fixed_dictionaries(
        {
            "size": st.integers(48, 70),
            "engraving": st.none() | st.text("ABC \u2665", max_size=12),
            "quantity": st.integers(1, 5),
        }
    ),
    min_size=1,
    max_size=5,
)


def test_the_total_is_the_shop_s_own(host: Engravings) -> None:
    @settings(max_examples=25 if host.engine.dialect.name == "sqlite" else 8, deadline=None)
    @given(st.decimals("0.01", "999", places=2), RINGS)
    def is_the_same(price: Decimal, rings: list[dict[str, Any]]) -> None:
        host.clear()
        buyer, ring = host.customer(), host.product(str(price), stock=100)
        for each in rings:
            host.put_with(buyer, ring, **each)
        own = shown_total(host, buyer)
        assert Decimal(host.call("GET", PREVIEW, buyer)["total_amount"]) == own
        assert host.order(buyer, expected_total=str(own)).status_code == 201
        assert host.rows("orders")[0]["total_amount"] == own

    is_the_same()


def shown_total(host: Engravings, buyer: Buyer) -> Decimal:
    """Return the total that the shop's own cart page shows."""
    return Decimal(host.call("GET", "/cart", buyer)["total"])
