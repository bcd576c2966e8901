"""The calls as an OpenAPI 3.1 document, made from the schemas that load and dump.

Called by the blueprint's `GET /openapi.json`. Needs apispec, the extra `openapi`.
"""

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, fields

from ..errors import (
    BillingAddressRequired,
    ConfigurationError,
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
)
from ..schemas import (
    Amount,
    CreateOrderSchema,
    ExpectedTotal,
    OrderSchema,
    PageSchema,
    PostalCode,
    PreviewQuerySchema,
    PreviewSchema,
    PrimaryKeyField,
    UnavailableSchema,
    WholeNumber,
)
from .requests import token_places

if TYPE_CHECKING:
    from apispec import APISpec

Json = dict[str, Any]

# What a field of ours is, beyond what apispec knows of the class that it is made from.
TYPES: Mapping[type[fields.Field[Any]], Json] = {
    Amount: {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$", "examples": ["79.99"]},
    ExpectedTotal: {
        "type": ["string", "integer"],
        "pattern": f"^{ExpectedTotal.PATTERN.pattern}$",
        "minimum": 0,
        "examples": ["79.99"],
    },
    PrimaryKeyField: {"type": ["integer", "string"]},
    PostalCode: {"type": ["string", "integer"], "minimum": 0},
    WholeNumber: {"minimum": 0, "maximum": WholeNumber.MOST},
}

# The components that come in; all others are answers, which have every member and may get more.
LOADED = ("BillingAddress", "CreateOrder")

# Its address is made by the blueprint.
ORDER = OrderSchema(str)

URL: Json = {"type": "string", "format": "uri-reference"}

LOCATION: Json = {"Location": {"schema": URL, "required": True}}
REPLAYED: Json = {
    "Idempotent-Replayed": {
        "description": "This is the answer of the first request with the key.",
        "schema": {"const": "true"},
    }
}
ETAG: Json = {"ETag": {"schema": {"type": "string"}, "required": True}}

UNKNOWN: Json = {
    "description": "No valid token, or a customer who is gone. The shop shapes this answer."
}

KEY: Json = {
    "in": "header",
    "name": "Idempotency-PrimaryKeyField",
    "description": "1 to 255 visible ASCII characters, bare or quoted. The request is then safe to "
    "send again: the first success is answered again.",
    "schema": {"type": "string", "minLength": 1},
}
IF_NONE_MATCH: Json = {"in": "header", "name": "If-None-Match", "schema": {"type": "string"}}
ORDER_ID: Json = {
    "in": "path",
    "name": "order_id",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}

PAGE: Json = {
    "type": "object",
    "required": ["count", "next", "previous", "results"],
    "properties": {
        "count": {"type": "integer", "description": "Of the orders on all pages."},
        "next": {**URL, "type": ["string", "null"]},
        "previous": {**URL, "type": ["string", "null"]},
        "results": {"type": "array", "items": ORDER},
    },
}
SAVED: Json = {
    "type": "object",
    "required": ["success"],
    "properties": {"success": {"type": "string"}},
}
CHECKED_OUT: Json = {
    "type": "object",
    "required": ["order", "payment"],
    "properties": {
        "order": URL,
        "payment": {
            **URL,
            "type": ["string", "null"],
            "description": "Null if there is nothing to pay.",
        },
    },
}


def describe(prefix: str, config: Mapping[str, Any]) -> Json:
    """The calls below the prefix, for tokens as the app's config has it (`JWT_...`).

    Raises:
        ConfigurationError: apispec is not installed.
    """
    spec = _empty_spec()
    spec.components.schema("Unavailable", schema=UnavailableSchema)
    spec.components.schema("Problem", _problem())
    schemes = _security_schemes(config)
    for name, scheme in schemes.items():
        spec.components.security_scheme(name, scheme)
    for path, operations in _paths().items():
        for method, operation in operations.items():
            if "security" not in operation:
                operation |= _security(schemes, method)
        spec.path(prefix + path, operations=operations)
    made: Json = spec.to_dict()
    for name, schema in made["components"]["schemas"].items():
        if name in LOADED:
            schema["additionalProperties"] = False
        elif name != "Problem":
            schema["required"] = list(schema["properties"])
            # Some versions of marshmallow and apispec say that there are none.
            schema.pop("additionalProperties", None)
    if "json" in token_places(config):
        _describe_token_in_body(made, config["JWT_JSON_KEY"], is_required=not schemes)
    return made


def _describe_token_in_body(made: Json, name: str, *, is_required: bool) -> None:
    """OpenAPI has no security scheme for a token that is a member of the JSON body."""
    token = {"type": "string", "description": "The JWT, if it is not sent in another way."}
    if is_required:
        token["description"] = "The JWT."
    order = made["components"]["schemas"]["CreateOrder"]
    order["properties"][name] = token
    body: Json = {"type": "object", "properties": {name: token}}
    if is_required:
        body["required"] = [name]
        order["required"] = [*order["required"], name]
    for path in made["paths"].values():
        for operation in path.values():
            if operation.get("security") != []:
                operation.setdefault("requestBody", {"required": is_required, **_content(body)})


def _empty_spec() -> "APISpec":
    try:
        from apispec import APISpec
        from apispec.ext.marshmallow import MarshmallowPlugin
    except ImportError:
        raise ConfigurationError(
            'openapi.json is made by apispec: pip install "flask_orders[openapi]"'
        ) from None
    plugin = MarshmallowPlugin()
    spec = APISpec("Orders", version("flask_orders"), "3.1.0", plugins=[plugin])
    converter: Any = plugin.converter
    converter.add_attribute_function(_describe_field)
    return spec


def _describe_field(_converter: Any, field: fields.Field[Any], ret: Json) -> Json:
    """What apispec does not know of a field; a default of null is one that is left out."""
    if ret.get("default", ...) is None:
        del ret["default"]
    known = TYPES.get(type(field), {})
    added = {name: value for name, value in known.items() if name not in ret or name == "type"}
    if "type" in added and field.allow_none:
        types = added["type"]
        added["type"] = [*([types] if isinstance(types, str) else types), "null"]
    return added


def _paths() -> dict[str, dict[str, Json]]:
    placed = LOCATION | REPLAYED
    return {
        "/": {
            "post": {
                "operationId": "create_order",
                "summary": "Make the cart an order.",
                "parameters": [KEY],
                "requestBody": {"required": True, **_content(CreateOrderSchema)},
                "responses": {
                    "201": _answer("`save_order`: the order is saved.", SAVED, placed),
                    "303": _answer("`checkout`: on to the payment.", CHECKED_OUT, placed),
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
                    ),
                },
            },
            "get": {
                "operationId": "list_orders",
                "summary": "The customer's orders, newest first.",
                "parameters": [{"in": "query", "schema": PageSchema}],
                "responses": {"200": _answer("A page.", PAGE), **_problems(InvalidRequest)},
            },
        },
        "/preview/": {
            "get": {
                "operationId": "preview_order",
                "summary": "The order as it would be now; nothing is written or locked.",
                "parameters": [{"in": "query", "schema": PreviewQuerySchema}],
                "responses": {
                    "200": _answer("The order to be.", PreviewSchema),
                    **_problems(InvalidRequest),
                },
            }
        },
        "/{order_id}/": {
            "get": {
                "operationId": "get_order",
                "summary": "An order.",
                "parameters": [ORDER_ID, IF_NONE_MATCH],
                "responses": {
                    "200": _answer("The order.", ORDER, ETAG),
                    "304": {"description": "As it was under the ETag.", "headers": ETAG},
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
                    "303": _answer("On to the payment.", CHECKED_OUT, LOCATION),
                    **_problems(OrderNotFound, OrderNotPayable),
                },
            }
        },
        "/{order_id}/cancel/": {
            "post": {
                "operationId": "cancel_order",
                "summary": "Cancel an order that is not paid.",
                "parameters": [ORDER_ID],
                "responses": {
                    "200": _answer("The order, cancelled now or before.", ORDER),
                    **_problems(OrderNotFound, OrderNotCancellable),
                },
            }
        },
        "/openapi.json": {
            "get": {
                "operationId": "openapi",
                "summary": "This document.",
                "security": [],
                "responses": {"200": _answer("OpenAPI 3.1.", {"type": "object"})},
            }
        },
    }


