"""Races of a few customers: real threads on real databases, in many rounds."""

import logging
import threading

import pytest
from sqlalchemy import update
from werkzeug.test import TestResponse

from flask_orders.testing import Ledger, run_concurrently

from .support import scenarios
from .support.database import wait_for_lock_wait
from .support.effort import rounds
from .support.requests import SAVE
from .support.responses import outcomes
from .support.scenarios import THREADS
from .support.shops import Shop

pytestmark = pytest.mark.usefixtures("each_writer")

ROUNDS = 5


@rounds(ROUNDS)
def test_one_cart_becomes_one_order(shop: Shop, round_: int) -> None:
    scenarios.one_cart_becomes_one_order(shop)


@rounds(ROUNDS)
def test_a_voucher_of_limit_two_is_used_twice(shop: Shop, round_: int) -> None:
    scenarios.a_voucher_of_limit_two_is_used_twice(shop)


@rounds(ROUNDS)
def test_products_in_opposite_order_sell_out_without_a_deadlock(
    shop: Shop, round_: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "flask_orders")
    products = [shop.product(stock=3) for _ in range(4)]
    customers = [shop.customer() for _ in range(THREADS)]
    for i, customer in enumerate(customers):
        shop.cart(customer, dict.fromkeys(products if i % 2 else reversed(products), 1))

    ledger = Ledger(shop.app)
    answers = run_concurrently(*[lambda c=c: shop.post(c, SAVE) for c in customers])

    assert ledger.problems() == []
    assert outcomes(answers) == {201: 3, "item_unavailable": THREADS - 3}
    assert [product["stock"] for product in shop.rows("products")] == [0] * 4
    assert sum(item["quantity"] for item in shop.rows("order_items")) == 12
    assert "conflict" not in caplog.text


def test_a_conversion_that_is_a_deadlock_victim_is_retried(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """The shop's own code locks the products in the other order.

    InnoDB rolls back the transaction with less to undo, so the shop changes some more rows.
    """
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time, and so no deadlock")
    caplog.set_level(logging.INFO, "flask_orders")
    customer, first, second = shop.customer(), shop.product(), shop.product()
    shop.cart(customer, {first: 1, second: 1})
    for _ in range(20):
        shop.product()
    product = shop.models.Product
    second_is_locked = threading.Event()

    def restock() -> None:
        with shop.session() as session:
            session.execute(update(product).where(product.id >= second).values(stock=100))
            second_is_locked.set()
            wait_for_lock_wait(shop)
            session.execute(update(product).where(product.id == first).values(stock=100))

    def order() -> TestResponse:
        second_is_locked.wait()
        return shop.post(customer, SAVE)

    answers: list[TestResponse | None] = run_concurrently(restock, order)

    assert answers[1] is not None
    assert answers[1].status_code == 201
    assert "conflict" in caplog.text
    assert [row["stock"] for row in shop.rows("products")][:3] == [99, 99, 100]


@rounds(ROUNDS)
def test_many_customers_save_the_same_address_concurrently(shop: Shop, round_: int) -> None:
    product = shop.product(stock=None)
    customers = [shop.customer() for _ in range(THREADS)]
    for customer in customers:
        shop.cart(customer, {product: 1})

    answers = run_concurrently(*[lambda c=c: shop.post(c, SAVE) for c in customers])

    assert outcomes(answers) == {201: THREADS}
    assert len(shop.rows("order_addresses")) == THREADS


def test_filling_a_cart_does_not_conflict_with_ordering_another(shop: Shop) -> None:
    """On MariaDB in REPEATABLE READ a conversion would lock the gaps that the carts write into.

    Each time another product: to insert the key of a deleted row again, InnoDB locks the gap beside
    it in the unique index, in whatever isolation, and two such carts may deadlock by themselves.
    """
    products = [shop.product(stock=None) for _ in range(10)]
    customers = [shop.customer() for _ in range(THREADS)]
    for customer in customers:
        shop.cart(customer, {})

    def fill_and_order(customer: int) -> set[int]:
        answers = set()
        for product in products:
            shop.fill(customer, {product: 1})
            answers.add(shop.post(customer, SAVE).status_code)
        return answers

    answers = run_concurrently(*[lambda c=c: fill_and_order(c) for c in customers])

    assert answers == [{201}] * THREADS
    assert len(shop.rows("orders")) == len(products) * THREADS


@rounds(ROUNDS)
def test_an_item_added_meanwhile_is_ordered_or_still_there(shop: Shop, round_: int) -> None:
    customer, first, second = shop.customer(), shop.product(), shop.product()
    cart = shop.cart(customer, {first: 1})

    def add() -> None:
        shop.add(shop.models.CartItem(cart_id=cart, product_id=second, quantity=1))

    run_concurrently(lambda: shop.post(customer, SAVE), add)

    ordered = [item["product_id"] for item in shop.rows("order_items")]
    left = [item["product_id"] for item in shop.rows("cart_items")]
    assert sorted(ordered + left) == [first, second]
    assert len(shop.rows("orders")) == 1
