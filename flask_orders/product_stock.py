"""The stock of the shop's products: read, deducted by an order, restocked by its cancellation.

A stock never falls below zero, whatever has changed since it was read, and a product's version is
counted up with a count in its row. One UPDATE changes all products of an order. The products are
locked in the order of their keys before they are restocked, as a conversion does.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from math import floor
from typing import Any, Protocol, cast

from flask_sqlalchemy.session import Session
from sqlalchemy import Column, ColumnElement, FromClause, Integer, Select, inspect, select
from sqlalchemy.orm import Mapper, scoped_session

from .db.bulk import Change, RowsUpdate, Values, has_arrays
from .errors import ConfigurationError, Conflict
from .models import Models
from .models.contract import row_count
from .stock import Stock
from .stock_columns import NOT_COUNTED, CountingColumns, ReservedStock, StockColumn, StockLevel
from .versions import RowVersion

# Products in one statement, with five parameters each; SQLite takes 32,766, PostgreSQL 65,535.
MOST_KEYS = 5000

# None: no stock is counted.
StockKind = StockColumn | ReservedStock | Stock | None


@dataclass(frozen=True, slots=True)
class StockChange:
    """A number of units of one product, and the next version of its row (None: not versioned)."""

    units: int
    version: Any = None


class ProductStock(Protocol):
    """The stock of one app's products."""

    def levels(self, products: Mapping[Any, Any]) -> Mapping[Any, StockLevel]:
        """Return the stock level of every product, by its key; writes and locks nothing."""
        ...

    def deduct(self, changes: Mapping[Any, StockChange]) -> None:
        """Deduct the units that an order holds, by the product's key.

        Raises:
            Conflict: a product has fewer units than it had under the lock, or is gone.
        """
        ...

    def restock(self, units: Mapping[Any, int]) -> None:
        """Put the units that an order held, by the product's key, back into the stock.

        A product that is gone is left out; a product that the shop's mapper hides is restocked.

        Raises:
            Conflict: a product has disappeared in spite of its lock.
        """
        ...


class UncountedStock:
    """No stock is counted: any number of units is available."""

    def levels(self, products: Mapping[Any, Any]) -> Mapping[Any, StockLevel]:
        return dict.fromkeys(products, NOT_COUNTED)

    def deduct(self, changes: Mapping[Any, StockChange]) -> None:
        """Deduct nothing."""

    def restock(self, units: Mapping[Any, int]) -> None:
        """Restock nothing: the units were deducted when the shop still counted them."""


class CountedStock:
    """Columns of the product count its stock.

    Args:
        session: the session of the caller's transaction.
        product: the mapped class.
        key: the column of its key.
        counting: the columns, in any table of the class.
    """

    def __init__(
        self,
        session: scoped_session[Session],
        product: type[Any],
        key: Column[Any],
        counting: CountingColumns,
    ) -> None:
        self._session, self._product, self._counting = session, product, counting
        self._key = key

    def levels(self, products: Mapping[Any, Any]) -> Mapping[Any, StockLevel]:
        return {
            key: self._counting.level(*(getattr(product, name) for name in self._names))
            for key, product in products.items()
        }

    def deduct(self, changes: Mapping[Any, StockChange]) -> None:
        if self._counting.deducts:
            self._change(changes, self._deducting)

    def restock(self, units: Mapping[Any, int]) -> None:
        for part in _parts(units):
            found = self._locking.lock(part)
            changes = {
                key: StockChange(count, found.next_versions.get(key))
                for key, count in found.units.items()
            }
            self._change(changes, self._restocking)

    def _change(self, changes: Mapping[Any, StockChange], updates: Sequence[RowsUpdate]) -> None:
        if not changes:
            return
        for update in updates:
            statement, parameters = update.of(
                {
                    key: tuple(getattr(change, name) for name in update.names)
                    for key, change in changes.items()
                }
            )
            if row_count(self._session.execute(statement, parameters)) != len(changes):
                raise Conflict

    @cached_property
    def _names(self) -> list[str]:
        mapper: Mapper[Any] = inspect(self._product)
        return [mapper.get_property_by_column(column).key for column in self._counting.columns]

    @cached_property
    def _version(self) -> RowVersion | None:
        return RowVersion.of(self._product)

    @cached_property
    def _locking(self) -> "ProductLock":
        return ProductLock(self._session, self._product, self._key, self._version)

    @cached_property
    def _deducting(self) -> Sequence[RowsUpdate]:
        return self._updates(self._counting.deduct)

    @cached_property
    def _restocking(self) -> Sequence[RowsUpdate]:
        return self._updates(self._counting.restock)

    def _updates(self, change: Callable[[ColumnElement[Any]], Change]) -> Sequence[RowsUpdate]:
        """Return an UPDATE of each table: a subclass has its version in its parent's."""
        counted, version = self._counting.changed.table, self._version
        # Units are counted in integers, whatever the column is.
        units = {"units": Integer()}

        def set_units(new: Values) -> Change:
            return change(new["units"])

        if version is None:
            return [self._update(counted, units, set_units)]
        versions, column = {"version": version.column.type}, version.column

        def set_version(new: Values) -> Change:
            return {column: new["version"]}, []

        def set_both(new: Values) -> Change:
            values, guards = set_units(new)
            return {**values, **set_version(new)[0]}, guards

        if column.table is counted:
            return [self._update(counted, units | versions, set_both)]
        return [
            self._update(counted, units, set_units),
            self._update(column.table, versions, set_version),
        ]

    def _update(
        self, rows: FromClause, types: Mapping[str, Any], change: Callable[[Values], Change]
    ) -> RowsUpdate:
        key = key_in(rows, self._product, self._key)
        arrays = has_arrays(self._session, self._product)
        return RowsUpdate(key, types, change, arrays=arrays)


