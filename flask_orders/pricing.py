"""The arithmetic of an order: items, offers, a voucher and a time become a priced cart.

Called by the service and by the default pricing (`promotions.py`); a host with prices of its own
builds the same `PricedCart` in its own `Pricing`. Pure: no session, no clock, no Flask. Every
amount is a Decimal in the shop's currency, rounded half-up to its quantum once per item.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from heapq import merge
from typing import Any, Literal, Protocol, Self, get_args
from uuid import UUID

import iso4217

from .errors import (
    ConfigurationError,
    OrdersError,
    PriceChanged,
    UnavailableReason,
    VoucherReason,
)

__all__ = [
    "AppliedOffer",
    "AppliedVoucher",
    "CartItem",
    "Currency",
    "PricedCart",
    "PricedItem",
    "Pricing",
]

ZERO = Decimal(0)

# What a column of an amount holds: NUMERIC(18, 4).
TOO_MUCH = Decimal(10) ** 14

# What a float may add to an amount, or take away, as a part of it.
FLOAT_NOISE = Decimal(2) ** -22

# Above it, a Decimal of 28 digits has no room for four decimals.
LARGEST = Decimal(10) ** 24

# What an order stores of its priced cart, and what each means: properties of `PricedCart`, columns
# of `OrderMixin`, fields of the schemas. All but the first are amounts.
AMOUNTS = {
    "items_count": "The number of units in the order.",
    "subtotal": "The sum of the items' total_price.",
    "savings_on_items": "The sum of the items' discount_amount.",
    "discount_amount": "The voucher's discount, at most the subtotal.",
    "amount_saved": "savings_on_items plus discount_amount.",
    "shipping": "The sum of the items' shipping.",
    "total_amount": "subtotal plus shipping minus discount_amount.",
}

DiscountType = Literal["percentage", "fixed"]
Usage = Literal["single", "multiple", "once_per_customer"]

DISCOUNT_TYPES: tuple[DiscountType, ...] = get_args(DiscountType)
USAGES: tuple[Usage, ...] = get_args(Usage)


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency and its quantum, the smallest amount that can be paid in it."""

    code: str
    quantum: Decimal

    @staticmethod
    @cache
    def of(code: str, decimals: int | None = None) -> "Currency":
        """Return the currency with an ISO 4217 code, such as "USD".

        Args:
            code: the code, in capitals.
            decimals: left out, ISO 4217's minor units of today. An order's are its
                `currency_decimals`, which stay as they are when ISO 4217 changes.

        Raises:
            ConfigurationError: it is no currency that can be paid in.
        """
        if decimals is None:
            decimals = _minor_units(code)
        return Currency(code, Decimal(1).scaleb(-decimals))

    @property
    def decimals(self) -> int:
        """The number of digits after the decimal point."""
        return -int(self.quantum.as_tuple().exponent)

    def is_price(self, amount: Decimal, *, noise: Decimal = ZERO) -> bool:
        """Return whether an amount can stand on a price tag.

        It is 0 or more, a whole number of quanta, and no more than a column holds; NaN is not.
        `noise` is how far it may be off, as a part of it: FLOAT_NOISE if a float has held it.
        """
        return (
            amount.is_finite()
            and 0 <= amount < TOO_MUCH
            and abs(amount - self.round(amount)) <= amount * noise
        )

    def round(self, amount: Decimal) -> Decimal:
        """Round an amount half-up to whole quanta.

        Raises:
            ConfigurationError: it is NaN, infinite, larger than any amount can be, or no Decimal.
        """
        if isinstance(amount, int):
            amount = Decimal(amount)
        if not isinstance(amount, Decimal):
            raise ConfigurationError(
                f"{amount!r} is a {type(amount).__name__}, which can't hold an exact amount: "
                "give a Decimal."
            )
        if not amount.is_finite() or abs(amount) >= LARGEST:
            raise ConfigurationError(f"{amount} is no amount of {self.code}: give a finite one.")
        return amount.quantize(self.quantum, rounding=ROUND_HALF_UP)

    def text(self, amount: Decimal) -> str:
        """The amount with the currency's digits: "79.99"."""
        return f"{self.round(amount):f}"


def _minor_units(code: str) -> int:
    try:
        minor_units = iso4217.Currency(code).exponent
    except ValueError:
        raise ConfigurationError(
            f"{code!r} is no currency of ISO 4217: give the code of a current one, in capitals, "
            "such as 'USD'."
        ) from None
    if minor_units is None:
        raise ConfigurationError(
            f"{code!r} has no minor units in ISO 4217, so that no price can be given in it: "
            "give the code of a currency that people pay with, such as 'USD'."
        )
    return minor_units


