"""Customers of a shop on several servers: they order, remove unavailable items, fill their carts.

Each request goes to any server that takes writes, and is repeated with its Idempotency-Key until it
gets a response. Several threads may run the customers concurrently.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from flask_orders.testing import Ledger

from .cluster import wait_until
from .requests import SAVE
from .responses import body, order_id
from .shops import Shop


class Clients:
    """Customers that order and fill their carts again.

    Attributes:
        received: the order of each response, by its key.
        owners: the customer of each response, by its key.
        seen: how often each status was seen.
        pauses: the seconds between two orders, in all threads together.
        half: set when half of the orders are there.
    """

    def __init__(
        self,
        choose: Callable[[], Shop],
        *,
        watched: Shop,
        orders: int,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        """Fill the shop.

        Args:
            choose: returns the shop on the server to which a client sends its next request.
            watched: the shop on a server that is there in the end.
            orders: how many are wanted.
            settle: waits until every server has what was arranged.
        """
        self._choose = choose
        self.watched = watched
        self._wanted = orders
        self.received: dict[str, str] = {}
        self.owners: dict[str, int] = {}
        self.seen = Counter[str]()
        self.failures: list[BaseException] = []
        self.pauses: list[float] = []
        self.half = threading.Event()
        self._last_order = time.monotonic()
        self._lock = threading.Lock()
        self._random = random.Random(1)
        self._unsure: list[tuple[str, dict[int, int]]] = []
        shop = choose()
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
        settle()
        self.ledger = Ledger(watched.app)
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
        answer = self.ask(customer, key)
        while answer.status_code == 409:
            self._give_in(customer, body(answer)["code"])
            answer = self.ask(customer, key)
        if answer.status_code == 400:
            assert body(answer)["code"] == "empty_cart"
            return
        assert answer.status_code == 201, answer.text
        with self._lock:
            self.received[key] = order_id(answer)
            self.owners[key] = customer
            now = time.monotonic()
            self.pauses.append(now - self._last_order)
            self._last_order = now

    def ask(self, customer: int, key: str) -> TestResponse:
        """POST an order until the shop is available."""
        for _ in range(600):
            answer = self._choose().post(customer, SAVE, key=key)
            if answer.status_code != 503:
                self._count(str(answer.status_code))
                return answer
            self._count("503")
            time.sleep(0.1)
        raise AssertionError("the shop stays unavailable")

    def _give_in(self, customer: int, code: str) -> None:
        """Remove what is unavailable from the cart."""
        if code == "item_unavailable":
            self._change(partial(self._take_out, customer))
        elif code == "voucher_not_applicable":
            self._change(partial(self._take_voucher_off, customer))
        else:
            raise AssertionError(code)

    def _take_out(self, customer: int, shop: Shop, session: Session) -> dict[int, int]:
        item = shop.models.CartItem
        found = session.execute(
            select(item.id, item.quantity)
            .where(item.cart.has(customer_id=customer), item.product_id == self.hot)
            .with_for_update()
        ).all()
        session.execute(delete(item).where(item.id.in_([row.id for row in found])))
        return {self.hot: -sum(row.quantity for row in found)}

    def _take_voucher_off(self, customer: int, shop: Shop, session: Session) -> dict[int, int]:
        cart = shop.models.Cart
        session.execute(update(cart).where(cart.customer_id == customer).values(voucher_id=None))
        return {}

    def fill(self, customer: int) -> None:
        """Fill the cart as a shop does: without a lock."""
        self._change(partial(self._fill, customer))

    def _fill(self, customer: int, shop: Shop, session: Session) -> dict[int, int]:
        units = dict.fromkeys(self._random.sample(self.shared, 2), 2)
        if self._random.random() < 0.5:
            units[self.hot] = 1
        voucher = self._random.choice([None, None, *self.vouchers])
        shop.put_in(session, customer, units, voucher)
        return units

    def _change(self, change: Callable[[Shop, Session], dict[int, int]]) -> None:
        """Run a transaction of the shop's own, and record what it did to the carts.

        With it a row is stored by which to find out later whether it was committed.
        """
        mark, units, shop = str(uuid4()), dict[int, int](), self._choose()
        try:
            with shop.session() as session:
                units = change(shop, session)
                session.add(shop.models.Product(sku=mark, name=mark, price=1, active=False))
        except sa.exc.DBAPIError:
            self._count("errors of the shop's own")
            self._unsure.append((mark, units))
            time.sleep(0.05)
        else:
            self._put(units)

    def _put(self, units: dict[int, int]) -> None:
        for product, quantity in units.items():
            self.ledger.put(product, quantity)

    def run(self, threads: int, disturb: Callable[[], None]) -> None:
        """Run the customers in threads, and disturb them when half of the orders are there."""
        workers = [threading.Thread(target=self.work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        self.half.wait()
        try:
            disturb()
        finally:
            for worker in workers:
                worker.join()
        assert self.failures == []

    def post_to(self, shop: Shop) -> Counter[int]:
        """POST an order of each customer to one server; return how often each status came."""
        answers = (shop.post(customer, SAVE, key="cut-off") for customer in self.customers)
        return Counter(answer.status_code for answer in answers)

    def wait_for_orders(self, count: int) -> None:
        """Wait until so many more orders are there, or all."""
        wanted = min(len(self.received) + count, self._wanted)
        wait_until(lambda: len(self.received) >= wanted or bool(self.failures))

    def record_unanswered_changes(self) -> None:
        """Record the changes that were committed although they ended in an error."""
        marks = {row["sku"] for row in self.watched.rows("products")}
        for mark, units in self._unsure:
            if mark in marks:
                self._put(units)

    def _count(self, what: str) -> None:
        with self._lock:
            self.seen[what] += 1
