"""A request: when it arrived, its body, its query and its Idempotency-Key, all validated.

The body is read whole, within its limit, before any connection to the database is taken: a client
that sends slowly holds none. What is wrong with it is reported later, to known customers alone.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn
from uuid import UUID

from flask import Flask, current_app, request, request_started
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from ..converting import OrderRequest
from ..current_customer import CurrentCustomer
from ..errors import (
    InvalidRequest,
    OrderNotFound,
    OrdersError,
    RequestTooLarge,
    UnsupportedMediaType,
)
from ..idempotency import IdempotentRequest
from ..service import components_of, current_orders

# A proxy's X-Request-Start is trusted so far back: all it does is find the customer's own order.
LONGEST_QUEUE = timedelta(minutes=1)

_ARRIVED = "flask_orders.arrived"
_START = re.compile(r"\s*(?:t=)?([0-9]{9,20}(?:\.[0-9]{1,9})?)(?![0-9.])")


def watch_arrivals(app: Flask) -> None:
    """Record for every request of an app when the app was entered (idempotent)."""
    request_started.connect(_record_arrival, app)


def _record_arrival(_app: Flask, **_rest: Any) -> None:
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
    """Return the seconds since 1970 that a proxy has sent, in whatever unit.

    nginx sends seconds, Heroku milliseconds, Apache microseconds; each is a thousand times the
    other, so the magnitude tells which it is, until the year 5138.
    """
    while number >= 1e11:
        number /= 1000
    return number


def read_body(most: int) -> bytes | OrdersError:
    """Read the request's body and return it, or what is wrong with it; it can be read again.

    Args:
        most: bytes; a lower MAX_CONTENT_LENGTH, the app's or this request's, counts too.
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
    """Return the JSON object in a body, without the token that it may bring.

    Raises:
        OrdersError: the body is not a JSON object, or could not be read.
    """
    if isinstance(body, OrdersError):
        raise body
    coding = request.headers.get("Content-Encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise UnsupportedMediaType(
            f"The body is compressed ({coding[:20]!r}): send it as it is, without the header "
            "'Content-Encoding'."
        )
    require_json()
    document = _parse(body)
    if "json" in token_places():
        document.pop(current_app.config["JWT_JSON_KEY"], None)
    return document


def require_json() -> None:
    """Refuse a request whose Content-Type is not JSON, as a form's never is.

    Raises:
        UnsupportedMediaType: another type, or none.
    """
    if not request.is_json:
        raise UnsupportedMediaType("Send JSON, with the header 'Content-Type: application/json'.")


def is_json_object(body: bytes | OrdersError) -> bool:
    """Return whether a body is a JSON object by its type and content."""
    try:
        json_object(body)
    except OrdersError:
        return False
    return True


def query() -> dict[str, str]:
    """Return the query, with each name once, without the token that it may bring."""
    values = request.args.copy()
    if "query_string" in token_places():
        values.poplist(current_app.config["JWT_QUERY_STRING_NAME"])
    repeated = [name for name, given in values.lists() if len(given) > 1]
    if repeated:
        raise InvalidRequest.of_fields({name: ["Give it once."] for name in repeated})
    return values.to_dict()


def uuid_of(text: str) -> UUID:
    """Return the order id in a path, in its one usual spelling: an order has one URL.

    Raises:
        OrderNotFound: it is not a UUID, or spelled differently.
    """
    try:
        order_id = UUID(text)
    except ValueError:
        raise OrderNotFound from None
    if str(order_id) != text.lower():
        raise OrderNotFound
    return order_id


def idempotent_request(
    order_request: OrderRequest, fields: Mapping[str, Any], own_fields: Mapping[str, Any]
) -> IdempotentRequest | None:
    """Return the request under its Idempotency-Key, or None without that header.

    Args:
        order_request: what is asked for, and by which customer.
        fields: those of the validated body.
        own_fields: the fields of the shop's own, as they were sent.

    Raises:
        InvalidRequest: the key, bare or quoted (a structured field, RFC 9651), is not valid.
    """
    header = request.headers.get("Idempotency-Key")
    if header is None:
        return None
    quoted = len(header) > 1 and header[0] == header[-1] == '"'
    return IdempotentRequest.of(
        re.sub(r'\\(["\\])', r"\1", header[1:-1]) if quoted else header,
        order_request.customer_id,
        (request.method, request.path.rstrip("/")),
        fields,
        checkout=order_request.checkout,
        extra=own_fields,
    )


def current_customer() -> CurrentCustomer | None:
    """Return the option `current_customer=`; None in a shop whose customers are named by JWTs."""
    source: CurrentCustomer | None = components_of(current_orders).options["current_customer"]
    return source


def token_places() -> list[str]:
    """Return where Flask-JWT-Extended looks for a token that names the customer."""
    if current_customer() is not None:
        return []
    places = current_app.config["JWT_TOKEN_LOCATION"]
    return [places] if isinstance(places, str) else list(places)


def _parse(text: bytes) -> dict[str, Any]:
    """Parse JSON by RFC 8259: in UTF-8, without NaN, each name once in an object."""
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
