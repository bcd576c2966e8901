"""The shop's rows: its cart, items and products are locked, changed and deleted here.

In this order: `read`, `priceable_items`, `deduct_stock`, `empty`; a preview is the first two,
without a lock. `restock` is for a cancellation. The number of statements does not depend on the
number of items. Reads go through the shop's mappers; writes go to its tables, row by row as they
were locked.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, cast

from flask_sqlalchemy.session import Session
from sqlalchemy import (
    Column,
    Integer,
    Select,
    bindparam,
    delete,
    inspect,
    null,
    select,
    update,
)
from sqlalchemy.orm import (
    InstrumentedAttribute,
    Mapper,
    RelationshipDirection,
    lazyload,
    scoped_session,
    selectinload,
)

from .db.bulk import PREFIX, UnitsUpdate, has_arrays, in_values
from .dependents import Dependents
from .errors import ConfigurationError, Conflict, InvalidRequest, UnavailableReason
from .models import Models, ProductMixin
from .models.contract import are_equal_in_python, attribute, row_count, table
from .pricing import FLOAT_NOISE, ZERO, CartItem, Currency

# Products in one UPDATE, with five parameters each; SQLite takes 32,766, PostgreSQL 65,535.
MOST_KEYS = 5000

EAGER = frozenset({False, "joined", "selectin", "subquery", "immediate"})


@dataclass(frozen=True, slots=True)
class CartItemRow:
    """A cart item; `product_key` is the key of the product's row that the database finds for it."""

    key: Any
    product_id: Any
    quantity: Any
    product_key: Any


@dataclass(frozen=True, slots=True)
class CartSnapshot:
    """A cart as the locking reads found it; `voucher` and `version` are what its row holds."""

    key: Any
    voucher: Any
    version: Any
    items: tuple[CartItemRow, ...]