@dataclass(frozen=True, slots=True)
class CartItem:
    """One item of the cart, as the locking read found it.

    Attributes:
        key: the cart item's primary key.
        product_id: the product's primary key.
        product: the host's product object, read anew; None if the product is gone.
        quantity: a number of units, 1 or more.
    """

    key: Any
    product_id: Any
    product: Any
    quantity: int

    @property
    def list_price(self) -> Decimal:
        """The price of one unit before any offer."""
        return _amount(self.product, "price")

    @property
    def sku(self) -> str | None:
        """The product's, as text; None if it has none."""
        return _text(self.product.sku)

    @property
    def name(self) -> str | None:
        """The product's, as text; None if it has none."""
        return _text(self.product.name)

    @property
    def shipping(self) -> Decimal:
        """The shipping cost of the whole item."""
        return ZERO if self.product.shipping is None else _amount(self.product, "shipping")

    def unavailable(self, reason: UnavailableReason, available: int = 0) -> dict[str, Any]:
        """The item as `ItemUnavailable` names it."""
        product = self.product
        return {
            "id": self.key,
            "product": None
            if product is None
            else {"id": self.product_id, "sku": self.sku, "name": self.name},
            "requested": self.quantity,
            "available": available,
            "reason": reason,
        }


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _amount(product: Any, name: str) -> Decimal:
    amount = getattr(product, name)
    if isinstance(amount, Decimal | int):
        return Decimal(amount)
    raise ConfigurationError(
        f"{type(product).__name__}.{name} is a {type(amount).__name__}, which can't hold an exact "
        "amount: make its column a Numeric, or have the property return a Decimal."
    )


@dataclass(frozen=True, slots=True)
class AppliedOffer:
    """The offer of an item: its key (None if it is no row of `offers`) and its title."""

    id: Any
    title: str


class AppliedVoucher(Protocol):
    """The voucher of an order: its key (None if it is no row of `vouchers`) and its code."""

    @property
    def id(self) -> Any: ...
    @property
    def code(self) -> str: ...


@dataclass(frozen=True, slots=True)
class KeptVoucher:
    """The voucher of an order as the order kept it: an `AppliedVoucher`."""

    id: Any
    code: str


@dataclass(frozen=True, slots=True)
class PricedItem:
    """An item with its prices; `voucher_discount` is its share of the voucher's discount."""

    cart_item: CartItem
    list_price: Decimal
    unit_price: Decimal
    shipping: Decimal
    offer: AppliedOffer | None = None
    voucher_discount: Decimal = ZERO

    @classmethod
    def of(
        cls,
        item: CartItem,
        currency: Currency,
        *,
        list_price: Decimal | None = None,
        unit_price: Decimal | None = None,
        shipping: Decimal | None = None,
        offer: AppliedOffer | None = None,
    ) -> Self:
        """Round an item's amounts; left out, they are the product's, and no offer applies.

        Raises:
            ConfigurationError: an amount is NaN, infinite, or no Decimal.
        """
        listed = item.list_price if list_price is None else list_price
        unit = listed if unit_price is None else unit_price
        return cls(
            cart_item=item,
            list_price=currency.round(listed),
            unit_price=max(ZERO, currency.round(unit)),
            shipping=currency.round(item.shipping if shipping is None else shipping),
            offer=offer,
        )

    @property
    def quantity(self) -> int:
        return self.cart_item.quantity

    @property
    def total_price(self) -> Decimal:
        return self.unit_price * self.quantity

    @property
    def discount_amount(self) -> Decimal:
        return (self.list_price - self.unit_price) * self.quantity


