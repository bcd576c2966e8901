"""The parts that attributes, expressions, constants and functions play in the shop's classes.

A part is classified when models are declared, without configuring a mapper. A lambda without a
parameter stands for an expression that mentions a relationship, and is called at first use.
"""

import inspect as python_inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from operator import attrgetter
from types import FunctionType
from typing import Any

from sqlalchemy import (
    BindParameter,
    ClauseElement,
    Column,
    ColumnElement,
    Enum,
    SelectBase,
    TextClause,
)
from sqlalchemy.orm import (
    ColumnProperty,
    CompositeProperty,
    InstrumentedAttribute,
    QueryableAttribute,
    RelationshipProperty,
)
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression, UnaryExpression
from sqlalchemy.types import TypeEngine

from ..errors import ConfigurationError
from .sources import RowSource


class PartProblem(Exception):
    """A part can't be what it was given; the message says why, and what to write."""


class _Unsaid:
    """The value of a part that the shop did not say: it is found by its name."""

    def __repr__(self) -> str:
        return "..."


UNSAID: Any = _Unsaid()


@dataclass(frozen=True)
class Attribute:
    """A mapped column, or a column of a bare table."""

    column: Column[Any]


@dataclass(frozen=True)
class Expression:
    """An SQL expression of the row, or the lambda that gives it at first use."""

    given: Any

    @cached_property
    def made(self) -> ColumnElement[Any]:
        """The expression; this may configure the shop's mappers.

        Raises:
            ConfigurationError: the lambda returns something else.
        """
        made: Any = self.given() if isinstance(self.given, FunctionType) else self.given
        if not isinstance(made, QueryableAttribute | ClauseElement):
            raise ConfigurationError(
                f"declare_models(...): a lambda of {self.given.__module__} returns {made!r}, and a "
                "lambda without a parameter stands for an SQL expression: give the value itself, "
                "or, for what is only read, a function of the object."
            )
        return made  # type: ignore[return-value] # an attribute is used as its expression

    @property
    def is_known(self) -> bool:
        """Whether the expression can be looked at before the first use."""
        return not isinstance(self.given, FunctionType)


@dataclass(frozen=True)
class Constant:
    """A value that all rows have."""

    value: Any


@dataclass(frozen=True)
class Function:
    """A function of the loaded object, or one of its attributes that is no column."""

    call: Callable[[Any], Any]


Part = Attribute | Expression | Constant | Function


def part_of(source: RowSource, name: str, given: Any) -> Part:
    """Return what a part was given as; a part that was not said is found by its name.

    Raises:
        PartProblem: it can't be used, or there is nothing of that name.
    """
    return _named(source, name) if given is UNSAID else _given(source, given)


def _named(source: RowSource, name: str) -> Part:
    """Return the attribute of that name.

    Raises:
        PartProblem: there is none, or it is a relationship or a method.
    """
    mapper = source.mapper
    if mapper is None:
        if name in source.given.c:
            return Attribute(source.given.c[name])
        raise PartProblem(f"{source.name} has no column '{name}'")
    found = python_inspect.getattr_static(source.given, name, UNSAID)
    if found is UNSAID:
        raise PartProblem(f"{source.name} has no attribute '{name}'")
    if name not in mapper.all_orm_descriptors:
        return _given(source, found, name)
    try:
        attribute = getattr(source.given, name)
    except Exception:  # a hybrid that has no expression: only a loaded object has its value
        return Function(attrgetter(name))
    if isinstance(getattr(attribute, "prop", None), CompositeProperty):
        raise _no_expression(attribute)
    if isinstance(attribute, InstrumentedAttribute) or _column_of(source, attribute) is not None:
        return _given(source, attribute)
    # A hybrid: what it returns for a loaded object is read without SQL.
    return Function(attrgetter(name))


def _given(source: RowSource, given: Any, name: str | None = None) -> Part:
    if isinstance(given, QueryableAttribute | ClauseElement):
        return _sql(source, given)
    if isinstance(given, property):
        return Function(attrgetter(name) if name else given.fget)  # type: ignore[arg-type] # it is read
    if isinstance(given, cached_property):
        raise PartProblem(
            f"{given.attrname} is a cached_property, which keeps an old value when its object is "
            "read anew: make it a property"
        )
    if not callable(given):
        return Constant(given)
    if name is not None:
        raise PartProblem(f"{source.name}.{name} is a method: give it as {source.name}.{name}")
    return _function(given)


def is_late(given: Any) -> bool:
    """Return whether it is a lambda that stands for an expression: one without a parameter."""
    return isinstance(given, FunctionType) and not _required(given)


def _required(given: Callable[..., Any]) -> list[python_inspect.Parameter]:
    return [
        parameter
        for parameter in python_inspect.signature(given).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]


