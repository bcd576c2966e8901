"""Crowds: many concurrent customers, or many requests of one, on each database in each mode.

ORDERS_TEST_LONG makes the crowds large and the rounds many; `pytest -rP` shows the numbers.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Executable, delete, insert, select, text, update
from werkzeug.test import TestResponse

from flask_orders.db.writes import row_count
from flask_orders.testing import Ledger

from .support.effort import LONG
from .support.raced import SQLITE_POOL, RacedShop, Tally
from .support.requests import CHECKOUT, SAVE
from .support.responses import outcomes
from .support.shops import until_done

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("each_writer")]


def no_key(_click: int) -> str | None:
    return None


def one_key(_click: int) -> str | None:
    return "k-1"


def a_key_each(click: int) -> str | None:
    return f"k-{click}"


@pytest.mark.parametrize("key", [no_key, one_key, a_key_each])
def test_one_cart_is_submitted_by_a_crowd(
    raced_shop: RacedShop, tally: Tally, key: Callable[[int], str | None]
) -> None:
    keys = [key(click) for click in range(50 if LONG else 12)]
    received_another_s = 0
    for round_ in range(20 if LONG else 2):
        raced_shop.clear()
        request, success = ((SAVE, 201), (CHECKOUT, 303))[round_ % 2]
        answers = submit_one_cart(raced_shop, tally, request, keys)

        (order,) = raced_shop.rows("orders")
        received = [answer for answer in answers if answer.status_code == success]
        assert len({(answer.data, answer.headers["Location"]) for answer in received}) == 1
        assert str(order["id"]) in received[0].headers["Location"]
        received_another_s += len(received) - 1
        late = set() if key is one_key else {"empty_cart"}
        assert outcomes(answers).keys() <= {success} | late
    # The requests that were already under way.
    assert received_another_s > 0
    tally.report()


def submit_one_cart(
    shop: RacedShop, tally: Tally, request: dict[str, Any], keys: list[str | None]
) -> list[TestResponse]:
    customer, voucher = shop.customer(), shop.voucher("V", "10%", usage="once_per_customer")
    shop.cart(customer, {shop.product(): 2, shop.product(stock=None): 1}, voucher)
    ledger = Ledger(shop.app)
    answers = shop.race(*[partial(shop.post, customer, request, key=key) for key in keys])
    tally.note(ledger)
    tally.count(*outcomes(answers).elements())
    return answers


def ask(shop: RacedShop, tally: Tally, customer: int) -> TestResponse:
    """Order, and again on 503: only a cluster returns it, for one row on two nodes."""
    for _ in range(10):
        answer = shop.post(customer, SAVE)
        if answer.status_code != 503 or shop.variant != "galera":
            break
        tally.count("503")
        time.sleep(int(answer.headers["Retry-After"]))
    return answer


def test_a_crowd_uses_a_voucher_of_limit_seven(raced_shop: RacedShop, tally: Tally) -> None:
    shop, crowd = raced_shop, 100 if LONG else 20
    for _ in range(10 if LONG else 1):
        shop.clear()
        voucher = shop.voucher("SEVEN", "1.00", usage="multiple", usage_limit=7)
        customers = [shop.customer() for _ in range(crowd)]
        for customer in customers:
            # A product for each, so that no lock but the voucher's keeps them apart.
            shop.cart(customer, {shop.product(): 1}, voucher)
        ledger = Ledger(shop.app)

        answers = shop.race(*[partial(ask, shop, tally, customer) for customer in customers])

        tally.note(ledger)
        assert outcomes(answers) == {201: 7, "voucher_not_applicable": crowd - 7}
        assert [order["voucher_id"] for order in shop.rows("orders")] == [voucher] * 7
        assert shop.rows("vouchers")[0]["times_used"] == 7
    tally.report()


class Shopper:
    """A customer with many hands, each of which fills the cart and orders; `seen` is the outcomes.

    If the voucher is refused, it is taken off, and the order is made without it.
    """

    def __init__(
        self, shop: RacedShop, tally: Tally, product: int, voucher: int | None = None
    ) -> None:
        self._shop, self._tally, self._product, self._voucher = shop, tally, product, voucher
        self._customer = shop.customer()
        shop.cart(self._customer, {})
        self.ledger = Ledger(shop.app)
        self.seen = set[object]()

    def order(self, times: int) -> None:
        for _ in range(times):
            self._put({self._product: 1}, self._voucher)
            self.ledger.put(self._product, 1)
            if self._ask() == "voucher_not_applicable":
                self._put({}, None)
                self._ask()

    def _put(self, units: dict[int, int], voucher: int | None) -> None:
        until_done(lambda: self._shop.any_node().put(self._customer, units, voucher))

    def _ask(self) -> object:
        (outcome,) = outcomes([ask(self._shop, self._tally, self._customer)])
        self.seen.add(outcome)
        return outcome


def test_a_once_per_customer_voucher_through_many_carts(
    raced_shop: RacedShop, tally: Tally
) -> None:
    shop = raced_shop
    for _ in range(10 if LONG else 1):
        shop.clear()
        voucher = shop.voucher("ONCE", "1.00", usage="once_per_customer")
        shopper = Shopper(shop, tally, shop.product(stock=100), voucher)

        shop.race(*[partial(shopper.order, 5)] * 4)

        tally.note(shopper.ledger)
        carried = [order["voucher_id"] for order in shop.rows("orders")]
        assert carried.count(voucher) == 1
        assert len(carried) > 1
        assert shop.rows("vouchers")[0]["times_used"] == 1
        assert shopper.seen <= {201, "empty_cart", "voucher_not_applicable"}
    tally.report()


def test_an_offer_for_first_orders_applies_to_one_of_many_concurrent_orders(
    raced_shop: RacedShop, tally: Tally
) -> None:
    shop = raced_shop
    for _ in range(20 if LONG else 3):
        shop.clear()
        product = shop.product(stock=100)
        offer = shop.offer("25%", product, first_order_only=True)
        shopper = Shopper(shop, tally, product)

        shop.race(*[partial(shopper.order, 3)] * 4)

        tally.note(shopper.ledger)
        numbers = {order["id"]: order["sequence"] for order in shop.rows("orders")}
        assert sorted(numbers.values()) == list(range(1, len(numbers) + 1))
        items = shop.rows("order_items")
        assert [numbers[item["order_id"]] for item in items if item["offer_id"] == offer] == [1]
        assert shopper.seen <= {201, "empty_cart"}
    tally.report()


def test_a_crowd_buys_five_products_in_opposing_orders(raced_shop: RacedShop, tally: Tally) -> None:
    shop, crowd = raced_shop, 100 if LONG else 16
    sold = crowd // 4
    stocks = [crowd, sold, crowd, crowd // 3, None]
    for _ in range(5 if LONG else 1):
        shop.clear()
        products = [shop.product(stock=stock) for stock in stocks]
        customers = [shop.customer() for _ in range(crowd)]
        for i, customer in enumerate(customers):
            shop.cart(customer, dict.fromkeys(products if i % 2 else reversed(products), 1))
        ledger = Ledger(shop.app)

        answers = shop.race(*[partial(ask, shop, tally, customer) for customer in customers])

        tally.note(ledger)
        assert outcomes(answers) == {201: sold, "item_unavailable": crowd - sold}
        left = [product["stock"] for product in shop.rows("products")]
        assert left == [None if stock is None else stock - sold for stock in stocks]
    tally.report()


@pytest.mark.parametrize("lock", [False, True], ids=["no lock", "the cart's lock"])
def test_a_cart_that_others_change_while_it_is_ordered(
    raced_shop: RacedShop, tally: Tally, lock: bool
) -> None:
    shop = raced_shop
    for _ in range(200 if LONG else 10):
        shop.clear()
        customer, products = shop.customer(), [shop.product() for _ in range(4)]
        kept, more, gone, new = products
        cart = shop.cart(customer, {kept: 1, more: 2, gone: 3})
        ledger = Ledger(shop.app)
        editor = Editor(shop, cart, lock, ledger, tally)

        shop.race(
            *[partial(order_what_is_there, shop, customer)] * 2,
            partial(editor.add, new),
            partial(editor.remove, gone, 3),
            *[partial(editor.add_one, more)] * 3,
        )

        tally.note(ledger)
    tally.report()


def order_what_is_there(shop: RacedShop, customer: int) -> None:
    assert outcomes([shop.post(customer, SAVE)]).keys() <= {201, "empty_cart"}


@dataclass
class Editor:
    """What else changes a cart: the shop's own code, on any node."""

    shop: RacedShop
    cart: int
    lock: bool
    ledger: Ledger
    tally: Tally

    def add(self, product: int) -> None:
        line = {"cart_id": self.cart, "product_id": product, "quantity": 1}
        self._edit(product, 1, lambda item: insert(item).values(line))

    def remove(self, product: int, units: int) -> None:
        self._edit(product, -units, lambda item: delete(item).where(item.product_id == product))

    def add_one(self, product: int) -> None:
        more = {"quantity": text("quantity + 1")}
        self._edit(
            product, 1, lambda item: update(item).where(item.product_id == product).values(more)
        )

    def _edit(self, product: int, units: int, statement: Callable[[Any], Executable]) -> None:
        time.sleep(random.uniform(0, 0.04))
        if until_done(lambda: self._execute(statement)):
            self.ledger.put(product, units)
            self.tally.count("changes in time")
        else:
            self.tally.count("changes too late")

    def _execute(self, statement: Callable[[Any], Executable]) -> int:
        """How many rows it has changed."""
        node = self.shop.any_node()
        with node.session() as session:
            if self.lock:
                key = node.models.Cart.id
                session.execute(select(key).where(key == self.cart).with_for_update())
            return row_count(session.execute(statement(node.models.CartItem)))


# How each of them is asked what it is, and what it answers.
IS_WHAT_IT_IS = {
    "sqlite-wal": ("PRAGMA journal_mode", "wal"),
    "sqlite-journal": ("PRAGMA journal_mode", "delete"),
    "postgresql": ("SHOW transaction_isolation", "read committed"),
    "mariadb-repeatable-read": ("SELECT @@tx_isolation", "REPEATABLE-READ"),
    "mariadb-read-committed": ("SELECT @@tx_isolation", "READ-COMMITTED"),
    "mysql-repeatable-read": ("SELECT @@transaction_isolation", "REPEATABLE-READ"),
    "mysql-read-committed": ("SELECT @@transaction_isolation", "READ-COMMITTED"),
    "galera": ("SHOW STATUS LIKE 'wsrep_cluster_size'", "3"),
}


def test_the_shops_run_in_the_modes_of_their_names(raced_shop: RacedShop) -> None:
    """On every connection that the crowds have used."""
    question, answer = IS_WHAT_IT_IS[raced_shop.variant]
    for node in raced_shop.nodes:
        for connection in [node.engine.connect() for _ in range(SQLITE_POOL)]:
            with connection:
                assert connection.execute(text(question)).one()[-1] == answer
