"""A platform of several shops, with soft delete: criteria that the session adds to every SELECT."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from flask import g
from sqlalchemy import event
from sqlalchemy.engine import URL

from .hosts.driving.tenants import Tenants
from .support.database import nothing_changed
from .support.hosts import cancel, findings, opened
from .support.responses import body


@pytest.fixture(scope="module")
def module_host(server_url: URL) -> Iterator[Tenants]:
    with opened("tenants", server_url) as host:
        assert isinstance(host, Tenants)
        yield host


def bought(host: Tenants) -> list[tuple[int, int]]:
    """Return product and quantity of every order item."""
    return [(row["product_id"], row["quantity"]) for row in host.rows("order_items")]


def test_a_customer_of_two_bakeries_orders_at_each(host: Tenants) -> None:
    buyer = host.customer()
    there = host.at(buyer, 2)
    here_product, there_product = host.product("10.00"), host.product("3.00", bakery_id=2)
    host.put(buyer, here_product, 2)
    host.put(there, there_product, 1)

    assert host.order(buyer).status_code == 201

    assert bought(host) == [(here_product, 2)]
    assert [row["product_id"] for row in host.rows("cart_items")] == [there_product]
    assert body(host.order(buyer))["code"] == "empty_cart"
    assert host.order(there).status_code == 201
    totals = sorted(row["total_amount"] for row in host.rows("orders"))
    assert totals == [Decimal(3), Decimal(20)]


def test_a_product_that_moved_to_another_bakery_is_gone(host: Tenants) -> None:
    buyer, product = host.customer(), host.product()
    host.put(buyer, product)
    host.update("products", product, bakery_id=2)
    with nothing_changed(host):
        (item,) = body(host.order(buyer))["items"]
        assert (item["reason"], item["product"]) == ("gone", None)


def test_a_deleted_product_is_gone_and_restocked_all_the_same(host: Tenants) -> None:
    buyer, product = host.customer(), host.product(stock=5)
    host.put(buyer, product, 2)
    url = host.order(buyer).headers["Location"]
    host.delete(product)
    put_into_only_cart(host, product)
    with nothing_changed(host):
        (item,) = body(host.order(buyer))["items"]
        assert item["reason"] == "gone"
    assert cancel(host, buyer, url) == 200
    assert host.stock() == [5]


def test_what_is_deleted_or_saved_for_later_stays(host: Tenants) -> None:
    buyer = host.customer()
    wanted, saved, deleted = host.product(), host.product("500.00"), host.product("700.00")
    host.put(buyer, wanted)
    host.save_for_later(buyer, saved)
    put_into_only_cart(host, deleted, deleted_at=datetime(2026, 1, 1))  # noqa: DTZ001 - no time zone
    assert host.order(buyer).status_code == 201
    assert bought(host) == [(wanted, 1)]
    left = sorted((row["product_id"], row["kind"]) for row in host.rows("cart_items"))
    assert left == [(saved, "saved"), (deleted, "cart")]


def test_a_command_expires_the_orders_of_every_bakery(host: Tenants) -> None:
    buyer = host.customer()
    host.put(buyer, host.product(stock=5), 2)
    host.put(host.at(buyer, 2), host.product(stock=5, bakery_id=2), 3)
    for at in (buyer, host.at(buyer, 2)):
        assert host.order(at).status_code == 201
    long_ago = datetime.now(UTC) - timedelta(days=9)
    host.change(sa.update(host.tables["orders"]).values(created=long_ago))
    result = host.app.test_cli_runner().invoke(args=["orders", "expire"])
    assert result.exit_code == 0, result.output
    assert host.stock() == [5, 5]


def test_check_finds_nothing(host: Tenants) -> None:
    buyer = host.customer()
    host.put(buyer, host.product())
    host.put(host.at(buyer, 2), host.product(bakery_id=2))
    assert findings(host) == []


def test_a_criterion_that_needs_a_request_is_named_by_check(host: Tenants) -> None:
    """A command has no request: a criterion that takes `g.bakery_id` for granted raises there."""

    def ask_for_bakery(_state: Any) -> None:
        assert g.bakery_id

    session = host.module.db.session
    event.listen(session, "do_orm_execute", ask_for_bakery)
    try:
        found = findings(host)
    finally:
        event.remove(session, "do_orm_execute", ask_for_bakery)
    assert any("bakery_id" in line for line in found)


def put_into_only_cart(host: Tenants, product: int, **values: Any) -> None:
    (cart,) = host.rows("carts")
    row = {"cart_id": cart["id"], "product_id": product, "quantity": 1, "kind": "cart"}
    host.insert("cart_items", **row, **values)
