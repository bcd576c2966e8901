"""Races that are run on more than one kind of shop, directly and through PgBouncer."""

from flask_orders.testing import Ledger, run_concurrently

from .requests import SAVE
from .responses import outcomes
from .shops import Shop

THREADS = 6


def one_cart_becomes_one_order(shop: Shop) -> None:
    """Submit one cart from several threads: there is one order, and every 201 names it."""
    customer, product = shop.customer(), shop.product(stock=50)
    shop.cart(customer, {product: 2})

    ledger = Ledger(shop.app)
    answers = run_concurrently(*[lambda: shop.post(customer, SAVE)] * THREADS)

    assert ledger.problems() == []
    (order,) = shop.rows("orders")
    (item,) = shop.rows("order_items")
    assert item["quantity"] == 2
    assert shop.rows("products")[0]["stock"] == 48
    assert set(outcomes(answers)) <= {201, "empty_cart"}
    saved = [answer for answer in answers if answer.status_code == 201]
    assert {answer.headers["Location"].split("/")[-2] for answer in saved} == {str(order["id"])}


def a_voucher_of_limit_two_is_used_twice(shop: Shop) -> None:
    """Submit a cart with the voucher for each of several customers: two get it, no more."""
    voucher = shop.voucher("TWO", "1.00", usage="multiple", usage_limit=2)
    customers = [shop.customer() for _ in range(THREADS)]
    for customer in customers:
        # A product for each, so that no lock but the voucher's keeps them apart.
        shop.cart(customer, {shop.product(): 1}, voucher)

    ledger = Ledger(shop.app)
    answers = run_concurrently(*[lambda c=c: shop.post(c, SAVE) for c in customers])

    assert ledger.problems() == []
    assert outcomes(answers) == {201: 2, "voucher_not_applicable": THREADS - 2}
    assert shop.rows("vouchers")[0]["times_used"] == 2
    assert [order["voucher_id"] for order in shop.rows("orders")] == [voucher, voucher]
