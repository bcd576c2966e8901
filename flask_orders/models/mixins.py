"""The columns of the library's tables, as mixins that a shop may extend with its own columns.

`declare_models` makes classes of them on the shop's `db.Model`, and adds the constraints and the
foreign keys, whose types depend on the shop. Here those are declared for the type checker only.
Each column names its type, so that a base's `type_annotation_map` changes none of them.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Integer, SmallInteger, String, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column, validates

from ..addresses import COUNTRY_CODE_LENGTH, LONGEST, LONGEST_POSTAL_CODE, BillingAddress
from ..offers import DISCOUNT_TYPES, USAGES
from ..texts import voucher_code
from .types import (
    KEY_LENGTH,
    VOUCHER_CODE_LENGTH,
    BigKey,
    ExactText,
    Money,
    UTCDateTime,
    VoucherCode,
)


def microseconds(moment: datetime) -> int:
    """Return the microseconds from 1970 to a moment, in UTC."""
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


def _now_in_microseconds(_context: object) -> int:
    return microseconds(datetime.now(UTC))


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}: use one of {', '.join(allowed)}")
    return value


class _Row:
    """The constructor of every declarative base, for the type checker."""

    if TYPE_CHECKING:

        def __init__(self, **columns: Any) -> None: ...


class OrderMixin(_Row):
    """An order: a snapshot of the customer's items, billing address and amounts.

    Amounts are in `currency` (ISO 4217), follow the formulas of docs/explanation/money.md, and have
    `currency_decimals` digits after the decimal point, even if the currency's change later.
    `sequence` counts the orders of one customer: 1, 2, 3, ... `written` is the time of the INSERT,
    in microseconds since 1970: it tells a double click from a later request, for which `created`
    is too coarse on MySQL and MariaDB.
    """

    __tablename__ = "orders"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    number: Mapped[str] = mapped_column(String(16))
    sequence: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(20))
    currency: Mapped[str] = mapped_column(String(3))
    currency_decimals: Mapped[int] = mapped_column(SmallInteger)
    billing_street_address: Mapped[str] = mapped_column(String(LONGEST))
    billing_postal_code: Mapped[str] = mapped_column(String(LONGEST_POSTAL_CODE))
    billing_city: Mapped[str] = mapped_column(String(LONGEST))
    billing_state: Mapped[str] = mapped_column(String(LONGEST))
    billing_country: Mapped[str] = mapped_column(String(COUNTRY_CODE_LENGTH))
    voucher_code: Mapped[str | None] = mapped_column(String(VOUCHER_CODE_LENGTH))
    items_count: Mapped[int] = mapped_column(Integer)
    subtotal: Mapped[Decimal] = mapped_column(Money)
    savings_on_items: Mapped[Decimal] = mapped_column(Money)
    discount_amount: Mapped[Decimal] = mapped_column(Money)
    amount_saved: Mapped[Decimal] = mapped_column(Money)
    shipping: Mapped[Decimal] = mapped_column(Money)
    total_amount: Mapped[Decimal] = mapped_column(Money)
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    updated: Mapped[datetime] = mapped_column(UTCDateTime)
    written: Mapped[int] = mapped_column(BigInteger, default=_now_in_microseconds)

    if TYPE_CHECKING:
        customer_id: Mapped[Any]
        billing_address_id: Mapped[int | None]
        voucher_id: Mapped[int | None]
        items: Mapped[list[Any]]


class OrderItemMixin(_Row):
    """An item of an order: a snapshot of the product and its prices.

    `stock_deducted` is whether units were deducted from the product's stock, which a cancellation
    then restocks.
    """

    __tablename__ = "order_items"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    position: Mapped[int] = mapped_column(Integer)
    sku: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Text)
    quantity: Mapped[int] = mapped_column(Integer)
    list_price: Mapped[Decimal] = mapped_column(Money)
    unit_price: Mapped[Decimal] = mapped_column(Money)
    discount_amount: Mapped[Decimal] = mapped_column(Money)
    total_price: Mapped[Decimal] = mapped_column(Money)
    shipping: Mapped[Decimal] = mapped_column(Money)
    voucher_discount: Mapped[Decimal] = mapped_column(Money)
    offer_title: Mapped[str | None] = mapped_column(Text)
    stock_deducted: Mapped[bool] = mapped_column(Boolean)

    if TYPE_CHECKING:
        order_id: Mapped[UUID]
        product_id: Mapped[Any]
        offer_id: Mapped[int | None]
        order: Mapped[Any]


class OrderPaymentMixin(_Row):
    """Money that arrived for an order; `reference` is the payment provider's id of the payment.

    `expected` is whether it made the order paid; any other payment must be refunded.
    """

    __tablename__ = "order_payments"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    reference: Mapped[str] = mapped_column(ExactText(KEY_LENGTH))
    amount: Mapped[Decimal] = mapped_column(Money)
    currency: Mapped[str] = mapped_column(String(3))
    received: Mapped[datetime] = mapped_column(UTCDateTime)
    expected: Mapped[bool] = mapped_column(Boolean)

    if TYPE_CHECKING:
        order_id: Mapped[UUID]


class OrderRefundMixin(_Row):
    """Money that went back for a payment; `reference` is the payment provider's id of the refund.

    Its `currency` is the payment's, and all refunds of a payment together are at most its amount.
    """

    __tablename__ = "order_refunds"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    reference: Mapped[str] = mapped_column(ExactText(KEY_LENGTH))
    amount: Mapped[Decimal] = mapped_column(Money)
    currency: Mapped[str] = mapped_column(String(3))
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    note: Mapped[str | None] = mapped_column(Text)

    if TYPE_CHECKING:
        order_id: Mapped[UUID]
        payment_id: Mapped[int]


class OrderEventMixin(_Row):
    """A transition of an order: its statuses, time and actor.

    `actor` is `customer`, `shop`, `expiry` or `payment`.
    """

    __tablename__ = "order_events"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    from_status: Mapped[str] = mapped_column(String(20))
    to_status: Mapped[str] = mapped_column(String(20))
    actor: Mapped[str] = mapped_column(String(20))
    note: Mapped[str | None] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(UTCDateTime)

    if TYPE_CHECKING:
        order_id: Mapped[UUID]


class OutboxEventMixin(_Row):
    """An event that a relay has to deliver; `body` is its CloudEvents 1.0 envelope, as JSON.

    It may be delivered from `due` on, which is postponed while a relay delivers it and after a
    failure. Without `due` it is set aside: it was tried too often, and waits to be sent again.
    """

    __tablename__ = "order_outbox"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    event_id: Mapped[UUID] = mapped_column(Uuid)
    type: Mapped[str] = mapped_column(String(64))
    body: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    due: Mapped[datetime | None] = mapped_column(UTCDateTime, index=True)
    attempts: Mapped[int] = mapped_column(Integer)

    if TYPE_CHECKING:
        order_id: Mapped[UUID]


class AddressMixin(_Row):
    """An address of a customer's address book; `country` is an ISO 3166-1 alpha-2 code."""

    __tablename__ = "order_addresses"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    street_address: Mapped[str] = mapped_column(String(LONGEST))
    postal_code: Mapped[str] = mapped_column(String(LONGEST_POSTAL_CODE))
    city: Mapped[str] = mapped_column(String(LONGEST))
    state: Mapped[str] = mapped_column(String(LONGEST))
    country: Mapped[str] = mapped_column(String(COUNTRY_CODE_LENGTH))
    fingerprint: Mapped[str] = mapped_column(String(64))

    if TYPE_CHECKING:
        customer_id: Mapped[Any]

    def as_value(self) -> BillingAddress:
        """Return the stored address as a value, without its customer."""
        return BillingAddress.stored(self)


