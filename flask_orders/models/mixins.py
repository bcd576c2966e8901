"""The columns of our tables, as mixins that a host may extend with columns of its own.

`declare.py` makes classes of them on the host's `db.Model` and adds what depends on the host: the
foreign keys, whose types are the host's, and the constraints. Those attributes are named here
for the type checker only.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import BigInteger, SmallInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column, validates

from ..addresses import BillingAddress
from ..texts import voucher_code
from .types import EXACT_TEXT, VOUCHER_CODE_LENGTH, BigKey, Money, UTCDateTime, VoucherCode

DISCOUNT_TYPES = ("percentage", "fixed")
USAGES = ("single", "multiple", "once_per_customer")


def microseconds(moment: datetime) -> int:
    """Return the microseconds from 1970 to a moment, in UTC."""
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


def _now_in_microseconds() -> int:
    return microseconds(datetime.now(UTC))


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}: give one of {', '.join(allowed)}")
    return value


class _Row:
    """What every declarative base gives its classes, for the type checker."""

    if TYPE_CHECKING:

        def __init__(self, **columns: Any) -> None: ...


class OrderMixin(_Row):
    """An order: who bought what, where the bill goes, and every amount, locked in for good.

    Amounts are in `currency` (ISO 4217), by the formulas of the README's section "Money", and have
    `currency_decimals` digits after the decimal point, whatever becomes of the currency.
    `sequence` counts the orders of one customer: 1, 2, 3, ... `written` is when the row was
    inserted, in microseconds since 1970: a double click is told by it from a later request, and
    `created` is too coarse for that on MariaDB.
    """

    __tablename__ = "orders"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(String(16))
    sequence: Mapped[int]
    status: Mapped[str] = mapped_column(String(20))
    currency: Mapped[str] = mapped_column(String(3))
    currency_decimals: Mapped[int] = mapped_column(SmallInteger)
    billing_street_address: Mapped[str] = mapped_column(String(255))
    billing_postal_code: Mapped[str] = mapped_column(String(32))
    billing_city: Mapped[str] = mapped_column(String(255))
    billing_state: Mapped[str] = mapped_column(String(255))
    billing_country: Mapped[str] = mapped_column(String(2))
    voucher_code: Mapped[str | None] = mapped_column(String(VOUCHER_CODE_LENGTH))
    items_count: Mapped[int]
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
    """An item of an order: the product as it was, and what it cost.

    `stock_deducted` says whether the product's stock was counted then, and so is given back.
    """

    __tablename__ = "order_items"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int]
    sku: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Text)
    quantity: Mapped[int]
    list_price: Mapped[Decimal] = mapped_column(Money)
    unit_price: Mapped[Decimal] = mapped_column(Money)
    discount_amount: Mapped[Decimal] = mapped_column(Money)
    total_price: Mapped[Decimal] = mapped_column(Money)
    shipping: Mapped[Decimal] = mapped_column(Money)
    voucher_discount: Mapped[Decimal] = mapped_column(Money)
    offer_title: Mapped[str | None] = mapped_column(Text)
    stock_deducted: Mapped[bool]

    if TYPE_CHECKING:
        order_id: Mapped[UUID]
        product_id: Mapped[Any]
        offer_id: Mapped[int | None]
        order: Mapped[Any]


class OrderPaymentMixin(_Row):
    """Money that has arrived for an order; `reference` is the payment provider's name for it.

    `expected` is what has made the order paid; any other payment is one to refund.
    """

    __tablename__ = "order_payments"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    reference: Mapped[str] = mapped_column(EXACT_TEXT)
    amount: Mapped[Decimal] = mapped_column(Money)
    currency: Mapped[str] = mapped_column(String(3))
    received: Mapped[datetime] = mapped_column(UTCDateTime)
    expected: Mapped[bool]

    if TYPE_CHECKING:
        order_id: Mapped[UUID]


class OrderEventMixin(_Row):
    """A step of an order's status: from where to where, when, and by whom.

    `actor` is `customer`, `shop`, `expiry` or `payment`.
    """

    __tablename__ = "order_events"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    from_status: Mapped[str] = mapped_column(String(20))
    to_status: Mapped[str] = mapped_column(String(20))
    actor: Mapped[str] = mapped_column(String(20))
    note: Mapped[str | None] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(UTCDateTime)

    if TYPE_CHECKING:
        order_id: Mapped[UUID]


class OutboxEventMixin(_Row):
    """An event that a relay has to deliver: `body` is its CloudEvents 1.0 envelope, as JSON.

    `due` is when it may be delivered: pushed on while a relay is at it, and after a failure.
    """

    __tablename__ = "order_outbox"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    event_id: Mapped[UUID]
    type: Mapped[str] = mapped_column(String(64))
    body: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    due: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    attempts: Mapped[int]

    if TYPE_CHECKING:
        order_id: Mapped[UUID]


class AddressMixin(_Row):
    """An entry of a customer's address book; `country` is an ISO 3166-1 alpha-2 code."""

    __tablename__ = "order_addresses"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    street_address: Mapped[str] = mapped_column(String(255))
    postal_code: Mapped[str] = mapped_column(String(32))
    city: Mapped[str] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(255))
    country: Mapped[str] = mapped_column(String(2))
    fingerprint: Mapped[str] = mapped_column(String(64))

    if TYPE_CHECKING:
        customer_id: Mapped[Any]

    def as_value(self) -> BillingAddress:
        """Return the address without its owner, as it is stored."""
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
    checkout: Mapped[bool]
    order_id: Mapped[UUID]
    payable: Mapped[bool]
    created: Mapped[datetime] = mapped_column(UTCDateTime, index=True)

    if TYPE_CHECKING:
        customer_id: Mapped[Any]


