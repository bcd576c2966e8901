"""`current_orders.place`: what POST / does, as one call for a view of the shop's own."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import werkzeug
from flask import redirect, request, url_for
from sqlalchemy import event
from sqlalchemy.engine import URL

from flask_orders import (
    BillingAddressSchema,
    ConfigurationError,
    Conflict,
    current_orders,
)
from flask_orders.errors import (
    EmptyCart,
    IdempotencyKeyReused,
    InvalidRequest,
    OrderNotFound,
    OrderNotPayable,
    OrdersError,
    PriceChanged,
    UnknownCustomer,
)
from flask_orders.signals import order_cancelled, order_placed

from .support.requests import ADDRESS
from .support.shops import Shop, make_shop

BILLING = BillingAddressSchema().load(ADDRESS)
FORM = {name: str(value) for name, value in ADDRESS.items()}


@pytest.fixture
def customer(shop: Shop) -> Iterator[int]:
    """A customer with a cart, in an app context."""
    customer = shop.customer()
    shop.cart(customer, {shop.product("10.00", stock=3): 2})
    with shop.app.app_context():
        yield customer


def test_an_order_is_placed_and_committed(shop: Shop, customer: int) -> None:
    received = []

    def receive(_app: object, order: Any) -> None:
        received.append(order.id)

    with order_placed.connected_to(receive):
        placed = current_orders.place(customer, billing_address=BILLING)

    (order,) = shop.rows("orders")
    assert (placed.order_id, placed.payable, placed.replayed) == (order["id"], True, False)
    assert (order["status"], received) == ("awaiting_payment", [order["id"]])
    assert shop.rows("cart_items") == []
    assert shop.rows("products")[0]["stock"] == 1


@pytest.mark.parametrize(("checkout", "status"), [(True, "paid"), (False, "awaiting_payment")])
def test_a_zero_total_order(shop: Shop, checkout: bool, status: str) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product("0.00"): 1})
    with shop.app.app_context():
        placed = current_orders.place(customer, billing_address=BILLING, checkout=checkout)
    assert not placed.payable
    assert shop.rows("orders")[0]["status"] == status


def test_the_same_key_is_the_same_order(shop: Shop, customer: int) -> None:
    def place() -> Any:
        return current_orders.place(customer, billing_address=BILLING, idempotency_key="abc")

    first = place()
    shop.fill(customer, {shop.product(): 1})
    again = place()
    assert (again.order_id, again.payable) == (first.order_id, first.payable)
    assert (first.replayed, again.replayed) == (False, True)
    assert len(shop.rows("orders")) == 1
    assert len(shop.rows("cart_items")) == 1
    # Even after the order has changed.
    current_orders.record_payment(first.order_id, "p-1", Decimal("20.00"))
    shop.db.session.commit()
    assert place() == again


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"billing_address": BILLING, "checkout": False},
        {"billing_address": BILLING, "expected_total": Decimal("20.00")},
    ],
)
def test_a_key_that_came_with_other_arguments_is_refused(
    shop: Shop, customer: int, other: dict[str, Any]
) -> None:
    current_orders.place(customer, billing_address=BILLING, idempotency_key="abc")
    before = shop.everything()
    with pytest.raises(IdempotencyKeyReused):
        current_orders.place(customer, idempotency_key="abc", **other)
    assert shop.everything() == before


def test_a_key_of_the_http_api_is_not_the_key_of_a_form(shop: Shop, customer: int) -> None:
    assert shop.post(customer, key="abc").status_code == 201
    with pytest.raises(IdempotencyKeyReused):
        current_orders.place(
            customer, billing_address=BILLING, checkout=False, idempotency_key="abc"
        )


@pytest.mark.parametrize("key", ["", " ", "x" * 256])
def test_a_malformed_key_is_refused(shop: Shop, customer: int, key: str) -> None:
    before = shop.everything()
    with pytest.raises(InvalidRequest, match="1 to 255 visible"):
        current_orders.place(customer, billing_address=BILLING, idempotency_key=key)
    assert shop.everything() == before


def test_a_refusal_changes_nothing_and_frees_the_key(shop: Shop, customer: int) -> None:
    before = shop.everything()
    with pytest.raises(PriceChanged):
        current_orders.place(
            customer,
            billing_address=BILLING,
            expected_total=Decimal("19.99"),
            idempotency_key="abc",
        )
    assert shop.everything() == before
    assert not current_orders.place(
        customer, billing_address=BILLING, idempotency_key="abc"
    ).replayed


def test_a_later_call_finds_the_cart_empty(shop: Shop, customer: int) -> None:
    current_orders.place(customer, billing_address=BILLING)
    with pytest.raises(EmptyCart):
        current_orders.place(customer, billing_address=BILLING)


def test_an_unknown_customer(shop: Shop, customer: int) -> None:
    with pytest.raises(UnknownCustomer):
        current_orders.place(customer + 1000, billing_address=BILLING)


def test_what_the_shop_has_pending_is_refused_and_stays(shop: Shop, customer: int) -> None:
    before = shop.everything()
    shop.db.session.add(
        shop.models.Offer(title="Mine", discount_type="fixed", discount_value=Decimal(1))
    )
    with pytest.raises(ConfigurationError, match="Offer"):
        current_orders.place(customer, billing_address=BILLING)
    shop.db.session.commit()
    after = shop.everything()
    assert [offer["title"] for offer in after.pop("offers")] == ["Mine"]
    before.pop("offers")
    assert after == before


@pytest.mark.parametrize("key", [None, "abc"])
def test_a_conflict_is_retried(shop: Shop, customer: int, key: str | None) -> None:
    failures = [Conflict(), Conflict()]

    def fail(_session: Any) -> None:
        if failures:
            raise failures.pop()

    session = shop.db.session()
    event.listen(session, "before_commit", fail)
    placed = current_orders.place(customer, billing_address=BILLING, idempotency_key=key)
    event.remove(session, "before_commit", fail)

    assert failures == []
    assert [row["id"] for row in shop.rows("orders")] == [placed.order_id]
    assert len(shop.rows("order_idempotency_keys")) == (0 if key is None else 1)
    assert shop.rows("products")[0]["stock"] == 1


def test_a_shop_that_renders_its_own_pages(database: URL) -> None:
    """A form with a hidden key: a second click leads to the same payment, and pays once."""
    shop = make_shop(database)

    @shop.app.post("/buy/<int:customer_id>/")
    def buy(customer_id: int) -> Any:
        form = request.form.to_dict()
        key = form.pop("key")
        address = BillingAddressSchema().load(form)
        try:
            placed = current_orders.place(customer_id, billing_address=address, idempotency_key=key)
        except OrdersError as error:
            return error.detail, error.status
        return redirect(url_for("pay", order_id=placed.order_id), 303)

    customer, client = shop.customer(), shop.app.test_client()
    url = f"/buy/{customer}/"

    def click(key: str) -> werkzeug.test.TestResponse:
        return client.post(url, data={**FORM, "key": key})

    assert click("0").status_code == 400
    shop.cart(customer, {shop.product(stock=1): 1})
    first, second = click("1"), click("1")
    (order,) = shop.rows("orders")
    assert (first.status_code, first.headers["Location"]) == (303, f"/pay/{order['id']}/")
    assert second.headers["Location"] == first.headers["Location"]
    assert click("2").status_code == 400
    shop.close()


def test_another_customer_s_order_is_out_of_reach(shop: Shop, customer: int) -> None:
    order_id = current_orders.place(customer, billing_address=BILLING, checkout=False).order_id
    before = shop.everything()
    stranger = shop.customer()
    before["customers"] = shop.rows("customers")
    for call in (current_orders.cancel, current_orders.check_out):
        with pytest.raises(OrderNotFound):
            call(order_id, customer_id=stranger)
        shop.db.session.commit()
    assert shop.everything() == before

    assert current_orders.check_out(order_id, customer_id=customer).payable
    assert current_orders.cancel(order_id, customer_id=customer).status == "cancelled"
    with pytest.raises(OrderNotPayable):
        current_orders.check_out(order_id, customer_id=customer)
    shop.db.session.commit()


def test_a_cancellation_whose_answer_was_lost_is_announced_by_the_next_attempt(
    shop: Shop, customer: int
) -> None:
    order_id = current_orders.place(customer, billing_address=BILLING).order_id
    received: list[UUID] = []

    def receive(_app: object, order: Any) -> None:
        received.append(order.id)

    event_id = UUID(int=7 << 76 | 2 << 62 | 1)
    current_orders.cancel(order_id, event_id=event_id)
    shop.db.session.commit()
    with order_cancelled.connected_to(receive):
        current_orders.cancel(order_id)
        shop.db.session.commit()
        assert received == []
        current_orders.cancel(order_id, event_id=event_id)
        shop.db.session.commit()
    assert received == [order_id]
