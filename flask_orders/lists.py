"""Parameters with many values: on PostgreSQL arrays, elsewhere as many parameters as values.

With an array the statement is the same for any number of values, so PostgreSQL prepares it once,
and psycopg has one parameter to look at. Used by the carts and the default pricing.
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
from sqlalchemy.orm import scoped_session

# An UPDATE takes a parameter with a column's name for a new value.
PREFIX = "flask_orders_"


def has_arrays(session: scoped_session[Session], model: type[Any]) -> bool:
    """Whether the model's database takes arrays."""
    return session.get_bind(mapper=model).dialect.name == "postgresql"


def one_of(key: Column[Any], name: str, *, arrays: bool) -> ColumnElement[bool]:
    """That the key is one of the values of the parameter with that name."""
    if arrays:
        return key == any_(bindparam(name, type_=ARRAY(key.type)))
    return key.in_(bindparam(name, type_=key.type, expanding=True))


class Subtraction:
    """Takes units off a count, by one guarded UPDATE of the rows of many keys.

    Whoever calls it compares the number of rows that were changed with that of the keys.
    """

    def __init__(self, rows: Table, key: Column[Any], count: Column[Any], *, arrays: bool) -> None:
        self._rows, self._key, self._count = rows, key, count
        self._by_arrays = self._array_statement() if arrays else None
        # As many as there are sizes of carts, within reason.
        self._by_number: Callable[[int], Update] = lru_cache(50)(self._numbered_statement)

    def of(self, units: Mapping[Any, int]) -> tuple[Update, dict[str, Any]]:
        """The statement that takes so many units by key, and its parameters."""
        if self._by_arrays is not None:
            return self._by_arrays, {f"{PREFIX}keys": [*units], f"{PREFIX}units": [*units.values()]}
        parameters: dict[str, Any] = {}
        for i, (key, taken) in enumerate(units.items()):
            parameters |= {f"{PREFIX}key_{i}": key, f"{PREFIX}units_{i}": taken}
        return self._by_number(len(units)), parameters

    def _array_statement(self) -> Update:
        taken = (
            func.unnest(
                bindparam(f"{PREFIX}keys", type_=ARRAY(self._key.type)),
                bindparam(f"{PREFIX}units", type_=ARRAY(Integer)),
            )
            .table_valued(column("key", self._key.type), column("units", Integer))
            .render_derived()
        )
        # By the array too, or PostgreSQL reads all products to join them with two hundred.
        is_one = one_of(self._key, f"{PREFIX}keys", arrays=True)
        return self._statement(and_(is_one, self._key == taken.c.key), taken.c.units)

    def _numbered_statement(self, number: int) -> Update:
        keys = [bindparam(f"{PREFIX}key_{i}", type_=self._key.type) for i in range(number)]
        units = [bindparam(f"{PREFIX}units_{i}", type_=Integer) for i in range(number)]
        taken = case(*zip(keys, units, strict=True), value=self._key)
        return self._statement(self._key.in_(keys), taken)

    def _statement(self, is_it: ColumnElement[bool], taken: ColumnElement[int]) -> Update:
        rest = {self._count: self._count - taken}
        return update(self._rows).where(is_it, self._count >= taken).values(rest)
