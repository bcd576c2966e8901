"""The rows of one of the shop's classes, or of a bare table, as its mapping names them.

No mapper is configured here: a class may still refer to classes that are not defined yet, and a
failure to find one of them would be remembered by SQLAlchemy for good.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from inspect import getattr_static
from typing import Any

from sqlalchemy import Column, ForeignKey, Table, inspect
from sqlalchemy.exc import NoReferencedColumnError, NoReferencedTableError
from sqlalchemy.orm import Mapper

from .contract import attribute


@dataclass(frozen=True)
class RowSource:
    """A mapped class, or a table without a class."""

    given: Any

    @property
    def mapper(self) -> Mapper[Any] | None:
        """The mapper of the class; None for a bare table."""
        return None if isinstance(self.given, Table) else inspect(self.given)

    @property
    def name(self) -> str:
        """The name by which an error speaks of it."""
        if isinstance(self.given, Table):
            return f"the table '{self.given.name}'"
        return str(self.given.__name__)

    @property
    def code(self) -> str:
        """The expression by which the shop's own code reaches a column."""
        return f"{self.given.name}.c" if isinstance(self.given, Table) else self.name

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """The tables that a row spans: several in joined inheritance, the topmost first."""
        mapper = self.mapper
        if mapper is None:
            return (self.given,)
        return tuple(found for found in mapper.tables if isinstance(found, Table))

    @property
    def columns(self) -> tuple[Column[Any], ...]:
        """The columns that the class maps, or those of the table."""
        mapper = self.mapper
        if mapper is None:
            return tuple(self.given.c)
        return tuple(found for found in mapper.columns if isinstance(found, Column))

    def has(self, name: str) -> bool:
        """Return whether the class has an attribute, or the table a column, of that name."""
        return name in self.given.c if self.mapper is None else _has(self.given, name)

    @property
    def primary_key(self) -> tuple[Column[Any], ...]:
        """The columns of the primary key, in their order."""
        source: Any = self.given if self.mapper is None else self.mapper
        return tuple(source.primary_key)

    def attribute(self, column: Column[Any]) -> Any:
        """Return what selects a column: through the mapper, so that its criteria apply."""
        return column if self.mapper is None else attribute(self.given, column)

    def value(self, row: Any, column: Column[Any]) -> Any:
        """Return the value of a column in a loaded row."""
        if self.mapper is None:
            return row._mapping[column]
        return getattr(row, self.attribute_name(column))

    def attribute_name(self, column: Column[Any]) -> str:
        """Return the name of a column's attribute; in a bare table, of the column."""
        if self.mapper is None:
            return str(column.key)
        return str(self.mapper.get_property_by_column(column).key)

    def spell(self, column: Column[Any]) -> str:
        """Return a column as the shop's own code names it: `Basket.owner_id`."""
        return f"{self.code}.{self.attribute_name(column)}"


def references(source: RowSource, target: RowSource) -> list[tuple[Column[Any], Column[Any]]]:
    """Return each column that refers to the target's rows, and the column that it refers to.

    Where any of them refers to the target's key, only those are returned. No other column of a
    foreign key of several columns identifies a row.
    """
    found = [
        (column, referred, key)
        for column in source.columns
        for key in column.foreign_keys
        if (referred := _referred(key)) is not None and referred.table in target.tables
    ]
    to_key = [(column, referred) for column, referred, _ in found if referred in target.primary_key]
    return to_key or [(column, referred) for column, referred, key in found if _is_alone(key)]


def _is_alone(key: ForeignKey) -> bool:
    return key.constraint is None or len(key.constraint.elements) == 1


def leads_elsewhere(column: Column[Any], target: RowSource) -> Column[Any] | None:
    """Return where a column's foreign key leads, if what it holds is not the target's key.

    Two columns that lead to one column in the end hold the same keys: a profile may have the key of
    its user.
    """
    led = list(_all_referred(column))
    ends = {end for found in led for end in _ways_on(found)}
    return led[0] if led and ends.isdisjoint(_ways_on(target.primary_key[0])) else None


def _ways_on(column: Column[Any]) -> set[Column[Any]]:
    """Return the column, and every column to which foreign keys lead from there."""
    found, waiting = set[Column[Any]](), [column]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting.extend(_all_referred(one))
    return found


def _all_referred(column: Column[Any]) -> Iterator[Column[Any]]:
    for key in column.foreign_keys:
        referred = _referred(key)
        if referred is not None:
            yield referred


def _referred(key: ForeignKey) -> Column[Any] | None:
    """Return the column of a foreign key; None if its table is not defined yet."""
    try:
        return key.column
    except (NoReferencedTableError, NoReferencedColumnError):
        return None


def _has(cls: type[Any], name: str) -> bool:
    nothing = object()
    return getattr_static(cls, name, nothing) is not nothing
