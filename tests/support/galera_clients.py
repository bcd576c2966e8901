"""Customers of a cluster: they order, remove unavailable items, and fill their carts again.

Each request goes to a random node and is repeated, with its Idempotency-Key, until it gets a
response. Several threads may run the customers concurrently.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import delete, select, update
from werkzeug.test import TestResponse

from flask_orders.testing import Ledger

from .requests import SAVE
from .responses import body, order_id
from .shops import Shop

# Errors after which the shop's own transaction is certainly undone; after others it may be done.
UNDONE = frozenset({1213, 1205, 1062, 2003})


class Clients:
    """Customers that order and fill their carts again, on any node that responds."""

    def __init__(self, nodes: list[Shop], orders: int, seed: int) -> None:
        self.nodes = nodes
        self._wanted = orders
        self.received: dict[str, str] = {}  # key -> the order of the response
        self.seen = Counter[str]()
        self.failures: list[BaseException] = []
        self.half = threading.Event()
        self._lock = threading.Lock()
        self._random = random.Random(seed)
        self._unsure: list[tuple[int, dict[int, int]]] = []
        shop = nodes[0]
        self.hot = shop.product("19.99", stock=orders // 4)
        self.shared = [shop.product("7.35", stock=10**6) for _ in range(3)]
        shop.offer("12.5%", self.shared[0])
        self.vouchers = [
            shop.voucher("LIMITED", "5%", usage="multiple", usage_limit=orders // 10),
            shop.voucher("ONCE", "2.50", usage="once_per_customer"),
        ]
        self.customers = [shop.customer() for _ in range(12)]
        for customer in self.customers:
            shop.cart(customer, {self.shared[0]: 1})
        self.ledger = Ledger(shop.app)
        self._visits = self._make_visits()

    def _make_visits(self) -> Iterator[int]:
        """Choose the next customer: some click three times, each time on any node."""
        while len(set(self.received.values())) < self._wanted:
            yield from [self._random.choice(self.customers)] * self._random.choice((1, 1, 3))

    def work(self) -> None:
        try:
            while (customer := self._next()) is not None:
                self.order(customer)
                self.fill(customer)
        except BaseException as error:
            self.failures.append(error)
            self.half.set()

    def _next(self) -> int | None:
        with self._lock:
            if len(set(self.received.values())) >= self._wanted // 2:
                self.half.set()
            return None if self.failures else next(self._visits, None)

    def order(self, customer: int) -> None:
        """Order with one key until there is a response."""
        key = str(uuid4())
        answer = self._ask(customer, key)
        while answer.status_code == 409:
            self._give_in(customer, body(answer)["code"])
            answer = self._ask(customer, key)
        if answer.status_code == 400:
            assert body(answer)["code"] == "empty_cart"
            return
        assert answer.status_code == 201, answer.text
        with self._lock:
            self.received[key] = order_id(answer)

    def _ask(self, customer: int, key: str) -> TestResponse:
        for _ in range(200):
            answer = self._any_node().post(customer, SAVE, key=key)
            if answer.status_code != 503:
                self._count(str(answer.status_code))
                return answer
            self._count("503")
            time.sleep(0.1)
        raise AssertionError("the shop stays unavailable")

    def _give_in(self, customer: int, code: str) -> None:
        """Remove what is unavailable from the cart, on a node that is never killed."""
        if code == "item_unavailable":
            self._again(lambda: self._take_out(customer))
        elif code == "voucher_not_applicable":
            self._again(lambda: self._take_voucher_off(customer))
        else:
            raise AssertionError(code)

    def _take_out(self, customer: int) -> None:
        with self.nodes[0].session() as session:
            item = self.nodes[0].models.CartItem
            lines = session.execute(
                select(item.id, item.quantity)
                .where(item.cart.has(customer_id=customer), item.product_id == self.hot)
                .with_for_update()
            ).all()
            session.execute(delete(item).where(item.id.in_([line.id for line in lines])))
        self.ledger.put(self.hot, -sum(line.quantity for line in lines))

    def _take_voucher_off(self, customer: int) -> None:
        with self.nodes[0].session() as session:
            cart = self.nodes[0].models.Cart
            session.execute(
                update(cart).where(cart.customer_id == customer).values(voucher_id=None)
            )

    def fill(self, customer: int) -> None:
        """Fill the cart as a shop does: without a lock, on any node."""
        self._again(lambda: self._fill(self._any_node(), customer))

    def _fill(self, shop: Shop, customer: int) -> None:
        units = dict.fromkeys(self._random.sample(self.shared, 2), 2)
        if self._random.random() < 0.5:
            units[self.hot] = 1
        mark = shop.product("1.00", stock=None, sku=str(uuid4()))
        units[mark] = 1
        try:
            shop.put(customer, units, self._random.choice([None, None, *self.vouchers]))
        except sa.exc.DBAPIError as error:
            if code(error) in UNDONE:
                raise
            self._unsure.append((mark, units))
        else:
            self._put(units)

    def _put(self, units: dict[int, int]) -> None:
        for product, quantity in units.items():
            self.ledger.put(product, quantity)

    def _again(self, call: Callable[[], None]) -> None:
        """Retry a transaction of the shop's own, which may conflict too."""
        for _ in range(200):
            try:
                return call()
            except sa.exc.DBAPIError:
                self._count("retries of the shop's own")
                time.sleep(0.05)
        raise AssertionError("the shop stays unavailable")

    def record_unanswered_changes(self) -> None:
        """Record the changes sent to the killed node without a response that were committed."""
        products = {row["product_id"] for row in self.nodes[0].rows("cart_items")}
        products |= {row["product_id"] for row in self.nodes[0].rows("order_items")}
        for mark, units in self._unsure:
            if mark in products:
                self._put(units)

    def _any_node(self) -> Shop:
        return self._random.choice(self.nodes)

    def _count(self, what: str) -> None:
        with self._lock:
            self.seen[what] += 1


def code(error: sa.exc.DBAPIError) -> object:
    return error.orig.args[0] if error.orig is not None and error.orig.args else None
