"""The Idempotency-Key: a repeated request gets the same response, and one order."""

import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from werkzeug.test import TestResponse

from .support.requests import ADDRESS, CHECKOUT, SAVE
from .support.responses import body
from .support.shops import Shop

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"


@pytest.fixture
def customer(shop: Shop) -> int:
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    return customer


def post(shop: Shop, customer: int, request: object = None, key: str = KEY) -> TestResponse:
    return shop.post(customer, request, key=key)


@pytest.mark.parametrize("request_", [SAVE, CHECKOUT])
def test_the_first_response_is_replayed_byte_for_byte(
    shop: Shop, customer: int, request_: object
) -> None:
    first = post(shop, customer, request_)
    shop.fill(customer, {shop.product(): 1})
    again = post(shop, customer, request_)

    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status_code, again.data) == (first.status_code, first.data)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.mimetype == first.mimetype
    assert len(shop.rows("orders")) == 1
    assert len(shop.rows("cart_items")) == 1


def test_a_quoted_key_equals_the_bare_key(shop: Shop, customer: int) -> None:
    post(shop, customer)
    assert post(shop, customer, key=f'"{KEY}"').headers["Idempotent-Replayed"] == "true"


def test_the_order_of_the_fields_does_not_matter(shop: Shop, customer: int) -> None:
    post(shop, customer)
    turned = dict(reversed(SAVE.items()))
    assert post(shop, customer, turned).headers["Idempotent-Replayed"] == "true"


PRICED = {**SAVE, "expected_total": "10.00"}


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (PRICED, {**PRICED, "expected_total": "10.0"}),
        (PRICED, {**PRICED, "expected_total": 10}),
        (PRICED, {**PRICED, "expected_total": "0010.0000"}),
        (SAVE, {**SAVE, "expected_total": None}),
        (SAVE, {**SAVE, "billing_address": {**ADDRESS, "country": "CANADA"}}),
        (SAVE, {**SAVE, "billing_address": {**ADDRESS, "postal_code": "12345"}}),
        (SAVE, {**SAVE, "billing_address": {**ADDRESS, "city": " Anytown "}}),
        (SAVE, {**SAVE, "billing_address": dict(reversed(ADDRESS.items()))}),
    ],
)
def test_equivalent_requests_have_the_same_fingerprint(
    shop: Shop, customer: int, first: object, again: object
) -> None:
    made = post(shop, customer, first)
    replayed = post(shop, customer, again)
    assert (made.status_code, replayed.status_code) == (201, 201)
    assert replayed.headers["Idempotent-Replayed"] == "true"
    assert replayed.headers["Location"] == made.headers["Location"]


@pytest.mark.parametrize(
    "other",
    [
        {**PRICED, "action": "checkout"},
        {**PRICED, "expected_total": "10.01"},
        {**PRICED, "expected_total": "100.00"},
        SAVE,
        {**PRICED, "billing_address": None},
        {**PRICED, "billing_address": {**ADDRESS, "country": "France"}},
        {**PRICED, "billing_address": {**ADDRESS, "city": "Anytowm"}},
        {**PRICED, "billing_address": {**ADDRESS, "state": ""}},
    ],
)
def test_different_requests_have_different_fingerprints(
    shop: Shop, customer: int, other: object
) -> None:
    assert post(shop, customer, PRICED).status_code == 201
    before = shop.everything()
    answer = post(shop, customer, other)
    assert (answer.status_code, body(answer)["code"]) == (422, "idempotency_key_reused")
    assert shop.everything() == before


def test_the_fingerprint_is_the_same_in_every_version(shop: Shop, customer: int) -> None:
    """Workers of two versions may share the keys while a shop is updated."""
    post(shop, customer, {**SAVE, "expected_total": "10.00"})
    (row,) = shop.rows("order_idempotency_keys")
    written = (
        '["POST", "/api/v1/i/orders", {"action": "save_order", "billing_address": {"city": '
        '"Anytown", "country": "CA", "postal_code": "12345", "state": "CA", "street_address": '
        '"123 Main St"}, "expected_total": "10"}]'
    )
    assert row["fingerprint"] == hashlib.sha256(written.encode()).hexdigest()


