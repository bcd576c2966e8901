"""The tools with which our classes are made on a host's `db.Model`.

Called by `declare.py` and `promotions.py`. A class is made of its mixin; columns that depend on the
host are added to it afterwards, in the same way to ours and to a host's subclass of a mixin.
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
MOST = 10**PRECISION - 1

# In the `info` of a constraint or foreign key: it is the library's, not the host's.
_OURS = "flask_orders"


class Builder:
    """Makes and completes classes on one `db`, for one kind of customer."""

    def __init__(self, db: SQLAlchemy, prefix: str, customer: type[Any] | None) -> None:
        self.db = db
        self.prefix = prefix
        self._customer = customer

    def make(self, name: str, mixin: type[Any]) -> type[Any]:
        """A class of the mixin's columns; its table's name is the mixin's, prefixed."""
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
                f"Your db has a table '{table_name}' already: call declare_models(db, ..., "
                "table_prefix='fo_'), or with another prefix; if the table is your own products', "
                "carts' or customers', pass its class."
            )

    def _free_name(self, name: str) -> str:
        """Not a name of the host's: relationship("Order") must go on finding the host's Order."""
        taken = {mapper.class_.__name__ for mapper in cast(Any, self.db.Model).registry.mappers}
        return f"Orders{name}" if name in taken else name

    def customer_column(self, *, ondelete: str, **options: Any) -> Column[Any]:
        """The key of the host's customer, or, without such a class, the JWT's subject."""
        if self._customer is None:
            return Column("customer_id", EXACT_TEXT, **options)
        return reference("customer_id", self._customer, ondelete=ondelete, **options)


def reference(name: str, target: type[Any], *, ondelete: str, **options: Any) -> Column[Any]:
    """A foreign key of the type of what it points to."""
    key = ForeignKey(primary_key(target), ondelete=ondelete, info={_OURS: True})
    return Column(name, key, **options)


def add(cls: type[Any], *columns: Column[Any]) -> None:
    """Add columns to a class that is mapped already."""
    for new in columns:
        # Not by setattr: a DeclarativeBaseNoMeta would not notice.
        table(cls).append_column(new)
        inspect(cls).add_property(new.name, new)


def index(cls: type[Any], name: str) -> None:
    """Let rows be found by a foreign key, as the database does when what it points to is deleted.

    As a constraint, which holds anyway, it comes and goes with its table: a plain index is dropped
    by Alembic's downgrade before the table is, and MariaDB refuses that for a foreign key's.
    """
    constrain(cls, UniqueConstraint(table(cls).c[name], primary_key(cls)))


def relate(cls: type[Any], name: str, new: RelationshipProperty[Any]) -> None:
    """Add a relationship to a class that is mapped already."""
    inspect(cls).add_property(name, new)


def relate_items(owner: type[Any], item: type[Any], name: str, order_by: Column[Any]) -> None:
    """Make the items the owner's `items`, and the owner the items' attribute `name`."""
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
    """Add constraints to the table of a class."""
    for constraint in constraints:
        constraint.info[_OURS] = True
        table(cls).append_constraint(constraint)


def race_unique_keys(rows: Table) -> set[frozenset[str]]:
    """The columns of the unique constraints by which the library notices a lost race.

    A key that is counted up is none: no other transaction is given the same number.
    """
    found = {
        frozenset(constraint.columns.keys())
        for constraint in rows.constraints
        if isinstance(constraint, UniqueConstraint) and constraint.info.get(_OURS)
    }
    if found and rows.autoincrement_column is None:
        found.add(frozenset(rows.primary_key.columns.keys()))
    return found


def race_foreign_keys(rows: Table) -> set[frozenset[str]]:
    """The columns of the foreign keys by which the library notices that a row was removed."""
    return {frozenset([key.parent.name]) for key in rows.foreign_keys if key.info.get(_OURS)}


def not_negative(what: str, cls: type[Any], *counts: str) -> CheckConstraint:
    """Make the CHECK that every amount of a `what`, and each of these counts, is zero or more.

    It has an upper end too, since PostgreSQL's NaN is above every number: the highest amount, as
    the whole number of 1/10000 that SQLite holds.
    """
    amounts = [column.name for column in table(cls).c if isinstance(column.type, Money)]
    condition = " AND ".join(f"{name} BETWEEN 0 AND {MOST}" for name in (*amounts, *counts))
    return CheckConstraint(condition, name=f"{what}_not_negative")
