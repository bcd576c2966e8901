"""Defaults and `onupdate` of columns, worked out in Python before the statement is executed.

SQLAlchemy does it when it executes the statement; of several INSERTs and UPDATEs in one statement
it does it for one, and the columns of the others become NULL.
"""

import inspect
from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import BindParameter, Column, FromClause, bindparam
from sqlalchemy.sql.schema import CallableColumnDefault, ScalarElementColumnDefault

from .writes import PREFIX


def computed(default: Any) -> Callable[[], Any] | None:
    """Return a column's default; None if it has none, or if the statement must work it out.

    That is an SQL expression, a sequence, a server default, or a function of SQLAlchemy's context.
    """
    if isinstance(default, ScalarElementColumnDefault):
        value = default.arg
        return lambda: value
    if isinstance(default, CallableColumnDefault) and not needs_context(default):
        function: Any = default.arg
        return lambda: function(None)
    return None


def needs_context(default: Any) -> bool:
    """Return whether a default is a function with a parameter; SQLAlchemy wraps the others."""
    if not isinstance(default, CallableColumnDefault):
        return False
    try:
        parameters = inspect.signature(default.arg).parameters.values()
    except ValueError:
        return True
    return any(parameter.default is parameter.empty for parameter in parameters)


class UpdatedColumns:
    """The columns of a table that every UPDATE sets by an `onupdate` in Python.

    Attributes:
        assigned: the parameter of each, by column.
        is_complete: whether no other column has an `onupdate` that only SQLAlchemy can work out.
    """

    def __init__(self, rows: FromClause, *, without: Collection[Column[Any]] = ()) -> None:
        columns = [column for column in rows.c if column not in set(without)]
        self.is_complete: bool = not any(needs_context(column.onupdate) for column in columns)
        self.assigned: dict[Any, BindParameter[Any]] = {}
        self._computed: dict[str, Callable[[], Any]] = {}
        for column in columns:
            compute = computed(column.onupdate)
            if compute is not None:
                name = f"{PREFIX}{rows.description}_{column.key}"
                self.assigned[column] = bindparam(name, type_=column.type)
                self._computed[name] = compute

    def parameters(self) -> dict[str, Any]:
        """Return the value of each parameter, now."""
        return {name: compute() for name, compute in self._computed.items()}
