"""The attributes that the shop's own classes must have, and the columns behind them.

A class that lacks one is refused when it is declared, with a fix for everything that it lacks. So
locking reads and guarded UPDATEs never meet an attribute that no column backs.
"""

from functools import cached_property
from typing import Any, cast

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Column, CursorResult, Integer, Result, Table, Uuid, inspect, select
from sqlalchemy.orm import (
    ColumnProperty,
    InstrumentedAttribute,
    MappedAsDataclass,
    Mapper,
    RelationshipProperty,
    SynonymProperty,
)

from ..errors import ConfigurationError
from .column_types import type_problem


def table(cls: type[Any]) -> Table:
    """Return the table of a mapped class, for Core statements that bypass the ORM."""
    found = inspect(cls).local_table
    if not isinstance(found, Table):
        raise ConfigurationError(f"{cls.__name__} has no table of its own: map it to one.")
    return found


def row_count(result: Result[Any]) -> int:
    """Return the number of rows that an UPDATE or DELETE matched."""
    count: int = cast(CursorResult[Any], result).rowcount
    return count


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


def spelled_as(key: Any, reference: Any) -> Any:
    """Return the expression for the key that a reference points to, spelled as in the key's row.

    "ABC-1" and "abc-1" are one key where the database's collation says so. Not by a join, which on
    MariaDB would lock the rows in the order of the references.
    """
    if are_equal_in_python(key, reference):
        return reference
    return select(key).where(key == reference).scalar_subquery()


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


def column(cls: type[Any], name: str) -> Column[Any] | None:
    """Return the column behind an attribute, a synonym or a many-to-one relationship, if any."""
    mapper: Mapper[Any] = inspect(cls)
    prop = mapper.attrs.get(name)
    while isinstance(prop, SynonymProperty):
        prop = mapper.attrs.get(prop.name)
    if isinstance(prop, ColumnProperty) and isinstance(prop.columns[0], Column):
        return prop.columns[0]
    if isinstance(prop, RelationshipProperty) and len(prop.local_columns) == 1:
        (foreign_key,) = prop.local_columns
        if isinstance(foreign_key, Column):
            return foreign_key
    return None


def required_column(cls: type[Any], name: str) -> Column[Any]:
    """Return the column behind an attribute that a class must have.

    Raises:
        ConfigurationError: there is none.
    """
    found = column(cls, name)
    if found is None:
        raise ConfigurationError(
            f"{cls.__name__} has no column behind '{name}': "
            f"add {name} = synonym('...') with the name of its own attribute."
        )
    return found


def optional_column(cls: type[Any], name: str) -> Column[Any] | None:
    """Return the column behind an attribute; None only if the attribute is None.

    Raises:
        ConfigurationError: it is a property, a hybrid or an expression, which can't be guarded.
    """
    found = column(cls, name)
    if found is None and getattr(cls, name) is not None:
        raise ConfigurationError(
            f"{cls.__name__}.{name} is no column, so that an order can't lock and change it: "
            f"{_fix(name)}."
        )
    return found


# The assignments that opt out of an attribute.
OPT_OUTS = {
    "shipping": "shipping = None if shipping is free",
    "stock": "stock = None if the shop does not count stock",
    "active": "active = True if every product is for sale",
    "voucher": "voucher = None if the shop has no vouchers",
}

# The attributes that each class must have.
ATTRIBUTES = {
    "customer": (),
    "product": ("sku", "name", "price", "shipping", "stock", "active"),
    "cart": ("customer_id", "voucher"),
    "cart_item": ("cart", "product", "quantity"),
}


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


def check_class(db: SQLAlchemy, name: str, cls: type[Any]) -> None:
    """Refuse one of the shop's classes if it can't be used, naming everything that it lacks."""
    _check_model(db, name, cls)
    primary_key(cls)
    _check_table(name, cls)
    missing = [attribute for attribute in ATTRIBUTES[name] if not hasattr(cls, attribute)]
    problems = [f"the class lacks '{attribute}': {_fix(attribute)}" for attribute in missing]
    problems += filter(None, (type_problem(cls, attribute) for attribute in ATTRIBUTES[name]))
    if problems:
        raise ConfigurationError(f"declare_models({name}={cls.__name__}): {'; '.join(problems)}.")


def _check_table(name: str, cls: type[Any]) -> None:
    """Refuse a class whose rows span two tables: an UPDATE or DELETE changes only one."""
    mapper: Mapper[Any] = inspect(cls)
    if name not in ("customer", "product") and mapper.persist_selectable is not mapper.local_table:
        raise ConfigurationError(
            f"declare_models({name}={cls.__name__}): joined inheritance puts its columns into two "
            "tables, and an order changes one: pass the class at the top of the hierarchy, with "
            "all the attributes, or use single-table inheritance."
        )


def check_mixin(db: SQLAlchemy, name: str, cls: type[Any], mixin: type[Any]) -> None:
    """Refuse a class that does not extend the mixin whose columns it must have."""
    if not issubclass(cls, mixin):
        raise ConfigurationError(
            f"declare_models({name}={cls.__name__}): the class lacks the library's columns: "
            f"declare it as class {cls.__name__}({mixin.__name__}, db.Model)."
        )
    _check_model(db, name, cls)


def _check_model(db: SQLAlchemy, name: str, cls: type[Any]) -> None:
    mapper = inspect(cls, raiseerr=False)
    if not isinstance(mapper, Mapper):
        raise ConfigurationError(
            f"declare_models({name}={cls!r}): pass a model, a class on db.Model."
        )
    if cls.metadata is not db.metadata:
        raise ConfigurationError(
            f"declare_models({name}={cls.__name__}): the class is on another db or bind, where no "
            "foreign key can lead: pass classes of this db, without a __bind_key__."
        )
    if mapper.configured:
        raise ConfigurationError(
            f"declare_models({name}={cls.__name__}) came too late: {cls.__name__} is in use "
            "already. Call it in the module of your models, right after the classes."
        )


def _fix(attribute: str) -> str:
    fix = f"add {attribute} = synonym('...') with the name of its own attribute"
    return f"{fix}, or {OPT_OUTS[attribute]}" if attribute in OPT_OUTS else fix


class HostColumns:
    """The columns by which the conversion reads, locks and changes the shop's own rows.

    Each is found at first use, when all of the shop's classes are mapped.
    """

    def __init__(self, product: type[Any], cart: type[Any], cart_item: type[Any]) -> None:
        self._product, self._cart, self._cart_item = product, cart, cart_item

    @cached_property
    def product_key(self) -> Column[Any]:
        return primary_key(self._product)

    @cached_property
    def product_stock(self) -> Column[Any] | None:
        return optional_column(self._product, "stock")

    @cached_property
    def cart_key(self) -> Column[Any]:
        return primary_key(self._cart)

    @cached_property
    def cart_customer(self) -> Column[Any]:
        return required_column(self._cart, "customer_id")

    @cached_property
    def cart_voucher(self) -> Column[Any] | None:
        return optional_column(self._cart, "voucher")

    @cached_property
    def item_key(self) -> Column[Any]:
        return primary_key(self._cart_item)

    @cached_property
    def item_cart(self) -> Column[Any]:
        return required_column(self._cart_item, "cart")

    @cached_property
    def item_product(self) -> Column[Any]:
        return required_column(self._cart_item, "product")

    @cached_property
    def item_quantity(self) -> Column[Any]:
        return required_column(self._cart_item, "quantity")