class ProductMixin(_Row):
    """What the shop sells. `price` and `shipping` (of a whole item) are in the shop's currency.

    `shipping` None means free; `stock` None means that it is not counted.
    """

    __tablename__ = "products"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    sku: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(255))
    price: Mapped[Decimal] = mapped_column(Money)
    shipping: Mapped[Decimal | None] = mapped_column(Money)
    stock: Mapped[int | None]
    active: Mapped[bool] = mapped_column(default=True)


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
        # Until the default pricing asks for vouchers: a shop with its own has none of ours.
        voucher = None


class CartItemMixin(_Row):
    """A product and a number of units in a cart."""

    __tablename__ = "cart_items"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    quantity: Mapped[int]

    if TYPE_CHECKING:
        cart_id: Mapped[int]
        product_id: Mapped[Any]
        cart: Mapped[Any]
        product: Mapped[Any]


class OfferMixin(_Row):
    """An automatic discount on its products, or, if it has none, on every product.

    `discount_value` is per cent for a `percentage`, and an amount per unit for a `fixed` one. It is
    valid in [`valid_from`, `valid_to`), UTC; either end may be open.
    """

    __tablename__ = "offers"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    title: Mapped[str] = mapped_column(String(255))
    discount_type: Mapped[str] = mapped_column(String(10))
    discount_value: Mapped[Decimal] = mapped_column(Money)
    valid_from: Mapped[datetime | None] = mapped_column(UTCDateTime)
    valid_to: Mapped[datetime | None] = mapped_column(UTCDateTime)
    active: Mapped[bool] = mapped_column(default=True)
    first_order_only: Mapped[bool] = mapped_column(default=False)

    if TYPE_CHECKING:
        products: Mapped[list[Any]]

    @validates("discount_type")
    def _check_discount_type(self, key: str, value: str) -> str:
        return _one_of(key, value, DISCOUNT_TYPES)


class VoucherMixin(_Row):
    """A code that gives a discount on an order's subtotal after offers.

    `usage` is `single` (one order), `multiple` or `once_per_customer`; `usage_limit` (None: no
    limit) is the number of orders that may carry it. The code is stored in its normal form,
    `voucher_code`, whatever statement stores it.
    """

    __tablename__ = "vouchers"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    code: Mapped[str] = mapped_column(VoucherCode, unique=True)
    discount_type: Mapped[str] = mapped_column(String(10))
    discount_value: Mapped[Decimal] = mapped_column(Money)
    usage: Mapped[str] = mapped_column(String(20), default="multiple")
    usage_limit: Mapped[int | None]
    times_used: Mapped[int] = mapped_column(default=0)
    minimum_order_value: Mapped[Decimal | None] = mapped_column(Money)
    valid_from: Mapped[datetime | None] = mapped_column(UTCDateTime)
    valid_to: Mapped[datetime | None] = mapped_column(UTCDateTime)
    active: Mapped[bool] = mapped_column(default=True)

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
    """That a customer has used a once-per-customer voucher; at most one row for both."""

    __tablename__ = "voucher_redemptions"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)

    if TYPE_CHECKING:
        voucher_id: Mapped[int]
        customer_id: Mapped[Any]
