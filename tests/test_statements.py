"""What a request costs, counted at the cursor: a batch of rows is one statement."""

import re
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.engine import URL

from flask_orders.signals import order_placed
from flask_orders.testing import Ledger

from . import hosts
from .hosts.drivers import DRIVERS
from .support import servers
from .support.database import counted, server_of
from .support.orders import age
from .support.requests import CHECKOUT
from .support.shops import Shop

UNCOUNTED = ("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK")
MOST = 14
# PostgreSQL writes by one statement. MySQL's wait for locks is the session's, and put back.
MOST_ON = {"postgresql": 7, "mysql": 15}

# The shop's own receiver of `order_placing` reads the options of each item.
WITH_RECEIVER = ("item_options",)


def sent_for(shop: Shop, lines: int) -> list[str]:
    """What a POST with a new address and a voucher sends, the shop's user lookup left out."""
    customer = shop.customer()
    voucher = shop.voucher(f"V{customer}", "10%", usage="once_per_customer")
    shop.cart(customer, {shop.product(): 1 for _ in range(lines)}, voucher)
    with counted(shop.engine) as statements:
        answer = shop.post(customer, CHECKOUT)
    assert answer.status_code == 303
    return statements[1:]


def test_the_number_of_statements_does_not_depend_on_the_number_of_items(shop: Shop) -> None:
    shop.offer("5%")
    sent = {lines: sent_for(shop, lines) for lines in (1, 5, 50, 200)}
    assert len({len(statements) for statements in sent.values()}) == 1, "\n".join(sent[5])
    most = MOST_ON.get(server_of(shop.engine), MOST)
    assert len(sent[5]) <= most, "\n".join(sent[5])


def test_receivers_of_another_app_cost_nothing(shop: Shop) -> None:
    def receive(_app: Flask, **_content: Any) -> None:
        """Receive nothing, since the other app sends nothing."""

    before = len(sent_for(shop, 1))
    with order_placed.connected_to(receive, sender=Flask("other")):
        assert len(sent_for(shop, 1)) == before
    with order_placed.connected_to(receive):
        assert len(sent_for(shop, 1)) > before


def test_a_refusal_sends_fewer_statements(shop: Shop) -> None:
    customer, product = shop.customer(), shop.product(stock=1)
    shop.cart(customer, {product: 2})
    with counted(shop.engine) as statements:
        assert shop.post(customer).status_code == 409
    assert len(statements[1:]) < MOST / 2, "\n".join(statements)


def test_decisions_rest_on_locking_reads_in_a_fixed_order(shop: Shop) -> None:
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("SQLite locks the whole database at BEGIN IMMEDIATE")
    statements = [" ".join(statement.split()) for statement in sent_for(shop, 3)]
    locking = [s for s in statements if re.search(r" FOR (NO KEY )?UPDATE( OF \w+)?$", s)]
    tables = ("carts", "cart_items", "products")
    assert len(locking) == len(tables), locking
    for statement, name in zip(locking, tables, strict=True):
        assert f"FROM {name}" in statement
        assert f"ORDER BY {name}.id" in statement


@pytest.mark.parametrize("name", [name for name in hosts.NAMES if name not in WITH_RECEIVER])
def test_the_number_of_statements_in_an_existing_shop(server_url: URL, name: str) -> None:
    with servers.fresh_database(server_url) as url:
        host = DRIVERS[name](url)
        host.create_all()
        counts = set()
        for lines in (1, 5, 20):
            buyer = host.customer()
            for _ in range(lines):
                host.put(buyer, host.product())
            with counted(host.engine) as statements:
                assert host.order(buyer).status_code == 201
            counts.add(len(statements))
        host.close()
    assert len(counts) == 1


def test_expiring_a_batch_sends_as_many_statements_for_two_orders_as_for_twenty(
    shop: Shop,
) -> None:
    counts = set()
    for orders in (2, 20):
        shop.clear()
        product = shop.product(stock=100)
        vouchers = [shop.voucher(f"V{i}", "1%", usage="once_per_customer") for i in range(3)]
        for number in range(orders):
            customer = shop.customer()
            shop.cart(customer, {product: 1, shop.product(): 2}, vouchers[number % 3])
            shop.order(customer)
        age(shop, 100, *(str(row["id"]) for row in shop.rows("orders")))
        ledger = Ledger(shop.app)
        with counted(shop.engine) as statements, shop.service() as service:
            assert service.expire() == orders
        counts.add(len(statements))
        assert shop.rows("voucher_redemptions") == []
        assert {row["times_used"] for row in shop.rows("vouchers")} == {0}
        assert ledger.problems() == []
    assert len(counts) == 1, counts
