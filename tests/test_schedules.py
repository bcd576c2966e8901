"""Two requests, each paused before each of its statements while the other runs: all schedules.

ORDERS_TEST_LONG explores every pair of statements; otherwise it is every fifth.
"""

from collections.abc import Sequence
from functools import partial

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL
from werkzeug.test import TestResponse

from flask_orders.testing import Ledger

from .support.effort import LONG
from .support.pacing import TOO_LONG, Paced, change_meanwhile, paced
from .support.requests import SAVE
from .support.responses import outcomes
from .support.shops import Shop, make_shop

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("each_writer")]

STATEMENTS = 19
STRIDE = 1 if LONG else 5
PAIRS = [(i, j) for i in range(1, STATEMENTS) for j in range(1, STATEMENTS)][::STRIDE]


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


def test_one_cart_is_one_order_in_every_schedule(shop: Shop) -> None:
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
def test_charged_prices_are_a_consistent_snapshot(shop: Shop, change: str) -> None:
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


def test_an_item_added_by_code_without_a_lock(database: URL) -> None:
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
        # It has one writer at a time: no item is added meanwhile.
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
