"""An exception, and a cut connection, in the place of every statement of a request."""

import pytest
from werkzeug.test import TestResponse

from flask_orders.signals import order_placed
from flask_orders.testing import Ledger, fault

from .support.database import Rows
from .support.requests import CHECKOUT
from .support.shops import Shop

pytestmark = pytest.mark.usefixtures("each_writer")

MOST_STATEMENTS = 40


@pytest.mark.parametrize("key", [None, "abc"])
@pytest.mark.parametrize("cut", [False, True], ids=["exception", "cut"])
def test_a_fault_at_every_statement_leaves_all_or_nothing(
    shop: Shop, cut: bool, key: str | None
) -> None:
    if cut and shop.engine.dialect.name == "sqlite":
        pytest.skip("a file can't be cut off")
    for at in range(1, MOST_STATEMENTS):
        shop.clear()
        customer = filled_shop(shop)
        before, ledger = shop.everything(), Ledger(shop.app)
        with fault(shop.engine, at, cut=cut) as sent:
            answer = post(shop, customer, key)
        if len(sent) < at:
            assert at > 10, sent
            return
        assert ledger.problems() == [], (at, sent)
        judge(shop, before, answer, f"{at}: {sent[at - 1]}")
    raise AssertionError("a request sends more statements than this test can count")


def test_an_order_whose_signal_fails_is_still_returned_to_the_client(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    received: list[object] = []

    def receive(_app: object, order: object) -> None:
        received.append(order)

    with order_placed.connected_to(receive):
        customer = filled_shop(shop)
        with fault(shop.engine, MOST_STATEMENTS) as sent:
            assert post(shop, customer, None).status_code == 303
        shop.clear()
        customer = filled_shop(shop)
        # The first COMMIT ends the reading.
        with fault(shop.engine, sent.index("COMMIT", sent.index("COMMIT") + 1) + 2):
            answer = post(shop, customer, None)

    assert len(received) == 1
    assert answer.status_code == 303
    assert len(shop.rows("orders")) == 1
    assert "could not be read for its receivers" in caplog.text


def filled_shop(shop: Shop) -> int:
    customer, lamp, bulb = shop.customer(), shop.product("79.99"), shop.product("3.33")
    shop.offer("10%", lamp)
    voucher = shop.voucher("SPRING", "5.00", usage="once_per_customer")
    shop.cart(customer, {lamp: 2, bulb: 3}, voucher)
    return customer


def post(shop: Shop, customer: int, key: str | None) -> TestResponse:
    headers = shop.token(customer)
    if key is not None:
        headers["Idempotency-Key"] = key
    return shop.post(customer, CHECKOUT, headers=headers)


def judge(shop: Shop, before: Rows, answer: TestResponse, where: str) -> None:
    """A failure has changed nothing; a success is one whole order."""
    if answer.status_code >= 400:
        assert answer.status_code in (500, 503), where
        assert shop.everything() == before, where
        return
    assert answer.status_code == 303, where
    (order,) = shop.rows("orders")
    assert str(order["id"]) in answer.headers["Location"], where
    assert len(shop.rows("order_items")) == 2, where
    assert shop.rows("cart_items") == [], where
    assert [product["stock"] for product in shop.rows("products")] == [8, 7], where
    assert shop.rows("vouchers")[0]["times_used"] == 1, where
    assert len(shop.rows("voucher_redemptions")) == 1, where
