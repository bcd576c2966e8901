"""What comes in and what goes out, as marshmallow schemas.

Called by the blueprint. Knows no models: an order is read by its attributes.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from marshmallow import (
    Schema,
    ValidationError,
    fields,
    missing,
    post_load,
    validate,
    validates_schema,
)

from .addresses import (
    LONGEST,
    LONGEST_POSTAL_CODE,
    RULES,
    BillingAddress,
    check_postal_code,
    country_of_full_name,
)
from .countries import country_name
from .pricing import Currency, PricedCart
from .projection import item_fields, order_fields
from .status import STATUSES

ACTIONS = ("checkout", "save_order")

MOST_ON_A_PAGE = 100


class AddressText(fields.String):
    """A field of an address, by its rule in `addresses.py`; null where it may be left out."""

    def __init__(
        self,
        rule: Callable[[Any], str],
        longest: int = LONGEST,
        *,
        required: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            required=required,
            allow_none=not required,
            load_default=missing if required else "",
            metadata={"maxLength": longest} | ({"minLength": 1} if required else {}),
            **options,
        )
        self._rule = rule

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> str:
        try:
            return self._rule(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class PostalCode(AddressText):
    """SingleLineText, or a whole number, which is kept as text."""

    def __init__(self) -> None:
        super().__init__(RULES["postal_code"], LONGEST_POSTAL_CODE)


class Country(AddressText):
    """A country by its full name in English; kept as its ISO 3166-1 alpha-2 code."""

    def __init__(self, **options: Any) -> None:
        super().__init__(country_of_full_name, **options)

    def _serialize(self, value: Any, *_args: Any, **_kwargs: Any) -> str | None:
        return None if value is None else country_name(value)


class ExpectedTotal(fields.Field[Decimal]):
    """An amount: digits, with a point before up to four decimals; a string, or a whole number."""

    PATTERN = re.compile(r"[0-9]{1,12}(\.[0-9]{1,4})?", re.ASCII)

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Decimal:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str) or not self.PATTERN.fullmatch(text):
            raise ValidationError('Give an amount as a string, such as "79.99".')
        return Decimal(text)


class WholeNumber(fields.Integer):
    """A number of at most nine digits, as a query has it."""

    MOST = 10**9 - 1

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
        return Currency.of(order.currency, order.currency_decimals).text(value)


class UTCTimestamp(fields.DateTime):
    """ISO 8601 in UTC, with Z."""

    def _serialize(self, value: Any, *_args: Any, **_kwargs: Any) -> str:
        utc: datetime = value.astimezone(UTC)
        return utc.strftime("%Y-%m-%dT%H:%M:%SZ")


class PrimaryKeyField(fields.Raw):
    """A primary key, of whatever type the host's are."""


class Flattened(fields.Nested):
    """An object of its own in the answer, whose fields the outer object has itself.

    It is null if the outer object's `attribute` is None.
    """

    def get_value(self, obj: Any, attr: str, accessor: Any = None, default: Any = missing) -> Any:
        if self.attribute is None:
            return obj
        return None if super().get_value(obj, attr, accessor, default) is None else obj