@dataclass(frozen=True, slots=True)
class PricedCart:
    """What the order will be: its items, its voucher and every amount of the contract.

    In a preview, `unavailable` are the items that are unavailable, as `ItemUnavailable` names them,
    `voucher_refusal` is the reason why the voucher was left out, and `refusal` is the error with
    which an order would be refused now.
    """

    currency: Currency
    items: tuple[PricedItem, ...]
    voucher: AppliedVoucher | None = None
    unavailable: tuple[dict[str, Any], ...] = ()
    voucher_refusal: str | None = None
    refusal: OrdersError | None = None

    @classmethod
    def of(
        cls,
        items: Sequence[PricedItem],
        currency: Currency,
        *,
        voucher: AppliedVoucher | None = None,
        discount: Callable[[Decimal], Decimal] | None = None,
    ) -> Self:
        """Share a voucher's discount out over the items.

        `discount` is called with their subtotal; what it returns counts up to that.
        """
        subtotal = sum((item.total_price for item in items), ZERO)
        wanted = ZERO if discount is None else currency.round(discount(subtotal))
        discount_amount = min(max(ZERO, wanted), subtotal)
        shares = share_out(discount_amount, [item.total_price for item in items], currency)
        shared = (
            replace(item, voucher_discount=share) for item, share in zip(items, shares, strict=True)
        )
        return cls(currency, tuple(shared), voucher)

    @property
    def items_count(self) -> int:
        return sum(item.quantity for item in self.items)

    @property
    def subtotal(self) -> Decimal:
        return sum((item.total_price for item in self.items), ZERO)

    @property
    def savings_on_items(self) -> Decimal:
        return sum((item.discount_amount for item in self.items), ZERO)

    @property
    def discount_amount(self) -> Decimal:
        return sum((item.voucher_discount for item in self.items), ZERO)

    @property
    def amount_saved(self) -> Decimal:
        return self.savings_on_items + self.discount_amount

    @property
    def shipping(self) -> Decimal:
        return sum((item.shipping for item in self.items), ZERO)

    @property
    def total_amount(self) -> Decimal:
        return self.subtotal + self.shipping - self.discount_amount

    def price_refusal(self, expected_total: Decimal | None) -> PriceChanged | None:
        """Return the error if the total is higher than the expected one."""
        if expected_total is None or self.total_amount <= expected_total:
            return None
        text = self.currency.text
        return PriceChanged(expected=text(expected_total), actual=text(self.total_amount))


def check_priced(cart: PricedCart, pricing: object) -> PricedCart:
    """Return what a shop's own pricing has returned, if an order can hold it.

    Raises:
        ConfigurationError: an amount is negative, NaN or infinite, is finer than the currency's
            quantum, or a list price is below its unit price.
    """
    for item in cart.items:
        for name in ("list_price", "unit_price", "shipping", "voucher_discount"):
            amount = getattr(item, name)
            if not isinstance(amount, Decimal) or not cart.currency.is_price(amount):
                raise _refused(pricing, item, f"{name} {amount!r}", "make items by PricedItem.of")
        if item.list_price < item.unit_price:
            raise _refused(
                pricing,
                item,
                f"list_price {item.list_price} below unit_price {item.unit_price}",
                "pass the price before the discount as list_price= to PricedItem.of",
            )
    return cart


def _refused(pricing: object, item: PricedItem, what: str, fix: str) -> ConfigurationError:
    product_id = item.cart_item.product_id
    return ConfigurationError(
        f"{type(pricing).__name__}.price returned {what} for the product {product_id!r}, "
        "which no order can hold: an amount is a Decimal, 0 or more, in whole units of the "
        f"currency's smallest coin; {fix}."
    )


class OrderReference(Protocol):
    """What a `Pricing` is told of the order that a voucher is used for."""

    @property
    def id(self) -> UUID: ...
    @property
    def customer_id(self) -> Any: ...


class Pricing(Protocol):
    """Prices, offers and vouchers. Each method runs inside the conversion's transaction."""

    def price(
        self, items: Sequence[CartItem], customer_id: Any, voucher: Any, now: datetime
    ) -> PricedCart:
        """Price the items, in their order. `voucher` is what the cart's row holds, or None.

        Raises:
            VoucherNotApplicable: the voucher can't be used.
        """

    def redeem(self, voucher: Any, order: OrderReference) -> None:
        """Use up the voucher that `price` has put into the cart, by one guarded UPDATE.

        Raises:
            Conflict: it is not as it was when `price` read it.
        """

    def release(self, voucher: AppliedVoucher, order: OrderReference) -> None:
        """Give back the use of the voucher of an order that is being cancelled; called once.

        `voucher` has the code that the order kept, and the key if it is a row of `vouchers`.
        """


@dataclass(frozen=True, slots=True)
class Offer:
    """An automatic discount on a unit of a product; `products` None means every product."""

    id: Any
    title: str
    discount_type: DiscountType
    discount_value: Decimal
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    products: frozenset[Any] | None = None

    def applies(self, product_id: Any, now: datetime) -> bool:
        """Whether it is valid at that time, in [valid_from, valid_to), for that product."""
        return (
            (self.valid_from is None or self.valid_from <= now)
            and (self.valid_to is None or now < self.valid_to)
            and (self.products is None or product_id in self.products)
        )


