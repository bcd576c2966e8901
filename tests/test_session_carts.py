"""A cart without rows, such as one in the session: `place(items=..., idempotency_key=...)`."""

import json
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from flask_orders import ConfigurationError, OrdersError, current_orders
from flask_orders.converting import PlacedOrder
from flask_orders.errors import EmptyCart, IdempotencyKeyReused, InvalidRequest, ItemUnavailable
from flask_orders.testing import Ledger, run_concurrently

from .support.database import nothing_changed
from .support.requests import ORDERS
from .support.responses import body
from .support.session_carts import place
from .support.shops import Shop


def test_a_session_cart_becomes_an_order(shop: Shop) -> None:
    """Its keys are texts, as JSON makes them; the cart in the database is left alone."""
    customer, first, second = shop.customer(), shop.product("10.00"), shop.product("2.50")
    shop.cart(customer, {second: 4})
    kept = shop.rows("cart_items")
    items = json.loads(json.dumps({first: 2, second: 3}))

    placed = place(shop, customer, items, checkout=False)

    order = body(shop.get(customer, f"{ORDERS}{placed.order_id}/"))
    assert (order["subtotal"], order["items_count"]) == ("27.50", 5)
    assert [item["product"]["id"] for item in order["items"]] == [first, second]
    assert shop.rows("cart_items") == kept
    assert [row["stock"] for row in shop.rows("products")] == [8, 7]


def test_two_clicks_with_one_cookie_are_one_order(shop: Shop) -> None:
    customer, product = shop.customer(), shop.product(stock=50)
    ledger = Ledger(shop.app)
    for round_ in range(4):
        key = f"cart-{round_}"
        click = partial(_outcome, shop, customer, {product: 2}, key)
        placed = run_concurrently(*[click] * 6)
        orders = {each.order_id for each in placed if isinstance(each, PlacedOrder)}
        assert len(orders) == 1
        # The first click may still be running.
        assert {each for each in placed if isinstance(each, str)} <= {"idempotency_key_in_use"}
        assert place(shop, customer, {product: 2}, key).replayed
    assert len(shop.rows("orders")) == 4
    (row,) = shop.rows("products")
    assert row["stock"] == 42
    assert not [found for found in ledger.problems() if not found.startswith("I3")]


def _outcome(shop: Shop, customer: Any, items: Any, key: str) -> Any:
    try:
        return place(shop, customer, items, key)
    except OrdersError as error:
        return error.code


def test_the_items_and_the_voucher_are_part_of_the_request(shop: Shop) -> None:
    customer, product = shop.customer(), shop.product("10.00")
    shop.voucher("TEN", "10%")
    placed = place(shop, customer, {product: 1}, voucher="TEN")
    assert place(shop, customer, {str(product): 1}, voucher="TEN").order_id == placed.order_id
    for items, voucher in (({product: 2}, "TEN"), ({product: 1}, None)):
        with pytest.raises(IdempotencyKeyReused):
            place(shop, customer, items, voucher=voucher)
    (order,) = shop.rows("orders")
    assert (order["discount_amount"], order["voucher_code"]) == (Decimal(1), "TEN")


@pytest.mark.parametrize("voucher", [None, "", " "])
def test_an_empty_field_of_a_form_is_no_voucher(shop: Shop, voucher: str | None) -> None:
    customer, product = shop.customer(), shop.product("10.00")
    place(shop, customer, {product: 1}, voucher=voucher)
    (order,) = shop.rows("orders")
    assert (order["total_amount"], order["voucher_code"]) == (Decimal(10), None)


def test_both_spellings_of_a_key_are_one_product(shop: Shop) -> None:
    customer, product = shop.customer(), shop.product(stock=5)
    place(shop, customer, {product: 2, str(product): 1})
    (item,) = shop.rows("order_items")
    assert item["quantity"] == 3


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ({"0": 1}, "gone"),
        ({" 1": 1}, "gone"),
        ({"1.0": 1}, "gone"),
        ({"x\0": 1}, "gone"),
        ({"9" * 400: 1}, "gone"),
        ({2**80: 1}, "gone"),
        ({None: 1}, "gone"),
        ({1.0: 1}, "gone"),
        ({True: 1}, "gone"),
        ({"product": 0}, "invalid_quantity"),
        ({"product": -1}, "invalid_quantity"),
        ({"product": "2"}, "invalid_quantity"),
        ({"product": 1.0}, "invalid_quantity"),
        ({"product": None}, "invalid_quantity"),
        ({"product": True}, "invalid_quantity"),
        ({"product": 11}, "out_of_stock"),
        ({"product": 2**70}, "out_of_stock"),
    ],
)
def test_what_can_t_be_ordered_is_refused(shop: Shop, items: Any, reason: str) -> None:
    customer, product = shop.customer(), shop.product(stock=10)
    named = {product if key == "product" else key: count for key, count in items.items()}
    with nothing_changed(shop), pytest.raises(ItemUnavailable) as refused:
        place(shop, customer, named)
    (item,) = refused.value.extensions["items"]
    assert item["reason"] == reason


def test_an_empty_or_too_large_cart_and_a_missing_key_are_refused(shop: Shop) -> None:
    customer, product = shop.customer(), shop.product()
    shop.cart(customer, {product: 1})
    with nothing_changed(shop):
        for key in ("cart", None):
            with pytest.raises(EmptyCart):
                place(shop, customer, {}, key)
        with pytest.raises(InvalidRequest, match="at most 500 items"):
            place(shop, customer, dict.fromkeys(range(501), 1))
        with pytest.raises(ConfigurationError, match=r"idempotency_key=session\.get\('cart_id'\)"):
            place(shop, customer, {product: 1}, None)
        with pytest.raises(ConfigurationError, match="items="):
            place(shop, customer, None, voucher="TEN")


def test_a_click_with_the_cookie_of_after_the_order_finds_an_empty_cart(shop: Shop) -> None:
    """The shop has taken the items, and perhaps the key, out of the session by then."""
    customer, product = shop.customer(), shop.product()
    place(shop, customer, {product: 1})
    with nothing_changed(shop):
        for key in ("cart", None):
            with pytest.raises(EmptyCart):
                place(shop, customer, {}, key)


def test_the_preview_of_a_session_cart(shop: Shop) -> None:
    customer, product = shop.customer(), shop.product("10.00", stock=1)
    shop.voucher("TEN", "10%")
    with shop.app.app_context(), nothing_changed(shop):
        priced = current_orders.preview(customer, items={str(product): 1}, voucher="TEN")
        assert (priced.total_amount, priced.refusal) == (Decimal(9), None)
        short = current_orders.preview(customer, items={product: 2})
        assert short.unavailable[0]["available"] == 1
        shop.db.session.rollback()
