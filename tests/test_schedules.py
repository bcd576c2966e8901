"""Two requests, each paused before each of its statements while the other runs: all schedules.

ORDERS_TEST_LONG explores every pair of statements; otherwise it is every fifth.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL
from werkzeug.test import TestResponse

from flask_orders.testing import Ledger

from .support.shops import ADDRESS, Shop, make_shop
from .test_races import outcomes

SAVE = {"action": "save_order", "billing_address": ADDRESS}
STATEMENTS = 19
STRIDE = 1 if os.environ.get("ORDERS_TEST_LONG") else 5
PAIRS = [(i, j) for i in range(1, STATEMENTS) for j in range(1, STATEMENTS)][::STRIDE]

# Seconds: whoever has not gone on by then waits for a lock of the other's.
BLOCKED = 0.05
TOO_LONG = 30


class Paced:
    """A request in a thread, which stops before one of its statements until it is let go on."""

    def __init__(self, call: Callable[[], Any], pause_at: int) -> None:
        self._call = call
        self._pause_at = pause_at
        self._count = 0
        self._go_on = threading.Event()
        self.was_paused = False
        self.stopped = threading.Event()
        self.answer: Any = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.answer = self._call()
        self.stopped.set()

    def step(self) -> None:
        self._count += 1
        if self._count == self._pause_at:
            self.was_paused = True
            self.stopped.set()
            self._go_on.wait(TOO_LONG)

    def start(self) -> None:
        self.thread.start()
        self.stopped.wait(BLOCKED)

    def go_on(self) -> None:
        self._go_on.set()
        self.thread.join(BLOCKED)


@contextmanager
def paced(engine: sa.Engine, *requests: Paced) -> Iterator[None]:
    """Have the engine ask the requests before each statement of theirs, COMMIT included."""

    def on_statement(*_event: Any) -> None:
        for request in requests:
            if request.thread is threading.current_thread():
                request.step()

    event.listen(engine, "before_cursor_execute", on_statement)
    event.listen(engine, "commit", on_statement)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", on_statement)
        event.remove(engine, "commit", on_statement)


def change_meanwhile(engine: sa.Engine, request: Paced, change: Callable[[], object]) -> None:
    """Stop the request, have the change made, unless a lock forbids it, and let both end."""
    with paced(engine, request):
        request.start()
        request.stopped.wait(TOO_LONG)
        changer = threading.Thread(target=change)
        changer.start()
        changer.join(BLOCKED)
        request.go_on()
        request.thread.join(TOO_LONG)
        changer.join(TOO_LONG)
    assert request.answer is not None


def run(shop: Shop, customers: Sequence[int], at: tuple[int, int]) -> list[TestResponse]:
    """Stop the first request at its point, then the second at its own; let the first end first."""
    one, other = (
        Paced(partial(shop.post, customer, SAVE), point)
        for customer, point in zip(customers, at, strict=True)
    )
    with paced(shop.engine, one, other):
        one.start()
        other.start()
        one.go_on()
        other.go_on()
        one.thread.join(TOO_LONG)
        other.thread.join(TOO_LONG)
    assert one.answer is not None
    assert other.answer is not None
    return [one.answer, other.answer]


def test_one_cart(shop: Shop) -> None:
    for at in PAIRS:
        shop.clear()
        customer, product = shop.customer(), shop.product(stock=5)
        shop.cart(customer, {product: 2}, shop.voucher("ONCE", "10%", usage="once_per_customer"))
        ledger = Ledger(shop.app)

        answers = run(shop, [customer, customer], at)

        assert ledger.problems() == [], at
        assert set(outcomes(answers)) <= {201, "empty_cart"}, (at, outcomes(answers))
        assert len(shop.rows("orders")) == 1, at


def test_the_last_unit_and_the_last_use_of_a_voucher(shop: Shop) -> None:
    for at in PAIRS:
        shop.clear()
        product, voucher = shop.product(stock=1), shop.voucher("LAST", "1.00", usage="single")
        customers = [shop.customer(), shop.customer()]
        for customer in customers:
            shop.cart(customer, {product: 1}, voucher)
        ledger = Ledger(shop.app)

        answers = run(shop, customers, at)

        assert ledger.problems() == [], at
        assert outcomes(answers)[201] == 1, (at, outcomes(answers))
        assert shop.rows("products")[0]["stock"] == 0, at


@pytest.mark.parametrize("change", ["price", "offer", "voucher"])
def test_what_is_charged_is_of_one_moment(shop: Shop, change: str) -> None:
    """The price and the offer are changed in one transaction, which is seen whole or not at all."""
    for at in range(1, STATEMENTS):
        shop.clear()
        customer, product = shop.customer(), shop.product("10.00")
        offer, voucher = shop.offer("1.00", product), shop.voucher("V", "1.00")
        shop.cart(customer, {product: 1}, voucher)
        request = Paced(partial(shop.post, customer, SAVE), at)
        change_meanwhile(shop.engine, request, partial(edit, shop, change, product, offer, voucher))
        assert request.answer.status_code == 201, (at, request.answer.text)
        (order,) = shop.rows("orders")
        # 10 - 1 - 1 before, and after, whichever two of the three are changed: 20 - 11 - 1, ...
        assert order["total_amount"] == 8, (at, order)


def test_a_line_that_is_added_by_code_that_takes_no_lock(database: URL) -> None:
    """Not even the one that a foreign key takes: in this shop the cart items have none."""
    shop = make_shop(database)
    drop_cart_foreign_key(shop)
    for at in range(1, STATEMENTS):
        shop.clear()
        customer, first, second = shop.customer(), shop.product(), shop.product()
        cart = shop.cart(customer, {first: 1})
        ledger = Ledger(shop.app)
        request = Paced(partial(shop.post, customer, SAVE), at)
        change_meanwhile(shop.engine, request, partial(put, shop, cart, second))
        ledger.put(second, 1)
        assert ledger.problems() == [], at
        assert len(shop.rows("orders")) == 1, at
    shop.close()


def drop_cart_foreign_key(shop: Shop) -> None:
    if shop.engine.dialect.name == "sqlite":
        # It has one writer at a time: nobody adds anything meanwhile.
        return
    (name,) = (
        key["name"]
        for key in sa.inspect(shop.engine).get_foreign_keys("cart_items")
        if key["constrained_columns"] == ["cart_id"]
    )
    with shop.engine.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE cart_items DROP CONSTRAINT {name}"))


def put(shop: Shop, cart: int, product: int) -> None:
    shop.add(shop.models.CartItem(cart_id=cart, product_id=product, quantity=1))


def edit(shop: Shop, change: str, product: int, offer: int, voucher: int) -> None:
    """Raise the price by ten, and take ten more off by what is changed with it."""
    models = shop.models
    with shop.session() as session:
        if change == "price":
            session.execute(sa.update(models.Product).values(name="the same price"))
        else:
            session.execute(sa.update(models.Product).values(price=20))
        if change == "offer":
            session.execute(sa.update(models.Offer).values(discount_value=11))
        if change == "voucher":
            session.execute(sa.update(models.Voucher).values(discount_value=11))
