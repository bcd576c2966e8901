"""The priced cart, and the protocol by which a shop brings its own prices: `Pricing`.

Every amount is a Decimal in the shop's currency, rounded half-up to its quantum once per item; the
amounts of a cart follow from those of its items. Pure: no session, no clock, no Flask.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, Self
from uuid import UUID

from .currency import ZERO, Currency, share_out
from .errors import ConfigurationError, OrdersError, PriceChanged, UnavailableReason

__all__ = [
    "AppliedOffer",
    "AppliedVoucher",
    "CartItem",
    "Currency",
    "PricedCart",
    "PricedItem",
    "Pricing",
]

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


@dataclass(frozen=True, slots=True)
class CartItem:
    """A cart item as the locking read found it.

    Attributes:
        key: the cart item's primary key.
        product_id: the product's primary key.
        product: the shop's product object, refreshed; None if the product is gone.
        quantity: the number of units, 1 or more.
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
        """The product's sku as text; None if it has none."""
        return _text(self.product.sku)

    @property
    def name(self) -> str | None:
        """The product's name as text; None if it has none."""
        return _text(self.product.name)

    @property
    def shipping(self) -> Decimal:
        """The shipping cost of the whole item."""
        return ZERO if self.product.shipping is None else _amount(self.product, "shipping")

    def unavailable(self, reason: UnavailableReason, available: int = 0) -> dict[str, Any]:
        """Return the item as `ItemUnavailable` lists it.

        Args:
            reason: why the item is unavailable; a reason of the HTTP API.
            available: the number of units left.
        """
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
    """The offer of an item: its key (None if it is not a row of `offers`) and its title."""

    id: Any
    title: str


class AppliedVoucher(Protocol):
    """The voucher of an order: its key (None if it is not a row of `vouchers`) and its code."""

    @property
    def id(self) -> Any: ...
    @property
    def code(self) -> str: ...


@dataclass(frozen=True, slots=True)
class StoredVoucher:
    """The voucher of an order as the order's row stores it: an `AppliedVoucher`."""

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
        """Price an item, with every amount rounded to the currency.

        Args:
            item: the cart item.
            currency: the shop's currency.
            list_price: the price of one unit before its offer; left out, it is the product's.
            unit_price: the price of one unit; left out, it is the list price. Below 0 it is 0.
            shipping: the shipping cost of the whole item; left out, it is the product's.
            offer: the offer that gives the unit price.

        Raises:
            ConfigurationError: an amount is NaN, infinite, or not a Decimal.
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
    """An order as it will be: its items, its voucher and every amount.

    In a preview, `unavailable` lists the unavailable items as `ItemUnavailable` does,
    `voucher_refusal` is the reason why the voucher was left out, and `refusal` is the error that
    would refuse an order now.
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
        """Make a cart of priced items, and share its voucher's discount out over them.

        Args:
            items: the priced items.
            currency: the shop's currency.
            voucher: the voucher to redeem.
            discount: a function from the subtotal to the voucher's discount, which is rounded,
                and limited to the subtotal.
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
        """Return the error if the total is higher than the expected total, if there is one."""
        if expected_total is None or self.total_amount <= expected_total:
            return None
        text = self.currency.text
        return PriceChanged(expected=text(expected_total), actual=text(self.total_amount))


def check_priced(cart: PricedCart, pricing: object) -> PricedCart:
    """Return the cart of a shop's own pricing, if an order can store its amounts.

    Raises:
        ConfigurationError: an amount is negative, NaN, infinite, or finer than the currency's
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
    """An order that redeems or releases a voucher: its key, and its customer's key."""

    @property
    def id(self) -> UUID: ...
    @property
    def customer_id(self) -> Any: ...


class Pricing(Protocol):
    """Prices, offers and vouchers. Each method runs inside the order's own transaction."""

    def price(
        self, items: Sequence[CartItem], customer_id: Any, voucher: Any, now: datetime
    ) -> PricedCart:
        """Price the items, in their order; a preview calls this without any lock.

        Args:
            items: the available items of the cart.
            customer_id: the customer's primary key.
            voucher: the value of the cart's `voucher` column, or None.
            now: the time at which offers and vouchers have to be valid.

        Raises:
            VoucherNotApplicable: the voucher can't be used.
        """

    def redeem(self, voucher: Any, order: OrderReference) -> None:
        """Redeem the voucher that `price` has put into the cart, by one guarded UPDATE.

        Raises:
            Conflict: the voucher has changed since `price` read it.
        """

    def release(self, voucher: AppliedVoucher, order: OrderReference) -> None:
        """Release the voucher of an order that is being cancelled; called once for an order.

        `voucher` has the code that the order stores, and the key if it is a row of `vouchers`.
        """
