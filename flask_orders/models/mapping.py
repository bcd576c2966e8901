"""Say which of the shop's own classes and attributes play which part; the classes stay as they are.

    orders = declare_models(
        db,
        customer=User,
        product=mapping.product(Product, name=Product.title, price=Product.unit_price, stock=None),
        cart=Basket,
        cart_item=mapping.cart_item(BasketRow, quantity=BasketRow.qty),
    )

A part is an attribute of the class, an SQL expression of it, a constant, or, for `sku`, `name`,
`price`, `sale_price`, `shipping` and `active`, a function of the object. An expression that
mentions a relationship is given as a lambda without a parameter. A part that is left out is the
attribute of that name, and a foreign key is found by itself. Prices are exact Decimals unless they
are wrapped by `minor_units`, `major_units` or `from_float`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table

from ..amounts import from_float, major_units, minor_units
from .parts import UNSAID

__all__ = [
    "cart",
    "cart_item",
    "from_float",
    "major_units",
    "minor_units",
    "product",
    "reserved",
    "taken_in_cart",
]


@dataclass(frozen=True)
class MappedClass:
    """A class of the shop, or a bare table, and the parts that were said."""

    given: Any
    parts: Mapping[str, Any]


class ProductMapping(MappedClass):
    """The result of `mapping.product`."""


class CartMapping(MappedClass):
    """The result of `mapping.cart`."""


class CartItemMapping(MappedClass):
    """The result of `mapping.cart_item`."""


@dataclass(frozen=True)
class Reserved:
    """Stock that is available where `quantity` is larger than `allocated`."""

    quantity: Any
    allocated: Any


@dataclass(frozen=True)
class TakenInCart:
    """Stock that the shop has deducted when the product was put into the cart."""

    quantity: Any


def product(
    cls: type[Any],
    *,
    sku: Any = UNSAID,
    name: Any = UNSAID,
    price: Any = UNSAID,
    sale_price: Any = UNSAID,
    shipping: Any = UNSAID,
    stock: Any = UNSAID,
    active: Any = UNSAID,
    load: Any = (),
) -> ProductMapping:
    """Map the class of what is bought; its key has one column.

    Args:
        cls: the product's class, or the variant's if variants are bought.
        sku: its article number; None if there is none.
        name: its name.
        price: the list price of one unit.
        sale_price: a lower price, or NULL; the saving is in the order.
        shipping: the shipping cost of an item; None, or no such attribute: free.
        stock: the column of the units left; None: not counted; `reserved(...)`,
            `taken_in_cart(...)`, or a `flask_orders.stock.Stock`. It must be said unless the class
            has a column `stock`.
        active: whether it is for sale; no such attribute: always.
        load: relationships that are read anew together with the products: an attribute, a tuple of
            them, or a lambda that returns either.
    """
    parts = {
        "sku": sku,
        "name": name,
        "price": price,
        "sale_price": sale_price,
        "shipping": shipping,
        "stock": stock,
        "active": active,
    }
    return ProductMapping(cls, _said(parts) | {"load": load})


def cart(
    cls: type[Any],
    *,
    customer: Any = UNSAID,
    voucher: Any = UNSAID,
    open: Any = UNSAID,  # noqa: A002 - the contract's name
) -> CartMapping:
    """Map the class of the carts; its key has one column.

    Args:
        cls: the cart's class; the customer's class if there are no carts, and the items refer to
            the customer.
        customer: the foreign key to the customer, if there are several or none.
        voucher: the column of the key of a `Voucher`, or of its code as text; None, or no such
            attribute: the shop has none.
        open: the condition that a cart is still to be bought, such as
            `Basket.ordered.is_not(True)`.
    """
    return CartMapping(cls, _said({"customer": customer, "voucher": voucher, "open": open}))


def cart_item(
    cls: type[Any] | Table,
    *,
    cart: Any = UNSAID,
    product: Any = UNSAID,
    quantity: Any = UNSAID,
    open: Any = UNSAID,  # noqa: A002 - the contract's name
    copy: tuple[Any, ...] = (),
) -> CartItemMapping:
    """Map the class of the cart's items, or their table if they have no class.

    Args:
        cls: the class or the table; its key may have several columns.
        cart: the foreign key to the cart, if there are several or none.
        product: the foreign key to the product, if there are several or none.
        quantity: the number of units; 1: each row is one unit, and the rows of one product become
            one order item.
        open: the condition that an item is still to be bought, such as
            `BasketRow.saved_for_later.is_(False)`.
        copy: columns that are copied to the order item's columns of the same names.
    """
    parts = {"cart": cart, "product": product, "quantity": quantity, "open": open}
    return CartItemMapping(cls, _said(parts) | {"copy": copy})


def reserved(quantity: Any, allocated: Any) -> Reserved:
    """Count stock as `quantity - allocated`: an order adds its units to `allocated`.

    Args:
        quantity: the column of the units that are there; NULL: not counted.
        allocated: the column of the units that orders hold.
    """
    return Reserved(quantity, allocated)


def taken_in_cart(quantity: Any) -> TakenInCart:
    """Say that the shop deducts stock when a product is put into the cart.

    An order deducts nothing, and a cancellation adds its units to `quantity`.

    Args:
        quantity: the column of the units left.
    """
    return TakenInCart(quantity)


def _said(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given for name, given in parts.items() if given is not UNSAID}
