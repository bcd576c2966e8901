"""Every refusal: its response, and that no row was changed."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask_jwt_extended import create_access_token
from sqlalchemy import select

from .support.database import nothing_changed
from .support.requests import ADDRESS, SAVE
from .support.responses import refused
from .support.shops import Shop

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def customer(shop: Shop) -> int:
    """A customer who could order."""
    customer = shop.customer()
    shop.cart(customer, {shop.product(stock=3): 2})
    return customer


def test_no_token(shop: Shop, customer: int) -> None:
    with nothing_changed(shop):
        assert shop.post(customer, SAVE, headers={}).status_code == 401


def test_an_expired_token(shop: Shop, customer: int) -> None:
    with shop.app.app_context():
        token = create_access_token(str(customer), expires_delta=-HOUR)
    with nothing_changed(shop):
        answer = shop.post(customer, SAVE, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401


def test_a_deleted_customer(shop: Shop) -> None:
    with nothing_changed(shop):
        assert shop.post(4_000_000, SAVE).status_code == 401


def test_the_order_of_a_deleted_customer(shop: Shop, customer: int) -> None:
    url = shop.order(customer)["url"]
    assert shop.get(4_000_000, url).status_code == 401


def test_no_cart(shop: Shop) -> None:
    customer = shop.customer()
    with nothing_changed(shop):
        refused(shop.post(customer, SAVE), 400, "empty_cart")


def test_no_item_in_the_cart(shop: Shop) -> None:
    customer = shop.customer()
    shop.cart(customer, {})
    with nothing_changed(shop):
        refused(shop.post(customer, SAVE), 400, "empty_cart")


def test_no_address_given_and_none_saved(shop: Shop, customer: int) -> None:
    with nothing_changed(shop):
        refused(shop.post(customer, {"action": "checkout"}), 400, "billing_address_required")


@pytest.mark.parametrize("action", ["buy", "", None, 1, ["checkout"], "CHECKOUT"])
def test_an_invalid_action(shop: Shop, customer: int, action: Any) -> None:
    with nothing_changed(shop):
        problem = refused(shop.post(customer, {**SAVE, "action": action}), 400, "invalid_request")
        assert list(problem["errors"]) == ["action"]


def test_no_action(shop: Shop, customer: int) -> None:
    with nothing_changed(shop):
        problem = refused(shop.post(customer, {"billing_address": ADDRESS}), 400, "invalid_request")
        assert list(problem["errors"]) == ["action"]


@pytest.mark.parametrize("field", ["price", "total", "customer_id", "status"])
def test_an_unknown_field(shop: Shop, customer: int, field: str) -> None:
    with nothing_changed(shop):
        problem = refused(shop.post(customer, {**SAVE, field: "1"}), 400, "invalid_request")
        assert list(problem["errors"]) == [field]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"action": NaN}',
        b'{"action": "checkout", "action": "save_order"}',
        b"\xff\xfe",
        b"[" * 10_000,
    ],
)
def test_a_body_that_is_no_json_object(shop: Shop, customer: int, body: bytes) -> None:
    with nothing_changed(shop):
        answer = shop.post(customer, data=body, content_type="application/json")
        refused(answer, 400, "invalid_request")


def test_a_form(shop: Shop, customer: int) -> None:
    with nothing_changed(shop):
        refused(shop.post(customer, data={"action": "checkout"}), 415, "unsupported_media_type")


def test_a_body_that_is_too_large(shop: Shop, customer: int) -> None:
    body = b'{"action": "' + b"x" * 20_000 + b'"}'
    with nothing_changed(shop):
        answer = shop.post(customer, data=body, content_type="application/json")
        refused(answer, 413, "request_too_large")


@pytest.mark.parametrize("total", ["ten", "1e3", "-1", "1.23456", "1,00", 9.99, True, "", "\uff11"])
def test_an_expected_total_that_is_no_amount(shop: Shop, customer: int, total: Any) -> None:
    with nothing_changed(shop):
        answer = shop.post(customer, {**SAVE, "expected_total": total})
        assert list(refused(answer, 400, "invalid_request")["errors"]) == ["expected_total"]


def test_a_higher_total_than_expected(shop: Shop, customer: int) -> None:
    with nothing_changed(shop):
        answer = shop.post(customer, {**SAVE, "expected_total": "19.99"})
        problem = refused(answer, 409, "price_changed")
        assert (problem["expected"], problem["actual"]) == ("19.99", "20.00")


def test_a_product_short_of_stock(shop: Shop) -> None:
    customer, enough, short = shop.customer(), shop.product(stock=5), shop.product(stock=2)
    shop.cart(customer, {enough: 5, short: 3})
    with nothing_changed(shop):
        problem = refused(shop.post(customer, SAVE), 409, "item_unavailable")
        (line,) = problem["items"]
        assert (line["product"]["id"], line["requested"], line["available"]) == (short, 3, 2)
        assert line["reason"] == "out_of_stock"


def test_an_inactive_product(shop: Shop) -> None:
    customer, product = shop.customer(), shop.product(active=False)
    shop.cart(customer, {product: 1})
    with nothing_changed(shop):
        problem = refused(shop.post(customer, SAVE), 409, "item_unavailable")
        assert [line["reason"] for line in problem["items"]] == ["inactive"]


def test_a_deleted_product(shop: Shop) -> None:
    customer, product, other = shop.customer(), shop.product(), shop.product()
    shop.cart(customer, {product: 1, other: 1})
    with shop.session() as session:
        session.delete(session.get_one(shop.models.Product, product))
    with nothing_changed(shop):
        problem = refused(shop.post(customer, SAVE), 409, "item_unavailable")
        assert [(line["product"], line["reason"]) for line in problem["items"]] == [(None, "gone")]


@pytest.mark.parametrize(
    ("reason", "values"),
    [
        ("inactive", {"active": False}),
        ("not_started", {"valid_from": NOW + HOUR}),
        ("expired", {"valid_to": NOW - HOUR}),
        ("used_up", {"usage": "multiple", "usage_limit": 2, "times_used": 2}),
        ("used_up", {"usage": "single", "times_used": 1}),
        ("used_up", {"usage": "single", "usage_limit": 0}),
        ("below_minimum", {"minimum_order_value": 21}),
    ],
)
def test_a_voucher_that_can_not_be_used(shop: Shop, reason: str, values: dict[str, Any]) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product("10.00"): 2}, shop.voucher("SPRING", "10%", **values))
    with nothing_changed(shop):
        problem = refused(shop.post(customer, SAVE), 409, "voucher_not_applicable")
        assert problem["reason"] == reason


def test_a_once_per_customer_voucher_used_twice(shop: Shop) -> None:
    customer, product = shop.customer(), shop.product()
    voucher = shop.voucher("ONCE", "10%", usage="once_per_customer")
    shop.cart(customer, {product: 1}, voucher)
    shop.order(customer)
    shop.fill(customer, {product: 1}, voucher)
    with nothing_changed(shop):
        problem = refused(shop.post(customer, SAVE), 409, "voucher_not_applicable")
        assert problem["reason"] == "already_used"


def test_too_many_items(shop: Shop) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1 for _ in range(4)})
    shop.app.config["ORDERS_MAX_ITEMS"] = 3
    try:
        with nothing_changed(shop):
            refused(shop.post(customer, SAVE), 400, "invalid_request")
    finally:
        del shop.app.config["ORDERS_MAX_ITEMS"]


@pytest.mark.parametrize(
    ("price", "quantity"),
    [("99999999999999.00", 1), ("9999999999", 2**31 - 1), ("0.01", 2**31 - 1)],
)
def test_more_than_an_order_can_hold(shop: Shop, price: str, quantity: int) -> None:
    customer = shop.customer()
    products = [shop.product(price, stock=None) for _ in range(2)]
    shop.cart(customer, dict.fromkeys(products, quantity))
    with nothing_changed(shop):
        refused(shop.post(customer, SAVE), 400, "invalid_request")


def test_goods_and_shipping_that_are_too_much_together(shop: Shop) -> None:
    customer = shop.customer()
    product = shop.product("60000000000000", shipping=Decimal("60000000000000"))
    shop.cart(customer, {product: 1})
    with nothing_changed(shop):
        refused(shop.post(customer, SAVE), 400, "invalid_request")


@pytest.mark.parametrize("endpoint", [None, "nowhere"])
def test_no_payment_endpoint(
    shop: Shop, customer: int, endpoint: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    shop.app.config["ORDERS_PAYMENT_ENDPOINT"] = endpoint
    try:
        with nothing_changed(shop):
            answer = shop.post(customer, {**SAVE, "action": "checkout"})
            refused(answer, 500, "misconfigured")
    finally:
        shop.app.config["ORDERS_PAYMENT_ENDPOINT"] = "pay"
    assert "app.config['ORDERS_PAYMENT_ENDPOINT']" in caplog.text


def test_changes_pending_before_the_view_are_not_discarded(shop: Shop, customer: int) -> None:
    """The order needs a transaction of its own; the error says so, and the shop's row is kept."""
    product = shop.models.Product
    kept: list[str | None] = []

    def leave_a_row() -> None:
        shop.db.session.add(product(sku="PENDING", name="Pending", price=Decimal(1)))

    def look(_error: BaseException | None) -> None:
        kept.append(shop.db.session.scalar(select(product.name).filter_by(sku="PENDING")))

    shop.app.before_request_funcs.setdefault(None, []).append(leave_a_row)
    shop.app.teardown_request_funcs.setdefault(None, []).append(look)
    try:
        with nothing_changed(shop):
            assert shop.post(customer, SAVE).status_code == 500
    finally:
        shop.app.before_request_funcs[None].pop()
        shop.app.teardown_request_funcs[None].pop()
    assert kept == ["Pending"]


def test_another_customer_s_cart_is_unchanged(shop: Shop, customer: int) -> None:
    other = shop.customer()
    shop.cart(other, {shop.product(): 1})
    shop.order(customer)
    assert len(shop.rows("cart_items")) == 1
    assert shop.post(other, SAVE).status_code == 201