class OwnStock:
    """The shop's own `Stock`, asked and changed under the locks of the products."""

    def __init__(
        self, session: scoped_session[Session], product: type[Any], key: Column[Any], stock: Stock
    ) -> None:
        self._stock = stock
        self._locking = ProductLock(session, product, key, version=None)

    def levels(self, products: Mapping[Any, Any]) -> Mapping[Any, StockLevel]:
        available = self._stock.available(products)
        return {key: self._level(key, available.get(key, 0)) for key in products}

    def deduct(self, changes: Mapping[Any, StockChange]) -> None:
        if changes:
            self._stock.deduct({key: change.units for key, change in changes.items()})

    def restock(self, units: Mapping[Any, int]) -> None:
        found = Counter[Any]()
        for part in _parts(units):
            found += self._locking.lock(part).units
        if found:
            self._stock.restock(dict(found))

    def _level(self, key: Any, available: Any) -> StockLevel:
        if available is None:
            return NOT_COUNTED
        # A SUM is a Decimal on MariaDB.
        if isinstance(available, bool) or not isinstance(available, int | Decimal):
            raise ConfigurationError(
                f"{type(self._stock).__name__}.available() returns {available!r} for product "
                f"{key!r}: return a number of units, or None if they are not counted."
            )
        return StockLevel(floor(available), is_held=True)


@dataclass(frozen=True, slots=True)
class LockedUnits:
    """Units by the keys that their products have now, and the next versions of their rows."""

    units: Counter[Any]
    next_versions: Mapping[Any, Any]


class ProductLock:
    """Locks products in the order of their keys; an UPDATE has none."""

    def __init__(
        self,
        session: scoped_session[Session],
        product: type[Any],
        key: Column[Any],
        version: RowVersion | None,
    ) -> None:
        self._session, self._product, self._key, self._version = session, product, key, version

    def lock(self, units: Mapping[Any, int]) -> LockedUnits:
        """Lock the products of units; return the units of those that exist."""
        version = self._version
        rows = self._session.execute(self._query(units).with_for_update(key_share=True)).all()
        versions = {} if version is None else {row[0]: version.next(row[1]) for row in rows}
        return LockedUnits(self._found_units(units, [row[0] for row in rows]), versions)

    def _query(self, units: Mapping[Any, int]) -> Select[Any]:
        key, version = self._key, self._version
        query = select(key).where(key.in_(list(units))).order_by(key)
        if version is None:
            return query
        query = query.add_columns(version.column)
        if version.column.table is key.table:
            return query
        return query.where(key_in(version.column.table, self._product, key) == key)

    def _found_units(self, units: Mapping[Any, int], locked: Sequence[Any]) -> Counter[Any]:
        found = Counter({key: units[key] for key in locked if key in units})
        if len(found) < len(locked):
            # A key that was respelled since, and is equal in the database only.
            key = self._key
            for other in units.keys() - found.keys():
                now = self._session.execute(select(key).where(key == other)).scalar()
                if now is not None:
                    found[now] += units[other]
        return found


def key_in(rows: FromClause, product: type[Any], key: Column[Any]) -> Column[Any]:
    """Return the product's key in one of the tables of its class.

    Raises:
        ConfigurationError: the table has a key of its own, or of several columns.
    """
    mapper: Mapper[Any] = inspect(product)
    of_key = mapper.get_property_by_column(key).columns
    columns = [column for column in of_key if column.table is rows] or [*rows.primary_key]
    if len(columns) != 1:
        raise ConfigurationError(
            f"{product.__name__}'s table '{rows.description}' has no column for the product's key: "
            "its stock can't be changed there."
        )
    return cast(Column[Any], columns[0])


def _parts(units: Mapping[Any, int]) -> Iterator[dict[Any, int]]:
    """Split units into parts that one statement has room for, always in the same order of keys."""
    # By text: keys need not be comparable in Python.
    keys = sorted(units, key=str)
    for start in range(0, len(keys), MOST_KEYS):
        yield {key: units[key] for key in keys[start : start + MOST_KEYS]}


class ResolvedStock:
    """The stock that `stock_kind` finds at first use, when all of the shop's classes are mapped."""

    def __init__(self, session: scoped_session[Session], models: Models) -> None:
        self._session, self._models = session, models

    def levels(self, products: Mapping[Any, Any]) -> Mapping[Any, StockLevel]:
        return self._stock.levels(products)

    def deduct(self, changes: Mapping[Any, StockChange]) -> None:
        self._stock.deduct(changes)

    def restock(self, units: Mapping[Any, int]) -> None:
        self._stock.restock(units)

    @cached_property
    def _stock(self) -> ProductStock:
        return product_stock(
            self._session,
            self._models.Product,
            self._models.columns.product_key,
            stock_kind(self._models),
        )


def product_stock(
    session: scoped_session[Session], product: type[Any], key: Column[Any], kind: StockKind
) -> ProductStock:
    """Return the stock of a mapped class whose key is this column."""
    if kind is None:
        return UncountedStock()
    if isinstance(kind, StockColumn | ReservedStock):
        return CountedStock(session, product, key, kind)
    return OwnStock(session, product, key, kind)


def stock_kind(models: Models) -> StockKind:
    """Return how the shop's products are counted."""
    given = vars(models.Product).get("stock")
    if isinstance(given, StockColumn | ReservedStock) or hasattr(given, "restock"):
        return cast(StockKind, given)
    column = models.columns.product_stock
    return None if column is None else StockColumn(column)
