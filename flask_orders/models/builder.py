"""The steps by which the library's classes are made on the shop's `db.Model`.

A class is made of its mixin, under a name that no class of the shop's has. Columns that depend on
the shop are added afterwards, in the same way to a default class and to the shop's subclass of a
mixin, and no mapper is configured. Every constraint of the library is marked as its own, so that a
lost race is distinguished from a constraint of the shop's.
"""

from collections.abc import Iterable, Mapping
from inspect import get_annotations
from typing import Any, NoReturn

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

from ..currency import PRECISION
from ..errors import ConfigurationError
from .contract import primary_key, table
from .own_columns import must_be_given
from .types import KEY_LENGTH, ExactText, Money

# The largest number of PRECISION digits.
LARGEST = 10**PRECISION - 1

# The key in the `info` of a constraint or foreign key that marks it as the library's own.
_MARK = "flask_orders"


class Builder:
    """Makes classes on one `db`, for one customer class."""

    def __init__(self, db: SQLAlchemy, prefix: str, customer: type[Any] | None) -> None:
        self.db = db
        self.made: list[type[Any]] = []
        self._prefix = prefix
        self._customer = customer

    def table_name(self, name: str) -> str:
        """Return the name of a table of the library's, with the shop's prefix."""
        return self._prefix + name

    def refuse_taken(self, names: Iterable[str]) -> None:
        """Refuse tables that the shop has already, before any of them is declared."""
        tables = map(self.table_name, names)
        taken = [table for table in tables if self._key(table) in self.db.metadata.tables]
        if taken:
            raise ConfigurationError(
                f"Your db already has a table '{taken[0]}': call declare_models(db, ..., "
                "table_prefix='fo_'), or with another prefix; if the table holds your own "
                "products, carts or customers, pass its class."
            )

    def make(self, name: str, mixin: type[Any]) -> type[Any]:
        """Return a class with the mixin's columns; its table has the mixin's name, prefixed."""
        attributes = {
            "__tablename__": self.table_name(mixin.__tablename__),
            "__module__": "flask_orders.models",
        }
        made = type(f"FlaskOrders{name}", (mixin, self.db.Model), attributes)
        # It stays registered as FlaskOrders...: the shop's relationship("Order") is to find the
        # shop's own class, whether that comes before or after.
        made.__name__ = made.__qualname__ = name
        _refuse_columns_of_base(made, mixin)
        self.made.append(made)
        return made

    def _key(self, table_name: str) -> str:
        """Return the key in the metadata of a table that a class on this base has.

        The schema may come from the base's `__table_args__`, which may depend on the class.
        """
        attributes = {"__abstract__": True, "__tablename__": table_name}
        sketch: Any = type("FlaskOrdersSketch", (self.db.Model,), attributes)
        options: Any = getattr(sketch, "__table_args__", None) or ({},)
        if not isinstance(options, Mapping):
            options = options[-1] if isinstance(options[-1], Mapping) else {}
        schema = options.get("schema", self.db.metadata.schema)
        return table_name if schema is None else f"{schema}.{table_name}"

    def customer_column(self, *, ondelete: str, **options: Any) -> Column[Any]:
        """Return a foreign key to the customer's class, or, without one, the JWT's subject."""
        if self._customer is None:
            return Column("customer_id", ExactText(KEY_LENGTH), **options)
        return reference("customer_id", self._customer, ondelete=ondelete, **options)


def _refuse_columns_of_base(made: type[Any], mixin: type[Any]) -> None:
    """Refuse a base class with columns that no row of the library's could fill."""
    own = get_annotations(mixin)
    for column in table(made).c:
        if column.name in own:
            continue
        if column.primary_key:
            _refuse_column(column, "a primary key of its own,")
        if must_be_given(column):
            _refuse_column(column, "NOT NULL without a default,", "give it a default=, or ")


def _refuse_column(column: Column[Any], what: str, fix: str = "") -> NoReturn:
    raise ConfigurationError(
        f"The base class of your models has a column '{column.name}', {what} which the library's "
        f"tables would have too: {fix}move it from the base into a mixin, class Own: "
        f"{column.name}: ..., and write your own classes as class Product(Own, db.Model)."
    )


def unmapped_columns(cls: type[Any]) -> list[str]:
    """Return the names of a table's columns that its class does not map: another class's."""
    mappers = inspect(cls).self_and_descendants
    mapped = {column for mapper in mappers for column in mapper.columns}
    return [column.name for column in table(cls).c if column not in mapped]


def reference(name: str, target: type[Any], *, ondelete: str, **options: Any) -> Column[Any]:
    """Return a foreign key, whose type is that of the target's primary key."""
    key = ForeignKey(primary_key(target), ondelete=ondelete, info={_MARK: True})
    return Column(name, key, **options)


def add(cls: type[Any], *columns: Column[Any]) -> None:
    """Add columns to a class that has been mapped.

    Raises:
        ConfigurationError: the class has a column of that name already.
    """
    for new in columns:
        if new.name in table(cls).c:
            raise ConfigurationError(
                f"{cls.__name__} has a column '{new.name}' of your own, which declare_models adds: "
                "leave it out; if it comes from the base class of your models, move it into a "
                "mixin of your own classes."
            )
        # Not by setattr, which a DeclarativeBaseNoMeta does not intercept.
        table(cls).append_column(new)
        inspect(cls).add_property(new.name, new)


def index(cls: type[Any], name: str) -> None:
    """Index a foreign key, for its ON DELETE and for reads by it.

    The index belongs to a constraint, which holds anyway, and so is dropped with its table:
    Alembic's downgrade drops a plain index before the table, and InnoDB refuses that where a
    foreign key needs it.
    """
    constrain(cls, UniqueConstraint(table(cls).c[name], primary_key(cls)))


def relate(cls: type[Any], name: str, new: RelationshipProperty[Any]) -> None:
    """Add a relationship to a class that has been mapped."""
    inspect(cls).add_property(name, new)


def relate_items(owner: type[Any], item: type[Any], name: str, order_by: Column[Any]) -> None:
    """Relate an owner to its `items`, and each item to its owner as the attribute `name`."""
    # A configured mapper looks for the other side immediately, so that one has to make both.
    is_configured = inspect(owner).configured
    other_side: dict[str, Any] = {"backref" if is_configured else "back_populates": name}
    relate(
        owner,
        "items",
        relationship(
            item,
            order_by=order_by,
            cascade="all, delete-orphan",
            passive_deletes=True,
            **other_side,
        ),
    )
    if not is_configured:
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


def check(cls: type[Any], condition: str, name: str) -> CheckConstraint:
    """Return a CHECK whose name begins with its table's: MySQL has one of a name in a database."""
    return CheckConstraint(condition, name=f"{table(cls).name}_{name}")


def not_negative(cls: type[Any], *counts: str) -> CheckConstraint:
    """Return the CHECK that every amount of a row, and each of these counts, is 0 or more.

    It has an upper bound too, since NaN is above every number in PostgreSQL: the largest amount,
    as the whole number of 1/10000 that SQLite stores.
    """
    amounts = [column.name for column in table(cls).c if isinstance(column.type, Money)]
    condition = " AND ".join(f"{name} BETWEEN 0 AND {LARGEST}" for name in (*amounts, *counts))
    return check(cls, condition, "not_negative")
