"""The checks that a column holds exact amounts or whole quantities, by its type alone.

No mapper is configured here, so that the shop's classes may still refer to classes that are not
defined yet.
"""

from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, Float, Numeric
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from ..amounts import AmountKind, Exact, Units, three_ways
from ..db.dialects import DIALECTS

EXACT = (
    "make it a Numeric, such as Numeric(12, 2), or give it a TypeDecorator that returns a Decimal, "
    "or give a function of the object that returns a Decimal"
)
WHOLE = "and an order counts whole units: make it an Integer"

SAMPLES: dict[type, Any] = {Decimal: Decimal("1.50"), float: 1.5, int: 150, str: "1.50"}


def amount_problem(kind: AmountKind, type_: TypeEngine[Any]) -> str | None:
    """Return why an amount can't be read so from a column of this type, with the line to write.

    Returns:
        The end of a sentence that begins with the column's name; None if it may be readable.
    """
    returned = returned_class(type_)
    if returned is None or (returned in kind.reads and returned is not bool):
        return None
    is_ = f"is a {type_!r}"
    if returned is Decimal:
        return f"{is_}, which holds the exact amount: write {kind.part} alone"
    if returned is float and isinstance(kind, Units):
        return f"{is_}, which counts no units: write mapping.from_float({kind.part})"
    if returned is int and not isinstance(kind, Exact):
        return f"{is_}, which holds no floats: {three_ways(kind.part)}"
    if returned in (int, float):
        return f"{is_}, and {three_ways(kind.part)}"
    return f"{is_}, which returns a {returned.__name__}: {EXACT}"


def quantity_problem(type_: TypeEngine[Any]) -> str | None:
    """Return why a column of this type can't be a cart item's quantity, as `amount_problem`."""
    returned = returned_class(type_)
    if returned is None or (issubclass(returned, int) and returned is not bool):
        return None
    return f"is a {type_!r}, {WHOLE}"


def stock_problem(type_: TypeEngine[Any]) -> str | None:
    """Return why a column of this type can't count a product's units, as `amount_problem`.

    A Numeric can: whole units are deducted from it exactly, and a part of a unit is not sold.
    """
    returned = returned_class(type_)
    if returned is Decimal:
        return None
    return quantity_problem(type_)


def returned_class(type_: TypeEngine[Any]) -> type | None:
    """Return the class of the values that a type returns; None if it is unknown."""
    if isinstance(type_, TypeDecorator):
        inner = returned_class(type_.impl_instance)
        is_plain = type(type_).process_result_value is TypeDecorator.process_result_value
        return inner if is_plain else _probed(type_, inner)
    # Float comes first: in SQLAlchemy 2.0 it is a Numeric, and may return a Decimal.
    if isinstance(type_, Float):
        return float
    if isinstance(type_, Numeric):
        return Decimal if type_.asdecimal else float
    # To SQLAlchemy 2.1 it may hold any object; what an order counts and charges it does not hold.
    if isinstance(type_, JSON):
        return dict
    if any(isinstance(type_, dialect.amounts_as_text) for dialect in DIALECTS):
        return str
    try:
        returned = type_.python_type
    except NotImplementedError:
        return None
    # Of an expression whose type SQLAlchemy does not know.
    return None if returned is object else returned


def _probed(type_: TypeDecorator[Any], inner: type | None) -> type | None:
    if inner not in SAMPLES:
        return None
    try:
        return type(type_.process_result_value(SAMPLES[inner], DefaultDialect()))
    except Exception:
        return None
