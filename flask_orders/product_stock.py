"""The stock of the shop's products: read, deducted by an order, restocked by its cancellation.

A stock never falls below zero, whatever has changed since it was read, and a product's version is
counted up with a count in its row. One UPDATE changes all products of an order.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from math import floor
from typing import Any, Protocol

from flask_sqlalchemy.session import Session
from sqlalchemy import Column, FromClause, Integer, inspect
from sqlalchemy.orm import Mapper, scoped_session

from .db.bulk import Change, RowsUpdate, Values, has_arrays
from .db.writes import Write, execute_each
from .errors import ConfigurationError
from .models import Models
from .models.contract import key_in
from .product_lock import ProductLock, in_parts
from .stock import Stock
from .stock_columns import NOT_COUNTED, CountingColumns, StockLevel
from .versions import RowVersion


@dataclass(frozen=True, slots=True)
class StockChange:
    """A number of units of one product, and the next version of its row (None: not versioned)."""

    units: int
    version: Any = None


class ProductStock(Protocol):
    """The stock of one app's products.

    Attributes:
        columns: the columns to read for `level`; None if only `levels` knows, of the objects.
    """

    @property
    def columns(self) -> tuple[Column[Any], ...] | None: ...

    def level(self, *values: Any) -> StockLevel:
        """Return the stock level of a product by the values of `columns`."""
        ...

    def levels(self, products: Mapping[Any, Any]) -> Mapping[Any, StockLevel]:
        """Return the stock level of every product, by its key; writes and locks nothing."""
        ...

    def deduct(self, changes: Mapping[Any, StockChange]) -> None:
        """Deduct the units that an order holds, by the product's key.

        Raises:
            Conflict: a product has fewer units than it had under the lock, or is gone.
        """
        ...

    def deductions(self, changes: Mapping[Any, StockChange]) -> Sequence[Write] | None:
        """Return what `deduct` would write; None if only the shop's own code can do it."""
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

    columns: tuple[Column[Any], ...] = ()

    def level(self, *values: Any) -> StockLevel:
        return NOT_COUNTED

    def levels(self, products: Mapping[Any, Any]) -> Mapping[Any, StockLevel]:
        return dict.fromkeys(products, NOT_COUNTED)

    def deduct(self, changes: Mapping[Any, StockChange]) -> None:
        """Deduct nothing."""

    def deductions(self, changes: Mapping[Any, StockChange]) -> Sequence[Write]:
        return ()

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
        self._key, self._changed = key, counting.changed

    @property
    def columns(self) -> tuple[Column[Any], ...]:
        return self._counting.columns

    def level(self, *values: Any) -> StockLevel:
        return self._counting.level(*values)

    def levels(self, products: Mapping[Any, Any]) -> Mapping[Any, StockLevel]:
        return {
            key: self._counting.level(*(getattr(product, name) for name in self._names))
            for key, product in products.items()
        }

    def deduct(self, changes: Mapping[Any, StockChange]) -> None:
        execute_each(self._session, self.deductions(changes))

    def deductions(self, changes: Mapping[Any, StockChange]) -> Sequence[Write]:
        return _writes(changes, self._deducting) if self._counting.deducts else ()

    def restock(self, units: Mapping[Any, int]) -> None:
        for part in in_parts(units):
            found = self._locking.lock(part)
            changes = {
                key: StockChange(count, found.next_versions.get(key))
                for key, count in found.units.items()
            }
            execute_each(self._session, _writes(changes, self._restocking))

    @cached_property
    def _names(self) -> list[str]:
        mapper: Mapper[Any] = inspect(self._product)
        return [mapper.get_property_by_column(column).key for column in self._counting.columns]

    @cached_property
    def _version(self) -> RowVersion | None:
        return RowVersion.of(self._product)

    @cached_property
    def _locking(self) -> ProductLock:
        return ProductLock(self._session, self._product, self._key, self._version)

    @cached_property
    def _deducting(self) -> Sequence[RowsUpdate]:
        def deduct(new: Values) -> Change:
            units = new["units"]
            return {self._changed: self._counting.deducted(units)}, [self._counting.has_left(units)]

        return self._updates(deduct)

    @cached_property
    def _restocking(self) -> Sequence[RowsUpdate]:
        def restock(new: Values) -> Change:
            return {self._changed: self._counting.restocked(new["units"])}, []

        return self._updates(restock)

    def _updates(self, count: Callable[[Values], Change]) -> Sequence[RowsUpdate]:
        """Return an UPDATE of each table: a subclass has its version in its parent's."""
        # Units are counted in integers, whatever the column is.
        units, counted = {"units": Integer()}, self._changed.table
        if self._version is None:
            return [self._update(counted, units, count)]
        column = self._version.column
        version = {"version": column.type}

        def set_version(new: Values) -> Change:
            return {column: new["version"]}, []

        def set_both(new: Values) -> Change:
            values, guards = count(new)
            return {**values, column: new["version"]}, guards

        if column.table is counted:
            return [self._update(counted, units | version, set_both)]
        return [
            self._update(counted, units, count),
            self._update(column.table, version, set_version),
        ]

    def _update(
        self, rows: FromClause, types: Mapping[str, Any], change: Callable[[Values], Change]
    ) -> RowsUpdate:
        key = key_in(rows, self._product, self._key)
        arrays = has_arrays(self._session, self._product)
        return RowsUpdate(key, types, change, arrays=arrays)


