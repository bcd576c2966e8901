"""The priced cart, and the protocol by which a shop brings its own prices: `Pricing`.

Every amount is a Decimal in the shop's currency, rounded half-up to its quantum once per item; the
amounts of a cart follow from those of its items. Pure: no session, no clock, no Flask.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from inspect import signature
from typing import Any, Protocol, Self
from uuid import UUID

from .addresses import BillingAddress
from .currency import ZERO, Currency, share_out
from .errors import ConfigurationError, OrdersError, PriceChanged, UnavailableReason

__all__ = [
    "AppliedOffer",
    "AppliedVoucher",
    "Cart",
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


# The methods of a `Pricing`, and their arguments.
METHODS = {
    "price": ("cart", "now"),
    "redeem": ("voucher", "order"),
    "release": ("voucher", "order"),
}


@dataclass(frozen=True, slots=True)
class CartItem:
    """A cart item and its product, as the locking reads found them.

    Attributes:
        key: the cart item's primary key; a tuple if it has several columns.
        product_id: the product's primary key.
        product: the shop's product object, refreshed; None if the product is gone.
        quantity: the number of units, 1 or more.
        row: the shop's own cart item: an object of its class, or the row of a bare table; the first
            of `rows`.
        sku: the product's sku as text; None if it has none.
        name: the product's name as text; None if it has none.
        list_price: the price of one unit before any discount; None if the product has none that
            can be charged. Only a pricing of the shop's own is given such an item.
        sale_price: the price of one unit in a sale; None if there is none.
        shipping: the shipping cost of the whole item; None as for `list_price`, 0 is free.
        rows: all of the shop's own cart items: several where each row is one unit.
        copied: what is copied to the order item, by the names of its columns.
    """

    key: Any
    product_id: Any
    product: Any
    quantity: int
    row: Any = None
    sku: str | None = None
    name: str | None = None
    list_price: Decimal | None = None
    sale_price: Decimal | None = None
    shipping: Decimal | None = ZERO
    rows: tuple[Any, ...] = ()
    copied: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unit_price(self) -> Decimal | None:
        """The lower of list price and sale price; None without a list price."""
        if self.list_price is None or self.sale_price is None:
            return self.list_price
        return min(self.list_price, self.sale_price)

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


@dataclass(frozen=True, slots=True)
class Cart:
    """A cart as a `Pricing` is given it, read under lock for an order, without one for a preview.

    Attributes:
        row: the shop's own cart object; None if the shop has no cart class.
        items: the available items, in the order of their keys.
        customer_id: the customer's primary key.
        voucher: what the cart's row holds for a voucher; None if there is none.
        currency: the shop's currency.
        billing_address: the address to bill: the request's, or else the customer's saved one; None
            in a preview.
        extra: the shop's own fields of the request, by name; none in a preview.
    """

    row: Any
    items: tuple[CartItem, ...]
    customer_id: Any
    voucher: Any
    currency: Currency
    billing_address: BillingAddress | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AppliedOffer:
    """The offer of an item: its key (None if it is not a row of `offers`) and its title."""

    id: Any
    title: str


class AppliedVoucher(Protocol):
    """The voucher of an order: its key (None if it is not a row of `vouchers`) and its code.

    The code is a str; to a type checker, the attribute of a mapped class may be something else.
    """

    @property
    def id(self) -> Any:
        """Its key, or None."""

    @property
    def code(self) -> Any:
        """Its code."""


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
            list_price: the price of one unit before any discount; left out, it is the product's.
            unit_price: the price of one unit; left out, it is the given list price or, without
                one, the lower of the product's list and sale price. Below 0 it is 0.
            shipping: the shipping cost of the whole item; left out, it is the product's.
            offer: the offer that gives the unit price.

        Raises:
            ConfigurationError: an amount is NaN, infinite, not a Decimal, or neither given nor the
                product's.
        """
        listed = currency.round(_given(item, "list_price") if list_price is None else list_price)
        if unit_price is not None:
            unit = max(ZERO, currency.round(unit_price))
        elif list_price is None and item.sale_price is not None:
            unit = min(listed, currency.round(item.sale_price))
        else:
            unit = listed
        return cls(
            cart_item=item,
            list_price=listed,
            unit_price=unit,
            shipping=currency.round(_given(item, "shipping") if shipping is None else shipping),
            offer=offer,
        )

    @property
    def quantity(self) -> int:
        """The number of units."""
        return self.cart_item.quantity

    @property
    def total_price(self) -> Decimal:
        """`unit_price` x `quantity`."""
        return self.unit_price * self.quantity

    @property
    def discount_amount(self) -> Decimal:
        """What the units cost less than at their list price."""
        return (self.list_price - self.unit_price) * self.quantity


