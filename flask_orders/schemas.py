"""The requests and responses as marshmallow schemas, which `openapi.json` is made from.

An unknown or repeated field of a request is refused. An order is read by its attributes, so that
one schema serializes a stored order and one that is only previewed. A shop adds fields of its own
in subclasses of `CreateOrderSchema` and `OrderSchema`.
"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, ClassVar, cast
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
from .errors import UnavailableReason
from .pricing import AMOUNTS, Currency, PricedCart
from .projection import item_fields, order_fields
from .status import STATUSES
from .texts import pattern, whole_number

__all__ = ["BillingAddressSchema", "CreateOrderSchema", "Flattened", "OrderSchema"]

ACTIONS = ("checkout", "save_order")

MOST_ON_A_PAGE = 100


def _described(description: str, **metadata: Any) -> dict[str, Any]:
    """Return the options of a field with a description, for OpenAPI."""
    return {"metadata": {"description": description, **metadata}}


class AddressText(fields.String):
    """A field of an address, checked by its rule in `addresses.py`; null where it is optional."""

    def __init__(
        self,
        rule: Callable[[Any], str],
        description: str,
        longest: int = LONGEST,
        *,
        required: bool = False,
        keep_line_breaks: bool = False,
        **options: Any,
    ) -> None:
        lengths: dict[str, Any] = {
            "maxLength": longest,
            "pattern": pattern(keep_line_breaks=keep_line_breaks, is_required=required),
        }
        if required:
            lengths["minLength"] = 1
        super().__init__(
            required=required,
            allow_none=not required,
            load_default=missing if required else "",
            **_described(description, **lengths),
            **options,
        )
        self._rule = rule

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> str:
        try:
            return self._rule(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class PostalCode(AddressText):
    """A postal code: text, or a whole number, which is stored as text."""

    def __init__(self) -> None:
        super().__init__(
            RULES["postal_code"],
            "Text or a whole number. It may be empty where the country has no postal codes.",
            LONGEST_POSTAL_CODE,
        )


class Country(AddressText):
    """A country by its full name in English; stored as its ISO 3166-1 alpha-2 code."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            country_of_full_name, 'The full name of a country in English: "Canada".', **options
        )

    def _serialize(self, value: Any, *_args: Any, **_kwargs: Any) -> str | None:
        return None if value is None else country_name(value)


class ExpectedTotal(fields.Decimal):
    """An amount with up to four decimals, as a string or a whole number; never with a fraction."""

    DIGITS = 12
    PATTERN = re.compile(rf"[0-9]{{1,{DIGITS}}}(\.[0-9]{{1,4}})?", re.ASCII)

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Decimal:
        number = whole_number(value)
        text = value if number is None else str(number)
        if not isinstance(text, str) or not self.PATTERN.fullmatch(text):
            raise ValidationError('Give an amount as a string, such as "79.99".')
        return Decimal(text)


class WholeNumber(fields.Integer):
    """A whole number of a query, 0 or more, with at most nine digits."""

    MOST = 10**9 - 1

    _DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> int:
        if not self._DIGITS.fullmatch(str(value)):
            raise ValidationError("Give a whole number, such as 20.")
        return int(value)


class Amount(fields.Decimal):
    """An amount as a string with the decimals that the order stored for its currency."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **_kwargs: Any) -> str:
        # Most amounts are the order's; an item's currency is its order's.
        order = getattr(obj, "order", obj)
        return Currency.of(order.currency, order.currency_decimals).text(value)


class UTCTimestamp(fields.DateTime):
    """A time as ISO 8601 in UTC, with Z."""

    def _serialize(self, value: Any, *_args: Any, **_kwargs: Any) -> str:
        utc: datetime = value.astimezone(UTC)
        return utc.strftime("%Y-%m-%dT%H:%M:%SZ")


class PrimaryKeyField(fields.Raw):
    """A primary key of one of the shop's classes, of any type."""


class CartItemKeyField(fields.Raw):
    """The primary key of a cart item; a list if it has several columns."""


class VoucherRefusalField(fields.String):
    """A `VoucherReason`, or a reason of the shop's own pricing."""


class Flattened(fields.Nested):
    """A nested object of the response, made of the outer object's own attributes.

    It is null if the outer object's `attribute` is None.

        delivery_address = Flattened(DeliverySchema, attribute="delivery_city", allow_none=True)
    """

    def get_value(self, obj: Any, attr: str, accessor: Any = None, default: Any = missing) -> Any:
        """Return the outer object, or None."""
        if self.attribute is None:
            return obj
        return None if super().get_value(obj, attr, accessor, default) is None else obj


