"""Send many values in one statement, each bound with the type of its column.

Where the database takes arrays, the statement is the same for any number of values: it is prepared
once, and has one parameter. Elsewhere it has as many parameters as values.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Integer,
    Table,
    Update,
    and_,
    any_,
    bindparam,
    case,
    column,
    func,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute, scoped_session

from .dialects import dialect_of

# Of parameters: an UPDATE takes one with a column's name for a new value.
PREFIX = "flask_orders_"


def has_arrays(session: scoped_session[Session], model: type[Any]) -> bool:
    """Return whether the model's database takes arrays."""
    return dialect_of(session.get_bind(mapper=model).dialect).has_arrays


def in_values(
    key: Column[Any] | InstrumentedAttribute[Any], name: str, *, arrays: bool
) -> ColumnElement[bool]:
    """Return the condition that the key is one of the values of the parameter with that name."""
    if arrays:
        return key == any_(bindparam(name, type_=ARRAY(key.type)))
    return key.in_(bindparam(name, type_=key.type, expanding=True))


class UnitsUpdate:
    """One UPDATE that deducts units from a count, or adds them to it, in the rows of many keys.

    Deducting is guarded: a row that has too few units is not changed. The caller compares the
    number of changed rows with the number of keys. Where the mapper counts a row's versions, the
    row gets its next one, so that a form that was opened before can't overwrite the count.

    Args:
        rows: the table.
        key: the column of the rows' keys.
        count: the column of the units.
        version: the column of the rows' versions; None if the mapper counts none.
        deduct: whether the units are deducted or added.
        arrays: whether the database takes arrays.
    """

    def __init__(
        self,
        rows: Table,
        key: Column[Any],
        count: Column[Any],
        version: Column[Any] | None,
        *,
        deduct: bool,
        arrays: bool,
    ) -> None:
        self._rows, self._key, self._count, self._deduct = rows, key, count, deduct
        self._changed: dict[str, Column[Any]] = {"units": count}
        if version is not None:
            self._changed["version"] = version
        # The parameters' types: units are counted in integers, whatever the column is.
        self._types: dict[str, Any] = {"units": Integer()}
        if version is not None:
            self._types["version"] = version.type
        self._by_arrays = self._array_statement() if arrays else None
        # One for each number of products in a cart, within reason.
        self._by_number: Callable[[int], Update] = lru_cache(50)(self._numbered_statement)

    def of(self, changes: Mapping[Any, tuple[Any, ...]]) -> tuple[Update, dict[str, Any]]:
        """Return the statement and its parameters.

        Args:
            changes: `{key: (units,)}`, or `{key: (units, version)}` where versions are counted.
        """
        names, parameters = [*self._changed], dict[str, Any]()
        if self._by_arrays is not None:
            columns = [list(column) for column in zip(*changes.values(), strict=True)]
            values = zip(("keys", *names), ([*changes], *columns), strict=True)
            return self._by_arrays, {f"{PREFIX}{name}": list_ for name, list_ in values}
        for i, (key, new) in enumerate(changes.items()):
            row = zip(("key", *names), (key, *new), strict=True)
            parameters |= {f"{PREFIX}{name}_{i}": value for name, value in row}
        return self._by_number(len(changes)), parameters

    def _array_statement(self) -> Update:
        arrays = [bindparam(f"{PREFIX}keys", type_=ARRAY(self._key.type))]
        columns = [column("key", self._key.type)]
        for name, type_ in self._types.items():
            arrays.append(bindparam(f"{PREFIX}{name}", type_=ARRAY(type_)))
            columns.append(column(name, type_))
        new = func.unnest(*arrays).table_valued(*columns).render_derived()
        # By the array too, or PostgreSQL reads all products to join them with two hundred.
        is_given = in_values(self._key, f"{PREFIX}keys", arrays=True)
        return self._statement(and_(is_given, self._key == new.c.key), new.c)

    def _numbered_statement(self, number: int) -> Update:
        keys = [bindparam(f"{PREFIX}key_{i}", type_=self._key.type) for i in range(number)]
        new = {}
        for name in self._changed:
            type_ = self._types[name]
            values = [bindparam(f"{PREFIX}{name}_{i}", type_=type_) for i in range(number)]
            new[name] = case(*zip(keys, values, strict=True), value=self._key)
        return self._statement(self._key.in_(keys), new)

    def _statement(self, is_changed: ColumnElement[bool], new: Any) -> Update:
        count, units = self._count, new["units"]
        guards = [count >= units] if self._deduct else []
        values = {name: new[name] for name in self._changed} | {
            "units": count - units if self._deduct else count + units
        }
        return (
            update(self._rows)
            .where(is_changed, *guards)
            .values({self._changed[name]: value for name, value in values.items()})
        )
