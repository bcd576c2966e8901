"""The steps by which the library's classes are made on the shop's `db.Model`.

A class is made of its mixin. Columns that depend on the shop are added afterwards, in the same way
to a default class and to the shop's subclass of a mixin. Every constraint of the library is marked
as its own, so that a lost race is distinguished from a constraint of the shop's.
"""

from typing import Any, cast

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    CheckConstraint,
    Column,
    Constraint,
    ForeignKey,
    Table,
    UniqueConstraint,
    inspect,
)
from sqlalchemy.orm import RelationshipProperty, relationship

from ..errors import ConfigurationError
from .contract import primary_key, table
from .types import EXACT_TEXT, PRECISION, Money

# The largest number of PRECISION digits.
LARGEST = 10**PRECISION - 1

# The key in the `info` of a constraint or foreign key that marks it as the library's own.
_MARK = "flask_orders"


class Builder:
    """Makes classes on one `db`, for one customer class."""

    def __init__(self, db: SQLAlchemy, prefix: str, customer: type[Any] | None) -> None:
        self.db = db
        self.prefix = prefix
        self._customer = customer

    def make(self, name: str, mixin: type[Any]) -> type[Any]:
        """Return a class with the mixin's columns; its table has the mixin's name, prefixed."""
        table_name = self.prefix + mixin.__tablename__
        self._refuse_taken(table_name)
        attributes = {
            "__tablename__": table_name,
            "__module__": "flask_orders.models",
        }
        return type(self._free_name(name), (mixin, self.db.Model), attributes)

    def _refuse_taken(self, table_name: str) -> None:
        if table_name in self.db.metadata.tables:
            raise ConfigurationError(
                f"Your db already has a table '{table_name}': call declare_models(db, ..., "
                "table_prefix='fo_'), or with another prefix; if the table holds your own "
                "products, carts or customers, pass its class."
            )

    def _free_name(self, name: str) -> str:
        """Return a class name that the shop has not used.

        The shop's relationship("Order") must go on finding the shop's own Order.
        """
        taken = {mapper.class_.__name__ for mapper in cast(Any, self.db.Model).registry.mappers}
        return f"Orders{name}" if name in taken else name

    def customer_column(self, *, ondelete: str, **options: Any) -> Column[Any]:
        """Return a foreign key to the customer's class, or, without one, the JWT's subject."""
        if self._customer is None:
            return Column("customer_id", EXACT_TEXT, **options)
        return reference("customer_id", self._customer, ondelete=ondelete, **options)


def reference(name: str, target: type[Any], *, ondelete: str, **options: Any) -> Column[Any]:
    """Return a foreign key, whose type is that of the target's primary key."""
    key = ForeignKey(primary_key(target), ondelete=ondelete, info={_MARK: True})
    return Column(name, key, **options)


def add(cls: type[Any], *columns: Column[Any]) -> None:
    """Add columns to a class that has been mapped."""
    for new in columns:
        # Not by setattr, which a DeclarativeBaseNoMeta does not intercept.
        table(cls).append_column(new)
        inspect(cls).add_property(new.name, new)


def index(cls: type[Any], name: str) -> None:
    """Index a foreign key, for its ON DELETE and for reads by it.

    The index belongs to a constraint, which holds anyway, and so is dropped with its table:
    Alembic's downgrade drops a plain index before the table, and MariaDB refuses that where a
    foreign key needs it.
    """
    constrain(cls, UniqueConstraint(table(cls).c[name], primary_key(cls)))


def relate(cls: type[Any], name: str, new: RelationshipProperty[Any]) -> None:
    """Add a relationship to a class that has been mapped."""
    inspect(cls).add_property(name, new)


def relate_items(owner: type[Any], item: type[Any], name: str, order_by: Column[Any]) -> None:
    """Relate an owner to its `items`, and each item to its owner as the attribute `name`."""
    relate(
        owner,
        "items",
        relationship(
            item,
            back_populates=name,
            order_by=order_by,
            cascade="all, delete-orphan",
            passive_deletes=True,
        ),
    )
    relate(item, name, relationship(owner, back_populates="items"))


def constrain(cls: type[Any], *constraints: Constraint) -> None:
    """Add constraints of the library to the table of a class."""
    for constraint in constraints:
        constraint.info[_MARK] = True
        table(cls).append_constraint(constraint)


def race_unique_keys(rows: Table) -> set[frozenset[str]]:
    """Return the columns of the unique constraints by which the library detects a lost race.

    An autoincrement key is not one of them: no two transactions get the same number.
    """
    found = {
        frozenset(constraint.columns.keys())
        for constraint in rows.constraints
        if isinstance(constraint, UniqueConstraint) and constraint.info.get(_MARK)
    }
    if found and rows.autoincrement_column is None:
        found.add(frozenset(rows.primary_key.columns.keys()))
    return found


def race_foreign_keys(rows: Table) -> set[frozenset[str]]:
    """Return the columns of the foreign keys by which the library detects a deleted row."""
    return {frozenset([key.parent.name]) for key in rows.foreign_keys if key.info.get(_MARK)}


def not_negative(what: str, cls: type[Any], *counts: str) -> CheckConstraint:
    """Return the CHECK that every amount of a `what`, and each of these counts, is 0 or more.

    It has an upper bound too, since NaN is above every number in PostgreSQL: the largest amount,
    as the whole number of 1/10000 that SQLite stores.
    """
    amounts = [column.name for column in table(cls).c if isinstance(column.type, Money)]
    condition = " AND ".join(f"{name} BETWEEN 0 AND {LARGEST}" for name in (*amounts, *counts))
    return CheckConstraint(condition, name=f"{what}_not_negative")
