"""Shops in which a customer has one cart after another, of which the last one may be open.

The closed carts are the shop's history: no order reads, locks or changes them or their items.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

from flask_orders.signals import order_placing
from flask_orders.testing import Ledger, run_concurrently

from . import hosts
from .hosts.drivers import Buyer, running
from .hosts.driving.carts_by_status import CartsByStatus
from .hosts.driving.carts_in_turn import CartsInTurn
from .support.database import Rows, nothing_changed
from .support.effort import rounds
from .support.requests import ORDERS, PREVIEW
from .support.responses import outcomes, refused

ROUNDS = 3
THREADS = 6

Host = CartsInTurn | CartsByStatus

MAPPING = {
    "carts_in_turn": "open=basket.ordered IS NOT true",
    "carts_by_status": "open=carts.status = 'open'",
}

SHOPS = ("carts_in_turn", "carts_by_status")

in_turn = pytest.mark.parametrize("module_host", ["carts_in_turn"], indirect=True)
by_status = pytest.mark.parametrize("module_host", ["carts_by_status"], indirect=True)


@pytest.fixture(scope="module", params=SHOPS)
def module_host(request: pytest.FixtureRequest, server_url: URL) -> Iterator[Any]:
    with running(request.param, server_url) as host:
        yield host


@pytest.mark.parametrize("name", SHOPS)
def test_installing_costs_twenty_lines_and_eight_parts_at_most(name: str) -> None:
    assert hosts.added_lines(name) <= 20
    assert hosts.parts(name) <= 8


def closed(host: Host, buyer: Buyer, product: Any) -> None:
    """Close a cart of the customer's, with two units of the product in it."""
    host.put(buyer, product, 2)
    host.close_cart(buyer)


def carts(host: Host) -> Rows:
    """Return the rows of all carts and their items."""
    return {name: host.rows(name) for name in (host.TABLES.carts, host.TABLES.cart_items)}


@contextmanager
def kept(host: Host) -> Iterator[None]:
    """Assert that the rows of the carts and items that are there now are the same afterwards."""
    before = carts(host)
    yield
    after = carts(host)
    for name, rows in before.items():
        assert [row for row in after[name] if row in rows] == rows


def test_only_the_open_cart_is_ordered_and_the_closed_ones_stay(host: Host) -> None:
    buyer, other = host.customer(), host.customer()
    old, new = host.product("10.00"), host.product("20.00")
    for _ in range(2):
        closed(host, buyer, old)
    closed(host, other, new)
    with kept(host):
        host.put(buyer, new, 3)
        assert host.call("GET", PREVIEW, buyer)["total_amount"] == "60.00"
        assert host.order(buyer).status_code == 201
    (order,) = host.rows("orders")
    (item,) = host.rows("order_items")
    assert (order["total_amount"], item["product_id"], item["quantity"]) == (60, new, 3)
    assert host.stock() == [10, 7]


def test_the_next_cart_is_the_next_order(host: Host) -> None:
    buyer, product = host.customer(), host.product()
    closed(host, buyer, product)
    for number in (1, 2, 3):
        host.put(buyer, product, number)
        assert host.order(buyer).status_code == 201
        assert len(host.rows(host.TABLES.cart_items)) == 1
    assert [row["quantity"] for row in host.rows("order_items")] == [1, 2, 3]


@in_turn
def test_the_cart_is_left_open_and_empty(host: Host) -> None:
    buyer, product = host.customer(), host.product()
    host.put(buyer, product)
    before = host.rows("basket")
    assert host.order(buyer).status_code == 201
    assert (host.rows("basket"), host.rows("basket_item")) == (before, [])
    host.put(buyer, product)
    assert host.rows("basket") == before


@in_turn
@pytest.mark.parametrize("ordered", [None, False])
def test_a_cart_from_before_the_column_is_open(host: Host, ordered: bool | None) -> None:
    buyer = host.customer()
    host.put(buyer, host.product())
    (basket,) = host.rows("basket")
    host.update("basket", basket["id"], ordered=ordered)
    assert host.order(buyer).status_code == 201


@by_status
def test_a_receiver_closes_the_cart_with_the_order(host: Host) -> None:
    buyer, product = host.customer(), host.product()
    host.put(buyer, product)
    order = host.order(buyer).headers["Location"]
    assert [row["status"] for row in host.rows("carts")] == ["ordered"]
    host.put(buyer, product)
    assert [row["status"] for row in host.rows("carts")] == ["ordered", "open"]
    with kept(host):
        assert host.call("POST", f"{order}cancel/", buyer)["status"] == "cancelled"
    assert host.stock() == [10]


@by_status
def test_a_refused_order_leaves_the_cart_open(host: Host) -> None:
    def fail(_app: Any, **_given: Any) -> None:
        raise ZeroDivisionError

    buyer = host.customer()
    host.put(buyer, host.product())
    with nothing_changed(host), order_placing.connected_to(fail, host.app):
        assert host.order(buyer).status_code == 500
    assert host.order(buyer).status_code == 201


