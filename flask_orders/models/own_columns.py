"""The order's columns that are the shop's own, and the values that a request may put into them.

What a database would refuse, or cut off, is refused before any statement, and alike on every
database: an unknown name as a mistake of the shop's, a value as a mistake of the client's.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from math import isfinite
from typing import Any

from sqlalchemy import Column, Enum, Float, Integer, Numeric, String, inspect

from ..db.dialects import DIALECTS
from ..errors import ConfigurationError, InvalidRequest
from ..texts import unstorable
from .mixins import OrderMixin

# The columns of the library: those of the mixin, and the references that `declare_models` adds.
LIBRARY_COLUMNS = frozenset(
    {*OrderMixin.__annotations__, "customer_id", "billing_address_id", "voucher_id"}
)

# Containers in containers that a value may have: more would exhaust Python's stack.
DEEPEST = 50

FINITE = "Give a finite number."


class OwnColumns:
    """The shop's own columns of the order class, by the names of their attributes."""

    def __init__(self, order: type[Any]) -> None:
        self._order = order
        self._columns: Mapping[str, Column[Any]] = {
            name: column
            for name, column in inspect(order).columns.items()
            if name not in LIBRARY_COLUMNS and isinstance(column, Column) and not column.computed
        }

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def __getitem__(self, name: str) -> Column[Any]:
        return self._columns[name]

    def required(self) -> list[str]:
        """Return the names of the columns that every order must be given a value for."""
        return [name for name, column in self._columns.items() if must_be_given(column)]

    def by_column(self, extra: Mapping[str, Any]) -> dict[str, Any]:
        """Return values by the keys of their columns, which may differ from the attributes'."""
        return {self._columns[name].key: value for name, value in extra.items()}

    def check(self, extra: Mapping[str, Any], fields: Mapping[str, str] | None = None) -> None:
        """Refuse values that can't be stored.

        Args:
            extra: values by attribute.
            fields: the client's own names for the values, where they differ.

        Raises:
            ConfigurationError: there is no such column of the shop's own.
            InvalidRequest: a column can't hold its value; `errors` names it.
        """
        for name in extra:
            if name not in self._columns:
                raise ConfigurationError(f"extra has {name!r}, {self.what_is_wrong(name)}.")
        named = fields or {}
        faults = {
            named.get(name, name) + path: [message]
            for name, value in extra.items()
            for path, message in _faults(self._columns[name], value)
        }
        if faults:
            raise InvalidRequest.of_fields(faults)

    def what_is_wrong(self, name: str) -> str:
        """Return why a value can't be put under a name, and the line to write."""
        order = self._order.__name__
        if name in LIBRARY_COLUMNS:
            return "which is a column of flask_orders, written by it alone: use another name"
        listed = ", ".join(self._columns) or "none"
        return (
            f"which is no column of your own on {order} (they are: {listed}): add "
            f"`{name}: Mapped[str | None]` to your class {order}(OrderMixin, db.Model), and pass "
            f"declare_models(db, order={order})"
        )


def must_be_given(column: Column[Any]) -> bool:
    """Return whether a column is NOT NULL and has no default."""
    return not column.nullable and column.default is None and column.server_default is None


def faults_within(value: Any) -> Iterator[tuple[str, str]]:
    """Yield a path in a value, and a sentence, for all that not every database stores."""
    waiting = [("", value, 0)]
    while waiting:
        path, found, depth = waiting.pop()
        if isinstance(found, str):
            if message := unstorable(found):
                yield path, message
        elif isinstance(found, float) and not isfinite(found):
            yield path, FINITE
        elif depth == DEEPEST and isinstance(found, Mapping | list | tuple):
            yield path, f"Nest objects and arrays at most {DEEPEST} deep."
        elif isinstance(found, Mapping):
            waiting += [(path, name, depth) for name in found]
            waiting += [(f"{path}.{name}", each, depth + 1) for name, each in found.items()]
        elif isinstance(found, list | tuple):
            waiting += [(f"{path}.{index}", each, depth + 1) for index, each in enumerate(found)]


def _faults(column: Column[Any], value: Any) -> Iterator[tuple[str, str]]:
    if value is None and not column.nullable:
        yield "", "Give a value."
    yield from faults_within(value)
    message = _misfit(column.type, value)
    if message is not None:
        yield "", message


def _misfit(type_: Any, value: Any) -> str | None:
    """Return why a column of SQLAlchemy's own type can't hold a value; None if it may."""
    if isinstance(type_, Enum):
        is_unknown = type(value) is str and value not in type_.enums
        return f"Choose one of: {', '.join(type_.enums)}." if is_unknown else None
    if isinstance(type_, String) and isinstance(value, str):
        too_long = type_.length is not None and len(value) > type_.length
        return f"Give at most {type_.length} characters." if too_long else None
    if isinstance(type_, Integer) and isinstance(value, int):
        bits = min(dialect.integer_bits(type_) for dialect in DIALECTS)
        most = 2 ** (bits - 1) - 1
        fits = -most - 1 <= value <= most
        return None if fits else f"Give a number between {-most - 1} and {most}."
    # In SQLAlchemy 2.0 a Float is a Numeric, whose precision is of bits.
    if isinstance(type_, Float):
        return None
    if isinstance(type_, Numeric) and isinstance(value, Decimal):
        return _numeric_misfit(type_, value)
    return None


def _numeric_misfit(type_: Numeric[Any], value: Decimal) -> str | None:
    if not value.is_finite():
        return FINITE
    if type_.precision is None or not value:
        return None
    scale = type_.scale or 0
    digits = type_.precision - scale
    # The exponent first: Decimal can't round a number of more than 28 digits.
    if value.adjusted() < digits and abs(round(value, scale)) < 10**digits:
        return None
    return f"Give a number with at most {digits} digits before the decimal point."
