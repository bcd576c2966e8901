"""Row versions: a write that bypasses the ORM sets the version that the mapper would have set.

An ORM form that was opened before the write then fails with a StaleDataError, as it does after any
other write, instead of overwriting the new values.
"""

from dataclasses import dataclass
from typing import Any, Self, cast

from sqlalchemy import Column, inspect
from sqlalchemy.orm import Mapper


@dataclass(frozen=True, slots=True)
class RowVersion:
    """The `version_id_col` of a mapped class."""

    mapper: Mapper[Any]
    column: Column[Any]

    @classmethod
    def of(cls, mapped: type[Any]) -> Self | None:
        """Return the class's version column; None if it has none, or the database sets it."""
        mapper: Mapper[Any] = inspect(mapped)
        column = mapper.version_id_col
        if column is None or mapper.version_id_generator is False:
            return None
        return cls(mapper, cast(Column[Any], column))

    def held_by(self, row: Any) -> Any:
        """Return the version of a loaded object."""
        return getattr(row, self.mapper.get_property_by_column(self.column).key)

    def next(self, version: Any) -> Any:
        """Return the version that follows, by the mapper's own generator."""
        generator: Any = self.mapper.version_id_generator
        return generator(version)
