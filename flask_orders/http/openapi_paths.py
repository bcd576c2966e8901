"""The calls of the HTTP API for `openapi.json`: parameters, bodies, responses and refusals."""

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter

from marshmallow import Schema

from ..errors import (
    BillingAddressRequired,
    EmptyCart,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    InvalidRequest,
    ItemUnavailable,
    Misconfigured,
    OrderNotCancellable,
    OrderNotFound,
    OrderNotPayable,
    OrdersError,
    PriceChanged,
    RequestTooLarge,
    TryAgain,
    UnsupportedMediaType,
    VoucherNotApplicable,
    VoucherReason,
)
from ..idempotency import LONGEST_KEY
from ..schemas import Amount, PageSchema, PreviewQuerySchema, PreviewSchema
from ..status import STATUSES
from .openapi_types import TYPES, Json

CREATE_ORDER: Json = {"$ref": "#/components/schemas/CreateOrder"}
ORDER: Json = {"$ref": "#/components/schemas/Order"}

URL: Json = {"type": "string", "format": "uri-reference"}
NULLABLE_URL: Json = {**URL, "type": ["string", "null"]}

LOCATION: Json = {"Location": {"schema": URL, "required": True}}
REPLAYED: Json = {
    "Idempotent-Replayed": {
        "description": "This is the stored response to the first request with the key.",
        "schema": {"const": "true"},
    }
}
ETAG: Json = {"ETag": {"schema": {"type": "string"}, "required": True}}

UNKNOWN: Json = {
    "description": "No valid token, or the customer no longer exists. The shop defines this body."
}

KEY: Json = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "1 to 255 visible ASCII characters, bare or quoted. It makes the request safe "
    "to repeat: the first successful response is sent again.",
    "schema": {
        "type": "string",
        "pattern": f'^([!#-~][!-~]{{0,{LONGEST_KEY - 1}}}|"[!-~]{{1,{LONGEST_KEY}}}")$',
    },
}
IF_NONE_MATCH: Json = {
    "in": "header",
    "name": "If-None-Match",
    "description": "The ETag of an earlier response.",
    "schema": {"type": "string"},
}
ORDER_ID: Json = {
    "in": "path",
    "name": "order_id",
    "description": "The order's `id`.",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}

PAGE: Json = {
    "type": "object",
    "required": ["count", "next", "previous", "results"],
    "properties": {
        "count": {"type": "integer", "description": "The number of orders on all pages."},
        "next": {**NULLABLE_URL, "description": "The next page, of older orders, or null."},
        "previous": {**NULLABLE_URL, "description": "The previous page, of newer orders, or null."},
        "results": {"type": "array", "items": ORDER, "description": "The orders on the page."},
    },
}
SAVED: Json = {
    "type": "object",
    "required": ["success"],
    "properties": {"success": {"type": "string", "description": "A sentence for the customer."}},
}
CHECKED_OUT: Json = {
    "type": "object",
    "required": ["order", "payment"],
    "properties": {
        "order": {**URL, "description": "The order's URL."},
        "payment": {
            **NULLABLE_URL,
            "description": "The payment's URL; null if there is nothing to pay.",
        },
    },
}


BODIES: Json = {"Page": PAGE, "Saved": SAVED, "CheckedOut": CHECKED_OUT}
BODY: Json = {name: {"$ref": f"#/components/schemas/{name}"} for name in BODIES}


def _link(operation: str, description: str, order_id: str | None) -> Json:
    parameters = {} if order_id is None else {"parameters": {"order_id": order_id}}
    return {"operationId": operation, "description": description, **parameters}


# What a client may call next.
CREATED: Json = {"order": _link("get_order", "The order, whose URL is `Location`.", None)}
LINKS_OF_ORDER: Json = {
    "checkout": _link("check_out_order", "Pay the order.", "$response.body#/id"),
    "cancel": _link("cancel_order", "Cancel the order.", "$response.body#/id"),
}


