"""Read a customer's cart with its items and their products, in one snapshot.

The locks are always taken in the same order, the cart's row, its items by key, their products by
key, so that two conversions don't deadlock. The number of statements does not depend on the number
of items.
"""

from collections.abc import Callable, Mapping, Sequence
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
from .pricing import CartItem, units_by_product


@dataclass(frozen=True, slots=True)
class CartItemRow:
    """A cart item's row, and the shop's own object of it.

    `product_key` is `product_id` as the product's own row spells it.
    """

    key: Any
    product_id: Any
    quantity: Any
    product_key: Any
    row: Any


@dataclass(frozen=True, slots=True)
class CartSnapshot:
    """A cart that is not empty, as one series of reads found it.

    Attributes:
        key, voucher, version: what the cart's row holds; None where it has no such column.
        item_keys: the keys of all its items, ascending.
        items: the available items, in the order of their keys.
        unavailable: the unavailable items, as `ItemUnavailable` lists them.
        row: the shop's own cart object.
    """

    key: Any
    voucher: Any
    version: Any
    item_keys: tuple[Any, ...]
    items: tuple[CartItem, ...]
    unavailable: tuple[dict[str, Any], ...]
    row: Any = None


class Carts:
    """The carts of one app, in the shop's own classes."""

    def __init__(
        self,
        session: scoped_session[Session],
        models: Models,
        currency: Callable[[], Currency],
        *,
        priced_by_product: bool,
    ) -> None:
        self._session = session
        self._models = models
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
        key, voucher, version, own = cart
        rows = self._item_rows(key, max_items, queries)
        if not rows:
            return None
        items = self._with_products(rows, queries)
        refusals = self._refusals(items)
        return CartSnapshot(
            key,
            voucher,
            version,
            item_keys=tuple(item.key for item in items),
            items=tuple(item for item in items if item.key not in refusals),
            unavailable=tuple(
                item.unavailable(*refusals[item.key]) for item in items if item.key in refusals
            ),
            row=own,
        )

    def refresh_products(self, keys: Sequence[Any]) -> None:
        """Read products that are locked once more, into the objects that the session has."""
        self._session.execute(self._locking_queries.products, {"keys": keys}).all()

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
        return [self._cart_item(row, found_keys[row.key], products) for row in rows]

    def _cart_item(self, row: CartItemRow, key: Any, products: Mapping[Any, Any]) -> CartItem:
        product = products.get(key)
        if product is None:
            return CartItem(row.key, row.product_id, None, row.quantity, row.row)
        return CartItem(
            key=row.key,
            product_id=key,
            product=product,
            quantity=row.quantity,
            row=row.row,
            sku=_text(product.sku),
            name=_text(product.name),
            list_price=self._amount(product, "price"),
            shipping=ZERO if product.shipping is None else self._amount(product, "shipping"),
        )

    def _amount(self, product: Any, name: str) -> Decimal | None:
        """Return an amount of a product; None if it has none, or none that the shop needs.

        Raises:
            ConfigurationError: the amount is not exact.
        """
        amount = getattr(product, name)
        if isinstance(amount, Decimal | int):
            return Decimal(amount)
        if amount is None or not self._priced_by_product:
            return None
        raise ConfigurationError(
            f"{type(product).__name__}.{name} is a {type(amount).__name__}, which can't hold an "
            "exact amount: make its column a Numeric, or have the property return a Decimal."
        )

    def _found_late(self, rows: Sequence[CartItemRow], queries: CartQueries) -> dict[Any, Any]:
        """Return, by item, the products that were added after the items' statement began."""
        missing = [
            row.key for row in rows if row.product_id is not None and row.product_key is None
        ]
        if queries.late is None or not missing:
            return {}
        found = self._session.execute(queries.late, {"keys": missing})
        return {row[0]: row[1] for row in found}

    def _refusals(self, items: Sequence[CartItem]) -> dict[Any, tuple[UnavailableReason, int]]:
        """Return, by unavailable item, why it is unavailable and how many units are left."""
        wanted = units_by_product(item for item in items if _is_count(item.quantity))
        refusals = {item.key: self._refusal(item, wanted[item.product_id]) for item in items}
        return {key: refusal for key, refusal in refusals.items() if refusal is not None}

    def _refusal(self, item: CartItem, wanted: int) -> tuple[UnavailableReason, int] | None:
        """Return why an item is unavailable, and how many units are left; or None."""
        product = item.product
        if product is None:
            return UnavailableReason.GONE, 0
        if not product.active:
            return UnavailableReason.INACTIVE, 0
        if not _is_count(item.quantity):
            return UnavailableReason.INVALID_QUANTITY, 0
        if self._priced_by_product and not self._has_price(item):
            return UnavailableReason.NO_PRICE, 0
        if product.stock is not None and product.stock < wanted:
            return UnavailableReason.OUT_OF_STOCK, max(product.stock, 0)
        return None

    def _has_price(self, item: CartItem) -> bool:
        """Return whether an item's prices and shipping can be charged."""
        prices = [item.list_price, item.shipping]
        if item.sale_price is not None:
            prices.append(item.sale_price)
        return all(self.is_price(amount) for amount in prices)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _is_count(quantity: Any) -> bool:
    return isinstance(quantity, int) and quantity >= 1
