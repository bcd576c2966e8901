"""Shops that mark rows as deleted, and leave them out in each query or by a `query_class`."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy.engine import URL

from flask_orders.signals import order_placing
from flask_orders.testing import run_concurrently

from . import hosts
from .hosts.drivers import running
from .hosts.driving.soft_delete import SoftDelete
from .support.database import nothing_changed
from .support.effort import rounds
from .support.requests import ORDERS, PREVIEW
from .support.responses import outcomes, refused

ROUNDS = 3
THREADS = 6
SHOPS = ("soft_delete", "soft_delete_query")


@pytest.fixture(scope="module", params=SHOPS)
def module_host(request: pytest.FixtureRequest, server_url: URL) -> Iterator[Any]:
    with running(request.param, server_url) as host:
        yield host


@pytest.mark.parametrize("name", SHOPS)
def test_installing_costs_twenty_lines_and_eight_parts_at_most(name: str) -> None:
    assert hosts.added_lines(name) <= 20
    assert hosts.parts(name) <= 8


def noon() -> Any:
    return datetime(2026, 11, 26, 12)  # noqa: DTZ001 - as the shop stores it


def marked(host: SoftDelete) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the shop's own that are marked as deleted."""
    tables = (host.TABLES.products, host.TABLES.carts, host.TABLES.cart_items)
    return {name: [row for row in host.rows(name) if row[host.MARK]] for name in tables}


def test_deleted_items_are_not_ordered_and_stay(host: SoftDelete) -> None:
    buyer, unwanted, wanted = host.customer(), host.product("10.00"), host.product("20.00")
    host.put(buyer, unwanted, 2)
    host.remove(buyer, unwanted)
    kept = marked(host)
    host.put(buyer, wanted, 3)
    assert host.call("GET", PREVIEW, buyer)["total_amount"] == "60.00"
    assert host.order(buyer).status_code == 201
    assert marked(host) == kept
    assert [row["product_id"] for row in host.rows("order_items")] == [wanted]
    assert host.stock() == [10, 7]


def test_a_deleted_cart_is_no_cart(host: SoftDelete) -> None:
    buyer, product = host.customer(), host.product()
    host.put(buyer, product, 2)
    host.discard(buyer)
    with nothing_changed(host):
        refused(host.order(buyer), 400, "empty_cart")
    kept = host.rows(host.TABLES.carts), host.rows(host.TABLES.cart_items)
    host.put(buyer, product)
    assert host.order(buyer).status_code == 201
    assert host.rows(host.TABLES.carts)[:1] == kept[0]
    assert host.rows(host.TABLES.cart_items) == kept[1]


def test_a_deleted_product_is_not_for_sale(host: SoftDelete) -> None:
    buyer, product = host.customer(), host.product()
    host.put(buyer, product)
    host.withdraw(product)
    with nothing_changed(host):
        answer = refused(host.order(buyer), 409, "item_unavailable")
        assert [item["reason"] for item in answer["items"]] == ["inactive"]
        assert host.call("GET", PREVIEW, buyer)["refusal"]["code"] == "item_unavailable"


def test_an_order_of_a_product_that_is_deleted_later_reads_the_same(host: SoftDelete) -> None:
    buyer, product = host.customer(), host.product()
    host.put(buyer, product, 2)
    url = host.order(buyer).headers["Location"]
    before = host.call("GET", url, buyer)
    host.withdraw(product)
    assert host.call("GET", url, buyer) == before
    assert host.call("POST", f"{url}cancel/", buyer)["status"] == "cancelled"
    assert host.stock() == [10]


def test_a_customer_who_is_deleted_is_signed_out(host: SoftDelete) -> None:
    if host.NAME != "soft_delete":
        pytest.skip("this shop does not delete its customers")
    buyer = host.customer()
    host.put(buyer, host.product())
    host.update("users", buyer.key, deleted_at=noon())
    with nothing_changed(host):
        assert host.order(buyer).status_code == 401
        assert host.request("GET", ORDERS, buyer).status_code == 401


def test_a_receiver_may_mark_the_cart_as_deleted(host: SoftDelete) -> None:
    buyer, product = host.customer(), host.product()

    def discard(_app: Any, cart: Any, **_more: Any) -> None:
        setattr(cart, host.MARK, True if host.MARK == "is_deleted" else noon())

    with order_placing.connected_to(discard, host.app):
        for made in (1, 2):
            host.put(buyer, product)
            assert host.order(buyer).status_code == 201
            assert len(marked(host)[host.TABLES.carts]) == made
    assert host.rows(host.TABLES.cart_items) == []


@rounds(ROUNDS)
def test_what_is_deleted_meanwhile_is_ordered_or_deleted(host: SoftDelete, round_: int) -> None:
    """By one UPDATE of the shop's own, which takes no other lock."""
    product, buyers = host.product(), [host.customer() for _ in range(THREADS)]
    for buyer in buyers:
        host.put(buyer, product)
    mark = True if host.MARK == "is_deleted" else noon()
    deleting = host.tables[host.TABLES.cart_items].update().values({host.MARK: mark})

    results: list[Any] = run_concurrently(
        lambda: host.change(deleting), *[lambda b=buyer: host.order(b) for buyer in buyers]
    )

    found = outcomes(results[1:])
    assert set(found) <= {201, "empty_cart"}
    assert len(host.rows("orders")) == found[201]
    assert len(marked(host)[host.TABLES.cart_items]) == found["empty_cart"]
    assert host.stock() == [10 - found[201]]


@rounds(ROUNDS)
def test_a_product_that_is_deleted_meanwhile_is_sold_or_not(host: SoftDelete, round_: int) -> None:
    product, buyers = host.product(), [host.customer() for _ in range(THREADS)]
    for buyer in buyers:
        host.put(buyer, product)
    mark = True if host.MARK == "is_deleted" else noon()

    def delete() -> None:
        host.update(host.TABLES.products, product, **{host.MARK: mark})

    results: list[Any] = run_concurrently(
        delete, *[lambda b=buyer: host.order(b) for buyer in buyers]
    )

    found = outcomes(results[1:])
    assert set(found) <= {201, "item_unavailable"}
    assert host.stock() == [10 - found[201]]
    assert len(host.rows(host.TABLES.cart_items)) == found["item_unavailable"]


def test_check_has_no_complaints(host: SoftDelete) -> None:
    buyer, product = host.customer(), host.product()
    host.put(buyer, product)
    host.remove(buyer, product)
    host.discard(buyer)
    host.withdraw(product)
    assert host.problems() == []
