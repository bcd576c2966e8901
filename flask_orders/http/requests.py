"""What a request brings: when it arrived, its body, its query.

The body is read whole, within its limit, before anything is asked of the database: a client that
sends slowly holds no connection. What is wrong with it is said later, to those who are known.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from flask import Flask, current_app, request, request_started
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from ..errors import InvalidRequest, OrdersError, RequestTooLarge, UnsupportedMediaType

FIELDS_AT_FAULT = "Correct the fields listed in 'errors'."

# A proxy that says when a request reached it is believed so far back: it only ever helps to find
# the customer's own order.
LONGEST_QUEUE = timedelta(minutes=1)

_ARRIVED = "flask_orders.arrived"
_START = re.compile(r"\s*(?:t=)?([0-9]{9,20}(?:\.[0-9]{1,9})?)(?![0-9.])")


def watch_arrivals(app: Flask) -> None:
    """Have every request of an app know when the app was entered (idempotent)."""
    request_started.connect(_note_arrival, app)


def _note_arrival(_app: Flask, **_rest: Any) -> None:
    request.environ[_ARRIVED] = datetime.now(UTC)


def arrived() -> datetime:
    """Return when the request reached the proxy, by `X-Request-Start`, or else the app."""
    entered: datetime = request.environ.get(_ARRIVED) or datetime.now(UTC)
    started = _START.match(request.headers.get("X-Request-Start", ""))
    if started is None:
        return entered
    waited = timedelta(seconds=entered.timestamp() - _seconds(float(started[1])))
    return entered - min(max(waited, timedelta(0)), LONGEST_QUEUE)


def _seconds(number: float) -> float:
    """Seconds since 1970, as nginx sends them, or milli- (Heroku), micro- (Apache) or nanoseconds.

    Each is a thousand times the other: the magnitude tells which it is, until the year 5138.
    """
    while number >= 1e11:
        number /= 1000
    return number


def read_body(most: int) -> bytes | OrdersError:
    """Read the request's body, or find what is wrong with it; it stays readable for others.

    Args:
        most: bytes; a lower MAX_CONTENT_LENGTH of the app's, or of this request's, counts too.
    """
    limit = min(most, request.max_content_length or most)
    # Werkzeug cuts a body of unknown length off at its limit and says nothing: one byte more tells.
    request.max_content_length = limit + 1
    try:
        body = request.get_data()
    except RequestEntityTooLarge:
        return RequestTooLarge(limit)
    except ClientDisconnected:
        return InvalidRequest("The request body was truncated; send it again in full.")
    return RequestTooLarge(limit) if len(body) > limit else body


def json_object(body: bytes | OrdersError) -> dict[str, Any]:
    """Return the JSON object that a body is, without the token that it may bring.

    Raises:
        OrdersError: it is none, or could not be read.
    """
    if isinstance(body, OrdersError):
        raise body
    coding = request.headers.get("Content-Encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise UnsupportedMediaType(
            f"The body is compressed ({coding[:20]!r}): send it as it is, without the header "
            "'Content-Encoding'."
        )
    if not request.is_json:
        raise UnsupportedMediaType("Send JSON, with the header 'Content-Type: application/json'.")
    document = _parse(body)
    if "json" in token_places(current_app.config):
        document.pop(current_app.config["JWT_JSON_KEY"], None)
    return document


def is_json_object(body: bytes | OrdersError) -> bool:
    """Whether a body is a JSON object by its type and content."""
    try:
        json_object(body)
    except OrdersError:
        return False
    return True


def query() -> dict[str, str]:
    """Return the query, with each name once, without the token that it may bring."""
    values = request.args.copy()
    if "query_string" in token_places(current_app.config):
        values.poplist(current_app.config["JWT_QUERY_STRING_NAME"])
    repeated = [name for name, given in values.lists() if len(given) > 1]
    if repeated:
        raise InvalidRequest(FIELDS_AT_FAULT, {name: ["Give it once."] for name in repeated})
    return values.to_dict()


def token_places(config: Mapping[str, Any]) -> list[str]:
    """Return where Flask-JWT-Extended looks for a token."""
    places = config["JWT_TOKEN_LOCATION"]
    return [places] if isinstance(places, str) else list(places)


def _parse(text: bytes) -> dict[str, Any]:
    """Parse JSON as RFC 8259 has it: in UTF-8, without NaN, each name once in an object."""
    try:
        # Some editors put a byte order mark first; a parser may skip it.
        body = json.loads(
            text.decode("utf-8-sig"),
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique_names,
        )
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The body is not a JSON object.")
    return body


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice in an object")
    return members