def paths() -> dict[str, dict[str, Json]]:
    """Return the calls by path, below the prefix, and method."""
    placed = LOCATION | REPLAYED
    return {
        "/": {
            "post": {
                "operationId": "create_order",
                "summary": "Turn the cart into an order.",
                "parameters": [KEY],
                "requestBody": {"required": True, **content(CREATE_ORDER)},
                "responses": {
                    "201": _answer(
                        "`save_order`: the order is saved.", BODY["Saved"], placed, CREATED
                    ),
                    "303": _answer(
                        "`checkout`: see the payment URL.", BODY["CheckedOut"], placed, CREATED
                    ),
                    **_problems(
                        InvalidRequest,
                        EmptyCart,
                        BillingAddressRequired,
                        ItemUnavailable,
                        PriceChanged,
                        VoucherNotApplicable,
                        IdempotencyKeyInUse,
                        RequestTooLarge,
                        UnsupportedMediaType,
                        IdempotencyKeyReused,
                        *_own_errors(),
                    ),
                },
            },
            "get": {
                "operationId": "list_orders",
                "summary": "List the customer's orders, newest first.",
                "parameters": [{"in": "query", "schema": PageSchema}],
                "responses": {
                    "200": _answer("A page.", BODY["Page"]),
                    **_problems(InvalidRequest),
                },
            },
        },
        "/preview/": {
            "get": {
                "operationId": "preview_order",
                "summary": "Preview the order; nothing is written or locked.",
                "parameters": [{"in": "query", "schema": PreviewQuerySchema}],
                "responses": {
                    "200": _answer("The order as it would be now.", PreviewSchema),
                    **_problems(InvalidRequest),
                },
            }
        },
        "/{order_id}/": {
            "get": {
                "operationId": "get_order",
                "summary": "Read an order.",
                "parameters": [ORDER_ID, IF_NONE_MATCH],
                "responses": {
                    "200": _answer("The order.", ORDER, ETAG, LINKS_OF_ORDER),
                    "304": {"description": "The order is unchanged.", "headers": ETAG},
                    **_problems(OrderNotFound),
                },
            }
        },
        "/{order_id}/checkout/": {
            "post": {
                "operationId": "check_out_order",
                "summary": "Pay a saved order.",
                "parameters": [ORDER_ID],
                "responses": {
                    "303": _answer("See the payment URL.", BODY["CheckedOut"], LOCATION),
                    **_problems(OrderNotFound, OrderNotPayable),
                },
            }
        },
        "/{order_id}/cancel/": {
            "post": {
                "operationId": "cancel_order",
                "summary": "Cancel an unpaid order.",
                "parameters": [ORDER_ID],
                "responses": {
                    "200": _answer("The order, which is now cancelled.", ORDER),
                    **_problems(OrderNotFound, OrderNotCancellable),
                },
            }
        },
        "/openapi.json": {
            "get": {
                "operationId": "openapi",
                "summary": "Read this document.",
                "security": [],
                "responses": {"200": _answer("The API as OpenAPI 3.1.", {"type": "object"})},
            }
        },
    }


def _answer(
    description: str,
    schema: Json | Schema | type[Schema],
    headers: Json | None = None,
    links: Json | None = None,
) -> Json:
    described = {"description": description, "headers": headers or {}, **content(schema)}
    return described if links is None else {**described, "links": links}


def content(schema: Json | Schema | type[Schema], kind: str = "application/json") -> Json:
    """Return the content of a body."""
    return {"content": {kind: {"schema": schema}}}


def _problems(*errors: type[OrdersError]) -> Json:
    """Return a response for each status of the errors, and of those that any call may raise."""
    raised = sorted((*errors, Misconfigured, TryAgain), key=attrgetter("status"))
    by_status = groupby(raised, attrgetter("status"))
    return {"401": UNKNOWN} | {str(status): refusal(list(group)) for status, group in by_status}


def refusal(errors: list[type[OrdersError]]) -> Json:
    """Return the response of errors that have one status."""
    narrowed = {"allOf": ["Problem", {"properties": {"code": {"enum": _codes(errors)}}}]}
    lines = [f"- `{error.code}`: {error.title}." for error in errors]
    return {
        "description": "\n".join(dict.fromkeys(lines)),
        "headers": dict(_headers(errors)),
        **content(narrowed, "application/problem+json"),
    }


def _headers(errors: list[type[OrdersError]]) -> Iterator[tuple[str, Json]]:
    for error in errors:
        for name in error.headers:
            yield name, {"description": f"With `{error.code}`.", "schema": {"type": "string"}}


def _codes(errors: list[type[OrdersError]]) -> list[str]:
    """Return the codes, each once: classes of a shop's own may share one."""
    return list(dict.fromkeys(error.code for error in errors))


def _subclasses(base: type[OrdersError]) -> Iterator[type[OrdersError]]:
    for error in base.__subclasses__():
        yield error
        yield from _subclasses(error)


def _own_errors() -> list[type[OrdersError]]:
    """Return the shop's own errors, which receivers of `order_placing` may raise."""
    library = OrdersError.__module__
    return [error for error in _subclasses(OrdersError) if error.__module__ != library]


def problem_schema() -> Json:
    """Return the schema of a problem document (RFC 9457) with the extensions of every error."""
    errors = list(_subclasses(OrdersError))
    text = {"type": "string"}
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {"type": "string", "format": "uri", "description": "The kind, as a URI."},
            "title": {**text, "description": "The kind, in a few words."},
            "status": {
                "description": "The HTTP status.",
                "enum": sorted({error.status for error in errors}),
            },
            "detail": {**text, "description": "What is wrong this time, and what to do."},
            "code": {
                "description": "The kind, as a name.",
                "enum": _codes(errors),
            },
            "errors": {
                "description": "`invalid_request`: the messages, by the full name of the field.",
                "type": "object",
                "additionalProperties": {"type": "array", "items": text},
            },
            "items": {
                "description": "`item_unavailable`: the items that can't be ordered.",
                "type": "array",
                "items": {"$ref": "#/components/schemas/Unavailable"},
            },
            "expected": {"description": "`price_changed`: the expected total.", **TYPES[Amount]},
            "actual": {"description": "`price_changed`: the total now.", **TYPES[Amount]},
            "reason": {
                "description": "`voucher_not_applicable`: why it can't be used.",
                "anyOf": [{"enum": list(VoucherReason)}, text],
            },
            "order_status": {
                "description": "The status that does not allow it.",
                "enum": list(STATUSES),
            },
        },
    }
