"""Read a customer's cart with its items and their products, in one snapshot.

The locks are always taken in the same order, the cart's row, its items by key, their products by
key, so that two conversions don't deadlock. The number of statements does not depend on the number
of items.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy.orm import scoped_session

from .cart_queries import CartQueries
from .currency import FLOAT_NOISE, ZERO, Currency
from .db.bulk import has_arrays
from .db.dialects import dialect_of
from .errors import ConfigurationError, InvalidRequest, UnavailableReason
from .models import Models, ProductMixin
from .pricing import CartItem
from .product_stock import ProductStock
from .stock_columns import StockLevel


@dataclass(frozen=True, slots=True)
class CartItemRow:
    """A cart item's row; `product_key` is `product_id` as the product's own row spells it."""

    key: Any
    product_id: Any
    quantity: Any
    product_key: Any


@dataclass(frozen=True, slots=True)
class CartSnapshot:
    """A cart that is not empty, as one series of reads found it.

    Attributes:
        key, voucher, version: what the cart's row holds; None where it has no such column.
        item_keys: the keys of all its items, ascending.
        items: the available items, in the order of their keys.
        unavailable: the unavailable items, as `ItemUnavailable` lists them.
        stock: the stock levels of the products that exist, by their keys.
    """

    key: Any
    voucher: Any
    version: Any
    item_keys: tuple[Any, ...]
    items: tuple[CartItem, ...]
    unavailable: tuple[dict[str, Any], ...]
    stock: Mapping[Any, StockLevel]


class Carts:
    """The carts of one app, in the shop's own classes."""

    def __init__(
        self,
        session: scoped_session[Session],
        models: Models,
        currency: Callable[[], Currency],
        stock: ProductStock,
        *,
        priced_by_product: bool,
    ) -> None:
        self._session = session
        self._models = models
        self._stock = stock
        self._currency = currency
        self._priced_by_product = priced_by_product

    @cached_property
    def _arrays(self) -> bool:
        return has_arrays(self._session, self._models.Order)

    @cached_property
    def _locking_queries(self) -> CartQueries:
        return CartQueries(self._models, lock=True, arrays=self._arrays)

    @cached_property
    def _plain_queries(self) -> CartQueries:
        return CartQueries(self._models, lock=False, arrays=self._arrays)

    def read(self, customer_id: Any, max_items: int, *, lock: bool = True) -> CartSnapshot | None:
        """Read the customer's cart; return None if there is no cart, or nothing in it.

        Args:
            customer_id: the customer's primary key.
            max_items: the largest number of items that a cart may have.
            lock: whether the cart, its items and their products stay locked until the transaction
                ends; every row is then read by the statement that locks it.

        Raises:
            InvalidRequest: there are more than `max_items` items.
            ConfigurationError: the customer has several carts.
        """
        queries = self._locking_queries if lock else self._plain_queries
        cart = self._cart_row(customer_id, queries)
        if cart is None:
            return None
        key, voucher, version = cart
        rows = self._item_rows(key, max_items, queries)
        if not rows:
            return None
        items = self._with_products(rows, queries)
        stock = self._stock.levels(
            {item.product_id: item.product for item in items if item.product is not None}
        )
        refusals = self._refusals(items, stock)
        return CartSnapshot(
            key,
            voucher,
            version,
            item_keys=tuple(item.key for item in items),
            items=tuple(item for item in items if item.key not in refusals),
            unavailable=tuple(
                item.unavailable(*refusals[item.key]) for item in items if item.key in refusals
            ),
            stock=stock,
        )

    def is_price(self, amount: Any) -> bool:
        """Return whether a product can be sold or shipped for an amount, in the shop's currency."""
        return isinstance(amount, Decimal | int) and self._currency().is_price(
            Decimal(amount), noise=self._noise
        )

    @cached_property
    def _noise(self) -> Decimal:
        """SQLite holds a NUMERIC as a float; the library's own columns are exact there too."""
        bind = self._session.get_bind(mapper=self._models.Order)
        is_exact = issubclass(self._models.Product, ProductMixin)
        return ZERO if is_exact or dialect_of(bind.dialect).has_decimals else FLOAT_NOISE

    def _cart_row(self, customer_id: Any, queries: CartQueries) -> Sequence[Any] | None:
        rows = self._session.execute(queries.cart, {"customer": customer_id}).all()
        if len(rows) > 1:
            raise ConfigurationError(
                f"A customer has {len(rows)} carts: {self._models.Cart.__name__}.customer_id must "
                "identify the open cart; make it unique, or NULL in closed carts."
            )
        return rows[0] if rows else None

    def _item_rows(self, cart: Any, max_items: int, queries: CartQueries) -> list[CartItemRow]:
        limited = {"cart": cart, "most": max_items + 1}
        rows = self._session.execute(queries.items, limited).all()
        if len(rows) > max_items:
            raise InvalidRequest(f"A cart can be ordered with at most {max_items} items.")
        return [CartItemRow(*row) for row in rows]

    def _with_products(self, rows: Sequence[CartItemRow], queries: CartQueries) -> list[CartItem]:
        found_keys = {row.key: row.product_key for row in rows} | self._found_late(rows, queries)
        keys = list(dict.fromkeys(key for key in found_keys.values() if key is not None))
        found = self._session.execute(queries.products, {"keys": keys})
        products = {row[0]: row[1] for row in found}
        return [_cart_item(row, found_keys[row.key], products) for row in rows]

    def _found_late(self, rows: Sequence[CartItemRow], queries: CartQueries) -> dict[Any, Any]:
        """Return, by item, the products that were added after the items' statement began."""
        missing = [
            row.key for row in rows if row.product_id is not None and row.product_key is None
        ]
        if queries.late is None or not missing:
            return {}
        found = self._session.execute(queries.late, {"keys": missing})
        return {row[0]: row[1] for row in found}

    def _refusals(
        self, items: Sequence[CartItem], stock: Mapping[Any, StockLevel]
    ) -> dict[Any, tuple[UnavailableReason, int]]:
        """Return, by unavailable item, why it is unavailable and how many units are left."""
        wanted = units_by_product(item for item in items if _is_count(item.quantity))
        refusals = {
            item.key: self._refusal(item, stock.get(item.product_id), wanted[item.product_id])
            for item in items
        }
        return {key: refusal for key, refusal in refusals.items() if refusal is not None}

    def _refusal(
        self, item: CartItem, level: StockLevel | None, wanted: int
    ) -> tuple[UnavailableReason, int] | None:
        """Return why an item is unavailable, and how many units are left; or None."""
        product = item.product
        if product is None or level is None:
            return UnavailableReason.GONE, 0
        if not product.active:
            return UnavailableReason.INACTIVE, 0
        if not _is_count(item.quantity):
            return UnavailableReason.INVALID_QUANTITY, 0
        if self._priced_by_product and not self._has_price(item):
            return UnavailableReason.NO_PRICE, 0
        if level.available is not None and level.available < wanted:
            return UnavailableReason.OUT_OF_STOCK, max(level.available, 0)
        return None

    def _has_price(self, item: CartItem) -> bool:
        """Return whether an item has a price and shipping; NULL shipping is free."""
        if item.product.price is None:
            return False
        return self.is_price(item.list_price) and self.is_price(item.shipping)


def units_by_product(items: Iterable[CartItem]) -> Counter[Any]:
    """Return the number of units of each product, by its key, in the order of the items."""
    units = Counter[Any]()
    for item in items:
        units[item.product_id] += item.quantity
    return units


def _cart_item(row: CartItemRow, key: Any, products: Mapping[Any, Any]) -> CartItem:
    product = products.get(key)
    return CartItem(row.key, row.product_id if product is None else key, product, row.quantity)


def _is_count(quantity: Any) -> bool:
    return isinstance(quantity, int) and quantity >= 1