class BillingAddressSchema(Schema):
    """A billing address; loads to a `BillingAddress`.

    A postal code may be left out where the country has none.
    """

    street_address = AddressText(RULES["street_address"], required=True)
    postal_code = PostalCode()
    city = AddressText(RULES["city"], required=True)
    state = AddressText(RULES["state"])
    country = Country(required=True)

    @validates_schema(skip_on_field_errors=False)
    def _check_postal_code(self, data: Mapping[str, Any], **_kwargs: Any) -> None:
        # What is not in the data is at fault itself.
        if data.keys() >= {"postal_code", "country"}:
            try:
                check_postal_code(data["postal_code"] or "", data["country"])
            except ValueError as error:
                raise ValidationError(str(error), "postal_code") from None

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

    status = fields.String(
        load_default=None,
        allow_none=False,
        validate=validate.OneOf(STATUSES),
        metadata={"description": "Only orders with this status."},
    )
    limit = WholeNumber(
        load_default=20,
        validate=validate.Range(min=1),
        metadata={
            "description": f"Orders on a page: {MOST_ON_A_PAGE} at most, and fewer where they have "
            "many items."
        },
    )
    offset = WholeNumber(load_default=0, metadata={"description": "How many orders to pass over."})
    until = WholeNumber(
        load_default=None,
        allow_none=False,
        validate=validate.Range(min=1),
        metadata={"description": "As in `next` and `previous`: leaves out what was made later."},
    )
    before = WholeNumber(
        load_default=None,
        allow_none=False,
        validate=validate.Range(min=1),
        metadata={"description": "As in `next`: the orders that were made before this one."},
    )
    after = WholeNumber(
        load_default=None,
        allow_none=False,
        metadata={
            "description": "As in `previous`: of the orders that were made after this one, the "
            "oldest."
        },
    )

    @post_load
    def _bound(self, data: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
        return {**data, "limit": min(data["limit"], MOST_ON_A_PAGE)}


class PreviewQuerySchema(Schema):
    """The query of `GET /preview/`."""

    expected_total = ExpectedTotal(
        load_default=None,
        allow_none=False,
        metadata={"description": "If the total is another, `changed` has both."},
    )


class ProductSchema(Schema):
    """A product."""

    id = PrimaryKeyField()
    sku = fields.String(allow_none=True)
    name = fields.String(allow_none=True)


class ItemProductSchema(ProductSchema):
    """The product of an item, as it was; `id` is null if it has been deleted."""

    id = PrimaryKeyField(attribute="product_id", allow_none=True)


class OfferSchema(Schema):
    """The offer of an item, as it was; `id` is null if it has been deleted."""

    # A shop with prices of its own keeps no reference.
    id = PrimaryKeyField(attribute="offer_id", allow_none=True, dump_default=None)
    title = fields.String(attribute="offer_title")


class OrderItemSchema(Schema):
    """An item of an order."""

    id: fields.Field[Any] = fields.UUID()
    product = Flattened(ItemProductSchema)
    unit_price = Amount()
    list_price = Amount()
    quantity = fields.Integer()
    discount_amount = Amount()
    offer = Flattened(OfferSchema, attribute="offer_title", allow_none=True)
    shipping = Amount()
    total_price = Amount()
    voucher_discount = Amount()


class CustomerSchema(Schema):
    """Whose order it is."""

    id = PrimaryKeyField(attribute="customer_id")


class VoucherSchema(Schema):
    """The voucher of an order, as it was."""

    code = fields.String(attribute="voucher_code")


class PreviewItemSchema(OrderItemSchema):
    """An item of an order as it would be; `id` is the cart item's."""

    id = PrimaryKeyField()


class UnavailableSchema(Schema):
    """An item of the cart that can't be had."""

    id = PrimaryKeyField()
    product = fields.Nested(ProductSchema, allow_none=True)
    requested = fields.Integer()
    available = fields.Integer()
    reason = fields.String()


class ChangedSchema(Schema):
    """The total that was expected, and what it is."""

    expected = Amount()
    actual = Amount()


class RefusalSchema(Schema):
    """Why an order would be refused: the `code` and the `detail` of the problem document."""

    code = fields.String()
    detail = fields.String()


class PreviewSchema(Schema):
    """An order as it would be, of what `preview` makes of a priced cart."""

    currency = fields.String()
    customer = Flattened(CustomerSchema)
    items = fields.List(fields.Nested(PreviewItemSchema))
    items_count = fields.Integer()
    voucher = Flattened(VoucherSchema, attribute="voucher_code", allow_none=True)
    subtotal = Amount()
    savings_on_items = Amount()
    discount_amount = Amount()
    amount_saved = Amount()
    shipping = Amount()
    total_amount = Amount()
    unavailable = fields.List(fields.Nested(UnavailableSchema))
    voucher_refusal = fields.String(allow_none=True)
    changed = fields.Nested(ChangedSchema, allow_none=True)
    refusal = fields.Nested(
        RefusalSchema,
        allow_none=True,
        metadata={
            "description": "What would refuse the order now, other than its billing address or "
            "its payment; null if nothing would."
        },
    )


def preview(cart: PricedCart, customer_id: Any, expected_total: Decimal | None) -> dict[str, Any]:
    """Return a priced cart as the body of `GET /preview/`."""
    is_as_expected = expected_total is None or expected_total == cart.total_amount
    order = SimpleNamespace(
        **order_fields(customer_id, cart),
        unavailable=cart.unavailable,
        voucher_refusal=cart.voucher_refusal,
        changed=None,
        refusal=cart.refusal or cart.price_refusal(expected_total),
    )
    order.items = [
        SimpleNamespace(order=order, id=item.cart_item.key, **item_fields(item))
        for item in cart.items
    ]
    if not is_as_expected:
        order.changed = SimpleNamespace(
            order=order, expected=expected_total, actual=cart.total_amount
        )
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
    url = fields.Method("_url", metadata={"type": "string", "format": "uri-reference"})
    status = fields.String(metadata={"enum": STATUSES})
    currency = fields.String()
    customer = Flattened(CustomerSchema)
    created = UTCTimestamp()
    updated = UTCTimestamp()
    billing_address = Flattened(OrderAddressSchema)
    items = fields.List(fields.Nested(OrderItemSchema))
    items_count = fields.Integer()
    voucher = Flattened(VoucherSchema, attribute="voucher_code", allow_none=True)
    subtotal = Amount()
    savings_on_items = Amount()
    discount_amount = Amount()
    amount_saved = Amount()
    shipping = Amount()
    total_amount = Amount()

    def _url(self, order: Any) -> str:
        return self._order_url(order.id)
