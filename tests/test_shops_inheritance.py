"""A shop whose products, carts and cart items are each stored in several tables."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from flask_orders.testing import Ledger, run_concurrently

from .hosts.driving.joined_inheritance import JoinedInheritance
from .support.database import counted, nothing_changed
from .support.hosts import cancel, findings, opened
from .support.responses import body, outcomes

THREADS = 6


@pytest.fixture(scope="module")
def module_host(server_url: URL) -> Iterator[JoinedInheritance]:
    with opened("joined_inheritance", server_url) as host:
        assert isinstance(host, JoinedInheritance)
        yield host


def versions(host: JoinedInheritance, table: str) -> list[int]:
    return [row["version"] for row in host.rows(table)]


def test_an_item_is_deleted_from_all_its_tables(host: JoinedInheritance) -> None:
    buyer, other = host.customer(), host.customer()
    first, second = host.product(), host.product()
    for customer in (buyer, other):
        host.put(customer, first)
        host.wrap(customer, second, "Happy birthday")

    assert host.order(buyer).status_code == 201

    for table, left in (("entries", 2), ("cart_items", 2), ("gift_items", 1)):
        assert len(host.rows(table)) == left
    assert host.stock() == [9, 9]


def test_the_stock_and_the_version_are_changed_in_their_own_tables(
    host: JoinedInheritance,
) -> None:
    buyer, product = host.customer(), host.product(stock=5)
    host.put(buyer, product, 2)
    ledger = Ledger(host.app)
    url = host.order(buyer).headers["Location"]
    assert (host.stock(), versions(host, "listings")) == ([3], [2])
    answers = run_concurrently(*[lambda: cancel(host, buyer, url)] * THREADS)
    assert set(answers) == {200}
    assert (host.stock(), versions(host, "listings")) == ([5], [3])
    assert ledger.problems() == []


def test_the_voucher_and_the_version_of_the_cart_too(host: JoinedInheritance) -> None:
    host.voucher("TEN", limit=1)
    buyer = host.customer()
    host.put(buyer, host.product())
    host.apply(buyer, "TEN")
    (before,) = versions(host, "baskets")
    assert host.order(buyer).status_code == 201
    assert [row["coupon"] for row in host.rows("carts")] == [None]
    assert versions(host, "baskets") == [before + 1]


def test_a_form_that_was_opened_before_the_order_does_not_overwrite_the_stock(
    host: JoinedInheritance,
) -> None:
    buyer, product = host.customer(), host.product(stock=5)
    host.put(buyer, product, 2)
    with Session(host.engine, expire_on_commit=False) as session:
        form: Any = session.get(host.module.Product, product)
        session.commit()
        assert host.order(buyer).status_code == 201
        form.stock = 4
        with pytest.raises(StaleDataError):
            session.commit()
    assert host.stock() == [3]


def test_a_listing_that_is_no_product_is_gone(host: JoinedInheritance) -> None:
    buyer = host.customer()
    reading = host.insert("listings", kind="reading", name="R", price=Decimal(500), version=1)
    host.insert("readings", id=reading, author="A")
    host.put(buyer, reading)
    with nothing_changed(host):
        (item,) = body(host.order(buyer))["items"]
        assert item["reason"] == "gone"


def test_products_in_opposite_order_with_one_item_in_three_tables(
    host: JoinedInheritance,
) -> None:
    products = [host.product(stock=3) for _ in range(4)]
    buyers = [host.customer() for _ in range(THREADS)]
    for number, buyer in enumerate(buyers):
        for product in products if number % 2 else reversed(products):
            host.wrap(buyer, product, "For you")
    answers = run_concurrently(*[lambda b=buyer: host.order(b) for buyer in buyers])
    assert outcomes(answers) == {201: 3, "item_unavailable": THREADS - 3}
    assert host.stock() == [0] * 4
    assert len(host.rows("gift_items")) == len(host.rows("entries")) == 12


def test_locks_name_the_tables_of_the_class_alone(host: JoinedInheritance) -> None:
    """PostgreSQL can't lock the tables of subclasses, which are joined by an outer join."""
    if host.engine.dialect.name != "postgresql":
        pytest.skip("no FOR UPDATE on SQLite; on MariaDB without OF")
    buyer = host.customer()
    host.put(buyer, host.product())
    with counted(host.engine) as statements:
        assert host.order(buyer).status_code == 201
    locked = [" ".join(sent.split()).split(" UPDATE OF ")[1:] for sent in statements]
    assert [tables.split(", ") for (tables,) in filter(None, locked)] == [
        ["baskets", "carts"],
        ["entries", "cart_items"],
        ["listings", "products"],
    ]


def test_check_finds_nothing(host: JoinedInheritance) -> None:
    buyer = host.customer()
    host.put(buyer, host.product())
    assert findings(host) == []
