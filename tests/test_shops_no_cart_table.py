"""Shops without a cart table, or whose cart items have no class: keys of two columns."""

from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column, relationship

from flask_orders import declare_models, mapping
from flask_orders.signals import order_placing
from flask_orders.testing import Ledger, run_concurrently

from . import hosts
from .hosts.drivers import Buyer, Driver, running
from .support.apps import new_db
from .support.database import nothing_changed
from .support.hosts import only
from .support.people import close
from .support.requests import PREVIEW
from .support.responses import body, outcomes
from .support.shops import check_output, open_shop


@pytest.fixture(scope="module", params=["association", "bare_table"])
def module_host(request: pytest.FixtureRequest, server_url: URL) -> Iterator[Driver]:
    with running(request.param, server_url) as host:
        yield host


@pytest.mark.parametrize(("name", "most"), [("association", 20), ("bare_table", 25)])
def test_installing_costs_few_lines(name: str, most: int) -> None:
    """The shop for seeds has a token of its own."""
    assert hosts.added_lines(name) <= most


def test_nothing_is_left_for_check_to_say(host: Driver) -> None:
    assert host.problems() == []


@only("association")
def test_the_key_of_two_columns_is_a_list(host: Driver) -> None:
    buyer, size = host.customer(), host.product("7.99", stock=3)
    host.put(buyer, size, 4)
    with nothing_changed(host):
        (item,) = body(host.order(buyer))["items"]
        assert item["id"] == [buyer.key, size]
        assert (item["reason"], item["available"]) == ("out_of_stock", 3)
        (item,) = body(host.request("GET", PREVIEW, buyer))["unavailable"]
        assert item["id"] == [buyer.key, size]
    host.put(buyer, size, 3)
    with nothing_changed(host):
        (item,) = body(host.request("GET", PREVIEW, buyer))["items"]
        assert item["id"] == [buyer.key, size]


@only("association")
def test_cents_of_the_parent_are_today_s(host: Driver) -> None:
    buyer, size = host.customer(), host.product("19.99")
    host.put(buyer, size, 3)
    assert body(host.request("GET", PREVIEW, buyer))["total_amount"] == "59.97"
    host.reprice(size, "0.07")
    assert host.order(buyer).status_code == 201
    (item,) = host.rows("order_items")
    assert (item["unit_price"], item["total_price"]) == (Decimal("0.07"), Decimal("0.21"))
    assert item["name"].endswith(", M")


@only("association")
def test_a_cookie_without_its_csrf_token_is_not_enough(host: Driver) -> None:
    buyer = host.customer()
    host.put(buyer, host.product())
    for headers in ({}, {"X-CSRF-TOKEN": "x"}):
        with nothing_changed(host):
            assert host.order(Buyer(buyer.key, headers, buyer.cookies)).status_code == 401
    assert host.order(buyer).status_code == 201


def test_only_the_customer_s_own_rows_are_ordered(host: Driver) -> None:
    """Two customers want the same two products: each row has half of another row's key."""
    first, second = host.product(stock=9), host.product(stock=9)
    buyers = [host.customer() for _ in range(3)]
    for i, buyer in enumerate(buyers, start=1):
        host.put(buyer, first, i)
        host.put(buyer, second, i)

    assert host.order(buyers[1]).status_code == 201

    item = host.tables[host.TABLES.cart_items]
    kept = [tuple(row.values()) for row in host.rows(host.TABLES.cart_items)]
    assert sorted(row[-1] for row in kept) == [1, 1, 3, 3]
    assert len(item.primary_key.columns) == 2
    assert [row["quantity"] for row in host.rows("order_items")] == [2, 2]
    assert host.stock() == [7, 7]


def test_what_is_added_meanwhile_is_ordered_or_stays(host: Driver) -> None:
    """Orders and additions race; each unit is in the cart or in exactly one order."""
    ledger = Ledger(host.app)
    products = [host.product(stock=50) for _ in range(4)]
    buyers = [host.customer() for _ in range(3)]
    for buyer in buyers:
        host.put(buyer, products[0], 1)
        ledger.put(products[0], 1)

    def add(buyer: Buyer, product: Any) -> None:
        # The shop's own view meets a deadlock now and then, and then nothing was added.
        url, wanted = _added(host, product)
        if host.request(*url, buyer, wanted).status_code < 300:
            ledger.put(product, 2)

    answers = run_concurrently(
        *(partial(host.order, buyer) for buyer in buyers * 2),
        *(partial(add, buyer, product) for buyer in buyers for product in products[1:]),
    )
    ordered = [one for one in answers if one is not None]
    assert set(outcomes(ordered)) <= {201, "empty_cart"}
    assert ledger.problems() == []


def _added(host: Driver, product: Any) -> tuple[tuple[str, str], dict[str, Any]]:
    """The shop's own request that adds two units of a product."""
    if host.NAME == "association":
        return ("PUT", f"/wanted/{product}"), {"how_many": 2}
    (seed,) = [row for row in host.rows("seed") if row["id"] == product]
    return ("POST", "/basket"), {"article": seed["article"], "bags": 2}


@only("bare_table")
def test_a_receiver_is_given_the_rows_of_the_table(host: Driver) -> None:
    buyer, seed = host.customer(), host.product()
    host.put(buyer, seed, 2)
    seen: list[Any] = []

    def see(_app: Any, order: Any, cart: Any, items: Any) -> None:
        seen.append([(type(cart).__name__, each.quantity, row.bags) for each, row in items])

    with order_placing.connected_to(see, host.app):
        assert host.order(buyer).status_code == 201
    assert seen == [[("Basket", 2, 2)]]


def test_a_secondary_table_with_two_keys_and_the_customer_s_voucher(database: URL) -> None:
    """Each of its rows is one unit; the code is taken off the customer's row."""
    db = new_db()

    class User(db.Model):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        coupon: Mapped[str | None] = mapped_column(sa.String(20))
        wishes: Mapped[list["Toy"]] = relationship(secondary="wishes")

    class Toy(db.Model):
        __tablename__ = "toys"
        id: Mapped[int] = mapped_column(primary_key=True)
        price: Mapped[Decimal] = mapped_column(sa.Numeric(8, 2))

    keys: list[Any] = [
        sa.Column(name, sa.ForeignKey(target), primary_key=True)
        for name, target in (("user_id", "users.id"), ("toy_id", "toys.id"))
    ]
    wishes = db.Table("wishes", *keys)
    models = declare_models(
        db,
        customer=User,
        product=mapping.product(Toy, sku=None, name=None, stock=None),
        cart=mapping.cart(User, voucher=User.coupon),
        cart_item=mapping.cart_item(wishes, quantity=1),
    )
    shop = open_shop(db, database, models)
    assert check_output(shop) == "Everything is set up.\n"
    shop.voucher("TEN", "10%")
    with shop.session() as session:
        toys = [Toy(id=key, price=price) for key, price in ((1, 5), (2, 7))]
        session.add_all([User(id=1, coupon="TEN", wishes=toys), User(id=2, wishes=toys[:1])])

    order = shop.order(1)

    assert (order["total_amount"], order["items_count"]) == ("10.80", 2)
    assert [tuple(row.values()) for row in shop.rows("wishes")] == [(2, 1)]
    assert [row["coupon"] for row in shop.rows("users")] == [None, None]
    close(shop)
