"""Find the key of the customer that a verified JWT identifies, and never another customer's.

An app with a user lookup must return an object of the mapped customer class, and nothing else; only
without a lookup is the token's subject read as the customer's key. A subject that can't be a key is
refused on every database, before a statement has it. A key has one spelling, that of `str(key)`:
" 7", "7.0" and "1_000" are not customers.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import Dialect, Integer, String, TypeDecorator, Uuid, inspect
from sqlalchemy import Enum as EnumType
from sqlalchemy.types import TypeEngine
from werkzeug.local import LocalProxy

from ..db.dialects import dialect_of
from ..errors import ConfigurationError, UnknownCustomer
from ..models import Models
from ..models.contract import primary_key, table

PARSERS: dict[type[Any], Callable[[str], Any]] = {
    date: date.fromisoformat,
    datetime: datetime.fromisoformat,
    time: time.fromisoformat,
}

# Other usual spellings of a value than its `str`.
SPELLINGS: dict[type[Any], Callable[[Any], str]] = {
    UUID: lambda key: str(key.hex),
    datetime: lambda key: str(key.isoformat()),
}


def key_of_user(models: Models, user: Any, dialect: Dialect) -> Any:
    """Return the key of the object that the app's user lookup returned.

    Raises:
        UnknownCustomer: the object was made from the token's claims alone, and its key can't be
            a customer's.
        ConfigurationError: it is not of the mapped class, so that its key, or the subject, could
            be another customer's.
    """
    customer: Any = models.Customer
    if isinstance(user, LocalProxy):
        user = user._get_current_object()
    if not isinstance(user, customer):
        raise ConfigurationError(
            f"The JWT's user lookup returned an object of {type(user).__name__}, but "
            f"declare_models(...) has {customer.__name__} for the customers: let the "
            f"user_lookup_loader return the {customer.__name__} that the token identifies, or "
            "None, or give declare_models(customer=...) the class that it returns."
        )
    identity = inspect(user).identity
    if identity is not None:
        return identity[0]
    # A lookup may make it from the token's claims alone, which saves a query.
    (key,) = inspect(customer).primary_key_from_instance(user)
    return key_of_subject(models, key, dialect) if isinstance(key, str | int | None) else key


def key_of_subject(models: Models, subject: Any, dialect: Dialect) -> Any:
    """Return the customer's key that a JWT's subject spells.

    Raises:
        UnknownCustomer: the subject can't be a key.
    """
    # With JWT_VERIFY_SUB = False a subject may be a number.
    if isinstance(subject, bool) or not isinstance(subject, str | int):
        raise UnknownCustomer
    customer = models.Customer
    key = table(models.Order).c.customer_id if customer is None else primary_key(customer)
    for found in _keys(key.type, str(subject), dialect):
        return found
    raise UnknownCustomer


def _keys(type_: TypeEngine[Any], text: str, dialect: Dialect) -> Iterator[Any]:
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
    """Return whether every database accepts the text: no NUL, no lone surrogate."""
    is_valid = "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)
    return is_valid and 0 < len(text) <= (length or len(text))


def _bind(type_: TypeDecorator[Any], value: Any, dialect: Dialect) -> Any:
    if type(type_).process_bind_param is TypeDecorator.process_bind_param:
        return value
    return type_.process_bind_param(value, dialect)


def _result(type_: TypeDecorator[Any], value: Any, dialect: Dialect) -> Any:
    if type(type_).process_result_value is TypeDecorator.process_result_value:
        return value
    return type_.process_result_value(value, dialect)
