"""The HTTP API as an OpenAPI 3.1 document, made from the schemas that load and dump.

So it describes what the blueprint accepts and returns. Needs apispec, the extra `openapi`.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, fields

from .. import schemas as library_schemas
from ..errors import ConfigurationError, Unauthorized, UnsupportedMediaType
from ..own_fields import Schemas
from ..schemas import Country, UnavailableSchema
from .openapi_paths import BODIES, content, paths, problem_schema, refusal
from .openapi_types import (
    EXAMPLES,
    NAMED_COUNTRY,
    OTHER_EXAMPLES,
    TYPES,
    Json,
    country_name_schema,
    with_postal_code,
)
from .requests import current_customer, token_places

if TYPE_CHECKING:
    from apispec import APISpec

# The library's components, by the names of their schemas.
COMPONENTS = frozenset(
    each.__name__.removesuffix("Schema")
    for each in vars(library_schemas).values()
    if isinstance(each, type) and issubclass(each, Schema)
)

INFO: Json = {
    "description": "Turns the signed-in customer's cart into an order: all of it or nothing. "
    "Refusals are problem documents (RFC 9457), whose `code` says what is wrong. HTTP errors that "
    "the shop adds, such as the 429 of a rate limit, are problem documents of type `about:blank`.",
    "license": {"name": "MIT", "identifier": "MIT"},
}
TAG: Json = {"name": "orders", "description": "The orders of the signed-in customer."}


def describe(prefix: str, server: str, config: Mapping[str, Any], schemas: Schemas) -> Json:
    """Return the OpenAPI document of the API below a prefix.

    Args:
        prefix: the path under which the blueprint is registered.
        server: the URL of the host, as the client has called it.
        config: the app's; its `JWT_...` keys say how a token is sent, unless the shop names its
            customers itself.
        schemas: the app's, with the fields of the shop's own.

    Raises:
        ConfigurationError: apispec is not installed.
    """
    spec = _empty_spec(server)
    # The shop's subclasses are described under the names of the library's classes.
    spec.components.schema("CreateOrder", schema=schemas.request)
    loaded = set(spec.components.schemas)
    spec.components.schema("Order", schema=schemas.order)
    spec.components.schema("Unavailable", schema=UnavailableSchema)
    spec.components.schema("Problem", problem_schema())
    spec.components.schema("CountryName", country_name_schema())
    for name, schema in BODIES.items():
        spec.components.schema(name, schema)
    schemes = _security_schemes(config)
    for name, scheme in schemes.items():
        spec.components.security_scheme(name, scheme)
    for path, operations in paths().items():
        for method, operation in operations.items():
            operation["tags"] = [TAG["name"]]
            if "security" in operation:
                continue
            if current_customer() is None:
                operation |= _security(schemes, method)
            else:
                operation |= _without_token(operation, method)
        spec.path(prefix + path, operations=operations)
    made: Json = spec.to_dict()
    components = made["components"]["schemas"]
    _add_to_preview(components, schemas.in_preview)
    for name, schema in components.items():
        if name in loaded:
            # Requests refuse unknown members, unless a nested schema of the shop's lets them in.
            schema.setdefault("additionalProperties", False)
        else:
            # Some versions of marshmallow and apispec forbid additional ones. A later version of a
            # response may have more members.
            schema.pop("additionalProperties", None)
        if name in COMPONENTS - loaded:
            # A response of the library's has every member.
            schema["required"] = list(schema["properties"])
        _add_examples(name, schema)
    _restrict_codes(components)
    components["BillingAddress"] |= with_postal_code()
    _share_refusals(made)
    if "json" in token_places():
        _describe_token_in_body(made, config["JWT_JSON_KEY"], is_required=not schemes)
    return made


def _add_to_preview(components: Json, in_preview: Schema) -> None:
    """Describe the fields of the shop's own that a preview has, as an order has them."""
    names = [field.data_key or name for name, field in in_preview.dump_fields.items()]
    of_order = components["Order"]["properties"]
    components["Preview"]["properties"] |= {name: of_order[name] for name in names}


def _restrict_codes(schemas: Json) -> None:
    """List the codes that a preview's `refusal` may have: those of the problem documents."""
    codes = schemas["Problem"]["properties"]["code"]["enum"]
    schemas["Refusal"]["properties"]["code"]["enum"] = codes


def _describe_token_in_body(made: Json, name: str, *, is_required: bool) -> None:
    """Describe a token that is a member of the JSON body, for which there is no security scheme."""
    token = {"type": "string", "description": "The JWT, unless it is sent in another place."}
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
                operation.setdefault("requestBody", {"required": is_required, **content(body)})


