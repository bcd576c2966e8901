"""Send many values in one statement, each bound with the type of its column.

Where the database takes arrays, the statement is the same for any number of values: it is prepared
once, and has one parameter for each column. Elsewhere it has as many parameters as values.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Update,
    and_,
    any_,
    bindparam,
    case,
    column,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute, scoped_session
from sqlalchemy.types import TypeEngine

from .defaults import UpdatedColumns
from .dialects import dialect_of
from .writes import PREFIX, Write

Key = Column[Any] | InstrumentedAttribute[Any]


def has_arrays(session: scoped_session[Session], model: type[Any]) -> bool:
    """Return whether the model's database takes arrays."""
    return dialect_of(session.get_bind(mapper=model).dialect).has_arrays


def in_values(key: Key, name: str, *, arrays: bool) -> ColumnElement[bool]:
    """Return the condition that the key is one of the values of the parameter with that name."""
    if arrays:
        return key == any_(bindparam(name, type_=ARRAY(key.type)))
    return key.in_(bindparam(name, type_=key.type, expanding=True))


class KeysIn:
    """The condition that a row's key is one of many, whether it has one column or several.

    Each row matches once, however often its key is given, so that a DELETE's count of rows can be
    compared with the number of different keys.

    Args:
        columns: the columns of the key.
        name: the parameters' name.
        arrays: whether the database takes arrays.

    Attributes:
        condition: the condition, for any statement that reads the columns' table.
    """

    def __init__(self, columns: Sequence[Key], name: str, *, arrays: bool) -> None:
        self._names = [f"{PREFIX}{name}_{i}" for i in range(len(columns))]
        # Not the columns' names without their numbers: SQLAlchemy appends numbers to this one too.
        self._rows, self._arrays = f"{PREFIX}{name}_rows", arrays
        # By each column too: no database finds an index by the comparison of several together.
        conditions = [
            in_values(key, each, arrays=arrays)
            for key, each in zip(columns, self._names, strict=True)
        ]
        if len(columns) > 1:
            conditions.append(self._in_rows(columns))
        self.condition: ColumnElement[bool] = and_(*conditions)

    def parameters(self, keys: Collection[tuple[Any, ...]]) -> dict[str, Any]:
        """Return the parameters for keys; each is a tuple, also one of a single column."""
        values = [list(each) for each in zip(*keys, strict=True)] or [[] for _ in self._names]
        parameters: dict[str, Any] = dict(zip(self._names, values, strict=True))
        if self._arrays or len(values) == 1:
            return parameters
        once = {name: list(dict.fromkeys(each)) for name, each in parameters.items()}
        return once | {self._rows: list(keys)}

    def _in_rows(self, columns: Sequence[Key]) -> ColumnElement[bool]:
        row = tuple_(*columns)
        if not self._arrays:
            return row.in_(bindparam(self._rows, type_=row.type, expanding=True))
        types = dict(zip(self._names, (key.type for key in columns), strict=True))
        return row.in_(select(*_unnested(types).c))


# What an UPDATE is given for a row, by name, and what it makes of it: the new values by column, and
# the guards.
Values = Mapping[str, ColumnElement[Any]]
Change = tuple[Mapping[Column[Any], Any], Sequence[ColumnElement[bool]]]


class RowsUpdate:
    """One UPDATE of the rows of many keys, with values of its own for each row.

    Args:
        key: the column of the rows' keys, in the table to update.
        types: the types of the values that are given for each row, by name.
        change: makes the new values and the guards of them.
        arrays: whether the database takes arrays.
    """

    def __init__(
        self,
        key: Column[Any],
        types: Mapping[str, TypeEngine[Any]],
        change: Callable[[Values], Change],
        *,
        arrays: bool,
    ) -> None:
        self._key, self._types, self._change = key, dict(types), change
        assigned, _ = change({name: bindparam(name, type_=types[name]) for name in types})
        self._updated = UpdatedColumns(key.table, without=list(assigned))
        self._by_arrays = self._array_statement() if arrays else None
        # One for each number of products in a cart, within reason.
        self._by_number: Callable[[int], Update] = lru_cache(50)(self._numbered_statement)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the values for each row, in their order."""
        return tuple(self._types)

    def of(self, values: Mapping[Any, tuple[Any, ...]]) -> Write:
        """Return the UPDATE, which must change a row for each key.

        Args:
            values: the values for each row, in the order of `names`, by the row's key.
        """
        statement, parameters = self._with_values(values)
        return Write(
            statement,
            parameters | self._updated.parameters(),
            len(values),
            is_complete=self._updated.is_complete,
        )

    def _with_values(self, values: Mapping[Any, tuple[Any, ...]]) -> tuple[Update, dict[str, Any]]:
        rows = [(key, *given) for key, given in values.items()]
        names = ("key", *self.names)
        if self._by_arrays is not None:
            columns = zip(names, zip(*rows, strict=True), strict=True)
            return self._by_arrays, {f"{PREFIX}{name}": list(column) for name, column in columns}
        return self._by_number(len(rows)), {
            f"{PREFIX}{name}_{i}": value
            for i, row in enumerate(rows)
            for name, value in zip(names, row, strict=True)
        }

    def _array_statement(self) -> Update:
        types = {"key": self._key.type, **self._types}
        new = _unnested({f"{PREFIX}{name}": type_ for name, type_ in types.items()})
        values = {name: new.c[f"{PREFIX}{name}"] for name in types}
        # By the array too, or PostgreSQL reads all products to join them with two hundred.
        is_given = in_values(self._key, f"{PREFIX}key", arrays=True)
        return self._statement(and_(is_given, self._key == values["key"]), values)

    def _numbered_statement(self, number: int) -> Update:
        keys = [bindparam(f"{PREFIX}key_{i}", type_=self._key.type) for i in range(number)]
        new = {}
        for name, type_ in self._types.items():
            values = [bindparam(f"{PREFIX}{name}_{i}", type_=type_) for i in range(number)]
            new[name] = case(*zip(keys, values, strict=True), value=self._key)
        return self._statement(self._key.in_(keys), new)

    def _statement(self, is_given: ColumnElement[bool], new: Values) -> Update:
        values, guards = self._change(new)
        new_values = {**values, **self._updated.assigned}
        return update(self._key.table).where(is_given, *guards).values(new_values)


def _unnested(types: Mapping[str, TypeEngine[Any]]) -> Any:
    """Return the rows that parallel arrays hold, a parameter and a column for each name."""
    arrays = [bindparam(name, type_=ARRAY(type_)) for name, type_ in types.items()]
    columns = [column(name, type_) for name, type_ in types.items()]
    return func.unnest(*arrays).table_valued(*columns).render_derived()