class IdempotencyKeyMixin(_Row):
    """A customer's Idempotency-Key and its request (SHA-256, hex), and the result.

    `order_id` is the order that the request led to, `payable` whether it was to be paid then, and
    `checkout` whether the request asked for that. No foreign key: the row is written first.
    """

    __tablename__ = "order_idempotency_keys"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    key: Mapped[str] = mapped_column(String(64))
    fingerprint: Mapped[str] = mapped_column(String(64))
    checkout: Mapped[bool] = mapped_column(Boolean)
    order_id: Mapped[UUID] = mapped_column(Uuid)
    payable: Mapped[bool] = mapped_column(Boolean)
    created: Mapped[datetime] = mapped_column(UTCDateTime, index=True)

    if TYPE_CHECKING:
        customer_id: Mapped[Any]


class ProductMixin(_Row):
    """A product; its `price` and `shipping` (per item, None is free) are in the shop's currency.

    `stock` is the number of units left; None means that it is not counted.
    """

    __tablename__ = "products"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    sku: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(255))
    price: Mapped[Decimal] = mapped_column(Money)
    shipping: Mapped[Decimal | None] = mapped_column(Money)
    stock: Mapped[int | None] = mapped_column(Integer)
    active: Mapped[bool] = mapped_column(Boolean, default=True)


