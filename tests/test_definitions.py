"""Each list of fields, values and lengths has one definition; everything else follows it."""

from dataclasses import fields
from typing import Any

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from marshmallow import Schema
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_orders import BillingAddress, BillingAddressSchema, declare_models, promotions, schemas
from flask_orders.addresses import RULES
from flask_orders.errors import UnavailableReason, VoucherNotApplicable, VoucherReason
from flask_orders.http.openapi import describe
from flask_orders.models import (
    AddressMixin,
    CartItemMixin,
    CartMixin,
    IdempotencyKeyMixin,
    OfferMixin,
    OrderEventMixin,
    OrderItemMixin,
    OrderMixin,
    OrderPaymentMixin,
    OrderRefundMixin,
    OutboxEventMixin,
    ProductMixin,
    VoucherMixin,
    VoucherRedemptionMixin,
)
from flask_orders.models.types import Money
from flask_orders.offers import DISCOUNT_TYPES, USAGES, Offer, Voucher
from flask_orders.own_fields import schemas_of
from flask_orders.pricing import AMOUNTS, PricedCart, PricedItem
from flask_orders.promotions import TERMS
from flask_orders.status import STATUSES

from .support.docs import page_text, pages
from .support.shops import Shop

MIXINS = {
    "Address": AddressMixin,
    "Cart": CartMixin,
    "CartItem": CartItemMixin,
    "IdempotencyKey": IdempotencyKeyMixin,
    "Offer": OfferMixin,
    "Order": OrderMixin,
    "OrderEvent": OrderEventMixin,
    "OrderItem": OrderItemMixin,
    "OrderPayment": OrderPaymentMixin,
    "OrderRefund": OrderRefundMixin,
    "OutboxEvent": OutboxEventMixin,
    "Product": ProductMixin,
    "Voucher": VoucherMixin,
    "VoucherRedemption": VoucherRedemptionMixin,
}


def columns(mixin: type[Any]) -> dict[str, sa.Column[Any]]:
    """The columns of a mixin, by a class of its own."""

    class Base(DeclarativeBase):
        pass

    mapped: Any = type("Mapped", (mixin, Base), {})
    return dict(mapped.__table__.columns)


def amounts(mixin: type[Any]) -> set[str]:
    return {name for name, column in columns(mixin).items() if isinstance(column.type, Money)}


def fields_of(schema: type[Schema]) -> set[str]:
    return set(schema._declared_fields)


@pytest.mark.parametrize("name", list(MIXINS))
def test_every_default_class_is_made_of_its_mixin(name: str) -> None:
    models = declare_models(SQLAlchemy())
    assert issubclass(getattr(models, name), MIXINS[name])


def test_the_amounts_of_an_order() -> None:
    assert amounts(OrderMixin) == set(AMOUNTS) - {"items_count"}
    assert set(AMOUNTS) <= columns(OrderMixin).keys()
    assert all(isinstance(getattr(PricedCart, name), property) for name in AMOUNTS)
    for schema in (schemas.OrderSchema, schemas.PreviewSchema):
        assert set(AMOUNTS) <= fields_of(schema)


def test_the_amounts_of_an_item() -> None:
    answered = schemas.OrderItemSchema._declared_fields
    expected = {name for name, field in answered.items() if isinstance(field, schemas.Amount)}
    assert amounts(OrderItemMixin) == expected
    assert all(hasattr(PricedItem, name) for name in expected)


def test_the_fields_of_an_address() -> None:
    given = {field.name for field in fields(BillingAddress)}
    assert given == set(RULES) == fields_of(BillingAddressSchema)
    assert given == columns(AddressMixin).keys() - {"id", "fingerprint"}
    assert given == fields_of(schemas.OrderAddressSchema)
    copied = {name for name in columns(OrderMixin) if name.startswith("billing_")}
    assert copied == {f"billing_{name}" for name in given}