def _writes(changes: Mapping[Any, StockChange], updates: Sequence[RowsUpdate]) -> Sequence[Write]:
    """Return the UPDATEs of changes, if there are any."""
    return [
        update.of(
            {
                key: tuple(getattr(change, name) for name in update.names)
                for key, change in changes.items()
            }
        )
        for update in updates
        if changes
    ]


class OwnStock:
    """The shop's own `Stock`, asked and changed under the locks of the products."""

    def __init__(
        self, session: scoped_session[Session], product: type[Any], key: Column[Any], stock: Stock
    ) -> None:
        self._stock = stock
        self._locking = ProductLock(session, product, key, version=None)
        self.columns: None = None

    def level(self, *values: Any) -> StockLevel:
        raise NotImplementedError

    def levels(self, products: Mapping[Any, Any]) -> Mapping[Any, StockLevel]:
        available = self._stock.available(products)
        return {key: self._level(key, available.get(key, 0)) for key in products}

    def deduct(self, changes: Mapping[Any, StockChange]) -> None:
        if changes:
            self._stock.deduct({key: change.units for key, change in changes.items()})

    def deductions(self, changes: Mapping[Any, StockChange]) -> Sequence[Write] | None:
        return None if changes else ()

    def restock(self, units: Mapping[Any, int]) -> None:
        found = Counter[Any]()
        for part in in_parts(units):
            found += self._locking.lock(part).units
        if found:
            self._stock.restock(dict(found))

    def _level(self, key: Any, available: Any) -> StockLevel:
        if available is None:
            return NOT_COUNTED
        # A SUM is a Decimal on MySQL and MariaDB.
        if isinstance(available, bool) or not isinstance(available, int | Decimal):
            raise ConfigurationError(
                f"{type(self._stock).__name__}.available() returns {available!r} for product "
                f"{key!r}: return a number of units, or None if they are not counted."
            )
        return StockLevel(floor(available), is_held=True)


class ResolvedStock:
    """The stock as the shop's mapping says, resolved at first use, when all classes are mapped."""

    def __init__(self, session: scoped_session[Session], models: Models) -> None:
        self._session, self._models = session, models

    @property
    def columns(self) -> tuple[Column[Any], ...] | None:
        return self._stock.columns

    def level(self, *values: Any) -> StockLevel:
        return self._stock.level(*values)

    def levels(self, products: Mapping[Any, Any]) -> Mapping[Any, StockLevel]:
        return self._stock.levels(products)

    def deduct(self, changes: Mapping[Any, StockChange]) -> None:
        self._stock.deduct(changes)

    def deductions(self, changes: Mapping[Any, StockChange]) -> Sequence[Write] | None:
        return self._stock.deductions(changes)

    def restock(self, units: Mapping[Any, int]) -> None:
        self._stock.restock(units)

    @cached_property
    def _stock(self) -> ProductStock:
        product = self._models.shop.product
        kind = product.stock
        if kind is None:
            return UncountedStock()
        if isinstance(kind, CountingColumns):
            return CountedStock(self._session, product.source.given, product.key, kind)
        return OwnStock(self._session, product.source.given, product.key, kind)
