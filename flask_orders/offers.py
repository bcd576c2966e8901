"""The arithmetic of offers and vouchers: the same items, terms and time give the same prices.

Pure: no session, no clock, no Flask.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from heapq import merge
from typing import Any, Literal, get_args

from .currency import ZERO, Currency
from .errors import VoucherReason
from .pricing import AppliedOffer, CartItem, PricedCart, PricedItem

DiscountType = Literal["percentage", "fixed"]
Usage = Literal["single", "multiple", "once_per_customer"]

DISCOUNT_TYPES: tuple[DiscountType, ...] = get_args(DiscountType)
USAGES: tuple[Usage, ...] = get_args(Usage)


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
        """Return whether the offer is valid for a product at a time in [valid_from, valid_to)."""
        return (
            (self.valid_from is None or self.valid_from <= now)
            and (self.valid_to is None or now < self.valid_to)
            and (self.products is None or product_id in self.products)
        )


@dataclass(frozen=True, slots=True)
class Voucher:
    """A code's discount on the subtotal.

    `used_by_customer` says whether the customer who orders now has redeemed it before.
    """

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
        """The number of orders that may redeem the voucher; None is any number."""
        if self.usage != "single":
            return self.usage_limit
        return 1 if self.usage_limit is None else min(self.usage_limit, 1)

    def discount(self, subtotal: Decimal) -> Decimal:
        """Return the discount on a subtotal, not rounded."""
        return discount_on(subtotal, self.discount_type, self.discount_value)

    def refusal(self, subtotal: Decimal, now: datetime) -> VoucherReason | None:
        """Return the reason why the voucher can't be used for a subtotal at a time, or None."""
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


def discount_on(amount: Decimal, discount_type: DiscountType, value: Decimal) -> Decimal:
    """Return the discount on an amount, not rounded: at least 0, at most the amount."""
    discount = amount * value / 100 if discount_type == "percentage" else value
    return min(max(discount, ZERO), amount)


def best_price(
    item: CartItem, offers: Iterable[Offer], currency: Currency, now: datetime
) -> PricedItem:
    """Price an item by its sale price or its best offer; they don't stack.

    The lowest unit price wins; among equals the sale price, then the first offer.
    """
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
    """Return a function from a product's key to its offers, in their order.

    Comparing every item with every offer would take time for each pair.
    """
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
    """Price a cart; return it with the reason why its voucher was left out, or None."""
    offers_of = by_product(offers)
    items = [best_price(item, offers_of(item.product_id), currency, now) for item in cart_items]
    cart = PricedCart.of(items, currency)
    if voucher is None:
        return cart, None
    refusal = voucher.refusal(cart.subtotal, now)
    if refusal is not None:
        return cart, refusal
    return PricedCart.of(items, currency, voucher=voucher, discount=voucher.discount), None