def test_a_customer_whose_carts_are_all_closed_has_none(host: Host) -> None:
    buyer = host.customer()
    closed(host, buyer, host.product())
    with nothing_changed(host):
        refused(host.order(buyer), 400, "empty_cart")
        assert host.call("GET", PREVIEW, buyer)["refusal"]["code"] == "empty_cart"


def test_a_second_click_that_comes_when_the_cart_is_closed_has_the_order(host: Host) -> None:
    buyer, product = host.customer(), host.product()
    closed(host, buyer, product)
    host.put(buyer, product)
    clicked = Buyer(buyer.key, {**buyer.headers, "X-Request-Start": f"t={time.time():.3f}"})
    first = host.order(clicked)
    with nothing_changed(host):
        second = host.order(clicked)
        assert (second.status_code, second.headers["Location"]) == (201, first.headers["Location"])
        refused(host.order(buyer), 400, "empty_cart")


@rounds(ROUNDS)
def test_six_clicks_on_the_open_cart_are_one_order(host: Host, round_: int) -> None:
    buyer, product = host.customer(), host.product(stock=20)
    for _ in range(3):
        closed(host, buyer, product)
    with kept(host):
        host.put(buyer, product)
        answers = run_concurrently(*[lambda: host.order(buyer)] * THREADS)
    assert set(outcomes(answers)) <= {201, "empty_cart"}
    assert len({answer.headers["Location"] for answer in answers if answer.status_code == 201}) == 1
    assert len(host.rows("orders")) == 1
    assert host.stock() == [19]


@rounds(ROUNDS)
@by_status
def test_a_receiver_may_open_the_next_cart_at_once(host: Host, round_: int) -> None:
    """A click that waited for the old cart and finds the new one has the order of the old one."""

    def open_next(_app: Any, cart: Any, **_more: Any) -> None:
        host.module.db.session.add(host.module.Cart(account_id=cart.account_id))

    buyer = host.customer()
    host.put(buyer, host.product())
    with order_placing.connected_to(open_next, host.app):
        answers = run_concurrently(*[lambda: host.order(buyer)] * THREADS)
    assert set(outcomes(answers)) <= {201, "empty_cart"}
    assert len(host.rows("orders")) == 1
    assert [row["status"] for row in host.rows("carts")] == ["ordered", "open"]


@rounds(ROUNDS)
def test_customers_with_closed_carts_of_the_same_products_sell_out(host: Host, round_: int) -> None:
    products = [host.product(stock=3) for _ in range(4)]
    buyers = [host.customer() for _ in range(THREADS)]
    for buyer in buyers:
        for product in products:
            closed(host, buyer, product)
    with kept(host):
        for i, buyer in enumerate(buyers):
            for product in products if i % 2 else reversed(products):
                host.put(buyer, product)
        ledger = Ledger(host.app)
        answers = run_concurrently(*[lambda b=buyer: host.order(b) for buyer in buyers])
    assert outcomes(answers) == {201: 3, "item_unavailable": THREADS - 3}
    assert host.stock() == [0] * 4
    assert ledger.problems() == []


@rounds(ROUNDS)
def test_a_cart_that_the_shop_closes_meanwhile_is_ordered_or_closed(
    host: Host, round_: int
) -> None:
    """Its own checkout closes the carts by one UPDATE, with their items in them."""
    buyers = [host.customer() for _ in range(THREADS)]
    product = host.product()
    for buyer in buyers:
        host.put(buyer, product)
    table = host.tables[host.TABLES.carts]
    state = {"ordered": True} if host.STATE == "ordered" else {"status": "abandoned"}
    closing = table.update().where(table.c[host.STATE].is_distinct_from("ordered")).values(state)
    if host.STATE == "ordered":
        closing = table.update().where(table.c.ordered.is_not(True)).values(state)

    results: list[Any] = run_concurrently(
        lambda: host.change(closing), *[lambda b=buyer: host.order(b) for buyer in buyers]
    )

    found = outcomes(results[1:])
    assert set(found) <= {201, "empty_cart"}
    ordered = found[201]
    assert len(host.rows("orders")) == ordered
    assert len(host.rows(host.TABLES.cart_items)) == THREADS - ordered
    assert host.stock() == [10 - ordered]


def history(host: Host, buyer: Buyer, product: Any) -> list[sa.Select[Any]]:
    """Close a cart of the customer's; return SELECTs that lock its row and its items.

    On MariaDB an order locks what an index of its condition finds: all carts of this customer,
    where nothing but the customer is indexed. The items are never locked.
    """
    closed(host, buyer, product)
    tables = [host.tables[name] for name in (host.TABLES.carts, host.TABLES.cart_items)]
    if host.engine.dialect.name == "mysql" and host.STATE == "ordered":
        tables = tables[1:]
    locking = [sa.select(table.c.id).with_for_update(nowait=True) for table in tables]
    keys = [selected(host, query) for query in locking]
    return [
        query.where(table.c.id.in_(found))
        for query, table, found in zip(locking, tables, keys, strict=True)
    ]


