"""Find the rows that refer to the shop's cart items, by relationships and by foreign keys.

Nothing is guessed: a reference that an order can neither delete nor set to NULL is a problem, which
`flask orders check` lists with its fix.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, ForeignKeyConstraint, Table
from sqlalchemy.orm import Mapper, RelationshipDirection, RelationshipProperty

from .models import Models
from .models.sources import RowSource

Columns = tuple[Column[Any], ...]


@dataclass(frozen=True, slots=True)
class Link:
    """Rows whose `foreign` columns hold the values of the `referred` columns of a parent row.

    `mapper` is the class of the rows, or None for a table without a class; `is_deleted` says
    whether the rows are deleted with their parent, or stay with NULL.
    """

    rows: Table
    mapper: Mapper[Any] | None
    foreign: Columns
    referred: Columns
    is_deleted: bool

    @property
    def source(self) -> RowSource | None:
        """The rows of the class; None for a table without a class."""
        return None if self.mapper is None else RowSource(self.mapper.class_)

    @property
    def target(self) -> Any:
        """The target of a DELETE or UPDATE: through the class a single-table sibling stays."""
        return self.rows if self.mapper is None else self.mapper.class_


@dataclass(frozen=True, slots=True)
class Links:
    """The links to the rows of one class, the relationships to rows that they own, the problems."""

    pointing: list[Link] = field(default_factory=list)
    owned: list[RelationshipProperty[Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether a row of the class can be deleted without regard to any other row."""
        return not self.pointing and not self.owned


class LinkFinder:
    """Finds the links of a class at the first use, when all classes are mapped."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._found: dict[RowSource, Links] = {}

    def of(self, source: RowSource) -> Links:
        """Return the links to rows; the problems include those of rows deleted with them."""
        if source not in self._found:
            links = self._found[source] = Links()
            for relation in [] if source.mapper is None else source.mapper.relationships:
                if not relation.viewonly:
                    self._add_relation(links, source, relation)
            seen = {(link.rows, frozenset(link.foreign)) for link in links.pointing}
            for rows, foreign, referred, ondelete in _foreign_keys_to(source):
                if (rows, frozenset(foreign)) not in seen:
                    _add_foreign_key(links, source, rows, foreign, referred, ondelete)
            for link in links.pointing:
                if link.is_deleted and link.source is not None and link.rows not in source.tables:
                    links.problems.extend(self.of(link.source).problems)
        return self._found[source]

    def _add_relation(
        self, links: Links, source: RowSource, relation: RelationshipProperty[Any]
    ) -> None:
        if relation.direction is RelationshipDirection.MANYTOONE:
            self._add_parent(links, relation)
        else:
            _add_children(links, relation)

    def _add_parent(self, links: Links, relation: RelationshipProperty[Any]) -> None:
        if not relation.cascade.delete:
            return
        if self._outlives_items(relation.mapper):
            links.problems.append(
                f"{relation} deletes the {relation.mapper.class_.__name__} with the item: an order "
                "does not; remove 'delete' from its cascade"
            )
        else:
            links.owned.append(relation)

    def _outlives_items(self, mapper: Mapper[Any]) -> bool:
        """Return whether rows of a class outlive their cart items, whatever a cascade says."""
        models = self._models
        lasting = (models.Product, models.Cart, models.Customer)
        return any(cls is not None and issubclass(mapper.class_, cls) for cls in lasting)


def has_ondelete(foreign: Columns) -> bool:
    """Return whether the database itself deletes or detaches the rows with these foreign keys."""
    return all(any(key.ondelete for key in column.foreign_keys) for column in foreign)


def column_pairs(relation: RelationshipProperty[Any]) -> tuple[Columns, Columns]:
    """Return a relationship's columns on its parent's side, and on the other side."""
    pairs = relation.synchronize_pairs
    if relation.direction is RelationshipDirection.MANYTOONE:
        pairs = [(foreign, referred) for referred, foreign in pairs]
    parents, others = zip(*pairs, strict=True)
    return parents, others


def _add_children(links: Links, relation: RelationshipProperty[Any]) -> None:
    child, is_deleted = relation.mapper, relation.cascade.delete
    referred, foreign = column_pairs(relation)
    rows = foreign[0].table
    if not isinstance(rows, Table) or (relation.passive_deletes and has_ondelete(foreign)):
        return
    if relation.secondary is not None:
        links.pointing.append(Link(rows, None, foreign, referred, is_deleted=True))
    elif is_deleted and child.local_table is not child.persist_selectable:
        links.problems.append(
            f"{relation} deletes a {child.class_.__name__}, which is stored in two tables: give "
            "its foreign keys ON DELETE CASCADE, and the relationship passive_deletes=True"
        )
    elif is_deleted or (not relation.passive_deletes and all(c.nullable for c in foreign)):
        links.pointing.append(Link(rows, child, foreign, referred, is_deleted))


def _add_foreign_key(
    links: Links,
    source: RowSource,
    rows: Table,
    foreign: Columns,
    referred: Columns,
    ondelete: str | None,
) -> None:
    """Add a foreign key that no relationship covers."""
    is_nullable = any(column.nullable for column in foreign)
    if is_nullable and (ondelete is None or rows in source.tables):
        links.pointing.append(Link(rows, None, foreign, referred, is_deleted=False))
    elif ondelete is None:
        names = ", ".join(column.name for column in foreign)
        links.problems.append(
            f"rows of '{rows.name}' point to {source.name} by {names}, and an order can "
            "neither delete nor detach them: give the foreign key ON DELETE, make it nullable, or "
            "name it in the cascade of a relationship of "
            f"{source.name}"
        )


def entity_tables(source: RowSource) -> tuple[Table, ...]:
    """Return the tables that hold one row of a class, those of subclasses first."""
    if source.mapper is None:
        return source.tables
    mappers = list(source.mapper.base_mapper.self_and_descendants)
    tables = dict.fromkeys(mapper.local_table for mapper in mappers)
    return tuple(found for found in reversed(tables) if isinstance(found, Table))


def _foreign_keys_to(source: RowSource) -> Iterator[tuple[Table, Columns, Columns, str | None]]:
    """Yield each foreign key to a row: its table, both sides' columns, its ON DELETE."""
    of_row = entity_tables(source)
    for rows in source.tables[0].metadata.tables.values():
        for constraint in rows.foreign_key_constraints:
            if constraint.referred_table in of_row and not _is_inheritance(constraint, of_row):
                elements = constraint.elements
                foreign = tuple(element.parent for element in elements)
                referred = tuple(element.column for element in elements)
                yield rows, foreign, referred, constraint.ondelete


def _is_inheritance(constraint: ForeignKeyConstraint, of_row: tuple[Table, ...]) -> bool:
    """Return whether a foreign key joins the tables of one row, in joined inheritance."""
    rows = constraint.parent
    is_other_table = rows in of_row and constraint.referred_table is not rows
    return is_other_table and all(column.primary_key for column in constraint.columns)