class BillingAddressSchema(Schema):
    """A billing address; loads to a `BillingAddress`, normalised and checked.

    The postal code may be left out where the country has no postal codes, and the state always.

    Raises:
        ValidationError: by `load`; it lists the messages about each invalid field.
    """

    street_address: AddressText = AddressText(
        RULES["street_address"],
        "The street and number, in one line.",
        required=True,
        keep_line_breaks=True,
    )
    postal_code: PostalCode = PostalCode()
    city: AddressText = AddressText(RULES["city"], "The city or town.", required=True)
    state: AddressText = AddressText(
        RULES["state"], "The state, province or region; it may be empty."
    )
    country: Country = Country(required=True)

    def load(
        self,
        data: Any,
        *,
        many: bool | None = None,
        partial: Any = None,
        unknown: Any = None,
    ) -> BillingAddress:
        """Return the address.

        Args:
            data: the fields as text, from a request or a form.
            many: as of every schema.
            partial: as of every schema.
            unknown: "exclude" ignores fields that are not of an address.

        Raises:
            ValidationError: a field is invalid.
        """
        return cast(BillingAddress, super().load(data, many=many, partial=partial, unknown=unknown))

    @validates_schema(skip_on_field_errors=False)
    def _check_postal_code(self, data: Mapping[str, Any], **_kwargs: Any) -> None:
        # A field that is missing here has been refused already.
        if data.keys() >= {"postal_code", "country"}:
            try:
                check_postal_code(data["postal_code"] or "", data["country"])
            except ValueError as error:
                raise ValidationError(str(error), "postal_code") from None

    @post_load
    def _make(self, data: Mapping[str, str], **_kwargs: Any) -> BillingAddress:
        return BillingAddress(**data)


class CreateOrderSchema(Schema):
    """The body of `POST /`; a subclass adds fields, `register_blueprint(..., request_schema=...)`.

    What is loaded goes into the columns of the shop's own order class with the same names. One
    instance loads every request.

    Attributes:
        not_stored: names of fields that are only validated, or that a `@post_load` turns into
            other ones; they need no column.
    """

    not_stored: ClassVar[Collection[str]] = ()

    def load(
        self,
        data: Any,
        *,
        many: bool | None = None,
        partial: Any = None,
        unknown: Any = None,
    ) -> dict[str, Any]:
        """Return the validated fields, by their names.

        Raises:
            ValidationError: a field is invalid.
        """
        return cast(dict[str, Any], super().load(data, many=many, partial=partial, unknown=unknown))

    action: fields.String = fields.String(
        required=True,
        validate=validate.OneOf(ACTIONS),
        **_described("Whether to save the order, or to save it and go on to its payment."),
    )
    billing_address: fields.Nested = fields.Nested(
        BillingAddressSchema,
        load_default=None,
        **_described("Left out or null: the customer's saved address."),
    )
    expected_total: ExpectedTotal = ExpectedTotal(
        load_default=None,
        **_described("The highest acceptable total; a higher one is refused: `price_changed`."),
    )


