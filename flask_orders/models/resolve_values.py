"""Resolve the parts that are read: texts, amounts, quantities and conditions.

Each is refused with the line to write if its type says that it can't be what it is to be.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from types import FunctionType, NoneType
from typing import Any

from sqlalchemy import Boolean, Column, Double, Integer, cast
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine

from ..amounts import AmountKind, Exact, FromFloat, Units
from .column_types import amount_problem, quantity_problem, returned_class
from .parts import (
    UNSAID,
    Attribute,
    Constant,
    Expression,
    Function,
    Part,
    PartProblem,
    part_of,
    spelled,
)
from .shop import PricePart
from .sources import RowSource

LINES = {
    "sku": "or sku=None if products have none",
    "name": "or name=None if products have none",
    "stock": "or stock=None if the shop does not count stock",
    "quantity": "or quantity=1 if each row is one unit",
    "voucher": "or voucher=None if the shop has no vouchers",
    "shipping": "or shipping=None if shipping is free",
    "active": "or active=True if every product is for sale",
    "sale_price": "or sale_price=None if there are none",
    "open": "or open=sqlalchemy.true() if every row is still to be bought",
}


def line_for(source: RowSource, name: str) -> str:
    """Return what the shop has to write for a part."""
    line = f"{name}={source.code}.<its column>"
    return f"write {line}, {LINES[name]}" if name in LINES else f"write {line}"


def resolve_part(
    source: RowSource, given: Mapping[str, Any], name: str, *, if_missing: Any = UNSAID
) -> Part:
    """Return a part.

    Raises:
        PartProblem: it can't be used; the message has the line to write.
    """
    if name not in given and if_missing is not UNSAID and not source.has(name):
        return Constant(if_missing)
    try:
        return part_of(source, name, given.get(name, UNSAID))
    except PartProblem as problem:
        raise PartProblem(f"{name}: {problem}; {line_for(source, name)}") from None


def resolve_column(
    source: RowSource, given: Mapping[str, Any], name: str, *, if_missing: Any = UNSAID
) -> Column[Any] | None:
    """Return the column that a part is; None if it is None.

    Raises:
        PartProblem: it is something else, which an order can't lock and change.
    """
    part = resolve_part(source, given, name, if_missing=if_missing)
    if isinstance(part, Attribute):
        return part.column
    if part == Constant(None):
        return None
    raise PartProblem(
        f"{name}: it is no column, so that an order can't lock and change it; "
        f"{line_for(source, name)}"
    )


def resolve_amount(
    source: RowSource, given: Mapping[str, Any], name: str, *, if_missing: Any = UNSAID
) -> PricePart:
    """Return a part that is an amount, and how it is read.

    Raises:
        PartProblem: it can't be read so, or not exactly; the message has the ways out.
    """
    said = given.get(name, UNSAID)
    kind = said if isinstance(said, Exact | Units | FromFloat) else Exact(said)
    inner = {} if kind.part is UNSAID else {name: kind.part}
    part = resolve_part(source, inner, name, if_missing=if_missing)
    kind = replace(kind, part=_spelling(source, part, name))
    type_ = _type(part)
    problem = None if type_ is None else amount_problem(kind, type_)
    if problem is not None:
        raise PartProblem(f"{name}: {kind.part} {problem}")
    if isinstance(part, Constant) and not isinstance(part.value, Decimal | NoneType):
        raise PartProblem(f"{name}: {part.value!r} is no Decimal; write {name}=Decimal(...)")
    return PricePart(kind, _in_double_precision(source, kind, part))


def _in_double_precision(source: RowSource, kind: AmountKind, part: Part) -> Part:
    """Return what reads a float in full: MySQL sends six digits of a FLOAT, a wrong price."""
    if isinstance(kind, FromFloat) and isinstance(part, Attribute):
        return Expression(cast(source.attribute(part.column), Double))
    return part


def _type(part: Part) -> TypeEngine[Any] | None:
    """Return the type of a part, if it is known before the first use."""
    if isinstance(part, Attribute):
        return part.column.type
    if isinstance(part, Expression) and part.is_known:
        type_ = part.made.type
        return None if isinstance(type_, NullType) else type_
    return None


def _spelling(source: RowSource, part: Part, name: str) -> str:
    if isinstance(part, Attribute):
        return source.spell(part.column)
    if isinstance(part, Function) and isinstance(part.call, FunctionType):
        return function_name(part.call)
    return spelled(part.given) if isinstance(part, Expression) and part.is_known else name


def resolve_text(part: Part, name: str, source: RowSource) -> Part:
    """Return a part that is a text.

    Raises:
        PartProblem: it is the same object, or the name of an attribute, for every row.
    """
    if not isinstance(part, Constant) or part.value is None:
        return part
    value = part.value
    if isinstance(value, str) and not source.has(value):
        return part
    raise PartProblem(f"{name}: {_constant(value, source)}; {line_for(source, name)}")


def _constant(value: Any, source: RowSource) -> str:
    """Return what is wrong with a value that would be that of every row."""
    if isinstance(value, str):
        return f"{value!r} would be the same text for every row"
    return (
        f"{value!r} would be the same for every row: give a column, or lambda row: row.<its "
        f"attribute>, of {source.name}"
    )


def function_name(call: FunctionType) -> str:
    """Return a function as an error and `flask orders check` name it: `Product.label`."""
    if call.__name__ == "<lambda>":
        return f"lambda {', '.join(call.__code__.co_varnames[: call.__code__.co_argcount])}: ..."
    return call.__qualname__.rpartition("<locals>.")[2]


def resolve_truth(part: Part, name: str, source: RowSource) -> Part:
    """Return a part that is true or false.

    Raises:
        PartProblem: every value of its type may be true, such as the text "draft".
    """
    if isinstance(part, Constant) and not (
        type(part.value) in (bool, int) and part.value in (0, 1)
    ):
        raise PartProblem(f"{name}: {_constant(part.value, source)}; {line_for(source, name)}")
    type_ = _type(part)
    is_read = name == "active" and isinstance(part, Attribute)
    if type_ is not None and not (_is_boolean(type_) or (is_read and _returns_boolean(type_))):
        raise PartProblem(
            f"{name}: {_spelling(source, part, name)} is a {type_!r}, which is not true or false; "
            f"write a condition, such as {name}={_spelling(source, part, name)} == ..."
        )
    return part


def _returns_boolean(type_: TypeEngine[Any]) -> bool:
    """Return whether a loaded object has True or False, whatever is stored, such as "Y"."""
    return returned_class(type_) is bool


def _is_boolean(type_: TypeEngine[Any]) -> bool:
    inner = type_.impl_instance if isinstance(type_, TypeDecorator) else type_
    return isinstance(inner, Boolean | Integer)


def resolve_condition(source: RowSource, given: Mapping[str, Any]) -> Attribute | Expression | None:
    """Return the condition under which a row is read; None: always.

    Raises:
        PartProblem: the database can't evaluate it.
    """
    if given.get("open", UNSAID) is True:
        raise PartProblem(
            "open: True is what Python's own `is not` gives; write a condition in SQL, such as "
            f"open={source.code}.<its column>.is_not(True), or open=sqlalchemy.true() if all rows "
            "are still to be bought"
        )
    part = resolve_truth(resolve_part(source, given, "open", if_missing=True), "open", source)
    if isinstance(part, Constant) and part.value is True:
        return None
    if isinstance(part, Attribute) and (part.column.primary_key or part.column.foreign_keys):
        raise PartProblem(
            f"open: {source.spell(part.column)} is a key, which is no condition; "
            f"{line_for(source, 'open')}"
        )
    if isinstance(part, Attribute | Expression):
        return part
    raise PartProblem(
        f"open: a row is read by it, so that it must be a condition in SQL; write "
        f"open={source.code}.<its column>.is_not(True), or another expression"
    )


def resolve_quantity(source: RowSource, given: Mapping[str, Any]) -> Part:
    part = resolve_part(source, given, "quantity")
    if isinstance(part, Constant):
        if type(part.value) is int and part.value == 1:
            return part
        raise PartProblem(f"quantity: {part.value!r} is the same for every row; write quantity=1")
    if isinstance(part, Function):
        raise PartProblem(f"quantity: it is read by SQL; {line_for(source, 'quantity')}")
    type_ = _type(part)
    problem = None if type_ is None else quantity_problem(type_)
    if problem is not None:
        raise PartProblem(f"quantity: {_spelling(source, part, 'quantity')} {problem}")
    return part