def test_another_request_with_the_same_key_is_refused(shop: Shop, customer: int) -> None:
    post(shop, customer)
    shop.fill(customer, {shop.product(): 1})
    before = shop.everything()
    answer = post(shop, customer, CHECKOUT)
    assert (answer.status_code, body(answer)["code"]) == (422, "idempotency_key_reused")
    assert shop.everything() == before


def test_keys_are_per_customer(shop: Shop, customer: int) -> None:
    other = shop.customer()
    shop.cart(other, {shop.product(): 1})
    first, second = post(shop, customer), post(shop, other)
    assert first.headers["Location"] != second.headers["Location"]
    assert "Idempotent-Replayed" not in second.headers


def test_keys_are_case_sensitive(shop: Shop, customer: int) -> None:
    post(shop, customer, key="abc")
    shop.fill(customer, {shop.product(): 1})
    assert "Idempotent-Replayed" not in post(shop, customer, key="ABC").headers


def test_a_refusal_is_not_stored(shop: Shop) -> None:
    customer, product = shop.customer(), shop.product(stock=0)
    shop.cart(customer, {product: 1})
    before = shop.everything()
    assert post(shop, customer).status_code == 409
    assert shop.everything() == before
    with shop.session() as session:
        session.get_one(shop.models.Product, product).stock = 1
    assert post(shop, customer).status_code == 201


@pytest.mark.parametrize("key", ["", " ", "a b", "\u00e9", "x" * 256, '""', "a\tb"])
def test_a_malformed_key_is_refused(shop: Shop, customer: int, key: str) -> None:
    before = shop.everything()
    answer = post(shop, customer, key=key)
    assert (answer.status_code, body(answer)["code"]) == (400, "invalid_request")
    assert "Idempotency-Key" in body(answer)["detail"]
    assert shop.everything() == before


def test_a_key_expires(shop: Shop, customer: int) -> None:
    first = post(shop, customer)
    shop.fill(customer, {shop.product(): 1})
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=24, seconds=1), tick=True):
        later = shop.app.test_client().post(
            "/api/v1/i/orders/",
            json=SAVE,
            headers={**shop.token(customer), "Idempotency-Key": KEY},
        )
    assert later.status_code == 201
    assert later.headers["Location"] != first.headers["Location"]
    assert len(shop.rows("order_idempotency_keys")) == 1


def test_old_keys_are_purged(shop: Shop, customer: int) -> None:
    post(shop, customer)
    runner = shop.app.test_cli_runner()
    assert runner.invoke(args=["orders", "purge-keys"]).output == "Keys deleted: 0.\n"
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=25), tick=True):
        assert runner.invoke(args=["orders", "purge-keys"]).output == "Keys deleted: 1.\n"
    assert shop.rows("order_idempotency_keys") == []


def test_neither_the_key_nor_the_address_book_is_stored_in_clear(shop: Shop, customer: int) -> None:
    post(shop, customer)
    (row,) = shop.rows("order_idempotency_keys")
    assert KEY not in str(row)
    assert "Main St" not in str(row)


def test_a_replay_leads_to_the_payment_even_of_an_order_that_is_paid(
    shop: Shop, customer: int
) -> None:
    first = post(shop, customer, CHECKOUT)
    with shop.service() as orders:
        orders.record_payment(shop.rows("orders")[0]["id"], "p-1", Decimal("10.00"))
    assert shop.rows("orders")[0]["status"] == "paid"
    again = post(shop, customer, CHECKOUT)
    assert (again.status_code, again.data) == (303, first.data)
    assert again.headers["Location"] == first.headers["Location"]


@pytest.mark.parametrize("request_", [SAVE, CHECKOUT])
def test_the_replay_of_a_zero_total_order(shop: Shop, request_: object) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product("0.00"): 1})
    first, again = post(shop, customer, request_), post(shop, customer, request_)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status_code, again.data) == (first.status_code, first.data)
    assert again.headers["Location"] == first.headers["Location"]
    (row,) = shop.rows("order_idempotency_keys")
    assert (row["payable"], row["checkout"]) == (False, request_ == CHECKOUT)
