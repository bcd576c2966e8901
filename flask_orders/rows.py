"""Rows for an INSERT that are complete before it: only existing columns, with their defaults."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Table

from .db.defaults import computed, needs_context

Row = Mapping[str, Any]


class RowCompleter:
    """The columns of one table and their defaults, but for the columns named by `without`."""

    def __init__(self, rows: Table, *, without: Collection[str] = ()) -> None:
        columns = {column.key: column for column in rows.c if column.key not in without}
        self._names = frozenset(columns)
        defaults = {name: computed(column.default) for name, column in columns.items()}
        self._defaults = {name: found for name, found in defaults.items() if found is not None}
        self._unknown = frozenset(
            n for n, column in columns.items() if needs_context(column.default)
        )

    def complete(self, values: Row) -> Row:
        """Return a row of the values that have a column, and of the other columns' defaults.

        A shop without the library's offers and vouchers has no column that refers to them.
        """
        row = {name: value for name, value in values.items() if name in self._names}
        for name, default in self._defaults.items():
            if name not in row:
                row[name] = default()
        return row

    def is_complete(self, row: Row) -> bool:
        """Return whether the INSERT has no default in Python left to work out."""
        return self._unknown <= row.keys()