@dataclass(frozen=True, slots=True)
class Voucher:
    """A code's discount on the subtotal; `used_by_customer` is about the one who orders."""

    id: Any
    code: str
    discount_type: DiscountType
    discount_value: Decimal
    usage: Usage = "multiple"
    usage_limit: int | None = None
    times_used: int = 0
    used_by_customer: bool = False
    minimum_order_value: Decimal | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    active: bool = True

    @property
    def limit(self) -> int | None:
        """How many orders may carry it; None is any number."""
        if self.usage != "single":
            return self.usage_limit
        return 1 if self.usage_limit is None else min(self.usage_limit, 1)

    def discount(self, subtotal: Decimal) -> Decimal:
        """What it takes off an order of that subtotal, not rounded."""
        return discount_on(subtotal, self.discount_type, self.discount_value)

    def refusal(self, subtotal: Decimal, now: datetime) -> VoucherReason | None:
        """Return why it can't be used on an order of that subtotal; None if it can."""
        reasons = (
            (VoucherReason.INACTIVE, not self.active),
            (VoucherReason.NOT_STARTED, self.valid_from is not None and now < self.valid_from),
            (VoucherReason.EXPIRED, self.valid_to is not None and now >= self.valid_to),
            (
                VoucherReason.ALREADY_USED,
                self.usage == "once_per_customer" and self.used_by_customer,
            ),
            (VoucherReason.USED_UP, self.limit is not None and self.times_used >= self.limit),
            (
                VoucherReason.BELOW_MINIMUM,
                self.minimum_order_value is not None and subtotal < self.minimum_order_value,
            ),
        )
        return next((reason for reason, holds in reasons if holds), None)


# What identifies a voucher, and the state that its uses change.
_NO_TERMS = {"id", "code", "times_used", "used_by_customer"}

# A voucher's terms, on which its discount and refusals depend: every field but these. Its guarded
# UPDATE requires that none of them has changed.
TERMS = tuple(field.name for field in fields(Voucher) if field.name not in _NO_TERMS)


def discount_on(amount: Decimal, discount_type: DiscountType, value: Decimal) -> Decimal:
    """The discount on an amount, not rounded: 0 at least, the amount at most."""
    discount = amount * value / 100 if discount_type == "percentage" else value
    return min(max(discount, ZERO), amount)


def share_out(amount: Decimal, weights: Sequence[Decimal], currency: Currency) -> list[Decimal]:
    """Split an amount in proportion to the weights, in whole quanta that add up to it.

    By the method of the largest remainder (Hare quota); of equal remainders the first is served
    first. No share exceeds its weight while the amount is at most their sum.
    """
    quanta = [int(weight / currency.quantum) for weight in weights]
    total = sum(quanta)
    if not total:
        return [ZERO for _ in weights]
    shares = [divmod(int(amount / currency.quantum) * weight, total) for weight in quanta]
    units = [whole for whole, _ in shares]
    missing = int(amount / currency.quantum) - sum(units)
    by_remainder = sorted(range(len(shares)), key=lambda i: -shares[i][1])
    for i in by_remainder[:missing]:
        units[i] += 1
    return [unit * currency.quantum for unit in units]


def best_price(
    item: CartItem, offers: Iterable[Offer], currency: Currency, now: datetime
) -> PricedItem:
    """The item at the lowest price that one of the offers gives; of equal ones the first."""
    best = PricedItem.of(item, currency)
    listed = best.list_price
    for offer in offers:
        if not offer.applies(item.product_id, now):
            continue
        discount = discount_on(listed, offer.discount_type, offer.discount_value)
        priced = PricedItem.of(
            item,
            currency,
            unit_price=listed - discount,
            offer=AppliedOffer(offer.id, offer.title),
        )
        if priced.unit_price < best.unit_price:
            best = priced
    return best


def by_product(offers: Iterable[Offer]) -> Callable[[Any], Iterable[Offer]]:
    """The offers by the product that they are for, in their order: an item meets few of them."""
    for_all: list[tuple[int, Offer]] = []
    for_one = defaultdict[Any, list[tuple[int, Offer]]](list)
    for numbered in enumerate(offers):
        products = numbered[1].products
        if products is None:
            for_all.append(numbered)
        for product_id in products or ():
            for_one[product_id].append(numbered)
    return lambda product_id: [offer for _, offer in merge(for_all, for_one.get(product_id, ()))]


def price_cart(
    cart_items: Iterable[CartItem],
    offers: Sequence[Offer],
    voucher: Voucher | None,
    currency: Currency,
    now: datetime,
) -> tuple[PricedCart, VoucherReason | None]:
    """Price a cart; beside it, why its voucher was left out, or None."""
    offers_of = by_product(offers)
    items = [best_price(item, offers_of(item.product_id), currency, now) for item in cart_items]
    cart = PricedCart.of(items, currency)
    if voucher is None:
        return cart, None
    refusal = voucher.refusal(cart.subtotal, now)
    if refusal is not None:
        return cart, refusal
    return PricedCart.of(items, currency, voucher=voucher, discount=voucher.discount), None
