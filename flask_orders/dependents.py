"""Delete cart items with the rows that refer to them, as `session.delete(item)` would.

- Rows that a relationship's `cascade` names are deleted, the deepest rows first.
- Any other row stays: its foreign key becomes NULL, or is left to ON DELETE. A row that no cascade
  names is never deleted, and no cart item is deleted that was not ordered.
- A row that can be neither deleted nor detached makes the database refuse the order; `flask orders
  check` lists such a foreign key with its fix.

The number of statements depends on the number of tables, not on the number of items.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import (
    ColumnElement,
    Delete,
    and_,
    delete,
    not_,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import scoped_session

from .db.bulk import KeysIn, has_arrays
from .db.writes import Write, row_count
from .errors import Conflict
from .links import Columns, Link, LinkFinder, column_pairs, entity_tables, has_ondelete
from .models import Models
from .models.sources import RowSource

Rows = Sequence[tuple[Any, ...]]

# Rows to delete once the rows that point to them are gone.
Owned = list[tuple[RowSource, Rows]]


class Dependents:
    """The cart items of one app, and the rows that depend on them."""

    def __init__(self, session: scoped_session[Session], models: Models) -> None:
        self._session = session
        self._models = models
        self._links = LinkFinder(models)

    @property
    def problems(self) -> list[str]:
        """The references that an order can neither delete nor set to NULL, each with its fix."""
        return self._links.of(self._item).problems

    def delete_items(self, keys: Rows) -> None:
        """Delete exactly the cart items with these keys, and the rows that depend on them.

        Args:
            keys: the primary key of each item, as a tuple.

        Raises:
            Conflict: an item has disappeared in spite of its lock.
        """
        owned = self._detach(self._item, keys)
        for write in self._deletions(keys):
            deleted = self._session.execute(write.statement, write.parameters)
        if row_count(deleted) != len(keys):
            raise Conflict
        self._delete(owned)

    def deletions(self, keys: Rows) -> Sequence[Write] | None:
        """Return what `delete_items` would write; None if it is more than one DELETE."""
        is_plain = self._links.of(self._item).is_empty and len(self._deleting) == 1
        return self._deletions(keys) if is_plain else None

    @property
    def _item(self) -> RowSource:
        return self._models.shop.cart_item.source

    def _deletions(self, keys: Rows) -> list[Write]:
        return [
            Write(statement, keys_in.parameters(keys), len(keys))
            for statement, keys_in in self._deleting
        ]

    @cached_property
    def _deleting(self) -> list[tuple[Delete, KeysIn]]:
        """One DELETE for each table that holds a part of an item; the last is counted."""
        arrays = has_arrays(self._session, self._models.Order)
        by_table = [
            (rows, KeysIn(tuple(rows.primary_key), "keys", arrays=arrays))
            for rows in entity_tables(self._item)
        ]
        return [(delete(rows).where(keys.condition), keys) for rows, keys in by_table]

    def _delete(self, owned: Owned) -> None:
        """Delete rows, and the rows that depend on them in turn."""
        for source, keys in owned:
            if keys:
                after = self._detach(source, keys)
                self._execute(delete(source.given).where(_in(source.primary_key, keys)))
                self._delete(after)

    def _detach(self, parent: RowSource, keys: Rows) -> Owned:
        """Delete or detach the rows that refer to rows; return the rows to delete after them."""
        links = self._links.of(parent)
        for link in links.pointing:
            self._follow(parent, link, keys)
        return [
            (
                RowSource(relation.mapper.class_),
                self._values(parent, keys, column_pairs(relation)[0]),
            )
            for relation in links.owned
        ]

    def _follow(self, parent: RowSource, link: Link, keys: Rows) -> None:
        pointing = _in(link.foreign, self._values(parent, keys, link.referred))
        if link.rows in parent.tables:
            self._follow_own_kind(parent, link, keys, pointing)
        elif not link.is_deleted:
            self._set_null(link, pointing)
        elif link.source is None or self._links.of(link.source).is_empty:
            self._execute(delete(link.target).where(pointing))
        else:
            self._delete([(link.source, self._keys(link.source, pointing))])

    def _follow_own_kind(
        self, parent: RowSource, link: Link, keys: Rows, pointing: ColumnElement[bool]
    ) -> None:
        """Detach rows of one table from each other, since InnoDB checks a DELETE row by row."""
        key = parent.primary_key
        if link.is_deleted and parent != self._item:
            self._delete([(parent, self._keys(parent, and_(pointing, not_(_in(key, keys)))))])
        # Rows that the database deletes by itself are not counted, and an order counts its items.
        self._set_null(link, _in(key, keys) if has_ondelete(link.foreign) else pointing)

    def _keys(self, source: RowSource, condition: ColumnElement[bool]) -> Rows:
        found = select(*source.primary_key).select_from(source.given).where(condition)
        return [tuple(row) for row in self._session.execute(found.with_for_update())]

    def _set_null(self, link: Link, pointing: ColumnElement[bool]) -> None:
        nothing = {column: None for column in link.foreign if column.nullable}
        if nothing:
            self._execute(update(link.target).where(pointing).values(nothing))

    def _values(self, parent: RowSource, keys: Rows, columns: Columns) -> Rows:
        """Return the parent rows' values of these columns."""
        if columns == parent.primary_key:
            return keys
        query = select(*columns).where(_in(parent.primary_key, keys), columns[0].is_not(None))
        return [tuple(row) for row in self._session.execute(query.distinct())]

    def _execute(self, statement: Any) -> None:
        # The rows are locked by their parents, and the session's objects expire at the end.
        self._session.execute(statement, execution_options={"synchronize_session": False})


def _in(columns: Sequence[ColumnElement[Any]], values: Rows) -> ColumnElement[bool]:
    if len(columns) == 1:
        return columns[0].in_([value for (value,) in values])
    return tuple_(*columns).in_(values)
