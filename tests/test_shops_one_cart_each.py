"""A shop with one cart for each customer, names of its own, and no article numbers."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.engine import URL

from . import hosts
from .hosts.drivers import Driver, running
from .support.database import nothing_changed
from .support.responses import refused


@pytest.fixture(scope="module")
def host(server_url: URL) -> Iterator[Driver]:
    with running("one_cart_each", server_url) as host:
        yield host


def test_installing_costs_twenty_lines_and_eight_parts_at_most() -> None:
    assert hosts.added_lines("one_cart_each") <= 20
    assert hosts.parts("one_cart_each") <= 8


def test_the_sku_is_the_id_as_text(host: Driver) -> None:
    buyer, product = host.customer(), host.product()
    host.put(buyer, product)
    order = host.call("GET", host.order(buyer).headers["Location"], buyer)
    (item,) = order["items"]
    assert item["product"]["id"] == product
    assert item["product"]["sku"] == str(product)
    assert item["product"]["name"].startswith("Tea ")


def test_the_same_product_twice_is_counted_together(host: Driver) -> None:
    """Two rows of one product may not take more than there is between them."""
    buyer, product = host.customer(), host.product(stock=3)
    for _ in range(2):
        host.put(buyer, product, 2)
    with nothing_changed(host):
        answer: dict[str, Any] = refused(host.order(buyer), 409, "item_unavailable")
    assert {item["available"] for item in answer["items"]} == {3}


def test_check_has_no_complaints(host: Driver) -> None:
    assert host.problems() == []
    assert "sku=Tea.id, name=Tea.title" in host.check()[1]
