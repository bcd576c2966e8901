"""What comes in and what goes out, as marshmallow schemas; the country and address rules.

Called by the blueprint. Knows no models: an order is read by its attributes.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pycountry
from marshmallow import Schema, ValidationError, fields, post_load, validate

from .addresses import BillingAddress
from .pricing import AMOUNTS, Currency, PricedCart, PricedLine
from .status import STATUSES

ACTIONS = ("checkout", "save_order")

MOST_ON_A_PAGE = 100

# Characters that turn the reading direction around and so can make a text look like another.
BIDI_CONTROLS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
# Unicode categories: control, surrogate, unassigned, line and paragraph separator.
REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Cn", "Zl", "Zp"})


class Text(fields.String):
    """One line of text: NFC-normalised and trimmed, without control characters."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = unicodedata.normalize("NFC", super()._deserialize(value, *args, **kwargs)).strip()
        for character in text:
            if unicodedata.category(character) in REFUSED_CATEGORIES or character in BIDI_CONTROLS:
                raise ValidationError(f"Remove the control character U+{ord(character):04X}.")
        return text


class PostalCode(Text):
    """Text, or a whole number, which is kept as text."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            value = str(value)
        return super()._deserialize(value, *args, **kwargs)


class Country(Text):
    """A country by its full name, in any letter case; kept as its ISO 3166-1 alpha-2 code."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        name = super()._deserialize(value, *args, **kwargs)
        code = _country_codes().get(_folded(name))
        if code is None:
            raise ValidationError(f"Give the country's full name. {_country_hint(name)}".strip())
        return code

    def _serialize(self, value: Any, *_args: Any, **_kwargs: Any) -> str | None:
        return None if value is None else country_name(value)


class ExpectedTotal(fields.Field[Decimal]):
    """An amount: digits, with a point before up to four decimals; a string, or a whole number."""

    _AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,4})?", re.ASCII)

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Decimal:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str) or not self._AMOUNT.fullmatch(text):
            raise ValidationError('Give an amount as a string, such as "79.99".')
        return Decimal(text)


class WholeNumber(fields.Field[int]):
    """A number of at most nine digits, as a query has it."""

    _DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> int:
        if not self._DIGITS.fullmatch(str(value)):
            raise ValidationError("Give a whole number, such as 20.")
        return int(value)