class Carts:
    """The cart side of a conversion, on the host's classes."""

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
        self.dependents = Dependents(session, models)

    @cached_property
    def _arrays(self) -> bool:
        return has_arrays(self._session, self._models.Order)

    @cached_property
    def _locking_queries(self) -> "_Reads":
        return _Reads(self._models, lock=True, arrays=self._arrays)

    @cached_property
    def _plain_queries(self) -> "_Reads":
        return _Reads(self._models, lock=False, arrays=self._arrays)

    @cached_property
    def _changes(self) -> "_Changes":
        return _Changes(self._models, arrays=self._arrays)

    @cached_property
    def _product_version(self) -> "_Version | None":
        return _Version.of(self._models.Product)

    @cached_property
    def _cart_version(self) -> "_Version | None":
        return _Version.of(self._models.Cart)

    def read(self, customer_id: Any, max_items: int, *, lock: bool = True) -> CartSnapshot | None:
        """The customer's cart, locked, then its items, locked by key; None if there is no cart.

        Raises:
            InvalidRequest: there are more than `max_items` items.
            ConfigurationError: the customer has several carts.
        """
        reads = self._locking_queries if lock else self._plain_queries
        rows = self._session.execute(reads.cart, {"customer": customer_id}).all()
        if len(rows) > 1:
            raise ConfigurationError(
                f"A customer has {len(rows)} carts: {self._models.Cart.__name__}.customer_id must "
                "find only the open one; make it unique, or NULL in carts that are closed."
            )
        if not rows:
            return None
        key, voucher, version = rows[0]
        found = self._session.execute(reads.items, {"cart": key, "most": max_items + 1}).all()
        if len(found) > max_items:
            raise InvalidRequest(f"A cart can be ordered with {max_items} items at most.")
        return CartSnapshot(key, voucher, version, tuple(CartItemRow(*row) for row in found))

    def priceable_items(
        self, rows: Sequence[CartItemRow], *, lock: bool = True
    ) -> tuple[list[CartItem], list[dict[str, Any]]]:
        """Return the available items, and what `ItemUnavailable` says of the unavailable ones.

        The products are locked in the order of their keys, so that no two conversions deadlock.
        """
        reads = self._locking_queries if lock else self._plain_queries
        found_keys = {row.key: row.product_key for row in rows} | self._found_late(rows, reads)
        keys = list(dict.fromkeys(key for key in found_keys.values() if key is not None))
        products = {row[0]: row[1] for row in self._session.execute(reads.products, {"keys": keys})}
        items = [self._item(row, found_keys[row.key], products) for row in rows]
        wanted = _units(item for item in items if _is_count(item.quantity))
        refusals = [self._refusal(item, wanted[item.product_id]) for item in items]
        found = list(zip(items, refusals, strict=True))
        return (
            [item for item, refusal in found if refusal is None],
            [item.unavailable(*refusal) for item, refusal in found if refusal is not None],
        )

    def _found_late(self, items: Sequence[CartItemRow], reads: "_Reads") -> dict[Any, Any]:
        """By item, the products that the statement which read the items was too early to see."""
        missing = [
            item.key for item in items if item.product_id is not None and item.product_key is None
        ]
        if reads.late is None or not missing:
            return {}
        return {row[0]: row[1] for row in self._session.execute(reads.late, {"keys": missing})}

    def _item(self, item: CartItemRow, key: Any, products: Mapping[Any, Any]) -> CartItem:
        product = products.get(key)
        return CartItem(
            item.key, item.product_id if product is None else key, product, item.quantity
        )

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

    def is_price(self, amount: Any) -> bool:
        """Whether it is an amount that a product of the shop can be sold or shipped for."""
        return isinstance(amount, Decimal | int) and self._currency().is_price(
            Decimal(amount), noise=self._noise
        )

    def _has_price(self, item: CartItem) -> bool:
        """Whether its price and its shipping can stand on a price tag; NULL shipping is free."""
        if item.product.price is None:
            return False
        return self.is_price(item.list_price) and self.is_price(item.shipping)

    @cached_property
    def _noise(self) -> Decimal:
        """SQLite holds a NUMERIC as a float; the library's own columns are exact there too."""
        bind = self._session.get_bind(mapper=self._models.Order)
        is_exact = issubclass(self._models.Product, ProductMixin)
        return ZERO if is_exact or bind.dialect.name != "sqlite" else FLOAT_NOISE

    def deduct_stock(self, items: Sequence[CartItem]) -> None:
        """Take the units of all items from the stock that is counted, by one guarded UPDATE.

        Raises:
            Conflict: the stock is no longer what it was under the lock.
        """
        counted = [item for item in items if item.product.stock is not None]
        if self._changes.taking is None or not counted:
            return
        units, version = _units(counted), self._product_version
        versions = (
            {}
            if version is None
            else {item.product_id: version.next(version.held_by(item.product)) for item in counted}
        )
        self._change_stock(self._changes.taking, units, versions)

    def restock(self, units: Mapping[Any, int]) -> None:
        """Put units, by their product's key, back into the stock that is counted.

        A product that is gone is left out; its row is looked for whatever the host's mapper hides.

        Raises:
            Conflict: a product is no longer there, though it is locked.
        """
        if self._changes.giving_back is None:
            return
        key, version = self._models.columns.product_key, self._product_version
        # In parts: a batch of orders may hold more than a statement has room for. In one order,
        # which needs no `<` between keys.
        keys = sorted(units, key=str)
        for part in (keys[i : i + MOST_KEYS] for i in range(0, len(keys), MOST_KEYS)):
            # An UPDATE locks in any order, and a conversion in that of the keys.
            locking = select(key, *([] if version is None else [version.column]))
            locking = locking.where(key.in_(part)).order_by(key).with_for_update(key_share=True)
            locked = self._session.execute(locking).all()
            found = self._found_units({one: units[one] for one in part}, [row[0] for row in locked])
            versions = {} if version is None else {row[0]: version.next(row[1]) for row in locked}
            self._change_stock(self._changes.giving_back, found, versions)

    def _found_units(self, units: Mapping[Any, int], locked: Sequence[Any]) -> Counter[Any]:
        """The units by the key that the product has now; those of deleted products left out."""
        found = Counter({key: units[key] for key in locked if key in units})
        if len(found) < len(locked):
            # Spelled in another way since, and equal only to the database.
            key = self._models.columns.product_key
            for other in units.keys() - found.keys():
                now = self._session.execute(select(key).where(key == other)).scalar()
                if now is not None:
                    found[now] += units[other]
        return found

    def _change_stock(
        self, changing: UnitsUpdate, units: Mapping[Any, int], versions: Mapping[Any, Any]
    ) -> None:
        if not units:
            return
        changes = {
            key: (number, versions[key]) if versions else (number,) for key, number in units.items()
        }
        statement, parameters = changing.of(changes)
        if row_count(self._session.execute(statement, parameters)) != len(units):
            raise Conflict

    def empty(self, cart: CartSnapshot) -> None:
        """Delete exactly the items that were read, and take the voucher off.

        Raises:
            Conflict: an item is not there any more.
        """
        keys = [item.key for item in cart.items]
        owned = self.dependents.detach(keys)
        deleted = self._session.execute(self._changes.deleting, {"keys": keys})
        if row_count(deleted) != len(keys):
            raise Conflict
        self.dependents.delete(owned)
        if cart.voucher is not None:
            version = self._cart_version
            self._session.execute(
                self._changes.taking_voucher_off
                if version is None
                else self._changes.taking_voucher_off.values(
                    {version.column: version.next(cart.version)}
                ),
                {PREFIX + "cart": cart.key},
            )


@dataclass(frozen=True, slots=True)
class _Version:
    """The column in which the mapper counts a row's versions, and how."""

    mapper: Mapper[Any]
    column: Column[Any]

    @classmethod
    def of(cls, mapped: type[Any]) -> "_Version | None":
        """None if the mapper counts none, or leaves it to the database."""
        mapper: Mapper[Any] = inspect(mapped)
        column = mapper.version_id_col
        if column is None or mapper.version_id_generator is False:
            return None
        return cls(mapper, cast(Column[Any], column))

    def held_by(self, row: Any) -> Any:
        return getattr(row, self.mapper.get_property_by_column(self.column).key)

    def next(self, version: Any) -> Any:
        generator: Any = self.mapper.version_id_generator
        return generator(version)


