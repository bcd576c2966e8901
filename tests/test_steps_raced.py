"""Concurrent transitions of one order: of two, one wins.

ORDERS_TEST_LONG stops every transition before each of its statements; otherwise it is every third.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from flask_orders import OrdersError, current_orders
from flask_orders.service import components_of
from flask_orders.testing import Ledger, run_concurrently

from .support.effort import LONG
from .support.orders import age, heard
from .support.pacing import BLOCKED, TOO_LONG, Paced, paced
from .support.requests import SAVE
from .support.responses import body
from .support.shops import Shop, until_done

pytestmark = pytest.mark.server

ROUNDS = 30 if LONG else 3
STATEMENTS = 12
STRIDE = 1 if LONG else 3

Transition = Callable[[Shop, int, str], str]


def pay(shop: Shop, _customer: int, url: str) -> str:
    with shop.service() as orders:
        return orders.record_payment(key_of(url), "ref-1", Decimal("19.00")).status


def pay_again(shop: Shop, _customer: int, url: str) -> str:
    with shop.service() as orders:
        return orders.record_payment(key_of(url), "ref-2", Decimal("19.00")).status


def refund(shop: Shop, _customer: int, url: str) -> str:
    try:
        with shop.service() as orders:
            return orders.record_refund(key_of(url), "re-1", Decimal("12.00")).status
    except OrdersError as error:
        return error.code


def cancel(shop: Shop, customer: int, url: str) -> str:
    answer = shop.send(customer, f"{url}cancel/")
    return str(body(answer)["status" if answer.status_code == 200 else "code"])


def cancel_by_shop(shop: Shop, _customer: int, url: str) -> str:
    with shop.service() as orders:
        return orders.cancel(key_of(url), by_shop=True).status


def deliver(shop: Shop, _customer: int, url: str) -> str:
    try:
        with shop.service() as orders:
            return orders.deliver(key_of(url)).status
    except OrdersError as error:
        return error.code


def expire(shop: Shop, _customer: int, _url: str) -> str:
    with shop.service() as orders:
        return str(orders.expire())


def key_of(url: str) -> UUID:
    return UUID(url.split("/")[-2])


STEPS = (pay, pay_again, refund, cancel, cancel_by_shop, deliver, expire)
PAIRS = list(itertools.combinations_with_replacement(STEPS, 2))


@pytest.fixture(
    params=PAIRS, ids=lambda pair: " and ".join(transition.__name__ for transition in pair)
)
def pair(request: pytest.FixtureRequest) -> tuple[Transition, Transition]:
    found: tuple[Transition, Transition] = request.param
    return found


def late_order(shop: Shop) -> tuple[int, str]:
    """A customer, and an order of 19.00 that may expire."""
    shop.clear()
    customer, product = shop.customer(), shop.product("10.00", stock=5)
    shop.cart(customer, {product: 2}, shop.voucher("ONE", "1.00", usage="once_per_customer"))
    order = shop.order(customer)
    age(shop, 73, order["id"])
    return customer, order["url"]


def assert_one_has_won(
    shop: Shop, pair: tuple[Transition, Transition], received: list[tuple[str, Any]]
) -> None:
    (order,), events = shop.rows("orders"), shop.rows("order_events")
    # The steps are one chain, which ends where the order is.
    status = "awaiting_payment"
    for event in sorted(events, key=lambda event: event["from_status"] != "awaiting_payment"):
        assert event["from_status"] == status
        status = event["to_status"]
    assert order["status"] == status
    is_cancelled = status == "cancelled"
    assert shop.rows("products")[0]["stock"] == (5 if is_cancelled else 3)
    assert shop.rows("vouchers")[0]["times_used"] == (0 if is_cancelled else 1)
    assert len(shop.rows("voucher_redemptions")) == (0 if is_cancelled else 1)
    # Each payment is recorded; it made the order paid, or it has to be refunded.
    references = {transition.__name__ for transition in pair} & {"pay", "pay_again"}
    payments = Counter(row["expected"] for row in shop.rows("order_payments"))
    assert payments[True] == sum(event["to_status"] == "paid" for event in events)
    assert payments.total() == len(references)
    signals = Counter(name for name, _ in received)
    assert signals.pop("payment_unexpected", 0) == payments[False]
    # A refund is of a payment that came before.
    refunds = shop.rows("order_refunds")
    assert signals.pop("order_refunded", 0) == len(refunds) <= payments.total()
    assert signals == Counter(f"order_{event['to_status']}" for event in events)


def test_two_concurrent_transitions(shop: Shop, pair: tuple[Transition, Transition]) -> None:
    for _ in range(ROUNDS):
        customer, url = late_order(shop)
        ledger = Ledger(shop.app)
        with heard() as received:
            run_concurrently(*[partial(transition, shop, customer, url) for transition in pair])
        assert ledger.problems() == []
        assert_one_has_won(shop, pair, received)


def test_one_transition_in_the_middle_of_another(
    shop: Shop, pair: tuple[Transition, Transition]
) -> None:
    for at in range(1, STATEMENTS, STRIDE):
        customer, url = late_order(shop)
        ledger = Ledger(shop.app)
        one, other = (
            Paced(partial(transition, shop, customer, url), at * (i == 0))
            for i, transition in enumerate(pair)
        )
        with heard() as received, paced(shop.engine, one, other):
            one.start()
            other.start()
            other.thread.join(BLOCKED)
            one.go_on()
            one.thread.join(TOO_LONG)
            other.thread.join(TOO_LONG)
        assert None not in (one.answer, other.answer), at
        assert ledger.problems() == [], at
        assert_one_has_won(shop, pair, received)


@pytest.mark.usefixtures("each_writer")
def test_ordering_cancelling_and_expiring_of_the_same_products(shop: Shop) -> None:
    """They lock the same rows, in one order."""
    products = [shop.product(stock=40) for _ in range(3)]
    voucher = shop.voucher("HOT", "1.00", usage_limit=4)
    customers = [shop.customer() for _ in range(4)]
    for customer in customers:
        shop.cart(customer, {})
    ledger = Ledger(shop.app)

    def live(customer: int) -> Iterator[int]:
        for i in range(5 * ROUNDS):
            ordered = products if (customer + i) % 2 else products[::-1]
            units = dict.fromkeys(ordered, 1)
            until_done(partial(shop.fill, customer, units, voucher))
            for product in products:
                ledger.put(product, 1)
            answer = shop.post(customer, SAVE)
            yield answer.status_code
            yield shop.send(customer, f"{answer.headers['Location']}cancel/").status_code

    def shut() -> Iterator[int]:
        for _ in range(5 * ROUNDS):
            expire_now(shop)
            yield 200

    answers = run_concurrently(
        *[lambda c=c: Counter(live(c)) for c in customers], lambda: Counter(shut())
    )

    assert sum(answers, Counter[int]()).keys() == {200, 201}
    assert ledger.problems() == []
    assert [row["stock"] for row in shop.rows("products")] == [40] * 3
    assert shop.rows("vouchers")[0]["times_used"] == 0
    assert {row["status"] for row in shop.rows("orders")} == {"cancelled"}


def expire_now(shop: Shop) -> None:
    """As `flask orders expire` does, for orders that have only just been made."""
    with shop.app.app_context():
        orders = current_orders
        for attempt in orders.retrying():
            with attempt, attempt.transaction():
                components_of(orders).lifecycle.expire(0, 2)


def test_two_expiring_processes_share_the_work(shop: Shop) -> None:
    for _ in range(20):
        customer = shop.customer()
        shop.cart(customer, {shop.product(): 1})
        shop.order(customer)
    age(shop, 73, *[str(row["id"]) for row in shop.rows("orders")])
    ledger = Ledger(shop.app)

    def work() -> int:
        total = 0
        with shop.app.app_context():
            while count := current_orders.expire(3):
                shop.db.session.commit()
                total += count
        return total

    assert sum(run_concurrently(work, work, work)) == 20
    assert len(shop.rows("order_events")) == 20
    assert ledger.problems() == []