def _given(item: CartItem, name: str) -> Decimal:
    amount: Decimal | None = getattr(item, name)
    if amount is None:
        raise ConfigurationError(
            f"The product {item.product_id!r} has no {name} that can be charged: give it by "
            f"PricedItem.of(item, currency, {name}=...)."
        )
    return amount


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
        shipping: Decimal | None = None,
    ) -> Self:
        """Make a cart of priced items, and share what is the order's alone out over them.

        Args:
            items: the priced items.
            currency: the shop's currency.
            voucher: the voucher to redeem.
            discount: a function from the subtotal to the voucher's discount, which is rounded,
                and limited to the subtotal.
            shipping: the shipping cost of the order, which replaces that of the items: it is
                rounded, and shared out in proportion to their total prices (to their quantities
                if all of them are free). Left out, the items keep their own.

        Raises:
            ConfigurationError: an amount is NaN, infinite, not a Decimal, or shipping below 0.
        """
        totals = [item.total_price for item in items]
        subtotal = sum(totals, ZERO)
        wanted = ZERO if discount is None else currency.round(discount(subtotal))
        shares = share_out(min(max(ZERO, wanted), subtotal), totals, currency)
        shared = [
            item if item.voucher_discount == share else replace(item, voucher_discount=share)
            for item, share in zip(items, shares, strict=True)
        ]
        if shipping is not None:
            shared = _with_shipping(shared, shipping, currency)
        return cls(currency, tuple(shared), voucher)

    @property
    def items_count(self) -> int:
        """The number of units of all items."""
        return sum(item.quantity for item in self.items)

    @property
    def subtotal(self) -> Decimal:
        """The sum of the items' `total_price`."""
        return sum((item.total_price for item in self.items), ZERO)

    @property
    def savings_on_items(self) -> Decimal:
        """The sum of the items' `discount_amount`."""
        return sum((item.discount_amount for item in self.items), ZERO)

    @property
    def discount_amount(self) -> Decimal:
        """The voucher's discount."""
        return sum((item.voucher_discount for item in self.items), ZERO)

    @property
    def amount_saved(self) -> Decimal:
        """`savings_on_items` and the voucher's discount."""
        return self.savings_on_items + self.discount_amount

    @property
    def shipping(self) -> Decimal:
        """The sum of the items' `shipping`."""
        return sum((item.shipping for item in self.items), ZERO)

    @property
    def total_amount(self) -> Decimal:
        """What the customer pays: `subtotal` + `shipping` - `discount_amount`."""
        return self.subtotal + self.shipping - self.discount_amount

    def price_refusal(self, expected_total: Decimal | None) -> PriceChanged | None:
        """Return the error if the total is higher than the expected total, if there is one."""
        if expected_total is None or self.total_amount <= expected_total:
            return None
        text = self.currency.text
        return PriceChanged(expected=text(expected_total), actual=text(self.total_amount))


def _with_shipping(
    items: Sequence[PricedItem], shipping: Decimal, currency: Currency
) -> list[PricedItem]:
    """Share an order's shipping cost out over its items."""
    amount = currency.round(shipping)
    if amount < 0:
        raise ConfigurationError(f"An order's shipping is {shipping}: give 0 or more.")
    totals = [item.total_price for item in items]
    weights = totals if any(totals) else [Decimal(item.quantity) for item in items]
    shares = share_out(amount, weights, currency)
    return [replace(item, shipping=share) for item, share in zip(items, shares, strict=True)]


def check_priced(priced: PricedCart, cart: Cart, pricing: object) -> PricedCart:
    """Return what a shop's own pricing made of a cart, if an order can store it.

    Raises:
        ConfigurationError: an amount is negative, NaN, infinite, or finer than the currency's
            quantum, a list price is below its unit price, or the units are not those of the cart.
    """
    for item in priced.items:
        for name in ("list_price", "unit_price", "shipping", "voucher_discount"):
            amount = getattr(item, name)
            if not isinstance(amount, Decimal) or not priced.currency.is_price(amount):
                raise _refused(pricing, item, f"{name} {amount!r}", "make items by PricedItem.of")
        if item.list_price < item.unit_price:
            raise _refused(
                pricing,
                item,
                f"list_price {item.list_price} below unit_price {item.unit_price}",
                "pass the price before the discount as list_price= to PricedItem.of",
            )
    if units_by_product(item.cart_item for item in priced.items) != units_by_product(cart.items):
        raise ConfigurationError(
            f"{type(pricing).__name__}.price returned other units than the cart has: return a "
            "PricedItem for each of cart.items."
        )
    return priced


def check_pricing(pricing: object) -> None:
    """Refuse an object that is no `Pricing`.

    Raises:
        ConfigurationError: it is a class, or lacks a method, or one takes other arguments.
    """
    if isinstance(pricing, type):
        name = pricing.__name__
        raise ConfigurationError(f"pricing={name} is a class: pass an object, pricing={name}().")
    for name, arguments in METHODS.items():
        if not _takes(getattr(pricing, name, None), len(arguments)):
            raise ConfigurationError(
                f"pricing={type(pricing).__name__}() lacks a method: write def {name}(self, "
                f"{', '.join(arguments)}). Without vouchers, redeem and release have nothing to do."
            )


def _takes(method: Any, count: int) -> bool:
    """Return whether a method can be called with so many arguments."""
    if not callable(method):
        return False
    try:
        signature(method).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # a method without a signature, which is not written in Python
        return True
    return True


def units_by_product(items: Iterable[CartItem]) -> Counter[Any]:
    """Return the number of units of each product, by its key, in the order of the items."""
    units = Counter[Any]()
    for item in items:
        units[item.product_id] += item.quantity
    return units


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
    def id(self) -> UUID:
        """The order's key."""
        ...

    @property
    def customer_id(self) -> Any:
        """The customer's key."""


class Pricing(Protocol):
    """Prices, offers and vouchers. Each method runs inside the order's own transaction."""

    def price(self, cart: Cart, now: datetime) -> PricedCart:
        """Price the cart's items, all of them; a preview calls this without any lock.

        Args:
            cart: the cart with its items, its customer, and what the request says.
            now: the time at which offers and vouchers have to be valid.

        Raises:
            VoucherNotApplicable: the voucher can't be used.
        """
        ...

    def redeem(self, voucher: Any, order: OrderReference) -> None:
        """Redeem the voucher that `price` has put into the cart, by one guarded UPDATE.

        Raises:
            Conflict: the voucher has changed since `price` read it.
        """

    def release(self, voucher: AppliedVoucher, order: OrderReference) -> None:
        """Release the voucher of an order that is being cancelled; called once for an order.

        `voucher` has the code that the order stores, and the key if it is a row of `vouchers`.
        """