def selected(host: Host, query: sa.Select[Any]) -> Sequence[Any]:
    with host.engine.begin() as connection:
        return connection.execute(query).scalars().all()


def test_an_order_waits_for_no_closed_cart(host: Host) -> None:
    if host.engine.dialect.name == "sqlite":
        pytest.skip("SQLite locks the whole database")
    buyer, product = host.customer(), host.product()
    locking = history(host, buyer, product)
    host.put(buyer, product)
    with host.engine.begin() as connection:
        assert all(connection.execute(query).all() for query in locking)
        started = time.monotonic()
        assert host.order(buyer).status_code == 201
        assert time.monotonic() - started < 2


def test_an_order_locks_no_closed_cart(host: Host) -> None:
    if host.engine.dialect.name == "sqlite":
        pytest.skip("SQLite locks the whole database")
    buyer, product = host.customer(), host.product()
    locking = history(host, buyer, product)
    host.put(buyer, product)
    seen: list[Sequence[Any]] = []

    def lock(_app: Any, **_given: Any) -> None:
        """Under the locks of the order."""
        seen.extend(selected(host, query) for query in locking)

    with order_placing.connected_to(lock, host.app):
        assert host.order(buyer).status_code == 201
    assert [len(rows) for rows in seen] == [1] * len(locking)


class TestTwoOpenCarts:
    """What an old race has left behind, where nothing in the database keeps carts single."""

    @staticmethod
    def doubled(host: Host) -> tuple[Buyer, Buyer]:
        """Give one customer two open carts, another one an open and a closed one."""
        buyer, other = host.customer(), host.customer()
        product = host.product()
        closed(host, buyer, product)
        for customer in (buyer, other):
            closed(host, customer, product)
            host.put(customer, product)
        owner = "user_id" if host.STATE == "ordered" else "account_id"
        state = {} if host.STATE == "ordered" else {"status": "open"}
        host.insert(host.TABLES.carts, **{owner: buyer.key, **state})
        return buyer, other

    @pytest.mark.parametrize("accept", ["application/json", "text/html"])
    def test_nothing_is_ordered_and_no_html_is_sent(self, host: Host, accept: str) -> None:
        buyer, other = self.doubled(host)
        browser = Buyer(buyer.key, {**buyer.headers, "Accept": accept})
        with nothing_changed(host):
            refused(host.order(browser), 500, "misconfigured")
            refused(host.order(browser, "checkout"), 500, "misconfigured")
            refused(host.request("GET", PREVIEW, browser), 500, "misconfigured")
            assert host.call("GET", ORDERS, browser)["count"] == 0
        assert host.order(other).status_code == 201

    def test_the_log_says_what_to_do(self, host: Host, caplog: pytest.LogCaptureFixture) -> None:
        buyer, _ = self.doubled(host)
        refused(host.order(buyer), 500, "misconfigured")
        assert "A customer has 2 carts" in caplog.text
        assert "flask orders check" in caplog.text

    def test_check_counts_them_and_its_select_lists_them(self, host: Host) -> None:
        buyer, _ = self.doubled(host)
        code, output = host.check()
        (line,) = [line for line in output.splitlines() if "more than one open cart" in line]
        assert code == 1
        assert line.startswith("- 1 customer(s) have")
        assert ("ordered IS NOT" if host.STATE == "ordered" else "status = 'open'") in line
        listing = line.split("they are: ")[1]
        with host.engine.connect() as connection:
            assert connection.execute(sa.text(listing)).all() == [(buyer.key, 2)]

    def test_once_one_of_them_is_closed_the_other_is_ordered(self, host: Host) -> None:
        buyer, _ = self.doubled(host)
        *_, empty = host.rows(host.TABLES.carts)
        host.update(
            host.TABLES.carts,
            empty["id"],
            **({"ordered": True} if host.STATE == "ordered" else {"status": "abandoned"}),
        )
        assert host.problems() == []
        assert host.order(buyer).status_code == 201


def test_check_has_no_complaints(host: Host) -> None:
    closed(host, host.customer(), host.product())
    assert host.problems() == []


def test_check_prints_the_mapping(host: Host) -> None:
    _, output = host.check()
    (line,) = [line for line in output.splitlines() if line.startswith("cart: ")]
    assert line.endswith(MAPPING[host.NAME])


@in_turn
def test_check_prints_what_a_price_counts(host: Host) -> None:
    assert "price=major_units(Book.price)" in host.check()[1]
