"""Statements that change rows, each with the number of rows that it must change.

They are executed one after another, or, where the database can, as one statement of data-modifying
CTEs. Either way the same numbers are compared, and the same `Conflict` is raised.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from flask_sqlalchemy.session import Session
from sqlalchemy import (
    CTE,
    CursorResult,
    Delete,
    Insert,
    Result,
    Update,
    func,
    literal_column,
    select,
)
from sqlalchemy.orm import scoped_session

from ..errors import Conflict
from .typing import Query

Changing = Insert | Update | Delete

# Of parameters: an UPDATE takes one with a column's name for a new value. And of CTEs. It is short
# since psycopg parses a statement of more than 4,096 characters each time.
PREFIX = "fo_"


@dataclass(frozen=True, slots=True)
class Write:
    """A statement that changes rows.

    Attributes:
        statement: it is built once. A CTE if a later write reads what it returns.
        parameters: two writes have parameters of one name only if they have the same value.
        count: the number of rows that it must change.
        is_complete: whether it names every column that has a default or `onupdate` in Python.
    """

    statement: Any
    parameters: Mapping[str, Any]
    count: int = 1
    is_complete: bool = True


def row_count(result: Result[Any]) -> int:
    """Return the number of rows that an UPDATE or DELETE matched."""
    count: int = cast(CursorResult[Any], result).rowcount
    return count


def execute_each(session: scoped_session[Session], writes: Sequence[Write]) -> None:
    """Execute writes one after another.

    Raises:
        Conflict: a write has changed another number of rows. The caller rolls back.
    """
    for write in writes:
        result = session.execute(write.statement, write.parameters)
        # An INSERT of one row succeeds or fails; not every driver counts it.
        if not isinstance(write.statement, Insert) and row_count(result) != write.count:
            raise Conflict


class OneStatement:
    """Executes several writes as one statement, which is built once for the same writes.

    All of them see the database as it was before the statement. So a row that one changes must be
    locked by the transaction already, or be new, or be guarded by the WHERE of its UPDATE, which
    the database applies to the latest version of the row; and no two may change the same row.
    """

    def __init__(self) -> None:
        self._combined = lru_cache(100)(_combined)

    def execute(self, session: scoped_session[Session], writes: Sequence[Write]) -> None:
        """Execute the writes.

        Raises:
            Conflict: a write has changed another number of rows. The caller rolls back.
        """
        parameters: dict[str, Any] = {}
        for write in writes:
            parameters.update(write.parameters)
        statement = self._combined(tuple(write.statement for write in writes))
        counts = session.execute(statement, parameters).one()
        if tuple(counts) != tuple(write.count for write in writes):
            raise Conflict


def _combined(statements: tuple[Changing | CTE, ...]) -> Query:
    changed = [
        statement
        if isinstance(statement, CTE)
        else statement.returning(literal_column("1").label("one")).cte(f"{PREFIX}{number}")
        for number, statement in enumerate(statements)
    ]
    counts = (select(func.count()).select_from(rows).scalar_subquery() for rows in changed)
    return select(*(count.label(f"c{number}") for number, count in enumerate(counts)))
