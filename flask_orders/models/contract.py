"""What the library needs of a host's own classes, and which columns stand behind it.

Used by `declare.py`, which asks once, and by the service for its locking reads and guarded
updates.
"""

from functools import cached_property
from typing import Any, cast

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Column, CursorResult, Integer, Result, Table, Uuid, inspect
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
    """The table of a mapped class, for the statements that pass the ORM by."""
    found = inspect(cls).local_table
    if not isinstance(found, Table):
        raise ConfigurationError(f"{cls.__name__} is mapped to no table of its own.")
    return found


def row_count(result: Result[Any]) -> int:
    """How many rows an UPDATE or DELETE has matched."""
    count: int = cast(CursorResult[Any], result).rowcount
    return count


def attribute(cls: type[Any], of_column: Column[Any]) -> InstrumentedAttribute[Any]:
    """The attribute that a class maps a column to.

    A SELECT of attributes goes through the mapper, which adds what it knows and the table does not:
    the discriminator of single-table inheritance, and the session's `with_loader_criteria`.
    """
    mapper: Mapper[Any] = inspect(cls)
    # Of this class: the property's own attribute is that of the class at the top of the hierarchy.
    found: InstrumentedAttribute[Any] = getattr(cls, mapper.get_property_by_column(of_column).key)
    return found


def are_equal_in_python(*keys: Column[Any] | InstrumentedAttribute[Any]) -> bool:
    """Whether keys of these columns are equal in Python if and only if the database says so.

    It may say so of texts that differ in letter case or in the blanks at their end.
    """
    return any(all(isinstance(key.type, kind) for key in keys) for kind in (Integer, Uuid))


def primary_key(cls: type[Any]) -> Column[Any]:
    """The one column of a class's primary key.

    Raises:
        ConfigurationError: the key has several columns.
    """
    mapper: Mapper[Any] = inspect(cls)
    if len(mapper.primary_key) != 1:
        raise ConfigurationError(
            f"{cls.__name__} has a primary key of {len(mapper.primary_key)} columns: "
            "flask_orders refers to it by one column; give it a key of its own."
        )
    return cast(Column[Any], mapper.primary_key[0])


def key_attribute(cls: type[Any]) -> InstrumentedAttribute[Any]:
    """Return the mapped attribute of a class's primary key, for a read through the mapper.

    Raises:
        ConfigurationError: the key has several columns.
    """
    return attribute(cls, primary_key(cls))


def column(cls: type[Any], name: str) -> Column[Any] | None:
    """The column behind an attribute: its own, its synonym's, or its relationship's foreign key."""
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
    """As `column`, for an attribute that a class can't do without."""
    found = column(cls, name)
    if found is None:
        raise ConfigurationError(
            f"{cls.__name__} has no column behind '{name}': "
            f"add {name} = synonym('...') with the name of its own attribute."
        )
    return found


def optional_column(cls: type[Any], name: str) -> Column[Any] | None:
    """As `column`; None only if the class says that it has none: what is no column is not guarded.

    Raises:
        ConfigurationError: it is a property, a hybrid, or an expression.
    """
    found = column(cls, name)
    if found is None and getattr(cls, name) is not None:
        raise ConfigurationError(
            f"{cls.__name__}.{name} is no column that an order could lock and change: {_fix(name)}."
        )
    return found


# What stands in for an attribute that a shop has no use for.
OPT_OUTS = {
    "shipping": "shipping = None if shipping is free",
    "stock": "stock = None if this shop counts no stock",
    "active": "active = True if whatever is listed can be had",
    "voucher": "voucher = None if this shop has no vouchers",
}

ATTRIBUTES = {
    "customer": (),
    "product": ("sku", "name", "price", "shipping", "stock", "active"),
    "cart": ("customer_id", "voucher"),
    "cart_item": ("cart", "product", "quantity"),
}


def check_base(db: SQLAlchemy) -> None:
    """Refuse a base class on which our mixins can't be declared."""
    if "ix" not in db.metadata.naming_convention:
        raise ConfigurationError(
            "db.metadata's naming_convention has no 'ix', so that an index would have no name: "
            "add 'ix': 'ix_%(column_0_label)s' to it, which is SQLAlchemy's own."
        )
    if issubclass(db.Model, MappedAsDataclass):
        raise ConfigurationError(
            "db.Model is a MappedAsDataclass, which would make dataclasses of the library's "
            "classes too: use a plain base, SQLAlchemy(model_class=Base) with "
            "class Base(DeclarativeBase), and give MappedAsDataclass to classes of your own, as in "
            "class User(MappedAsDataclass, db.Model)."
        )


def check_class(db: SQLAlchemy, name: str, cls: type[Any]) -> None:
    """Refuse a host's class that lacks something, naming everything that it lacks."""
    _check_model(db, name, cls)
    primary_key(cls)
    _check_table(name, cls)
    missing = [attribute for attribute in ATTRIBUTES[name] if not hasattr(cls, attribute)]
    found = [f"the class lacks '{attribute}': {_fix(attribute)}" for attribute in missing]
    found += filter(None, (type_problem(cls, attribute) for attribute in ATTRIBUTES[name]))
    if found:
        raise ConfigurationError(f"declare_models({name}={cls.__name__}): {'; '.join(found)}.")


def _check_table(name: str, cls: type[Any]) -> None:
    """Refuse a class whose rows lie in two tables: an UPDATE or a DELETE is of one."""
    mapper: Mapper[Any] = inspect(cls)
    if name != "customer" and mapper.persist_selectable is not mapper.local_table:
        raise ConfigurationError(
            f"declare_models({name}={cls.__name__}): its columns are in two tables, by joined "
            "inheritance, and an order changes one: give the class at the top of the hierarchy, "
            "with all the attributes, or use single-table inheritance."
        )


def check_mixin(db: SQLAlchemy, name: str, cls: type[Any], mixin: type[Any]) -> None:
    """Refuse a class that was to be made of one of our mixins, and is not."""
    if not issubclass(cls, mixin):
        raise ConfigurationError(
            f"declare_models({name}={cls.__name__}): the class lacks our columns: "
            f"declare it as class {cls.__name__}({mixin.__name__}, db.Model)."
        )
    _check_model(db, name, cls)


def _check_model(db: SQLAlchemy, name: str, cls: type[Any]) -> None:
    mapper = inspect(cls, raiseerr=False)
    if not isinstance(mapper, Mapper):
        raise ConfigurationError(
            f"declare_models({name}={cls!r}): give a model, a class on db.Model."
        )
    if cls.metadata is not db.metadata:
        raise ConfigurationError(
            f"declare_models({name}={cls.__name__}): the class is on another db or bind, and "
            "foreign keys can't lead there: give the classes of one db, without a __bind_key__."
        )
    if mapper.configured:
        raise ConfigurationError(
            f"declare_models({name}={cls.__name__}) came too late, {cls.__name__} has been used "
            "already: call it in the module that holds your models, right after the classes."
        )


def _fix(attribute: str) -> str:
    cure = f"add {attribute} = synonym('...') with the name of its own attribute"
    return f"{cure}, or {OPT_OUTS[attribute]}" if attribute in OPT_OUTS else cure


class HostColumns:
    """The columns that the conversion locks, changes and deletes by. Found at first use."""

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