class PageSchema(Schema):
    """The query of `GET /`; a limit above MOST_ON_A_PAGE is reduced to it."""

    status: fields.String = fields.String(
        load_default=None,
        allow_none=False,
        validate=validate.OneOf(STATUSES),
        **_described("Only orders with this status."),
    )
    limit: WholeNumber = WholeNumber(
        load_default=20,
        validate=validate.Range(min=1),
        **_described(
            f"Orders on a page: at most {MOST_ON_A_PAGE}, and fewer where they have many items."
        ),
    )
    offset: WholeNumber = WholeNumber(load_default=0, **_described("How many orders to skip."))
    up_to_sequence: WholeNumber = WholeNumber(
        data_key="until",
        load_default=None,
        allow_none=False,
        validate=validate.Range(min=1),
        **_described("Set by `next` and `previous`: only orders up to this number."),
    )
    before: WholeNumber = WholeNumber(
        load_default=None,
        allow_none=False,
        validate=validate.Range(min=1),
        **_described("Set by `next`: only orders that were placed before this number."),
    )
    after: WholeNumber = WholeNumber(
        load_default=None,
        allow_none=False,
        **_described("Set by `previous`: the oldest orders placed after this number."),
    )

    @post_load
    def _limit(self, data: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
        return {**data, "limit": min(data["limit"], MOST_ON_A_PAGE)}


class PreviewQuerySchema(Schema):
    """The query of `GET /preview/`."""

    expected_total: ExpectedTotal = ExpectedTotal(
        load_default=None,
        allow_none=False,
        **_described("If the total differs from it, `changed` has both."),
    )


class ProductSchema(Schema):
    """A product."""

    id: PrimaryKeyField = PrimaryKeyField(**_described("The product's primary key."))
    sku: fields.String = fields.String(
        allow_none=True, **_described("Null if the product has none.")
    )
    name: fields.String = fields.String(
        allow_none=True, **_described("Null if the product has none.")
    )


class ItemProductSchema(ProductSchema):
    """The product of an item, as it was ordered."""

    id: PrimaryKeyField = PrimaryKeyField(
        attribute="product_id", allow_none=True, **_described("Null if it has been deleted since.")
    )


class OfferSchema(Schema):
    """The offer of an item, as it was applied."""

    # Without the library's offers an order item has no such column.
    id: PrimaryKeyField = PrimaryKeyField(
        attribute="offer_id",
        allow_none=True,
        dump_default=None,
        **_described("Null if it has been deleted since, or is the shop's own."),
    )
    title: fields.String = fields.String(
        attribute="offer_title", **_described("The offer's title.")
    )


class OrderItemSchema(Schema):
    """An item of an order."""

    id: Any = fields.UUID(**_described("The order item's key."))
    product: Flattened = Flattened(ItemProductSchema, **_described("What was bought."))
    unit_price: Amount = Amount(**_described("The price of one unit after its offer."))
    list_price: Amount = Amount(**_described("The price of one unit before its offer."))
    quantity: fields.Integer = fields.Integer(**_described("The number of units."))
    discount_amount: Amount = Amount(**_described("list_price minus unit_price, times quantity."))
    offer: Flattened = Flattened(
        OfferSchema,
        attribute="offer_title",
        allow_none=True,
        **_described("The offer that was applied; null if there was none."),
    )
    shipping: Amount = Amount(**_described("The shipping cost of the whole item."))
    total_price: Amount = Amount(**_described("unit_price times quantity."))
    voucher_discount: Amount = Amount(
        **_described("The item's share of the order's discount_amount.")
    )


class CustomerSchema(Schema):
    """The customer of an order."""

    id: PrimaryKeyField = PrimaryKeyField(
        attribute="customer_id", **_described("The customer's primary key.")
    )


class VoucherSchema(Schema):
    """The voucher of an order, as it was redeemed."""

    code: fields.String = fields.String(
        attribute="voucher_code", **_described("The voucher's code.")
    )


def _voucher() -> Flattened:
    """Return the field of the voucher of an order, or of a preview."""
    return Flattened(
        VoucherSchema,
        attribute="voucher_code",
        allow_none=True,
        **_described("The voucher that is applied; null if there is none."),
    )


class PreviewItemSchema(OrderItemSchema):
    """An item of an order as it would be."""

    id: Any = CartItemKeyField(
        **_described("The cart item's primary key; a list if it has several columns.")
    )


class UnavailableSchema(Schema):
    """An item of the cart that is unavailable."""

    id: CartItemKeyField = CartItemKeyField(
        **_described("The cart item's primary key; a list if it has several columns.")
    )
    product: fields.Nested = fields.Nested(
        ProductSchema,
        allow_none=True,
        **_described("The product of the cart item; null if it is gone."),
    )
    requested: fields.Integer = fields.Integer(**_described("The units in the cart."))
    available: fields.Integer = fields.Integer(**_described("The units left, never below 0."))
    reason: fields.String = fields.String(
        **_described("Why it is unavailable.", enum=list(UnavailableReason))
    )


class ChangedSchema(Schema):
    """The expected total, and the total at today's prices."""

    expected: Amount = Amount(**_described("The `expected_total` of the query."))
    actual: Amount = Amount(**_described("The total at today's prices."))


class RefusalSchema(Schema):
    """Why the order would be refused: members of the problem document."""

    code: fields.String = fields.String(**_described("The problem document's `code`."))
    detail: fields.String = fields.String(**_described("The problem document's `detail`."))


# The amounts of an order; `items_count` is no amount.
AMOUNT_FIELDS = {
    name: Amount(**_described(meaning))
    for name, meaning in AMOUNTS.items()
    if name != "items_count"
}


class PricedCartSchema(Schema):
    """What a priced cart has in common with the order that it may become."""

    class Meta:
        include = AMOUNT_FIELDS

    currency: fields.String = fields.String(**_described("ISO 4217."))
    customer: Flattened = Flattened(CustomerSchema, **_described("Whose order it is."))
    items: "fields.List[Any]" = fields.List(
        fields.Nested(PreviewItemSchema), **_described("The items that can be ordered.")
    )
    items_count: fields.Integer = fields.Integer(**_described(AMOUNTS["items_count"]))
    voucher: Flattened = _voucher()


class PreviewSchema(PricedCartSchema):
    """An order as it would be now, and what stands against it."""

    unavailable: "fields.List[Any]" = fields.List(
        fields.Nested(UnavailableSchema), **_described("The items that are left out.")
    )
    voucher_refusal: VoucherRefusalField = VoucherRefusalField(
        allow_none=True, **_described("Why the cart's voucher is left out; null if it is not.")
    )
    changed: fields.Nested = fields.Nested(
        ChangedSchema,
        allow_none=True,
        **_described("Both totals, if the `expected_total` of the query is another; else null."),
    )
    refusal: fields.Nested = fields.Nested(
        RefusalSchema,
        allow_none=True,
        **_described(
            "Why the order would be refused now, apart from its billing address and its payment; "
            "null if it would not."
        ),
    )


def preview(
    cart: PricedCart, customer_id: Any, expected_total: Decimal | None, own_fields: Schema
) -> dict[str, Any]:
    """Return the response of `GET /preview/` for a priced cart.

    `own_fields` are those of the shop's own that a priced cart has.
    """
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
    dumped: Any = PreviewSchema().dump(order)
    own: Any = own_fields.dump(order)
    return {**dumped, **own}


class OrderAddressSchema(Schema):
    """The billing address of an order, as it was given."""

    street_address: fields.String = fields.String(
        attribute="billing_street_address", **_described("The street and number.")
    )
    postal_code: fields.String = fields.String(
        attribute="billing_postal_code", **_described("The postal code; empty if there is none.")
    )
    city: fields.String = fields.String(attribute="billing_city", **_described("The city or town."))
    state: fields.String = fields.String(
        attribute="billing_state",
        **_described("The state, province or region; empty if there is none."),
    )
    country: Country = Country(attribute="billing_country")


class OrderSchema(Schema):
    """An order; a subclass adds fields, `register_blueprint(..., order_schema=...)`.

    Args:
        order_url: returns the URL of the order with a key.
        only: the names of the fields to serialize; all by default.

    Attributes:
        in_preview: names of added fields that the preview has too. There they read a priced cart:
            `currency`, `customer_id`, `voucher_code`, `items`, `items_count` and the amounts.
    """

    class Meta:
        include = AMOUNT_FIELDS

    in_preview: ClassVar[Collection[str]] = ()

    def __init__(
        self, order_url: Callable[[UUID], str], *, only: Collection[str] | None = None
    ) -> None:
        super().__init__(only=None if only is None else tuple(only))
        self._order_url = order_url

    id: fields.UUID = fields.UUID(**_described("The order's key."))
    number: fields.String = fields.String(**_described("A short number for people, not guessable."))
    url: fields.Method = fields.Method(
        "_url", **_described("The order's URL.", type="string", format="uri-reference")
    )
    status: fields.String = fields.String(**_described("The order's status.", enum=list(STATUSES)))
    currency: fields.String = fields.String(**_described("ISO 4217."))
    customer: Flattened = Flattened(CustomerSchema, **_described("Whose order it is."))
    created: UTCTimestamp = UTCTimestamp(**_described("When the order was placed."))
    updated: UTCTimestamp = UTCTimestamp(**_described("When its status last changed."))
    billing_address: Flattened = Flattened(
        OrderAddressSchema, **_described("The billing address, as it was when it was ordered.")
    )
    items: "fields.List[Any]" = fields.List(
        fields.Nested(OrderItemSchema), **_described("What was bought, by item.")
    )
    items_count: fields.Integer = fields.Integer(**_described(AMOUNTS["items_count"]))
    voucher: Flattened = _voucher()

    def _url(self, order: Any) -> str:
        return self._order_url(order.id)
