"""`current_orders.convert` inside a transaction of the shop's own."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from flask import Flask
from sqlalchemy import select, text, update

from flask_orders import BillingAddressSchema, ConfigurationError, OrdersError, current_orders

from .support.requests import ADDRESS
from .support.shops import Shop

# One second, after which a statement that waits for a lock fails.
LOCK_TIMEOUT = {
    "postgresql": "SET LOCAL lock_timeout = 1000",
    "mysql": "SET SESSION innodb_lock_wait_timeout = 1",
}

BILLING = BillingAddressSchema().load(ADDRESS)


@pytest.fixture
def customer(shop: Shop) -> Iterator[int]:
    """A customer with a cart, in an app context."""
    customer = shop.customer()
    shop.cart(customer, {shop.product("10.00", stock=3): 2}, shop.voucher("SPRING", "10%"))
    with shop.app.app_context():
        yield customer


def test_the_order_is_returned_and_committed_by_the_caller(shop: Shop, customer: int) -> None:
    order = current_orders.convert(customer, billing_address=BILLING)

    assert (order.customer_id, order.status, order.items_count) == (customer, "awaiting_payment", 2)
    assert [item.quantity for item in order.items] == [2]
    shop.db.session.rollback()
    assert shop.rows("orders") == []
    assert len(shop.rows("cart_items")) == 1

    current_orders.convert(customer, billing_address=BILLING)
    shop.db.session.commit()
    assert len(shop.rows("orders")) == 1
    assert shop.rows("cart_items") == []


def test_the_shop_s_pending_changes_survive_a_refusal(shop: Shop, customer: int) -> None:
    before = shop.everything()
    shop.db.session.add(
        shop.models.Offer(title="Mine", discount_type="fixed", discount_value=Decimal(1))
    )
    with pytest.raises(OrdersError, match="saved address"):
        current_orders.convert(customer)
    shop.db.session.commit()

    after = shop.everything()
    assert [offer["title"] for offer in after.pop("offers")] == ["Mine"]
    before.pop("offers")
    assert after == before


def test_the_shop_s_objects_are_refreshed(shop: Shop, customer: int) -> None:
    session, models = shop.db.session, shop.models
    product = session.scalars(select(models.Product)).one()
    cart = session.scalars(select(models.Cart)).one()
    assert (product.stock, len(cart.items)) == (3, 1)

    current_orders.convert(customer, billing_address=BILLING)

    assert (product.stock, cart.items, cart.voucher) == (1, [], None)


def test_objects_already_in_the_session_are_read_again(shop: Shop, customer: int) -> None:
    product = shop.db.session.scalars(select(shop.models.Product)).one()
    key = product.id
    if shop.engine.dialect.name == "sqlite":
        # A reader sees one snapshot to its end, and can't write once another has written.
        shop.db.session.rollback()
    with shop.session() as session:
        session.get_one(shop.models.Product, key).price = Decimal(12)

    assert current_orders.convert(customer, billing_address=BILLING).subtotal == 24


def test_an_expected_total_is_checked(shop: Shop, customer: int) -> None:
    with pytest.raises(OrdersError, match=r"18\.00"):
        current_orders.convert(customer, billing_address=BILLING, expected_total=Decimal("17.99"))


def test_without_the_blueprint_the_error_names_the_fix() -> None:
    with (
        Flask("empty").app_context(),
        pytest.raises(ConfigurationError, match=r"register_blueprint\(orders_bp\) first"),
    ):
        current_orders.convert(1)


def test_a_preview_is_the_order_as_it_would_be_and_writes_nothing(
    shop: Shop, customer: int
) -> None:
    before = shop.everything()
    preview = current_orders.preview(customer)
    shop.db.session.commit()

    assert (preview.subtotal, preview.discount_amount, preview.total_amount) == (20, 2, 18)
    assert (preview.unavailable, preview.voucher_refusal) == ((), None)
    assert shop.everything() == before
    order = current_orders.convert(customer, billing_address=BILLING)
    assert order.total_amount == preview.total_amount
    shop.db.session.rollback()


def test_a_preview_names_unavailable_items(shop: Shop, customer: int) -> None:
    gone = shop.product(active=False)
    shop.fill(customer, {gone: 1}, shop.voucher("OLD", "10%", active=False))
    preview = current_orders.preview(customer)
    assert [line["product"]["id"] for line in preview.unavailable] == [gone]
    assert (preview.voucher_refusal, preview.total_amount) == ("inactive", 20)


def test_a_preview_without_a_cart_has_no_items(shop: Shop) -> None:
    customer = shop.customer()
    with shop.app.app_context():
        assert current_orders.preview(customer).items == ()


def test_a_preview_takes_no_lock(shop: Shop, customer: int) -> None:
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no row locks")
    product, cart = shop.models.Product, shop.models.Cart
    with shop.session() as others:
        others.execute(update(product).values(price=Decimal(99)))
        others.execute(update(cart).values(voucher_id=None))
        shop.db.session.execute(text(LOCK_TIMEOUT[shop.engine.dialect.name]))
        assert current_orders.preview(customer).total_amount == 18
        shop.db.session.rollback()
