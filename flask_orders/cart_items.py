"""Cart items made of a cart's rows, or of what a cart without rows names.

Where each row is one unit, equal rows are one item; all spellings of one product's key are one
product. Pure: no session, no clock, no Flask.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .pricing import CartItem
from .product_reader import ProductValues
from .stock_columns import StockLevel


@dataclass(frozen=True, slots=True)
class CartItemRow:
    """A cart item's row.

    Attributes:
        key: its primary key, as a tuple.
        product_id: what its foreign key to the product holds.
        quantity: its number of units; None where each row is one unit.
        product_key: its product's primary key, as the product's own row spells it.
        copied: what is copied to the order item, by column.
        row: the shop's own object, or the row of a bare table; None if no object was read.
    """

    key: tuple[Any, ...]
    product_id: Any
    quantity: Any
    product_key: Any
    copied: Mapping[str, Any]
    row: Any


@dataclass(frozen=True, slots=True)
class GivenCart:
    """A cart without rows, such as one in the customer's session.

    Attributes:
        items: the number of units of each product, by its key or by the text of its key.
        voucher: the voucher's code, or its key; None if there is none.
    """

    items: Mapping[Any, Any]
    voucher: Any = None


@dataclass(frozen=True, slots=True)
class ProductRow:
    """A product that was read, with its values, its stock level, and its row's version.

    `found` is the shop's own object, or the values again if no object was read.
    """

    found: Any
    values: ProductValues
    stock: StockLevel
    version: Any


def cart_items(
    rows: Sequence[CartItemRow],
    keys: Mapping[Any, Any],
    products: Mapping[Any, ProductRow],
    *,
    is_unit: bool,
) -> list[CartItem]:
    """Return the rows as items; where each row is one unit, equal rows are one item."""
    grouped: dict[Any, list[CartItemRow]] = {}
    for row in rows:
        product_id = row.product_id if keys[row.key] is None else keys[row.key]
        group = (product_id, repr(row.copied)) if is_unit else row.key
        grouped.setdefault(group, []).append(row)
    return [
        _cart_item(equal, keys[equal[0].key], products, len(equal) if is_unit else None)
        for equal in grouped.values()
    ]


def _cart_item(
    rows: Sequence[CartItemRow], key: Any, products: Mapping[Any, ProductRow], units: int | None
) -> CartItem:
    first = rows[0]
    return _item_of(
        products.get(key),
        first.product_id if key is None else key,
        key=first.key[0] if len(first.key) == 1 else first.key,
        quantity=first.quantity if units is None else units,
        row=first.row,
        rows=tuple(row.row for row in rows),
        copied=first.copied,
    )


def given_items(
    items: Mapping[Any, Any], keys: Mapping[Any, Any], products: Mapping[Any, ProductRow]
) -> list[CartItem]:
    """Return the items of a cart without rows; all spellings of one key are one item."""
    quantities: dict[Any, list[Any]] = {}
    for given, quantity in items.items():
        if keys[given] is not None:
            quantities.setdefault(keys[given], []).append(quantity)
    # What is no key is no product's: True is equal to 1 in Python.
    strangers = [given for given in items if keys[given] is None]
    return [
        _item_of(products.get(key), key, key=key, quantity=_sum(counts), rows=(None,))
        for key, counts in quantities.items()
    ] + [_item_of(None, None, key=given, quantity=items[given]) for given in strangers]


def _sum(quantities: Sequence[Any]) -> Any:
    """Return the sum; or a quantity that is no number of units, to be refused as what it is."""
    wrong = [quantity for quantity in quantities if not is_count(quantity)]
    return wrong[0] if wrong else sum(quantities)


def _item_of(product: ProductRow | None, product_id: Any, **item: Any) -> CartItem:
    if product is None:
        return CartItem(product_id=product_id, product=None, **item)
    return CartItem(
        product_id=product_id, product=product.found, **item, **product.values.of_item()
    )


def is_count(quantity: Any) -> bool:
    """Return whether a quantity is a number of units: a whole number, 1 or more."""
    return isinstance(quantity, int) and not isinstance(quantity, bool) and quantity >= 1