def test_an_address_fits_into_its_columns() -> None:
    stored, copied = columns(AddressMixin), columns(OrderMixin)
    for name, field in BillingAddressSchema._declared_fields.items():
        for column in (stored[name], copied[f"billing_{name}"]):
            length = 2 if name == "country" else field.metadata["maxLength"]
            assert isinstance(column.type, sa.String)
            assert column.type.length == length


def test_the_columns_of_an_offer_and_of_a_voucher_are_read() -> None:
    # Which offers are read depends on these two; they are no part of an offer that is read.
    chosen_by = {"active", "first_order_only"}
    assert {*promotions.OFFER} == columns(OfferMixin).keys() - chosen_by
    assert {*promotions.VOUCHER} - {*promotions.COMPUTED} == columns(VoucherMixin).keys()
    assert {field.name for field in fields(Offer)} == {*promotions.OFFER, "products"}
    assert {field.name for field in fields(Voucher)} == {*promotions.VOUCHER}


def test_every_term_of_a_voucher_is_guarded(shop: Shop) -> None:
    """A column that is added to the voucher is a term of it unless it is named as none."""
    assert {*TERMS} == columns(VoucherMixin).keys() - {"id", "code", "times_used"}
    queries = promotions._Queries(
        shop.models.promotions, sa.inspect(shop.models.Order).local_table, arrays=False
    )
    parameters = queries.redeeming.compile().params
    assert {f"was_{name}" for name in (*TERMS, "id", "limit")} <= parameters.keys()


def test_a_column_that_no_dataclass_has_would_be_noticed() -> None:
    class NewVoucher(VoucherMixin):
        only_on_sundays: Mapped[bool] = mapped_column(default=False)

    assert {*promotions.VOUCHER} != columns(NewVoucher).keys()


def test_the_discount_types_and_usages() -> None:
    assert DISCOUNT_TYPES == ("percentage", "fixed")
    assert USAGES == ("single", "multiple", "once_per_customer")
    for mixin, name, values in (
        (OfferMixin, "discount_type", DISCOUNT_TYPES),
        (VoucherMixin, "discount_type", DISCOUNT_TYPES),
        (VoucherMixin, "usage", USAGES),
    ):
        length = columns(mixin)[name].type.length  # type: ignore[attr-defined] # a String
        assert max(map(len, values)) <= length


def test_a_voucher_is_refused_with_the_sentence_of_its_reason() -> None:
    for reason in VoucherReason:
        error = VoucherNotApplicable(reason)
        assert error.reason == reason.value == error.problem()["reason"]
        assert reason.sentence in error.detail
    own = VoucherNotApplicable("wrong_region", "it is for another region")
    assert (own.reason, own.problem()["reason"]) == ("wrong_region", "wrong_region")
    assert "it is for another region" in own.detail


def test_the_docs_list_the_values() -> None:
    docs = "".join(page_text(page) for page in pages())
    values = [*UnavailableReason, *VoucherReason, *STATUSES, *DISCOUNT_TYPES, *USAGES]
    assert [value for value in values if f"`{value}`" not in docs] == []


def test_openapi_lists_the_values(shop: Shop) -> None:
    with shop.app.test_request_context():
        document = describe("/orders", "http://localhost", shop.app.config, schemas_of(shop.app))
    components = document["components"]["schemas"]
    problem, order = components["Problem"]["properties"], components["Order"]["properties"]
    preview, refusal = components["Preview"]["properties"], components["Refusal"]["properties"]
    unavailable = components["Unavailable"]["properties"]
    assert order["status"]["enum"] == problem["order_status"]["enum"] == list(STATUSES)
    assert unavailable["reason"]["enum"] == list(UnavailableReason)
    assert problem["reason"]["anyOf"][0]["enum"] == list(VoucherReason)
    assert preview["voucher_refusal"]["anyOf"][0]["enum"] == list(VoucherReason)
    assert refusal["code"]["enum"] == problem["code"]["enum"]
