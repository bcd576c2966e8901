"""Idempotency keys: the same request sent again has the result of the first, and no other effect.

A key is stored in the order's own transaction, so if and only if the order is. Its row holds the
result: which order, payable or not, for which action. After the IETF draft "The Idempotency-Key
HTTP Header Field".
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Self

from flask_sqlalchemy.session import Session
from sqlalchemy import ColumnElement, and_, delete, insert, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import scoped_session

from .converting import PlacedOrder
from .db.classify import is_lock_timeout
from .db.writes import row_count
from .errors import (
    ConfigurationError,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    InvalidRequest,
)
from .models import Models
from .models.contract import table

LONGEST_KEY = 255
_VISIBLE = re.compile(rf"[\x21-\x7e]{{1,{LONGEST_KEY}}}")


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A customer's key and the request it came with, both as SHA-256 in hex.

    Attributes:
        checkout: what was asked for: to pay the order, or only to save it.
    """

    customer_id: Any
    key: str
    fingerprint: str
    checkout: bool

    @classmethod
    def of(
        cls,
        key: str,
        customer_id: Any,
        operation: Sequence[str],
        fields: Mapping[str, Any],
        *,
        checkout: bool,
        extra: Mapping[str, Any],
    ) -> Self:
        """Return the request that is made under a key.

        Args:
            key: the client's own name for the request.
            customer_id: the customer's primary key.
            operation: what is called, such as an HTTP method and path.
            fields: the validated values it is called with, so that requests that mean the same
                are the same. None is the same as left out.
            checkout: whether the order is to be paid, or only saved.
            extra: what it is called with for the shop's own columns; None is as left out.

        Raises:
            InvalidRequest: the key is not 1 to 255 visible ASCII characters.
            ConfigurationError: a value of `extra` has no form that another process would give it.
        """
        if not _VISIBLE.fullmatch(key):
            raise InvalidRequest(
                f"An Idempotency-Key has 1 to {LONGEST_KEY} visible ASCII characters."
            )
        asked_for = _given(fields)
        if own := _given(extra):
            asked_for["extra"] = own
        request = _as_text([*operation, asked_for])
        return cls(customer_id, _sha256(key), _sha256(request), checkout)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key that has been used, and its result; `placed` is None if the key has expired."""

    id: int
    placed: PlacedOrder | None


class IdempotencyKeys:
    """The keys of one app, stored for `hours`."""

    def __init__(self, session: scoped_session[Session], models: Models, hours: int) -> None:
        self._session = session
        self._rows = table(models.IdempotencyKey)
        self._age = timedelta(hours=hours)

    def find(self, request: IdempotentRequest) -> StoredKey | None:
        """Return what the key was used for before, or None.

        Raises:
            IdempotencyKeyReused: it was used for another request.
        """
        query = select(self._rows).where(self._is_key_of(request))
        row = self._session.execute(query).one_or_none()
        if row is None:
            return None
        if row.created <= self._cutoff():
            return StoredKey(row.id, None)
        if row.fingerprint != request.fingerprint:
            raise IdempotencyKeyReused
        return StoredKey(row.id, PlacedOrder(row.order_id, row.payable, replayed=True))

    def claim(
        self, request: IdempotentRequest, provisional: PlacedOrder, used: StoredKey | None
    ) -> None:
        """Store the provisional result under the key, in place of an expired one.

        Raises:
            IdempotencyKeyInUse: another request with the key is still running.
            DBAPIError: another request with the key was faster (a violated unique constraint):
                start over, and find it.
        """
        try:
            if used is not None:
                self._session.execute(delete(self._rows).where(self._rows.c.id == used.id))
            row = {**asdict(request), **_result(provisional), "created": datetime.now(UTC)}
            self._session.execute(insert(self._rows), [row])
        except DBAPIError as error:
            if is_lock_timeout(error):
                raise IdempotencyKeyInUse from None
            raise

    def replace(self, request: IdempotentRequest, placed: PlacedOrder) -> None:
        """Store another result under a key that has been claimed."""
        self._session.execute(
            update(self._rows).where(self._is_key_of(request)).values(_result(placed))
        )

    def purge(self) -> int:
        """Delete the expired keys and return how many there were. The caller commits."""
        expired = self._rows.c.created <= self._cutoff()
        return row_count(self._session.execute(delete(self._rows).where(expired)))

    def _is_key_of(self, request: IdempotentRequest) -> ColumnElement[bool]:
        rows = self._rows.c
        return and_(rows.customer_id == request.customer_id, rows.key == request.key)

    def _cutoff(self) -> datetime:
        return datetime.now(UTC) - self._age


def _result(placed: PlacedOrder) -> dict[str, Any]:
    return {"order_id": placed.order_id, "payable": placed.payable}


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    # A value that is None is left out, so that a new field changes no fingerprint.
    return {name: _canonical(value) for name, value in values.items() if value is not None}


def _canonical(value: Any) -> Any:
    """Return a value as JSON: equal for equal values, in every process, whatever their order.

    Raises:
        ConfigurationError: nothing but its place in memory tells the value from another one.
    """
    if value is None or isinstance(value, bool | int | float | str):
        # A member of an IntEnum or a StrEnum is its value.
        return value
    if isinstance(value, Mapping):
        return {_name(name): _canonical(each) for name, each in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(_canonical, value), key=_as_text)
    if isinstance(value, list | tuple):
        return [_canonical(each) for each in value]
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Decimal):
        return f"{value.normalize():f}" if value.is_finite() else str(value)
    if isinstance(value, datetime):
        return (value if value.tzinfo is None else value.astimezone(UTC)).isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _canonical(getattr(value, each.name)) for each in fields(value)}
    return _text(value)


def _name(name: Any) -> str:
    return name if isinstance(name, str) else _as_text(_canonical(name))


def _as_text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _text(value: Any) -> str:
    """Return the text of a date, a UUID, or any other object that has one of its own."""
    kind: Any = type(value)
    if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__:
        raise ConfigurationError(
            f"a request with an Idempotency-Key is compared with the first one, and "
            f"{kind.__name__} has nothing to compare: make it a dataclass, or give it a __str__."
        )
    return str(value)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
