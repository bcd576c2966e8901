"""A key, its request and its answer: what makes a request safe to send again.

Called by the blueprint, inside the order's own transaction: a key is kept if and only if its order
is. After the IETF draft "The Idempotency-Key HTTP Header Field".
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Self

from flask_sqlalchemy.session import Session
from sqlalchemy import ColumnElement, and_, delete, insert, select, update
from sqlalchemy.orm import scoped_session

from .addresses import BillingAddress
from .errors import IdempotencyKeyReused, InvalidRequest
from .models import Models
from .models.contract import row_count, table

HEADER = "Idempotency-Key"

_VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A success, as it is sent and sent again."""

    status: int
    location: str
    body: str


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """Whose key it is, and what it came with; key and request as SHA-256 in hex."""

    customer_id: Any
    key: str
    fingerprint: str

    @classmethod
    def of(
        cls, header: str, customer_id: Any, method: str, path: str, fields: Mapping[str, Any]
    ) -> Self:
        """The header's key, bare or quoted (a structured field, RFC 9651).

        `fields` are those of the validated body: requests that mean the same are the same.

        Raises:
            InvalidRequest: it is not 1 to 255 visible ASCII characters.
        """
        quoted = len(header) > 1 and header[0] == header[-1] == '"'
        key = re.sub(r'\\(["\\])', r"\1", header[1:-1]) if quoted else header
        if not _VISIBLE.fullmatch(key):
            raise InvalidRequest(f"{HEADER} takes 1 to 255 visible ASCII characters.")
        # A field that is None is one that is left out, so that a new field changes no fingerprint.
        given = {name: value for name, value in fields.items() if value is not None}
        request = json.dumps([method, path, given], sort_keys=True, default=_canonical)
        return cls(customer_id, _sha256(key), _sha256(request))


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key that has been used; `answer` is None if it is too old to count."""

    id: int
    answer: StoredResponse | None


class IdempotencyKeys:
    """The keys of one app, kept for `hours`."""

    def __init__(self, session: scoped_session[Session], models: Models, hours: int) -> None:
        self._session = session
        self._rows = table(models.IdempotencyKey)
        self._age = timedelta(hours=hours)

    def find(self, request: IdempotentRequest) -> StoredKey | None:
        """What the key was used for before.

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
        return StoredKey(row.id, StoredResponse(row.status, row.location, row.body))

    def claim(
        self, request: IdempotentRequest, answer: StoredResponse, found: StoredKey | None
    ) -> None:
        """Keep the answer under the key, in the place of one that is too old.

        Raises:
            IntegrityError: another request with the key was faster: start over, and find it.
        """
        if found is not None:
            self._session.execute(delete(self._rows).where(self._rows.c.id == found.id))
        row = {**asdict(request), **asdict(answer), "created": datetime.now(UTC)}
        self._session.execute(insert(self._rows), [row])

    def replace(self, request: IdempotentRequest, answer: StoredResponse) -> None:
        """Keep another answer under a key that has been claimed."""
        self._session.execute(
            update(self._rows).where(self._is_key_of(request)).values(asdict(answer))
        )

    def purge(self) -> int:
        """Delete the keys that are too old; how many there were. The caller commits."""
        old = self._rows.c.created <= self._cutoff()
        return row_count(self._session.execute(delete(self._rows).where(old)))

    def _is_key_of(self, request: IdempotentRequest) -> ColumnElement[bool]:
        rows = self._rows.c
        return and_(rows.customer_id == request.customer_id, rows.key == request.key)

    def _cutoff(self) -> datetime:
        return datetime.now(UTC) - self._age


def _canonical(value: Any) -> Any:
    """A loaded value as JSON, equal for equal values."""
    if isinstance(value, BillingAddress):
        return asdict(value)
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    raise TypeError(f"a {type(value).__name__} has no place in a fingerprint")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
