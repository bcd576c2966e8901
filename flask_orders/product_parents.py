"""Read the rows to which products lead, as `load=` names them, so that a function may walk there.

A parent is read once for all products, by a read that locks it until the transaction ends: a plain
one might see an older snapshot of the shop's own transaction. Parents are locked after the
products, in the order of their keys.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import BinaryExpression, Select, select
from sqlalchemy.orm import (
    RelationshipDirection,
    RelationshipProperty,
    lazyload,
    scoped_session,
    selectinload,
)
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.sql import operators

from .db.bulk import in_values
from .models.sources import RowSource


class Parents:
    """The rows to which the rows of one class lead.

    Attributes:
        options: loads of the relationships that are not read by a key, for the rows' own SELECT.
    """

    def __init__(self, cls: type[Any], loads: Sequence[Any], *, lock: bool, arrays: bool) -> None:
        """Prepare to read; this configures mappers.

        Args:
            cls: the mapped class of the rows.
            loads: relationships of the class, each followed by those of the class it leads to.
            lock: whether parents stay locked against changes; other orders need not wait.
            arrays: whether the database takes arrays.
        """
        direct = [load for load in loads if issubclass(cls, load.class_)]
        self.options = [selectin(load, loads) for load in direct if not _is_by_key(load.property)]
        self._parents = [
            _Parent.of(load.property, _after(load, loads), lock=lock, arrays=arrays)
            for load in direct
            if _is_by_key(load.property)
        ]

    def read(self, session: scoped_session[Session], rows: Sequence[Any]) -> None:
        """Read the parents of rows, and theirs, into the relationships of the rows."""
        for parent in self._parents:
            parent.read(session, rows)

    def statements(self) -> Iterator[Select[Any]]:
        """Yield each SELECT of parents; its parameter `keys` are their keys."""
        for parent in self._parents:
            yield parent.query
            yield from parent.further.statements()


@dataclass(frozen=True, slots=True)
class _Parent:
    """A many-to-one relationship to the parents with these keys, and the way on from there."""

    name: str
    reference: str
    query: Select[Any]
    further: Parents

    @classmethod
    def of(
        cls, relation: RelationshipProperty[Any], loads: Sequence[Any], *, lock: bool, arrays: bool
    ) -> "_Parent":
        source = RowSource(relation.mapper.class_)
        further = Parents(source.given, loads, lock=lock, arrays=arrays)
        key = source.attribute(source.primary_key[0])
        query = (
            select(key, source.given)
            .where(in_values(key, "keys", arrays=arrays))
            .order_by(key)
            .options(lazyload("*"), *further.options)
            .execution_options(populate_existing=True)
        )
        if lock:
            query = query.with_for_update(read=True, of=list(source.tables))
        ((reference, _),) = relation.local_remote_pairs or ()
        name = relation.parent.get_property_by_column(reference).key
        return cls(relation.key, name, query, further)

    def read(self, session: scoped_session[Session], rows: Sequence[Any]) -> None:
        wanted = dict.fromkeys(getattr(row, self.reference) for row in rows)
        keys = [key for key in wanted if key is not None]
        if not keys:
            return
        found = dict(map(tuple, session.execute(self.query, {"keys": keys})))
        for row in rows:
            # One that is spelled in another way, or hidden by a criterion, is left to a lazy load.
            parent = found.get(getattr(row, self.reference))
            if parent is not None:
                set_committed_value(row, self.name, parent)
        self.further.read(session, list(found.values()))


def selectin(load: Any, loads: Sequence[Any]) -> Any:
    """Return the load of a relationship, and of those that continue it."""
    further = [
        selectin(each, loads)
        for each in _after(load, loads)
        if issubclass(load.property.mapper.class_, each.class_)
    ]
    return selectinload(load).options(*further)


def _after(load: Any, loads: Sequence[Any]) -> Sequence[Any]:
    return loads[[each is load for each in loads].index(True) + 1 :]


def _is_by_key(relation: RelationshipProperty[Any]) -> bool:
    """Return whether a relationship leads to one row by its key alone."""
    pairs, key = relation.local_remote_pairs or [], relation.mapper.primary_key
    condition = relation.primaryjoin
    return (
        relation.direction is RelationshipDirection.MANYTOONE
        and relation.secondary is None
        and len(pairs) == len(key) == 1
        and pairs[0][1] is key[0]
        and isinstance(condition, BinaryExpression)
        and condition.operator is operators.eq
    )