def _answer(
    description: str, schema: Json | Schema | type[Schema], headers: Json | None = None
) -> Json:
    return {"description": description, "headers": headers or {}, **_content(schema)}


def _content(schema: Json | Schema | type[Schema], kind: str = "application/json") -> Json:
    return {"content": {kind: {"schema": schema}}}


def _problems(*errors: type[OrdersError]) -> Json:
    """A response for each status of the errors, and for those that any call may meet."""
    met = sorted((*errors, Misconfigured, TryAgain), key=attrgetter("status"))
    by_status = groupby(met, attrgetter("status"))
    return {"401": UNKNOWN} | {str(status): _refusal(list(group)) for status, group in by_status}


def _refusal(errors: list[type[OrdersError]]) -> Json:
    codes = [error.code for error in errors]
    narrowed = {"allOf": ["Problem", {"properties": {"code": {"enum": codes}}}]}
    return {
        "description": "\n".join(f"- `{error.code}`: {error.title}." for error in errors),
        "headers": dict(_headers(errors)),
        **_content(narrowed, "application/problem+json"),
    }


def _headers(errors: list[type[OrdersError]]) -> Iterator[tuple[str, Json]]:
    for error in errors:
        for name in error.headers:
            yield name, {"description": f"With `{error.code}`.", "schema": {"type": "string"}}