class _Reads:
    """What is read of a cart, made once: to make a statement may take longer than to send it.

    `late` reads the products of items again; it is None where Python can tell equal keys by itself.
    """

    def __init__(self, models: Models, *, lock: bool, arrays: bool) -> None:
        self._models, self._arrays = models, arrays
        self.cart, self.items, self.late = self._cart(), self._items(), self._late()
        self.products = self._products()
        if lock:
            # Of these rows alone: an outer join that the host's mapper adds can't be locked.
            self.cart = self.cart.with_for_update(of=models.Cart)
            self.items = self.items.with_for_update(of=models.CartItem)
            self.products = _locking_products(self.products, models)
            self.late = None if self.late is None else _locking_products(self.late, models)

    def _cart(self) -> Select[Any]:
        columns, cart = self._models.columns, self._models.Cart
        key, version = attribute(cart, columns.cart_key), _Version.of(cart)
        voucher = columns.cart_voucher
        return (
            select(
                key,
                null() if voucher is None else attribute(cart, voucher),
                null() if version is None else attribute(cart, version.column),
            )
            .where(attribute(cart, columns.cart_customer) == bindparam("customer"))
            .order_by(key)
        )

    def _items(self) -> Select[Any]:
        columns, item = self._models.columns, self._models.CartItem
        key, product = attribute(item, columns.item_key), attribute(item, columns.item_product)
        return (
            select(key, product, attribute(item, columns.item_quantity), self._product_of(product))
            .where(attribute(item, columns.item_cart) == bindparam("cart"))
            .order_by(key)
            .limit(bindparam("most", type_=Integer))
        )

    def _product_of(self, reference: InstrumentedAttribute[Any]) -> Any:
        """The key of the product that an item points to, as the product itself spells it.

        "ABC-1" and "abc-1" are one product where the database's collation says so. Not by a join,
        which on MariaDB would lock the products in the order of the items.
        """
        key = self._product_key
        if are_equal_in_python(key, reference):
            return reference
        return select(key).where(key == reference).scalar_subquery()

    def _late(self) -> Select[Any] | None:
        columns, item = self._models.columns, self._models.CartItem
        key, product = attribute(item, columns.item_key), attribute(item, columns.item_product)
        if are_equal_in_python(self._product_key, product):
            return None
        return (
            select(key, self._product_key)
            .join_from(item, self._models.Product, self._product_key == product)
            .where(in_values(key, "keys", arrays=self._arrays))
            .order_by(self._product_key)
        )

    def _products(self) -> Select[Any]:
        # An object that the session knows already is stale unless it is populated anew. A host's
        # eager joins can't be locked: what it wants at hand comes by a statement of its own.
        product, key = self._models.Product, self._product_key
        return (
            select(key, product)
            .where(in_values(key, "keys", arrays=self._arrays))
            .order_by(key)
            .options(lazyload("*"), *_many_to_one_loads(product))
            .execution_options(populate_existing=True)
        )

    @property
    def _product_key(self) -> InstrumentedAttribute[Any]:
        return attribute(self._models.Product, self._models.columns.product_key)


def _locking_products(query: Select[Any], models: Models) -> Select[Any]:
    # Only NO KEY: putting the product into a cart needs no wait.
    return query.with_for_update(key_share=True, of=models.Product)


class _Changes:
    """What is changed of the host's rows, made once; the first two are None without a stock."""

    def __init__(self, models: Models, *, arrays: bool) -> None:
        columns, product = models.columns, models.Product
        stock, voucher, version = columns.product_stock, columns.cart_voucher, _Version.of(product)

        def changing(*, deduct: bool) -> UnitsUpdate | None:
            if stock is None:
                return None
            counted = None if version is None else version.column
            rows, key = table(product), columns.product_key
            return UnitsUpdate(rows, key, stock, counted, deduct=deduct, arrays=arrays)

        self.taking, self.giving_back = changing(deduct=True), changing(deduct=False)
        self.deleting = delete(table(models.CartItem)).where(
            in_values(columns.item_key, "keys", arrays=arrays)
        )
        self.taking_voucher_off = (
            update(table(models.Cart))
            .where(columns.cart_key == bindparam(f"{PREFIX}cart"))
            .values({} if voucher is None else {voucher: None})
        )


def _many_to_one_loads(product: type[Any]) -> list[Any]:
    """The objects that the host loads with its products, one for all items: a variant's product."""
    return [
        selectinload(getattr(product, relation.key))
        for relation in inspect(product).relationships
        if relation.direction is RelationshipDirection.MANYTOONE and relation.lazy in EAGER
    ]


def _units(items: Iterable[CartItem]) -> Counter[Any]:
    """How many units of each product."""
    units = Counter[Any]()
    for item in items:
        units[item.product_id] += item.quantity
    return units


def _is_count(quantity: Any) -> bool:
    return isinstance(quantity, int) and quantity >= 1
