"""The locks of the products that are restocked: in the order of their keys, as a conversion does.

A product is found by the key that it has now, with the version that follows, or not at all.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import Column, select
from sqlalchemy.orm import scoped_session

from .db.typing import Query
from .models.contract import key_in
from .versions import RowVersion

# Products in one statement, with five parameters each; SQLite takes 32,766, PostgreSQL 65,535.
MOST_KEYS = 5000


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

    def _query(self, units: Mapping[Any, int]) -> Query:
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


def in_parts(units: Mapping[Any, int]) -> Iterator[dict[Any, int]]:
    """Split units into parts that one statement has room for, always in the same order of keys."""
    # By text: keys need not be comparable in Python.
    keys = sorted(units, key=str)
    for start in range(0, len(keys), MOST_KEYS):
        yield {key: units[key] for key in keys[start : start + MOST_KEYS]}