class CartMixin(_Row):
    """The customer's open cart."""

    __tablename__ = "carts"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)

    if TYPE_CHECKING:
        customer_id: Mapped[Any]
        voucher_id: Mapped[int | None]
        voucher: Mapped[Any]
        items: Mapped[list[Any]]
    else:
        # The default pricing replaces it; a shop with its own pricing has no such vouchers.
        voucher = None


class CartItemMixin(_Row):
    """A product in a cart, and its number of units."""

    __tablename__ = "cart_items"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    quantity: Mapped[int] = mapped_column(Integer)

    if TYPE_CHECKING:
        cart_id: Mapped[int]
        product_id: Mapped[Any]
        cart: Mapped[Any]
        product: Mapped[Any]


class OfferMixin(_Row):
    """An automatic discount on its products, or, if it has none, on every product.

    `discount_value` is in per cent for a `percentage`, and an amount per unit for a `fixed`
    discount. The offer is valid in [`valid_from`, `valid_to`), UTC; either end may be open.
    """

    __tablename__ = "offers"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    title: Mapped[str] = mapped_column(String(255))
    discount_type: Mapped[str] = mapped_column(String(10))
    discount_value: Mapped[Decimal] = mapped_column(Money)
    valid_from: Mapped[datetime | None] = mapped_column(UTCDateTime)
    valid_to: Mapped[datetime | None] = mapped_column(UTCDateTime)
    active: Mapped[bool] = mapped_column(Boolean, default=True)
    first_order_only: Mapped[bool] = mapped_column(Boolean, default=False)

    if TYPE_CHECKING:
        products: Mapped[list[Any]]

    @validates("discount_type")
    def _check_discount_type(self, key: str, value: str) -> str:
        return _one_of(key, value, DISCOUNT_TYPES)


class VoucherMixin(_Row):
    """A code that gives a discount on an order's subtotal after offers.

    `usage` is `single` (one order), `multiple` or `once_per_customer`; `usage_limit` is the most
    orders that may redeem it (None is no limit). The code is stored in its normal form,
    `voucher_code(code)`, by the ORM and by Core statements. A new field of
    `offers.Voucher` is a column here and a term of the voucher, by which its redemption is guarded.
    """

    __tablename__ = "vouchers"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    code: Mapped[str] = mapped_column(VoucherCode, unique=True)
    discount_type: Mapped[str] = mapped_column(String(10))
    discount_value: Mapped[Decimal] = mapped_column(Money)
    usage: Mapped[str] = mapped_column(String(20), default="multiple")
    usage_limit: Mapped[int | None] = mapped_column(Integer)
    times_used: Mapped[int] = mapped_column(Integer, default=0)
    minimum_order_value: Mapped[Decimal | None] = mapped_column(Money)
    valid_from: Mapped[datetime | None] = mapped_column(UTCDateTime)
    valid_to: Mapped[datetime | None] = mapped_column(UTCDateTime)
    active: Mapped[bool] = mapped_column(Boolean, default=True)

    @validates("code")
    def _normalise_code(self, _key: str, value: str) -> str:
        code = voucher_code(value)
        if not code:
            raise ValueError(f"the code {value!r} is empty: give at least one visible character")
        if len(code) > VOUCHER_CODE_LENGTH:
            raise ValueError(
                f"the code {code!r} has {len(code)} characters: give at most {VOUCHER_CODE_LENGTH}"
            )
        return code

    @validates("discount_type")
    def _check_discount_type(self, key: str, value: str) -> str:
        return _one_of(key, value, DISCOUNT_TYPES)

    @validates("usage")
    def _check_usage(self, key: str, value: str) -> str:
        return _one_of(key, value, USAGES)


class VoucherRedemptionMixin(_Row):
    """A customer's use of a once-per-customer voucher; there is at most one row for the two."""

    __tablename__ = "voucher_redemptions"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)

    if TYPE_CHECKING:
        voucher_id: Mapped[int]
        customer_id: Mapped[Any]
