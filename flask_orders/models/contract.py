"""The shop's classes, their tables and keys, and what no class of a shop can be.

No mapper is configured here.
"""

from typing import Any, cast

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    Column,
    FromClause,
    Integer,
    Table,
    Uuid,
    inspect,
    select,
)
from sqlalchemy.orm import InstrumentedAttribute, MappedAsDataclass, Mapper

from ..errors import ConfigurationError


def table(cls: type[Any]) -> Table:
    """Return the table of a mapped class, for Core statements that bypass the ORM."""
    found = inspect(cls).local_table
    if not isinstance(found, Table):
        raise ConfigurationError(f"{cls.__name__} has no table of its own: map it to one.")
    return found


def has_load_listeners(cls: type[Any]) -> bool:
    """Return whether code of the shop's runs when an object is loaded, and may change it."""
    events = inspect(cls).class_manager.dispatch
    return bool(events.load) or bool(events.refresh)


def attribute(cls: type[Any], of_column: Column[Any]) -> InstrumentedAttribute[Any]:
    """Return the attribute to which a class maps a column.

    A SELECT of attributes goes through the mapper, which adds criteria that the table lacks: the
    discriminator of single-table inheritance, and the session's `with_loader_criteria`.
    """
    mapper: Mapper[Any] = inspect(cls)
    # Of this class: the property's own attribute belongs to the top of the class hierarchy.
    found: InstrumentedAttribute[Any] = getattr(cls, mapper.get_property_by_column(of_column).key)
    return found


def are_equal_in_python(*keys: Column[Any] | InstrumentedAttribute[Any]) -> bool:
    """Return whether keys of these columns are equal in Python exactly when the database says so.

    A database may take texts for equal that differ in letter case or trailing blanks.
    """
    return any(all(isinstance(key.type, kind) for key in keys) for kind in (Integer, Uuid))


def spelled_as(key: Any, reference: Any, referred: Any = None) -> Any:
    """Return the expression for a row's key, found by a reference to it, as the row spells it.

    "ABC-1" and "abc-1" are one key where the database's collation says so. Not by a join, which on
    MySQL and MariaDB would lock the rows in the order of the references.

    Args:
        key: the key.
        reference: the column that refers to the row.
        referred: the row's column to which it refers, if that is not the key.
    """
    if referred is None and are_equal_in_python(key, reference):
        return reference
    return select(key).where((key if referred is None else referred) == reference).scalar_subquery()


def primary_key(cls: type[Any]) -> Column[Any]:
    """Return the only column of a class's primary key.

    Raises:
        ConfigurationError: the key has several columns.
    """
    mapper: Mapper[Any] = inspect(cls)
    if len(mapper.primary_key) != 1:
        raise ConfigurationError(
            f"{cls.__name__} has a primary key of {len(mapper.primary_key)} columns, and "
            "flask_orders refers to it by one: give it a primary key of one column."
        )
    return cast(Column[Any], mapper.primary_key[0])


def key_attribute(cls: type[Any]) -> InstrumentedAttribute[Any]:
    """Return the mapped attribute of a class's primary key, for a read through the mapper.

    Raises:
        ConfigurationError: the key has several columns.
    """
    return attribute(cls, primary_key(cls))


def key_in(rows: FromClause, cls: type[Any], key: Column[Any]) -> Column[Any]:
    """Return the key of a class's rows in one of its tables.

    Raises:
        ConfigurationError: the table has a key of its own, or of several columns.
    """
    mapper: Mapper[Any] = inspect(cls)
    of_key = mapper.get_property_by_column(key).columns
    columns = [column for column in of_key if column.table is rows] or [*rows.primary_key]
    if len(columns) != 1:
        raise ConfigurationError(
            f"{cls.__name__}'s table '{rows.description}' has no column for the key of "
            f"{cls.__name__}: no order can change its rows there."
        )
    return cast(Column[Any], columns[0])


def check_base(db: SQLAlchemy) -> None:
    """Refuse a base class on which the library's mixins can't be declared."""
    if "ix" not in db.metadata.naming_convention:
        raise ConfigurationError(
            "db.metadata's naming_convention has no 'ix', so that indexes would have no name: "
            "add 'ix': 'ix_%(column_0_label)s' to it, which is SQLAlchemy's default."
        )
    if issubclass(db.Model, MappedAsDataclass):
        raise ConfigurationError(
            "db.Model is a MappedAsDataclass, which would turn the library's classes into "
            "dataclasses too: use a plain base, SQLAlchemy(model_class=Base) with "
            "class Base(DeclarativeBase), and add MappedAsDataclass to your own classes, as in "
            "class User(MappedAsDataclass, db.Model)."
        )


def check_rows(db: SQLAlchemy, name: str, given: Any) -> None:
    """Refuse what is neither a class nor, for the cart's items, a table of this db."""
    if isinstance(given, Table) and name == "cart_item":
        _check_metadata(db, name, given.name, given)
    else:
        _check_model(db, name, given)


def check_mixin(db: SQLAlchemy, name: str, cls: type[Any], mixin: type[Any]) -> None:
    """Refuse a class that does not extend the mixin whose columns it must have."""
    if not issubclass(cls, mixin):
        raise ConfigurationError(
            f"declare_models({name}={cls.__name__}): the class lacks the library's columns: "
            f"declare it as class {cls.__name__}({mixin.__name__}, db.Model)."
        )
    _check_model(db, name, cls)


def _check_model(db: SQLAlchemy, name: str, cls: Any) -> None:
    if not isinstance(inspect(cls, raiseerr=False), Mapper):
        raise ConfigurationError(
            f"declare_models({name}={cls!r}): pass a model, a class on db.Model."
        )
    _check_metadata(db, name, cls.__name__, cls)


def _check_metadata(db: SQLAlchemy, name: str, spelled: str, rows: Any) -> None:
    # A class that is mapped imperatively has no attribute `metadata`.
    found = rows if isinstance(rows, Table) else inspect(rows).local_table
    if getattr(found, "metadata", db.metadata) is not db.metadata:
        raise ConfigurationError(
            f"declare_models({name}={spelled}): it is on another db or bind, where no foreign key "
            "can lead: pass classes of this db, without a __bind_key__."
        )