def _problem() -> Json:
    """RFC 9457, with the extensions of every error."""
    errors = OrdersError.__subclasses__()
    text = {"type": "string"}
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": text,
            "status": {"enum": sorted({error.status for error in errors})},
            "detail": text,
            "code": {"enum": [error.code for error in errors]},
            "errors": {
                "description": "What is wrong, by the field's whole name.",
                "type": "object",
                "additionalProperties": {"type": "array", "items": text},
            },
            "items": {
                "description": "Of `item_unavailable`.",
                "type": "array",
                "items": {"$ref": "#/components/schemas/Unavailable"},
            },
            "expected": {"description": "Of `price_changed`.", **TYPES[Amount]},
            "actual": {"description": "Of `price_changed`.", **TYPES[Amount]},
            "reason": {
                "description": "Of `voucher_not_applicable`.",
                "type": "string",
                "examples": list(VoucherNotApplicable.SENTENCES),
            },
            "order_status": {"description": "What forbids it.", "type": "string"},
        },
    }


def _security_schemes(config: Mapping[str, Any]) -> dict[str, Json]:
    """How a token may be sent, as Flask-JWT-Extended is configured, but for one in the body."""
    places, header = token_places(config), config["JWT_HEADER_NAME"]
    schemes: dict[str, Json] = {}
    if "headers" in places:
        is_bearer = (header, config["JWT_HEADER_TYPE"]) == ("Authorization", "Bearer")
        schemes["header"] = (
            {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            if is_bearer
            else {"type": "apiKey", "in": "header", "name": header}
        )
    if "cookies" in places:
        cookie, csrf = config["JWT_ACCESS_COOKIE_NAME"], config["JWT_ACCESS_CSRF_HEADER_NAME"]
        schemes["cookie"] = {"type": "apiKey", "in": "cookie", "name": cookie}
        if config["JWT_COOKIE_CSRF_PROTECT"]:
            schemes["csrf"] = {"type": "apiKey", "in": "header", "name": csrf}
    if "query_string" in places:
        schemes["query"] = {
            "type": "apiKey",
            "in": "query",
            "name": config["JWT_QUERY_STRING_NAME"],
        }
        prefix = config["JWT_QUERY_STRING_VALUE_PREFIX"]
        if prefix:
            schemes["query"]["description"] = f"The token after {prefix!r}."
    return schemes


def _security(schemes: Mapping[str, Json], method: str) -> Json:
    """The alternatives; a cookie that changes something comes with its CSRF token.

    Where a token can only be in the body nothing is said: an empty list would say that none is
    needed.
    """
    alternatives: list[dict[str, list[str]]] = [
        {name: [], "csrf": []}
        if name == "cookie" and method == "post" and "csrf" in schemes
        else {name: []}
        for name in schemes
        if name != "csrf"
    ]
    return {"security": alternatives} if alternatives else {}
