"""The shop's stock column: units are deducted by a guarded UPDATE, and restocked under lock.

The stock never falls below zero, whatever has changed since it was read, and a product's version
is counted up with its stock. One UPDATE changes all products of an order.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import select
from sqlalchemy.orm import scoped_session

from .db.bulk import UnitsUpdate, has_arrays
from .errors import Conflict
from .models import Models
from .models.contract import row_count, table
from .versions import RowVersion

# Products in one UPDATE, with five parameters each; SQLite takes 32,766, PostgreSQL 65,535.
MOST_KEYS = 5000


@dataclass(frozen=True, slots=True)
class StockChange:
    """A number of units of one product, and the next version of its row (None: not versioned)."""

    units: int
    version: Any = None


class StockColumn:
    """The stock of one app's products; without a stock column nothing is deducted or restocked."""

    def __init__(self, session: scoped_session[Session], models: Models) -> None:
        self._session = session
        self._models = models

    def deduct(self, changes: Mapping[Any, StockChange]) -> None:
        """Deduct units from the stock of products, by key, in one guarded UPDATE.

        Raises:
            Conflict: a product has fewer units than it had under the lock, or is gone.
        """
        self._change(changes, deduct=True)

    def restock(self, units: Mapping[Any, int]) -> None:
        """Put units, by their product's key, back into the stock that is counted.

        A product that is gone is left out; a product that the shop's mapper hides is restocked.

        Raises:
            Conflict: a product has disappeared in spite of its lock.
        """
        if self._models.columns.product_stock is None:
            return
        version = self._version
        for part in _parts(units):
            locked = self._lock(part)
            found = self._found_units(part, [row[0] for row in locked])
            versions = {} if version is None else {row[0]: version.next(row[1]) for row in locked}
            changes = {key: StockChange(count, versions.get(key)) for key, count in found.items()}
            self._change(changes, deduct=False)

    def _lock(self, units: Mapping[Any, int]) -> Sequence[Any]:
        """Lock products in the order of their keys, as a conversion does; an UPDATE has none."""
        key, version = self._models.columns.product_key, self._version
        locking = select(key, *([] if version is None else [version.column]))
        locking = locking.where(key.in_(list(units))).order_by(key)
        return self._session.execute(locking.with_for_update(key_share=True)).all()

    def _found_units(self, units: Mapping[Any, int], locked: Sequence[Any]) -> Counter[Any]:
        """Return the units by the keys that the products have now, without deleted products."""
        found = Counter({key: units[key] for key in locked if key in units})
        if len(found) < len(locked):
            # A key that was respelled since, and is equal in the database only.
            key = self._models.columns.product_key
            for other in units.keys() - found.keys():
                now = self._session.execute(select(key).where(key == other)).scalar()
                if now is not None:
                    found[now] += units[other]
        return found

    def _change(self, changes: Mapping[Any, StockChange], *, deduct: bool) -> None:
        update = self._deducting if deduct else self._restocking
        if update is None or not changes:
            return
        is_versioned = self._version is not None
        statement, parameters = update.of(
            {
                key: (change.units, change.version) if is_versioned else (change.units,)
                for key, change in changes.items()
            }
        )
        if row_count(self._session.execute(statement, parameters)) != len(changes):
            raise Conflict

    @cached_property
    def _version(self) -> RowVersion | None:
        return RowVersion.of(self._models.Product)

    @cached_property
    def _deducting(self) -> UnitsUpdate | None:
        return self._update(deduct=True)

    @cached_property
    def _restocking(self) -> UnitsUpdate | None:
        return self._update(deduct=False)

    def _update(self, *, deduct: bool) -> UnitsUpdate | None:
        columns, version = self._models.columns, self._version
        if columns.product_stock is None:
            return None
        return UnitsUpdate(
            table(self._models.Product),
            columns.product_key,
            columns.product_stock,
            None if version is None else version.column,
            deduct=deduct,
            arrays=has_arrays(self._session, self._models.Order),
        )


def _parts(units: Mapping[Any, int]) -> Iterator[dict[Any, int]]:
    """Split units into parts that one statement has room for, always in the same order of keys."""
    # By text: keys need not be comparable in Python.
    keys = sorted(units, key=str)
    for start in range(0, len(keys), MOST_KEYS):
        yield {key: units[key] for key in keys[start : start + MOST_KEYS]}
