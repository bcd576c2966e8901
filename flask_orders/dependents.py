"""Send the rows that point to a cart item the way that `session.delete(item)` would send them.

- What a relationship's `cascade` names is deleted, the deepest rows first.
- Any other row stays: its foreign key becomes NULL, or is left to ON DELETE. A row that no cascade
  names is never deleted, and no cart item is that was not ordered.
- What can be neither is a problem that `flask orders check` names: the database refuses the order.

The number of statements depends on the number of tables, not on that of items.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import (
    Column,
    ColumnElement,
    Table,
    and_,
    delete,
    inspect,
    not_,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import Mapper, RelationshipDirection, RelationshipProperty, scoped_session

from .models import Models
from .models.contract import table

Columns = tuple[Column[Any], ...]
Rows = Sequence[tuple[Any, ...]]

# Rows to delete once the rows that point to them are gone.
Owned = list[tuple[Mapper[Any], Rows]]


@dataclass(frozen=True, slots=True)
class _Link:
    """Rows whose `foreign` columns hold the `referred` ones of a parent row.

    `mapper` is their class, or None where a table has none; `is_deleted` says whether they go with
    the parent or stay with NULL.
    """

    rows: Table
    mapper: Mapper[Any] | None
    foreign: Columns
    referred: Columns
    is_deleted: bool

    @property
    def target(self) -> Any:
        """What is deleted or updated: by its class a sibling of single-table inheritance stays."""
        return self.rows if self.mapper is None else self.mapper.class_


@dataclass(frozen=True, slots=True)
class _Links:
    """What points to the rows of one class, what its rows own, and what can't be resolved."""

    pointing: list[_Link] = field(default_factory=list)
    owned: list[RelationshipProperty[Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Dependents:
    """What hangs on the cart items of one app; found at first use, when all classes are mapped."""

    def __init__(self, session: scoped_session[Session], models: Models) -> None:
        self._session = session
        self._models = models
        self._found: dict[Mapper[Any], _Links] = {}

    @property
    def problems(self) -> list[str]:
        """What an order can neither delete nor detach, a sentence each, with the fix."""
        return self._links(self._item).problems

    def detach(self, keys: Sequence[Any]) -> Owned:
        """Delete or detach what points to the cart items; what is to be deleted after them."""
        return self._detach(self._item, [(key,) for key in keys])

    def delete(self, owned: Owned) -> None:
        """Delete rows, with what hangs on them in turn."""
        for mapper, keys in owned:
            if keys:
                after = self._detach(mapper, keys)
                self._execute(delete(mapper.class_).where(_in(mapper.primary_key, keys)))
                self.delete(after)

    @property
    def _item(self) -> Mapper[Any]:
        mapper: Mapper[Any] = inspect(self._models.CartItem)
        return mapper

    def _detach(self, parent: Mapper[Any], keys: Rows) -> Owned:
        links = self._links(parent)
        for link in links.pointing:
            self._follow(parent, link, keys)
        return [(rel.mapper, self._values(parent, keys, _pairs(rel)[0])) for rel in links.owned]

    def _follow(self, parent: Mapper[Any], link: _Link, keys: Rows) -> None:
        pointing = _in(link.foreign, self._values(parent, keys, link.referred))
        if link.rows is parent.local_table:
            self._follow_own_kind(parent, link, keys, pointing)
        elif not link.is_deleted:
            self._set_null(link, pointing)
        elif link.mapper is None or not self._has_links(link.mapper):
            self._execute(delete(link.target).where(pointing))
        else:
            self.delete([(link.mapper, self._keys(link.mapper, pointing))])

    def _follow_own_kind(
        self, parent: Mapper[Any], link: _Link, keys: Rows, pointing: ColumnElement[bool]
    ) -> None:
        """Untie rows of one table: InnoDB checks row by row and refuses to delete them else."""
        key = parent.primary_key
        if link.is_deleted and parent is not self._item:
            self.delete([(parent, self._keys(parent, and_(pointing, not_(_in(key, keys)))))])
        # What the database deletes by itself is not counted, and an order counts its items.
        self._set_null(link, _in(key, keys) if _has_ondelete(link.foreign) else pointing)

    def _keys(self, mapper: Mapper[Any], condition: ColumnElement[bool]) -> Rows:
        found = select(*mapper.primary_key).select_from(mapper.class_).where(condition)
        return [tuple(row) for row in self._session.execute(found.with_for_update())]

    def _set_null(self, link: _Link, pointing: ColumnElement[bool]) -> None:
        nothing = {column: None for column in link.foreign if column.nullable}
        if nothing:
            self._execute(update(link.target).where(pointing).values(nothing))

    def _values(self, parent: Mapper[Any], keys: Rows, columns: Columns) -> Rows:
        """What the parent rows hold in these columns."""
        if columns == tuple(parent.primary_key):
            return keys
        query = select(*columns).where(_in(parent.primary_key, keys), columns[0].is_not(None))
        return [tuple(row) for row in self._session.execute(query.distinct())]

    def _execute(self, statement: Any) -> None:
        # The rows are locked by their parents, and the session's own objects expire at the end.
        self._session.execute(statement, execution_options={"synchronize_session": False})

    def _has_links(self, mapper: Mapper[Any]) -> bool:
        links = self._links(mapper)
        return bool(links.pointing or links.owned)

    def _links(self, mapper: Mapper[Any]) -> _Links:
        if mapper not in self._found:
            links = self._found[mapper] = _Links()
            for relation in mapper.relationships:
                if not relation.viewonly:
                    self._add_relation(links, mapper, relation)
            seen = {(link.rows, frozenset(link.foreign)) for link in links.pointing}
            for rows, foreign, referred, ondelete in _foreign_keys_to(mapper):
                if (rows, frozenset(foreign)) not in seen:
                    _add_foreign_key(links, mapper, rows, foreign, referred, ondelete)
            for link in links.pointing:
                if link.is_deleted and link.mapper is not None and link.rows not in mapper.tables:
                    links.problems.extend(self._links(link.mapper).problems)
        return self._found[mapper]

    def _add_relation(
        self, links: _Links, mapper: Mapper[Any], relation: RelationshipProperty[Any]
    ) -> None:
        child, is_deleted = relation.mapper, relation.cascade.delete
        if relation.direction is RelationshipDirection.MANYTOONE:
            if is_deleted and self._is_the_shop_s(child):
                links.problems.append(
                    f"{relation} deletes the {child.class_.__name__} with the item: an order does "
                    "not; remove 'delete' from its cascade"
                )
            elif is_deleted:
                links.owned.append(relation)
            return
        referred, foreign = _pairs(relation)
        rows = foreign[0].table
        if not isinstance(rows, Table) or (relation.passive_deletes and _has_ondelete(foreign)):
            return
        if relation.secondary is not None:
            links.pointing.append(_Link(rows, None, foreign, referred, is_deleted=True))
        elif is_deleted and child.local_table is not child.persist_selectable:
            links.problems.append(
                f"{relation} deletes a {child.class_.__name__}, which lies in two tables: give its "
                "foreign keys ON DELETE CASCADE, and the relationship passive_deletes=True"
            )
        elif is_deleted or (not relation.passive_deletes and all(c.nullable for c in foreign)):
            links.pointing.append(_Link(rows, child, foreign, referred, is_deleted))

    def _is_the_shop_s(self, mapper: Mapper[Any]) -> bool:
        """Whether it is a class that outlives its cart items, whatever a cascade says."""
        models = self._models
        lasting = (models.Product, models.Cart, models.Customer)
        return any(cls is not None and issubclass(mapper.class_, cls) for cls in lasting)


def _add_foreign_key(
    links: _Links,
    mapper: Mapper[Any],
    rows: Table,
    foreign: Columns,
    referred: Columns,
    ondelete: str | None,
) -> None:
    """A foreign key that no relationship speaks for."""
    is_nullable = any(column.nullable for column in foreign)
    if is_nullable and (ondelete is None or rows is mapper.local_table):
        links.pointing.append(_Link(rows, None, foreign, referred, is_deleted=False))
    elif ondelete is None:
        names = ", ".join(column.name for column in foreign)
        links.problems.append(
            f"rows of '{rows.name}' point to {mapper.class_.__name__} by {names}, and nothing says "
            "what becomes of them when an item is ordered: give the foreign key ON DELETE, let it "
            "be NULL, or name it in the cascade of a relationship of "
            f"{mapper.class_.__name__}"
        )


def _foreign_keys_to(
    mapper: Mapper[Any],
) -> Iterator[tuple[Table, Columns, Columns, str | None]]:
    """Each foreign key to the class's table: whose it is, its columns, theirs, its ON DELETE."""
    parent = table(mapper.class_)
    for rows in parent.metadata.tables.values():
        for constraint in rows.foreign_key_constraints:
            if constraint.referred_table is parent:
                elements = constraint.elements
                foreign = tuple(element.parent for element in elements)
                referred = tuple(element.column for element in elements)
                yield rows, foreign, referred, constraint.ondelete


def _has_ondelete(foreign: Columns) -> bool:
    """Whether the database itself says what becomes of rows when what they point to is deleted."""
    return all(any(key.ondelete for key in column.foreign_keys) for column in foreign)


def _pairs(relation: RelationshipProperty[Any]) -> tuple[Columns, Columns]:
    """The columns on the parent's side of a relationship, and on the other."""
    pairs = relation.synchronize_pairs
    if relation.direction is RelationshipDirection.MANYTOONE:
        pairs = [(foreign, referred) for referred, foreign in pairs]
    parents, others = zip(*pairs, strict=True)
    return parents, others


def _in(columns: Sequence[ColumnElement[Any]], values: Rows) -> ColumnElement[bool]:
    if len(columns) == 1:
        return columns[0].in_([value for (value,) in values])
    return tuple_(*columns).in_(values)
