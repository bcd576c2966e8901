"""An order never changes, whatever happens to the rows that it was copied from."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from .support.responses import body
from .support.shops import Shop


def test_edits_change_no_order(shop: Shop) -> None:
    customer, order = make_order(shop)
    with shop.session() as session:
        edits: dict[str, dict[str, Any]] = {
            "Product": {"price": Decimal(1), "name": "New", "sku": "NEW", "shipping": Decimal(9)},
            "Offer": {"title": "New", "discount_value": Decimal(1)},
            "Voucher": {"code": "NEW", "discount_value": Decimal(1)},
            "Address": {"city": "New", "country": "DE"},
        }
        for name, values in edits.items():
            session.execute(sa.update(getattr(shop.models, name)).values(values))

    assert shop.get(customer, order["url"]).json == order


@pytest.mark.parametrize(
    ("model", "forget"),
    [
        ("Product", lambda order: order["items"][0]["product"].update(id=None)),
        ("Offer", lambda order: order["items"][0]["offer"].update(id=None)),
        ("Voucher", lambda order: None),
        ("Address", lambda order: None),
    ],
)
@pytest.mark.parametrize("by", ["the ORM", "SQL"])
def test_deleting_leaves_the_order(
    shop: Shop, model: str, forget: Callable[[Any], None], by: str
) -> None:
    customer, order = make_order(shop)
    with shop.session() as session:
        delete_all(session, getattr(shop.models, model), by)

    forget(order)
    assert shop.get(customer, order["url"]).json == order


@pytest.mark.parametrize("by", ["the ORM", "SQL"])
def test_a_deleted_customer_leaves_the_order(shop: Shop, by: str) -> None:
    make_order(shop)
    (before,) = shop.rows("orders")
    with shop.session() as session:
        delete_all(session, shop.models.Customer, by)

    (after,) = shop.rows("orders")
    assert after == {**before, "customer_id": None, "billing_address_id": None}
    assert len(shop.rows("order_items")) == 1


def make_order(shop: Shop) -> tuple[int, dict[str, Any]]:
    customer = shop.customer()
    product = shop.product("20.00", shipping=Decimal("3.00"))
    shop.offer("25%", product)
    shop.cart(customer, {product: 2}, shop.voucher("SPRING", "10%", usage="once_per_customer"))
    return customer, shop.order(customer)


def delete_all(session: Session, model: Any, by: str) -> None:
    if by == "SQL":
        session.execute(sa.delete(model))
    else:
        for row in session.scalars(sa.select(model)):
            session.delete(row)


@pytest.mark.parametrize("by", ["SQL", "ORM"])
def test_an_offer_whose_products_are_deleted_is_not_one_for_all(shop: Shop, by: str) -> None:
    customer = shop.customer()
    shop.offer("50%", shop.product("10.00"))
    with shop.session() as session:
        delete_all(session, shop.models.Product, by)
    shop.cart(customer, {shop.product("10.00"): 1})
    assert shop.order(customer)["total_amount"] == "10.00"


def test_an_order_in_a_currency_that_was_withdrawn(shop: Shop) -> None:
    customer, order = make_order(shop)
    with shop.engine.begin() as connection:
        connection.execute(sa.update(shop.models.Order).values(currency="HRK"))
    answer = shop.get(customer, order["url"])
    assert answer.status_code == 200
    assert body(answer)["total_amount"] == order["total_amount"]
