"""Errors as problem documents (RFC 9457), for every path below the blueprint's prefix.

No request to the blueprint gets an HTML page. An unexpected exception is left to the shop's own
error handler.
"""

import json
import re
from typing import Any

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException, InternalServerError, MethodNotAllowed, NotFound
from werkzeug.routing import MapAdapter, RequestRedirect

from ..errors import MethodNotSupported, OrdersError, PathNotFound
from ..key_values import spelling

# The endpoint whose rule is the prefix itself.
ROOT = "list_orders"


def dumps(body: Any) -> str:
    """Return JSON in ASCII, since a problem may name a field that UTF-8 can't encode."""
    # Not by the app's JSON provider, which a shop may replace: the bodies are fixed.
    return json.dumps(body, default=spelling)


def problem(error: OrdersError) -> Response:
    """Return a refusal as a problem document."""
    return _document(error.status, error.problem(), dict(error.headers))


def http_problem(error: HTTPException) -> Response | HTTPException:
    """Return an HTTP error that Flask or the shop's code raised, as a problem document."""
    if error.response is not None or error.code is None:
        return error
    headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    if isinstance(error, RequestRedirect):
        return Response(status=error.code, headers={**headers, "Location": error.new_url})
    if error.code < 400:
        return error
    if isinstance(error, InternalServerError) and error.original_exception is not None:
        for cls in type(error).__mro__:
            handler = current_app.error_handler_spec[None][None].get(cls)
            if handler is not None:
                return current_app.make_response(current_app.ensure_sync(handler)(error))
    named = {MethodNotAllowed: MethodNotSupported, NotFound: PathNotFound}.get(type(error))
    if named is not None:
        return _document(error.code, named().problem(), headers)
    name = error.name
    body = {
        "type": "about:blank",
        "title": name,
        "status": error.code,
        "detail": error.description or name,
        "code": re.sub(r"\W+", "_", name.lower()),
    }
    return _document(error.code, body, headers)


def watch_paths(app: Flask, blueprint: Any) -> None:
    """Return problem documents for unknown paths below the prefix; others are left to the shop."""

    def answer_routing_error() -> Response | HTTPException | None:
        error = request.routing_exception
        if error is None:
            return None
        adapter = _adapter(app)
        if not _is_below(app, blueprint, adapter):
            return None
        return http_problem(_without_slash(error, adapter))

    app.before_request(answer_routing_error)


def _adapter(app: Flask) -> MapAdapter:
    try:
        adapter = app.create_url_adapter(request)
    except HTTPException:
        # The request's Host header is not one of the app's TRUSTED_HOSTS.
        adapter = None
    return adapter or app.url_map.bind("")


def _without_slash(error: HTTPException, adapter: MapAdapter) -> HTTPException:
    """Return 405 for a path that has other methods, even if its last slash is missing."""
    if isinstance(error, NotFound) and not request.path.endswith("/"):
        methods = list(adapter.allowed_methods(f"{request.path}/"))
        return MethodNotAllowed(methods) if methods else error
    return error


def _is_below(app: Flask, blueprint: Any, adapter: MapAdapter) -> bool:
    """Return whether the request's path is below a prefix of the blueprint."""
    roots = {f"{name}.{ROOT}" for name, each in app.blueprints.items() if each is blueprint}
    path = "/" + re.sub("/{2,}", "/", request.path).lstrip("/")
    lengths = {rule.rule.count("/") for root in roots for rule in app.url_map.iter_rules(root)}
    # With the prefix "/" every path of the shop would be below it.
    return any(_endpoint(adapter, path, length) in roots for length in lengths - {1})


def _endpoint(adapter: MapAdapter, path: str, length: int) -> Any:
    """Return the endpoint of the first parts of a path; None if there is none."""
    first = "/".join(path.split("/", length)[:length]) + "/"
    try:
        endpoint, _values = adapter.match(first, method="GET")
    except HTTPException:
        return None
    return endpoint


def _document(status: int, body: dict[str, Any], headers: dict[str, str]) -> Response:
    return Response(dumps(body), status, headers, mimetype="application/problem+json")
