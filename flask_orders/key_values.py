"""Which values a key's column holds, and how each of them is spelled in text.

A key has one spelling, that of `str(key)`: " 7", "7.0" and "1_000" are no keys. What can't be a key
is found out on every database, before a statement has it.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import Dialect, Integer, String, TypeDecorator, Uuid
from sqlalchemy import Enum as EnumType
from sqlalchemy.types import TypeEngine

from .db.dialects import dialect_of
from .texts import unstorable

PARSERS: dict[type[Any], Callable[[str], Any]] = {
    date: date.fromisoformat,
    datetime: datetime.fromisoformat,
    time: time.fromisoformat,
    bytes: bytes.fromhex,
}

# Other usual spellings of a value than its `str`.
SPELLINGS: dict[type[Any], Callable[[Any], str]] = {
    UUID: lambda key: str(key.hex),
    datetime: lambda key: str(key.isoformat()),
    bytes: lambda key: str(key.hex()),
}


def spelling(key: Any) -> str:
    """Return a key as JSON has it if it is neither a number nor a text: bytes are hexadecimal."""
    return key.hex() if isinstance(key, bytes) else str(key)


def keys_spelled(type_: TypeEngine[Any], text: str, dialect: Dialect) -> Iterator[Any]:
    """Yield the values of a column's type that are spelled so, in almost all cases at most one."""
    type_ = type_.dialect_impl(dialect)
    if not isinstance(type_, TypeDecorator):
        for candidate in _candidates(type_, text):
            if _fits(type_, candidate, dialect) and _is_spelled(candidate, text):
                yield candidate
        return
    inner = type_.impl_instance
    for candidate in (text, *_candidates(inner, text)):
        try:
            bound = _bind(type_, candidate, dialect)
            if not _fits(inner, bound, dialect):
                continue
            key = _result(type_, bound, dialect)
        except Exception:  # noqa: S112 - the shop's own parsing refuses the text
            continue
        if _is_spelled(key, text):
            yield key


def holds(type_: TypeEngine[Any], value: Any, dialect: Dialect) -> bool:
    """Return whether a column of the type takes a value as it is, and returns the same."""
    type_ = type_.dialect_impl(dialect)
    if isinstance(type_, EnumType):
        return _fits(type_, value, dialect)
    if not isinstance(type_, TypeDecorator):
        return _is_of_python_type(type_, value) and _fits(type_, value, dialect)
    try:
        bound = _bind(type_, value, dialect)
        return holds(type_.impl_instance, bound, dialect) and bool(
            _result(type_, bound, dialect) == value
        )
    except Exception:  # the shop's own code refuses the value
        return False


def _is_of_python_type(type_: TypeEngine[Any], value: Any) -> bool:
    try:
        python_type = type_.python_type
    except NotImplementedError:
        return False
    # A datetime is a date, too, whose time of day a database may drop.
    return isinstance(value, python_type) and isinstance(value, datetime) == (
        python_type is datetime
    )


def _candidates(type_: TypeEngine[Any], text: str) -> Iterator[Any]:
    """Yield the values of the type that a text may mean, in whatever spelling."""
    if isinstance(type_, TypeDecorator):
        yield text
        yield from _candidates(type_.impl_instance, text)
        return
    if isinstance(type_, EnumType):
        yield from _members(type_, text)
        return
    try:
        python_type = type_.python_type
    except NotImplementedError:
        yield text
        return
    try:
        yield PARSERS.get(python_type, python_type)(text)
    except (ValueError, TypeError, ArithmeticError):
        return


def _members(type_: EnumType, text: str) -> Iterator[Any]:
    """Yield the member whose stored name is the text, then members with that text or value."""
    members = type_.enum_class
    if members is None:
        yield text
        return
    if text in members.__members__:
        yield members[text]
    yield from (member for member in members if text in (str(member), str(member.value)))


def _is_spelled(key: Any, text: str) -> bool:
    if isinstance(key, Enum):
        return True
    other = SPELLINGS.get(type(key), str)
    return text in (str(key), other(key))


def _fits(type_: TypeEngine[Any], value: Any, dialect: Dialect) -> bool:
    """Return whether the database accepts the value, as one of the type, without an error."""
    if isinstance(type_, TypeDecorator):
        return _fits(type_.impl_instance, _bind(type_, value, dialect), dialect)
    if isinstance(type_, EnumType):
        members: Any = type_.enum_class or ()
        return isinstance(value, members) or value in list(type_.enums)
    if isinstance(type_, Integer):
        return _is_whole_number(type_, value, dialect)
    if isinstance(type_, Uuid):
        return isinstance(value, UUID if type_.as_uuid else str) and _is_uuid(str(value))
    if isinstance(type_, String):
        return isinstance(value, str) and _is_storable(value, type_.length)
    if isinstance(value, Decimal):
        return value.is_finite()
    return not isinstance(value, str) or _is_storable(value, None)


def _is_whole_number(type_: Integer, value: object, dialect: Dialect) -> bool:
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    bits = dialect_of(dialect).integer_bits(type_)
    return -(1 << bits - 1) <= value < 1 << bits - 1


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _is_storable(text: str, length: int | None) -> bool:
    return unstorable(text) is None and 0 < len(text) <= (length or len(text))


def _bind(type_: TypeDecorator[Any], value: Any, dialect: Dialect) -> Any:
    if type(type_).process_bind_param is TypeDecorator.process_bind_param:
        return value
    return type_.process_bind_param(value, dialect)


def _result(type_: TypeDecorator[Any], value: Any, dialect: Dialect) -> Any:
    if type(type_).process_result_value is TypeDecorator.process_result_value:
        return value
    return type_.process_result_value(value, dialect)
