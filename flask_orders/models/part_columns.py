"""Refuse a column that can't play its part: it plays another one, is a key, or is computed.

An order would deduct its units from a price, or sell a product at its number.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Cast, Column, Enum, Integer, String, Uuid
from sqlalchemy.types import TypeDecorator

from .parts import Attribute, Expression, Part
from .sources import RowSource

# The part of each column, by name; None where it is no column.
Columns = Mapping[str, Column[Any] | None]


def column_of(part: Part) -> Column[Any] | None:
    """Return the column that a part is, also one that is read by a cast; None for any other."""
    if isinstance(part, Attribute):
        return part.column
    if isinstance(part, Expression) and part.is_known and isinstance(part.given, Cast):
        clause = part.given.clause
        return clause if isinstance(clause, Column) else None
    return None


def played_twice(source: RowSource, columns: Columns) -> Iterator[str]:
    """Yield each part whose column plays an earlier part already."""
    seen: dict[Column[Any], str] = {}
    for name, column in columns.items():
        if column is None:
            continue
        earlier = seen.setdefault(column, name)
        if earlier != name:
            yield (
                f"{name}: {source.spell(column)} is the {earlier} already: give each part a column "
                "of its own"
            )


def counted_references(source: RowSource, columns: Columns) -> Iterator[str]:
    """Yield each part that is a number, and whose column refers to another row."""
    for name, column in columns.items():
        if column is not None and column.foreign_keys:
            yield (
                f"{name}: {source.spell(column)} is a foreign key, which counts nothing: give the "
                "column of the number"
            )


def computed(source: RowSource, name: str, columns: Sequence[Column[Any]]) -> Iterator[str]:
    """Yield each column that an order has to change, and that the database computes."""
    for column in columns:
        if column.computed is not None:
            yield (
                f"{name}: {source.spell(column)} is computed by the database, so that an order "
                "can't change it: give a column that is stored"
            )


def holds_vouchers(column: Column[Any]) -> bool:
    """Return whether a column may hold the key or the code of a voucher."""
    if column.foreign_keys or isinstance(column.type, TypeDecorator):
        return True
    return isinstance(column.type, String | Integer | Uuid) and not isinstance(column.type, Enum)
