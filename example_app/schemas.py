"""The requests and responses of the shop's own endpoints, as marshmallow schemas."""

from decimal import Decimal
from typing import Any

from flask import current_app
from marshmallow import EXCLUDE, Schema, fields, validate

from flask_orders.models import voucher_code
from flask_orders.pricing import Currency

CODE = r"[A-Z0-9-]{1,64}\Z"
MOST_UNITS = 99


class Code(fields.String):
    """A product's sku or a voucher's code in any spelling; loads in its normal form."""

    def __init__(self) -> None:
        super().__init__(
            required=True,
            validate=validate.Regexp(CODE, error="Use letters, digits and hyphens, at most 64."),
        )

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return voucher_code(super()._deserialize(value, *args, **kwargs))


class Email(fields.Email):
    """An e-mail address; loads in lower case."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return super()._deserialize(value, *args, **kwargs).lower()


class Quantity(fields.Integer):
    """A number of units."""

    def __init__(self, *, strict: bool = True) -> None:
        super().__init__(required=True, strict=strict, validate=validate.Range(1, MOST_UNITS))


class Amount(fields.Decimal):
    """An amount as a string with the digits of the shop's currency."""

    def _serialize(self, value: Decimal | None, *_args: Any, **_kwargs: Any) -> str | None:
        currency = Currency.of(current_app.config["ORDERS_CURRENCY"])
        return None if value is None else currency.text(value)


class SignInSchema(Schema):
    """The credentials of a customer."""

    email = Email(required=True, validate=validate.Length(max=255))
    password = fields.String(required=True, validate=validate.Length(max=255))


class RegisterSchema(SignInSchema):
    """A new customer."""

    password = fields.String(required=True, validate=validate.Length(8, 255))


class AddItemSchema(Schema):
    """A product to add to the cart, and how many units."""

    sku = Code()
    quantity = Quantity()


class QuantitySchema(Schema):
    """The new quantity of an item."""

    quantity = Quantity()


class FormItemSchema(Schema):
    """A product to add to the cart, from a form, where numbers are text."""

    sku = Code()
    quantity = Quantity(strict=False)


class FormQuantitySchema(Schema):
    """The new quantity of an item, from a form."""

    quantity = Quantity(strict=False)


class VoucherSchema(Schema):
    """The code of the voucher to apply."""

    code = Code()


class CallbackSchema(Schema):
    """A payment reported by the provider; its other fields are ignored."""

    class Meta:
        unknown = EXCLUDE

    order_id = fields.UUID(required=True)
    reference = fields.String(required=True, validate=validate.Length(1, 255))
    amount = fields.Decimal(required=True)
    currency = fields.String(required=True)


class ProductSchema(Schema):
    """A product today; `stock` null: not counted, `shipping` null: free."""

    sku = fields.String()
    name = fields.String()
    price = Amount()
    shipping = Amount()
    stock = fields.Integer()


class CartItemSchema(Schema):
    """An item of the cart; `product` is null once the product has been deleted."""

    id = fields.Integer()
    product = fields.Nested(ProductSchema)
    quantity = fields.Integer()


class CartSchema(Schema):
    """The cart; its amounts, with offers and voucher, are in the orders' preview."""

    items = fields.List(fields.Nested(CartItemSchema))
    voucher = fields.Nested(Schema.from_dict({"code": fields.String()}))
