"""The checks that a column holds exact amounts or whole quantities, by its type alone.

No mapper is configured here, so that the shop's classes may still refer to classes that are not
defined yet.
"""

from decimal import Decimal
from typing import Any

from sqlalchemy import Float, Numeric, inspect
from sqlalchemy.dialects.postgresql import MONEY
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import ColumnProperty, Mapper, SynonymProperty
from sqlalchemy.types import TypeDecorator, TypeEngine

PRODUCT_AMOUNTS = ("price", "shipping")

EXACT = (
    "which holds no exact amount: make it a Numeric, such as Numeric(12, 2), or give it a "
    "TypeDecorator that returns a Decimal"
)
WHOLE = "and an order counts whole units: make it an Integer"

SAMPLES: dict[type, Any] = {Decimal: Decimal("1.50"), float: 1.5, int: 150, str: "1.50"}


def type_problem(cls: type[Any], name: str) -> str | None:
    """Return why an attribute's column can't be used, with the fix; None if it may be usable.

    The type of a column is known, also behind a synonym or a column_property, but not that of a
    hybrid or a property.
    """
    type_ = _column_type(cls, name)
    returned = None if type_ is None else _returned(type_)
    if returned is None:
        return None
    if name in PRODUCT_AMOUNTS and not issubclass(returned, Decimal | int):
        return f"'{name}' is a {type_!r}, {EXACT}"
    if name == "quantity" and not issubclass(returned, int):
        return f"'{name}' is a {type_!r}, {WHOLE}"
    return None


def has_whole_amounts(cls: type[Any], name: str) -> bool:
    """Return whether an amount's column returns integers: whole units, or perhaps hundredths."""
    type_ = _column_type(cls, name)
    return type_ is not None and _returned(type_) is int


def _column_type(cls: type[Any], name: str) -> TypeEngine[Any] | None:
    mapper: Mapper[Any] = inspect(cls)
    try:
        prop = mapper.get_property(name)
        while isinstance(prop, SynonymProperty):
            prop = mapper.get_property(prop.name)
    except InvalidRequestError:
        return None
    return prop.columns[0].type if isinstance(prop, ColumnProperty) else None


def _returned(type_: TypeEngine[Any]) -> type | None:
    """Return the class of the values that a type returns; None if it is unknown."""
    if isinstance(type_, TypeDecorator):
        inner = _returned(type_.impl_instance)
        is_plain = type(type_).process_result_value is TypeDecorator.process_result_value
        return inner if is_plain else _probed(type_, inner)
    # Float comes first: in SQLAlchemy 2.0 it is a Numeric, and may return a Decimal.
    if isinstance(type_, Float):
        return float
    if isinstance(type_, Numeric):
        return Decimal if type_.asdecimal else float
    # psycopg returns MONEY as text, with the currency's sign.
    if isinstance(type_, MONEY):
        return str
    try:
        return type_.python_type
    except NotImplementedError:
        return None


def _probed(type_: TypeDecorator[Any], inner: type | None) -> type | None:
    if inner not in SAMPLES:
        return None
    try:
        return type(type_.process_result_value(SAMPLES[inner], DefaultDialect()))
    except Exception:
        return None
