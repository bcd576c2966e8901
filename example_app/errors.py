"""Return every error of the shop's own endpoints as JSON: `{"error": sentence, "fields": ...}`.

The library's endpoints return problem documents of their own.
"""

from flask import Flask, Response, jsonify
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

from flask_orders import OrdersError


def return_errors_as_json(app: Flask) -> None:
    """Handle what a view aborts with and what a schema or `current_orders` refuses."""
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(ValidationError, _invalid_fields)
    app.register_error_handler(OrdersError, _refusal)


def _http_error(error: HTTPException) -> tuple[Response, int] | HTTPException:
    if error.code is None or error.code < 400:
        return error
    return jsonify(error=error.description), error.code


def _invalid_fields(error: ValidationError) -> tuple[Response, int]:
    return jsonify(error="Correct the fields listed in 'fields'.", fields=error.messages), 400


def _refusal(error: OrdersError) -> tuple[Response, int]:
    return jsonify(error=error.detail), error.status
