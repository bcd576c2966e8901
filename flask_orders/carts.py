"""Read a customer's cart with its items and their products, in one snapshot.

The locks are always taken in the same order, the cart's row, its items by key, their products by
key, so that two conversions don't deadlock. The number of statements does not depend on the number
of items.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import Dialect
from sqlalchemy.orm import scoped_session
from sqlalchemy.types import TypeEngine

from .cart_items import CartItemRow, GivenCart, ProductRow, cart_items, given_items, is_count
from .cart_queries import CartQueries
from .currency import Currency
from .db.bulk import has_arrays
from .db.dialects import dialect_of
from .db.loads import locked_loads
from .db.typing import Query
from .errors import ConfigurationError, InvalidRequest, UnavailableReason
from .key_values import holds, keys_spelled
from .models import Models, ProductMixin
from .models.contract import has_load_listeners
from .pricing import CartItem, units_by_product
from .product_reader import ProductReader
from .product_stock import ProductStock
from .versions import RowVersion


@dataclass(frozen=True, slots=True)
class CartRow:
    """What a cart's row holds; None where it has no such column, or where there is no row.

    `row` is the shop's own cart object; None if no object was read.
    """

    key: Any
    voucher: Any
    version: Any
    row: Any


@dataclass(frozen=True, slots=True)
class CartSnapshot:
    """A cart that is not empty, as one series of reads found it.

    Attributes:
        key, voucher, version: what the cart's row holds; None where it has no such column.
        row: the shop's own cart object.
        item_keys: the keys of all its items, each a tuple, ascending.
        items: the available items, in the order of their keys.
        unavailable: the unavailable items, as `ItemUnavailable` lists them.
        products: the products that exist, by their keys.
    """

    key: Any
    voucher: Any
    version: Any
    row: Any
    item_keys: tuple[tuple[Any, ...], ...]
    items: tuple[CartItem, ...]
    unavailable: tuple[dict[str, Any], ...]
    products: Mapping[Any, ProductRow]


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
    def reader(self) -> ProductReader:
        """The reader of the shop's products."""
        return ProductReader(
            self._models.shop.product,
            is_noisy=self._is_noisy,
            is_lenient=not self._priced_by_product,
        )

    @cached_property
    def _arrays(self) -> bool:
        return has_arrays(self._session, self._models.Order)

    @cached_property
    def _locking_queries(self) -> CartQueries:
        return CartQueries(self._models, self.reader, lock=True, arrays=self._arrays)

    @cached_property
    def _locking_columns(self) -> CartQueries:
        """As `_locking_queries`, without objects, which take the ORM long to make."""
        return CartQueries(self._models, self.reader, lock=True, arrays=self._arrays, objects=False)

    @cached_property
    def _plain_queries(self) -> CartQueries:
        return CartQueries(self._models, self.reader, lock=False, arrays=self._arrays)

    def _queries(self, *, lock: bool, objects: bool) -> CartQueries:
        if not lock:
            return self._plain_queries
        return self._locking_queries if objects or self._needs_objects else self._locking_columns

    @cached_property
    def _needs_objects(self) -> bool:
        """Whether the shop's own code reads the objects, or changes them when they are loaded."""
        product, item = self._models.shop.product, self._models.shop.cart_item.source
        return (
            not self._priced_by_product
            or self.reader.has_functions
            or self._stock.columns is None
            or bool(product.loaded)
            or has_load_listeners(product.source.given)
            or (item.mapper is not None and has_load_listeners(item.given))
        )

    def read(
        self, customer_id: Any, max_items: int, *, lock: bool = True, objects: bool = True
    ) -> CartSnapshot | None:
        """Read the customer's cart; return None if there is no cart, or nothing in it.

        Args:
            customer_id: the customer's primary key.
            max_items: the largest number of items that a cart may have.
            lock: whether the cart, its items and their products stay locked until the transaction
                ends; every row is then read by the statement that locks it.
            objects: whether the caller needs the shop's own objects of products and items. Without
                a lock they are read anyway.

        Raises:
            InvalidRequest: there are more than `max_items` items.
            ConfigurationError: the customer has several carts.
        """
        queries = self._queries(lock=lock, objects=objects)
        cart = self._cart_row(customer_id, queries)
        if cart is None:
            return None
        key, items_of, voucher, version = cart[:4]
        rows = self._item_rows(items_of, max_items, queries)
        if not rows:
            return None
        keys = {row.key: row.product_key for row in rows} | self._found_late(rows, queries)
        products = self._products(keys.values(), queries)
        items = cart_items(rows, keys, products, is_unit=self._models.shop.cart_item.is_unit)
        return self._snapshot(
            CartRow(key, voucher, version, cart[4] if queries.has_objects else None),
            tuple(row.key for row in rows),
            items,
            products,
        )

    def read_given(
        self, cart: GivenCart, max_items: int, *, lock: bool = True, objects: bool = True
    ) -> CartSnapshot | None:
        """Read the products of a cart that has no rows, as `read` does those of others.

        Raises:
            InvalidRequest: there are more than `max_items` items.
        """
        if not cart.items:
            return None
        _refuse_too_many(len(cart.items), max_items)
        queries = self._queries(lock=lock, objects=objects)
        keys = {given: self._product_key(given) for given in cart.items}
        products = self._products(keys.values(), queries)
        keys |= self._respelled(keys, products, queries)
        items = given_items(cart.items, keys, products)
        return self._snapshot(CartRow(None, cart.voucher, None, None), (), items, products)

    def _snapshot(
        self,
        cart: CartRow,
        item_keys: tuple[tuple[Any, ...], ...],
        items: Sequence[CartItem],
        products: Mapping[Any, ProductRow],
    ) -> CartSnapshot:
        refusals = self._refusals(items, products)
        return CartSnapshot(
            cart.key,
            None if _is_blank(cart.voucher) else cart.voucher,
            cart.version,
            cart.row,
            item_keys=item_keys,
            items=tuple(item for item in items if item.key not in refusals),
            unavailable=tuple(
                item.unavailable(*refusals[item.key]) for item in items if item.key in refusals
            ),
            products=products,
        )

    def _product_key(self, given: Any) -> Any:
        """Return the key that a cart without rows names; None if no product can have it."""
        return self._as_held(self._models.shop.product.key.type, given)

    def _customer_key(self, customer_id: Any) -> Any:
        """Return what the carts hold for a customer; None if no cart can hold it.

        Without a class of customers the key is the text of a JWT, and " 1" or "1x" is not 1.
        """
        owner = self._models.shop.cart.customer
        if self._models.Customer is not None or owner is None:
            return customer_id
        return self._as_held(owner.column.type, customer_id)

    def _as_held(self, type_: TypeEngine[Any], given: Any) -> Any:
        """Return a value as a column of the type holds it; None if it can't hold it."""
        if isinstance(given, str):
            return next(keys_spelled(type_, given, self._dialect), None)
        return given if holds(type_, given, self._dialect) else None

    def _respelled(
        self, keys: Mapping[Any, Any], products: Mapping[Any, ProductRow], queries: CartQueries
    ) -> dict[Any, Any]:
        """Return keys as their products' rows spell them, where only the database finds them equal.

        The products are locked already.
        """
        if products.keys() <= set(keys.values()):
            return {}
        missing = {given: key for given, key in keys.items() if key not in products}
        return {
            given: row[0]
            for given, key in missing.items()
            if key is not None
            for row in self._session.execute(queries.products, {"keys": [key]})
        }

    @cached_property
    def _dialect(self) -> Dialect:
        return self._session.get_bind(mapper=self._models.Order).dialect

    def statements(self) -> Iterator[tuple[str, Query, dict[str, Any]]]:
        """Yield each locking SELECT of a conversion, with parameters that find no row."""
        queries = self._locking_queries
        yield "the cart", queries.cart, {"customer": None}
        yield "the cart's items", queries.items, {"cart": None, "most": 1}
        yield "the products", queries.products, {"keys": []}
        if queries.late is not None:
            yield "added products", queries.late, queries.late_keys.parameters([])

    def refresh_products(self, keys: Sequence[Any]) -> None:
        """Read products that are locked once more, into the objects that the session has."""
        self._product_rows(keys, self._locking_queries)

    @cached_property
    def _is_noisy(self) -> bool:
        """SQLite holds a NUMERIC as a float; the library's own columns are exact there too."""
        is_own = issubclass(self._models.Product, ProductMixin)
        return not is_own and not dialect_of(self._dialect).has_decimals

    def _cart_row(self, customer_id: Any, queries: CartQueries) -> Sequence[Any] | None:
        customer = self._customer_key(customer_id)
        if customer is None:
            return None
        rows = self._session.execute(queries.cart, {"customer": customer}).all()
        if len(rows) > 1:
            raise self._several_carts(len(rows))
        return rows[0] if rows else None

    def _several_carts(self, count: int) -> ConfigurationError:
        cart = self._models.shop.cart
        if cart.open is None:
            fix = (
                "make its customer column unique, or say which carts are open: "
                "mapping.cart(..., open=...)"
            )
        else:
            fix = "close the others, which `flask orders check` lists"
        return ConfigurationError(
            f"A customer has {count} carts: {cart.source.name} must have one open cart for each "
            f"customer; {fix}."
        )

    def _item_rows(self, cart: Any, max_items: int, queries: CartQueries) -> list[CartItemRow]:
        limited = {"cart": cart, "most": max_items + 1}
        rows = self._session.execute(queries.items, limited).all()
        _refuse_too_many(len(rows), max_items)
        return [self._item_row(row, queries) for row in rows]

    def _item_row(self, row: Any, queries: CartQueries) -> CartItemRow:
        item = self._models.shop.cart_item
        width = len(item.key)
        found, copied = None, row[width + 3 :]
        if queries.has_objects:
            found = row if item.source.mapper is None else row[width + 3]
            copied = [item.source.value(found, column) for column in item.copy]
        product, quantity, product_key = row[width : width + 3]
        values = dict(zip(self._copied_names, copied, strict=True))
        return CartItemRow(tuple(row[:width]), product, quantity, product_key, values, found)

    @cached_property
    def _copied_names(self) -> list[str]:
        item = self._models.shop.cart_item
        return [item.source.attribute_name(column) for column in item.copy]

    def _found_late(self, rows: Sequence[CartItemRow], queries: CartQueries) -> dict[Any, Any]:
        """Return, by item, the products that were added after the items' statement began."""
        missing = [
            row.key for row in rows if row.product_id is not None and row.product_key is None
        ]
        if queries.late is None or not missing:
            return {}
        found = self._session.execute(queries.late, queries.late_keys.parameters(missing))
        return {tuple(row[:-1]): row[-1] for row in found}

    def _products(self, keys: Iterable[Any], queries: CartQueries) -> dict[Any, ProductRow]:
        wanted = list(dict.fromkeys(key for key in keys if key is not None))
        rows = self._product_rows(wanted, queries)
        if not queries.has_objects:
            return self._selected_products(rows)
        stock = self._stock.levels({row[0]: row[1] for row in rows})
        currency, version = self._currency(), RowVersion.of(self._models.Product)
        return {
            key: ProductRow(
                found,
                self.reader.read(found, selected, currency),
                stock[key],
                None if version is None else version.held_by(found),
            )
            for key, found, *selected in rows
        }

    def _selected_products(self, rows: Iterable[Any]) -> dict[Any, ProductRow]:
        """Return the products of which columns were selected instead of objects."""
        currency, reader, stock = self._currency(), self.reader, self._stock
        of_reader = 1 + len(reader.selected)
        of_stock = of_reader + len(stock.columns or ())
        found = {}
        for row in rows:
            values = reader.read_selected(row[1:of_reader], currency)
            level = stock.level(*row[of_reader:of_stock])
            found[row[0]] = ProductRow(values, values, level, next(iter(row[of_stock:]), None))
        return found

    def _product_rows(self, keys: Sequence[Any], queries: CartQueries) -> Sequence[Any]:
        if not queries.locks_loads:
            return self._session.execute(queries.products, {"keys": keys}).all()
        with locked_loads(self._session()):
            return self._session.execute(queries.products, {"keys": keys}).all()

    def _refusals(
        self, items: Sequence[CartItem], products: Mapping[Any, ProductRow]
    ) -> dict[Any, tuple[UnavailableReason, int]]:
        """Return, by unavailable item, why it is unavailable and how many units are left."""
        wanted = units_by_product(item for item in items if is_count(item.quantity))
        refusals = {
            item.key: self._refusal(item, products.get(item.product_id), wanted[item.product_id])
            for item in items
        }
        return {key: refusal for key, refusal in refusals.items() if refusal is not None}

    def _refusal(
        self, item: CartItem, product: ProductRow | None, wanted: int
    ) -> tuple[UnavailableReason, int] | None:
        """Return why an item is unavailable, and how many units are left; or None."""
        if product is None:
            return UnavailableReason.GONE, 0
        if not product.values.is_active:
            return UnavailableReason.INACTIVE, 0
        if not is_count(item.quantity):
            return UnavailableReason.INVALID_QUANTITY, 0
        if self._priced_by_product and not product.values.has_price:
            return UnavailableReason.NO_PRICE, 0
        left = product.stock.available
        if left is not None and left < wanted:
            return UnavailableReason.OUT_OF_STOCK, max(left, 0)
        return None


def _is_blank(voucher: Any) -> bool:
    """Return whether a cart's code is an empty text, as in a form's field that was left empty."""
    return isinstance(voucher, str) and not voucher.strip()


def _refuse_too_many(count: int, max_items: int) -> None:
    if count > max_items:
        raise InvalidRequest(f"A cart can be ordered with at most {max_items} items.")