class Amount(fields.Field[Decimal]):
    """An amount as a string with the digits of the order's currency."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **_kwargs: Any) -> str:
        # Most amounts are the order's; an item's currency is its order's.
        order = getattr(obj, "order", obj)
        return Currency.of(order.currency).text(value)


class Time(fields.Field[datetime]):
    """ISO 8601 in UTC, with Z."""

    def _serialize(self, value: Any, *_args: Any, **_kwargs: Any) -> str:
        utc: datetime = value.astimezone(UTC)
        return utc.strftime("%Y-%m-%dT%H:%M:%SZ")


class BillingAddressSchema(Schema):
    """A billing address; loads to a `BillingAddress`."""

    street_address = Text(required=True, validate=validate.Length(1, 255))
    postal_code = PostalCode(required=True, validate=validate.Length(1, 32))
    city = Text(required=True, validate=validate.Length(1, 255))
    state = Text(load_default="", validate=validate.Length(max=255))
    country = Country(required=True)

    @post_load
    def _make(self, data: Mapping[str, str], **_kwargs: Any) -> BillingAddress:
        return BillingAddress(**data)


class CreateOrderSchema(Schema):
    """The body of `POST /`."""

    action = fields.String(required=True, validate=validate.OneOf(ACTIONS))
    billing_address = fields.Nested(BillingAddressSchema, load_default=None)
    expected_total = ExpectedTotal(load_default=None)


class PageSchema(Schema):
    """The query of `GET /`; a limit above 100 is 100."""

    status = fields.String(load_default=None, validate=validate.OneOf(STATUSES))
    limit = WholeNumber(load_default=20, validate=validate.Range(min=1))
    offset = WholeNumber(load_default=0)
    until = WholeNumber(load_default=None, validate=validate.Range(min=1))

    @post_load
    def _bound(self, data: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
        return {**data, "limit": min(data["limit"], MOST_ON_A_PAGE)}


class PreviewQuerySchema(Schema):
    """The query of `GET /preview/`."""

    expected_total = ExpectedTotal(load_default=None)


class ProductSchema(Schema):
    """The product of an item, as it was; `id` is null if it has been deleted."""

    id = fields.Raw(attribute="product_id")
    sku = fields.String()
    name = fields.String()


class OfferSchema(Schema):
    """The offer of an item, as it was; `id` is null if it has been deleted."""

    id = fields.Function(lambda item: getattr(item, "offer_id", None))
    title = fields.String(attribute="offer_title")


class OrderItemSchema(Schema):
    """A line of an order."""

    id = fields.UUID()
    product = fields.Function(lambda item: ProductSchema().dump(item))
    unit_price = Amount()
    list_price = Amount()
    quantity = fields.Integer()
    discount_amount = Amount()
    offer = fields.Function(
        lambda item: None if item.offer_title is None else OfferSchema().dump(item)
    )
    shipping = Amount()
    total_price = Amount()
    voucher_discount = Amount()


class PreviewSchema(Schema):
    """An order as it would be, of what `preview` makes of a priced cart."""

    currency = fields.String()
    customer = fields.Function(lambda order: {"id": order.customer_id})
    items = fields.List(fields.Nested(OrderItemSchema))
    items_count = fields.Integer()
    voucher = fields.Function(
        lambda order: None if order.voucher_code is None else {"code": order.voucher_code}
    )
    subtotal = Amount()
    savings_on_items = Amount()
    discount_amount = Amount()
    amount_saved = Amount()
    shipping = Amount()
    total_amount = Amount()
    unavailable = fields.List(fields.Dict())
    voucher_refusal = fields.String()
    changed = fields.Function(lambda order: order.changed)


def preview(cart: PricedCart, customer_id: Any, expected_total: Decimal | None) -> dict[str, Any]:
    """A priced cart as `GET /preview/` answers it."""
    text = cart.currency.text
    changed = expected_total is not None and expected_total != cart.total_amount
    order = SimpleNamespace(
        currency=cart.currency.code,
        customer_id=customer_id,
        voucher_code=None if cart.voucher is None else cart.voucher.code,
        unavailable=cart.unavailable,
        voucher_refusal=cart.voucher_refusal,
        changed={"expected": text(expected_total), "actual": text(cart.total_amount)}
        if changed and expected_total is not None
        else None,
        **{name: getattr(cart, name) for name in AMOUNTS},
    )
    order.items = [_preview_item(order, line) for line in cart.lines]
    dumped: dict[str, Any] = PreviewSchema().dump(order)
    return dumped


class OrderAddressSchema(Schema):
    """The billing address of an order, as it was."""

    street_address = fields.String(attribute="billing_street_address")
    postal_code = fields.String(attribute="billing_postal_code")
    city = fields.String(attribute="billing_city")
    state = fields.String(attribute="billing_state")
    country = Country(attribute="billing_country")


class OrderSchema(Schema):
    """An order as it is answered; `order_url` gives the address of the order with a key."""

    def __init__(self, order_url: Callable[[UUID], str]) -> None:
        super().__init__()
        self._order_url = order_url

    id = fields.UUID()
    number = fields.String()
    url = fields.Method("_url")
    status = fields.String()
    currency = fields.String()
    customer = fields.Function(lambda order: {"id": order.customer_id})
    created = Time()
    updated = Time()
    billing_address = fields.Function(lambda order: OrderAddressSchema().dump(order))
    items = fields.List(fields.Nested(OrderItemSchema))
    items_count = fields.Integer()
    voucher = fields.Function(
        lambda order: None if order.voucher_code is None else {"code": order.voucher_code}
    )
    subtotal = Amount()
    savings_on_items = Amount()
    discount_amount = Amount()
    amount_saved = Amount()
    shipping = Amount()
    total_amount = Amount()

    def _url(self, order: Any) -> str:
        return self._order_url(order.id)


def _preview_item(order: SimpleNamespace, line: PricedLine) -> SimpleNamespace:
    product, offer = line.line.product, line.offer
    return SimpleNamespace(
        order=order,
        id=line.line.key,
        product_id=line.line.product_id,
        sku=product.sku,
        name=product.name,
        quantity=line.quantity,
        list_price=line.list_price,
        unit_price=line.unit_price,
        discount_amount=line.discount_amount,
        total_price=line.total_price,
        shipping=line.shipping,
        voucher_discount=line.voucher_discount,
        offer_id=None if offer is None else offer.id,
        offer_title=None if offer is None else offer.title,
    )


def country_name(code: str) -> str:
    """The common name of a country, or its name if it has none: "Canada" for "CA"."""
    country = pycountry.countries.get(alpha_2=code)
    return str(getattr(country, "common_name", None) or getattr(country, "name", code))


@cache
def _country_codes() -> dict[str, str]:
    return {
        _folded(getattr(country, kind)): country.alpha_2
        for kind in ("name", "official_name", "common_name")
        for country in pycountry.countries
        if hasattr(country, kind)
    }


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", " ".join(name.casefold().split()))


def _country_hint(name: str) -> str:
    """The country that was probably meant, by its code or by a similar name."""
    by_code = pycountry.countries.get(alpha_2=name.upper()) or pycountry.countries.get(
        alpha_3=name.upper()
    )
    if by_code is not None:
        return f"Did you mean '{country_name(by_code.alpha_2)}'?"
    similar = difflib.get_close_matches(_folded(name)[:80], _country_codes(), n=1, cutoff=0.8)
    return f"Did you mean '{country_name(_country_codes()[similar[0]])}'?" if similar else ""