def _add_examples(name: str, schema: Json) -> None:
    """Give each property an example, unless it has one or is an object with examples of its own."""
    for member, described in schema.get("properties", {}).items():
        example = OTHER_EXAMPLES.get((name, member), EXAMPLES.get(member, ...))
        if example is not ... and "$ref" not in described:
            described.setdefault("examples", [example])


def _share_refusals(made: Json) -> None:
    """Describe once what several calls refuse in the same way, under the names of its codes."""
    found: dict[str, list[tuple[Json, str]]] = {}
    for path in made["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                found.setdefault(json.dumps(response, sort_keys=True), []).append(
                    (operation["responses"], status)
                )
    shared: Json = {}
    for text, places in found.items():
        response = json.loads(text)
        if len(places) > 1 and int(places[0][1]) >= 400:
            name = _name_of_refusal(response)
            shared[name] = response
            for responses, status in places:
                responses[status] = {"$ref": f"#/components/responses/{name}"}
    made["components"]["responses"] = shared


def _name_of_refusal(response: Json) -> str:
    """Return a name made of the codes: `InvalidRequest`."""
    problem = response.get("content", {}).get("application/problem+json")
    codes = problem["schema"]["allOf"][1]["properties"]["code"]["enum"] if problem else ["no_token"]
    return "Or".join("".join(part.title() for part in code.split("_")) for code in codes)


def _empty_spec(server: str) -> "APISpec":
    try:
        from apispec import APISpec
        from apispec.ext.marshmallow import MarshmallowPlugin
    except ImportError:
        raise ConfigurationError(
            'openapi.json needs apispec: pip install "flask_orders[openapi]"'
        ) from None
    plugin = MarshmallowPlugin(schema_name_resolver=_component_name)
    spec = APISpec(
        "Orders",
        version("flask_orders"),
        "3.1.0",
        plugins=[plugin],
        info=INFO,
        servers=[{"url": server, "description": "This shop."}],
        tags=[TAG],
    )
    converter: Any = plugin.converter
    converter.add_attribute_function(_describe_field)
    return spec


def _component_name(schema: Schema | type[Schema]) -> str:
    """Return the name of a schema's component; a shop's own never takes one of the library's."""
    cls = schema if isinstance(schema, type) else type(schema)
    name = cls.__name__.removesuffix("Schema")
    is_own = cls.__module__ != library_schemas.__name__
    return f"Own{name}" if is_own and name in COMPONENTS else name


def _describe_field(_converter: Any, field: "fields.Field[Any]", ret: Json) -> Json:
    """Return what apispec can't derive from a field; leave out a default of null."""
    if ret.get("default", ...) is None:
        del ret["default"]
    known = next((TYPES[cls] for cls in type(field).__mro__ if cls in TYPES), {})
    if isinstance(field, Country) and field.required:
        # What an order has stored may be the code of a country that has been dissolved since.
        known = NAMED_COUNTRY
    added = {name: value for name, value in known.items() if name not in ret or name == "type"}
    if "type" in added and field.allow_none:
        types = added["type"]
        added["type"] = [*([types] if isinstance(types, str) else types), "null"]
    # The bounds of a shop's own Decimal: numbers in JSON.
    bounds = {name: float(value) for name, value in ret.items() if isinstance(value, Decimal)}
    return bounds | added


def _security_schemes(config: Mapping[str, Any]) -> dict[str, Json]:
    """Return the places, other than the body, where Flask-JWT-Extended accepts a token."""
    places = token_places()
    schemes: dict[str, Json] = {}
    if "headers" in places:
        header = config["JWT_HEADER_NAME"]
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


def _without_token(operation: Json, method: str) -> Json:
    """Return what differs in a shop that names its customers itself, in a way of its own.

    No security scheme is claimed. A POST must be JSON, even if nothing in it is read.
    """
    if method == "get":
        return {"responses": operation["responses"] | {"401": refusal([Unauthorized])}}
    refusals = {"401": refusal([Unauthorized]), "415": refusal([UnsupportedMediaType])}
    empty = {"required": True, **content({"type": "object", "maxProperties": 0})}
    # What the call describes itself comes first.
    return {
        "requestBody": operation.get("requestBody", empty),
        "responses": refusals | operation["responses"] | {"401": refusals["401"]},
    }


def _security(schemes: Mapping[str, Json], method: str) -> Json:
    """Return the alternatives; a POST with a cookie needs its CSRF token too.

    None are listed where a token can only be in the body: an empty list would mean that no token
    is required.
    """
    alternatives: list[dict[str, list[str]]] = [
        {name: [], "csrf": []}
        if name == "cookie" and method == "post" and "csrf" in schemes
        else {name: []}
        for name in schemes
        if name != "csrf"
    ]
    return {"security": alternatives} if alternatives else {}
