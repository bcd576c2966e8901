"""Every error of the shop's own endpoints as JSON: `{"error": sentence, "fields": ...}`.

Called by `create_app`. The orders endpoints answer their errors themselves.
"""

from flask import Flask, Response, jsonify
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

from flask_orders import OrdersError


def answer_errors_as_json(app: Flask) -> None:
    """Answer what a view aborts with, and what a schema or `current_orders` refuses."""
    app.register_error_handler(HTTPException, _answer_http_error)
    app.register_error_handler(ValidationError, _answer_invalid)
    app.register_error_handler(OrdersError, _answer_refusal)


def _answer_http_error(error: HTTPException) -> tuple[Response, int] | HTTPException:
    if error.code is None or error.code < 400:
        return error
    return jsonify(error=error.description), error.code


def _answer_invalid(error: ValidationError) -> tuple[Response, int]:
    return jsonify(error="Mend the fields named here.", fields=error.messages), 400


def _answer_refusal(error: OrdersError) -> tuple[Response, int]:
    return jsonify(error=error.detail), error.status