def _function(given: Callable[..., Any]) -> Part:
    """Tell a function of the object from a lambda for an expression, by their parameters."""
    if isinstance(given, type):
        raise PartProblem(f"{given.__name__} is a class: give an attribute of the product's class")
    required = _required(given)
    if len(required) == 1:
        return Function(given)
    if is_late(given):
        return Expression(given)
    raise PartProblem(
        f"{given!r} takes {len(required)} parameters: give a function of the object, or a lambda "
        "without a parameter that returns an SQL expression"
    )


def _sql(source: RowSource, given: Any) -> Part:
    if isinstance(getattr(given, "prop", None), RelationshipProperty):
        raise PartProblem(
            f"{given} is a relationship: give its column, or a function of the object"
        )
    column = _column_of(source, given)
    if column is not None:
        return Attribute(column)
    if not isinstance(_element(given), ColumnElement):
        raise _no_expression(given)
    foreign = _foreign_tables(source, given)
    if foreign:
        raise PartProblem(
            f"{spelled(given)} reads {', '.join(foreign)}, which is not the row's own: give an "
            f"expression of {source.name}, or, for what is only read, a function of the object"
        )
    unknown = _unknown_member(given)
    if unknown is not None:
        raise PartProblem(f"{spelled(given)}: {unknown}")
    return Expression(given)


def _no_expression(given: Any) -> PartProblem:
    """Return the problem of what SQL has, and what is no value of a row."""
    if isinstance(given, TextClause):
        return PartProblem(f"text({given.text!r}) has no value: write literal_column(...)")
    if isinstance(given, SelectBase):
        return PartProblem("it is a SELECT: end it with .scalar_subquery()")
    return PartProblem(f"{given} is no single value: give its column, or a function of the object")


def _element(given: Any) -> Any:
    return given.__clause_element__() if isinstance(given, QueryableAttribute) else given


def _column_of(source: RowSource, given: Any) -> Column[Any] | None:
    """Return the source's column that an attribute, a synonym or a column stands for, if any."""
    found = given
    if isinstance(given, QueryableAttribute):
        prop = getattr(given, "prop", None)
        if not isinstance(prop, ColumnProperty):
            return None
        found = prop.columns[0]
    if isinstance(found, Column) and any(found is column for column in source.columns):
        return found
    return None


def spelled(given: Any) -> str:
    """Return an expression as an error names it; a subquery's text would configure mappers."""
    element = _element(given)
    is_select = any(getattr(found, "is_select", False) for found in visitors.iterate(element))
    return "the subquery" if is_select else str(given)


def _foreign_tables(source: RowSource, given: Any) -> list[str]:
    """Return the tables of other rows that an expression reads outside of a subquery."""
    elements = _outside_subqueries(_element(given))
    tables = [found.table for found in elements if isinstance(found, Column)]
    return sorted({str(found) for found in tables if found not in source.tables})


def bound_values(given: Any) -> Iterator[tuple[TypeEngine[Any], Any]]:
    """Yield each value that an expression compares with, and the type by which it is sent."""
    for found in visitors.iterate(_element(given)):
        if isinstance(found, BindParameter):
            many = found.value if isinstance(found.value, list | tuple) else [found.value]
            yield from ((found.type, value) for value in many)


def _unknown_member(given: Any) -> str | None:
    """Return why an expression compares an Enum with a text that no row can have."""
    for type_, value in bound_values(given):
        if isinstance(type_, Enum) and isinstance(value, str) and value not in type_.enums:
            return f"{value!r} is none of {', '.join(map(repr, type_.enums))}"
    return None


def _outside_subqueries(element: Any) -> Iterator[Any]:
    """Yield the elements of an expression; a subquery's have rows of their own."""
    yield element
    if not getattr(element, "is_select", False):
        for child in element.get_children():
            yield from _outside_subqueries(child)


def misses_null(expression: Any) -> Column[Any] | None:
    """Return a nullable column of which an expression is a NOT: it is NULL where the column is."""
    for found in _outside_subqueries(_element(expression)):
        if isinstance(found, UnaryExpression | BinaryExpression) and found.operator in NEGATIONS:
            # What a subquery reads makes an EXISTS no NULL.
            for column in _outside_subqueries(found):
                if isinstance(column, Column) and column.nullable:
                    return column
    return None


NEGATIONS = (operators.inv, operators.is_false, operators.ne, operators.not_in_op)


def are_same(one: Any, other: Any) -> bool:
    """Return whether two calls of `declare_models` say the same.

    Expressions are compared by their structure, and functions by their code, since an app factory
    makes both anew.
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, QueryableAttribute):
        return bool((one.class_, one.key) == (other.class_, other.key))
    if isinstance(one, ClauseElement):
        return bool(one.compare(other))
    if isinstance(one, FunctionType):
        return bool(one.__code__ == other.__code__)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(are_same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(are_same(one[k], other[k]) for k in one)
    if is_dataclass(one) and not isinstance(one, type):
        return all(
            are_same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one)
        )
    return one is other or bool(one == other)
