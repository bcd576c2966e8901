"""Rows for an INSERT that are complete before it: only existing columns, with their defaults.

A column's default in Python is worked out here, as SQLAlchemy would do it at the INSERT.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.sql.schema import CallableColumnDefault, ScalarElementColumnDefault

Row = Mapping[str, Any]


class RowCompleter:
    """The columns of one table and their defaults, but for the columns named by `without`."""

    def __init__(self, rows: Table, *, without: Collection[str] = ()) -> None:
        columns = {column.key: column for column in rows.c if column.key not in without}
        self._names = frozenset(columns)
        defaults = {name: _default(column) for name, column in columns.items()}
        self._defaults = {name: found for name, found in defaults.items() if found is not None}

    def complete(self, values: Row) -> Row:
        """Return a row of the values that have a column, and of the other columns' defaults.

        A shop without the library's offers and vouchers has no column that refers to them.
        """
        row = {name: value for name, value in values.items() if name in self._names}
        missing = self._defaults.keys() - row.keys()
        return row | {name: self._defaults[name]() for name in missing}


def _default(column: Column[Any]) -> Callable[[], Any] | None:
    """Return a column's default; None if it has none, or if the INSERT must work it out.

    That is an SQL expression, a sequence, a server default, or a function of SQLAlchemy's context.
    """
    default = column.default
    if isinstance(default, ScalarElementColumnDefault):
        value = default.arg
        return lambda: value
    if isinstance(default, CallableColumnDefault) and not _takes_context(default.arg):
        function: Callable[[Any], Any] = default.arg
        return lambda: function(None)
    return None


def _takes_context(function: Callable[..., Any]) -> bool:
    """Return whether a default's function has a parameter; SQLAlchemy wraps one that has none."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return True
    return any(parameter.default is parameter.empty for parameter in parameters)
