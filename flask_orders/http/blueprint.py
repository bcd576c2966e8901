"""orders_bp: its routes and its error handlers. A view loads, calls the service and answers."""

import logging
from typing import Any

from flask import Response, current_app, g, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError, StatementError
from werkzeug.exceptions import HTTPException

from ..cli.commands import COMMANDS
from ..cli.support import SUPPORT
from ..converting import OrderRequest
from ..db.classify import hide_values, is_unavailable
from ..db.pending import pending_changes
from ..db.retrying import end_read, roll_back
from ..errors import ConfigurationError, Misconfigured, OrdersError, TryAgain, UnknownCustomer
from ..keys import new_key
from ..loading import load
from ..own_fields import schemas_of
from ..pagination import Page
from ..schemas import PageSchema, PreviewQuerySchema, preview
from ..service import components_of, current_orders
from .authentication import (
    answer_unknown_customer,
    customer_id,
    known_customer_id,
    needs_no_token,
    verify_customer,
)
from .openapi import describe
from .problems import http_problem, problem
from .registration import OrdersBlueprint
from .requests import arrived, idempotent_request, json_object, query, uuid_of
from .responses import (
    checked_out,
    json_response,
    order_response,
    page_response,
    payment_url,
    saved,
)

log: logging.Logger = logging.getLogger("flask_orders")

# Made once: that takes longer than to load a body.
PAGE = PageSchema()
PREVIEW_QUERY = PreviewQuerySchema()

orders_bp: OrdersBlueprint = OrdersBlueprint(
    "orders", __name__, url_prefix="/api/v1/i/orders", cli_group="orders"
)
orders_bp.cli.short_help = "The shop's orders."
for _command in (*COMMANDS, *SUPPORT):
    orders_bp.cli.add_command(_command)


@orders_bp.post("/", strict_slashes=False)
def create_order() -> Response:
    """Turn the customer's cart into an order, then confirm it or redirect to its payment."""
    fields = schemas_of(current_app).load_order(json_object(g.orders_body))
    order_request = OrderRequest(
        id=new_key(),
        customer_id=customer_id(),
        checkout=fields.action == "checkout",
        billing_address=fields.billing_address,
        expected_total=fields.expected_total,
        arrived=arrived(),
        extra=fields.extra,
    )
    if order_request.checkout:
        # Before anything is written: there may be nowhere to pay.
        payment_url(order_request.id)
    keyed = idempotent_request(order_request, fields.library, fields.sent)
    placed = components_of(current_orders).placing.place(order_request, keyed)
    return checked_out(placed) if order_request.checkout else saved(placed)


@orders_bp.get("/", strict_slashes=False)
def list_orders() -> Response:
    """Return the customer's orders, newest first."""
    wanted = load(PAGE, query())
    found = current_orders.page(customer_id(), Page(**wanted))
    if found is None:
        raise UnknownCustomer
    return page_response(found, wanted)


@orders_bp.get("/preview/", strict_slashes=False)
def preview_order() -> Response:
    """Return the order as it would be now."""
    expected = load(PREVIEW_QUERY, query())["expected_total"]
    key = known_customer_id()
    own_fields = schemas_of(current_app).in_preview
    return json_response(200, preview(current_orders.preview(key), key, expected, own_fields))


@orders_bp.get("/<order_id>/", strict_slashes=False)
def get_order(order_id: str) -> Response:
    """Return one order of the customer's."""
    response = order_response(current_orders.get(known_customer_id(), uuid_of(order_id)))
    response.add_etag()
    response.make_conditional(request)
    return response


@orders_bp.post("/<order_id>/checkout/", strict_slashes=False)
def check_out_order(order_id: str) -> Response:
    """Redirect to the payment of a saved order."""
    orders, key, event_id = current_orders, uuid_of(order_id), new_key()
    for attempt in orders.retrying():
        with attempt:
            customer = known_customer_id()
            payment_url(key)
            with attempt.transaction():
                placed = orders.check_out(key, customer_id=customer, event_id=event_id)
    return checked_out(placed)


@orders_bp.post("/<order_id>/cancel/", strict_slashes=False)
def cancel_order(order_id: str) -> Response:
    """Cancel an order that is not paid."""
    orders, key, event_id = current_orders, uuid_of(order_id), new_key()
    for attempt in orders.retrying():
        with attempt:
            customer = known_customer_id()
            with attempt.transaction():
                order = orders.cancel(key, customer_id=customer, event_id=event_id)
                response = order_response(order)
    return response


@orders_bp.get("/openapi.json")
def openapi() -> Response:
    """Return these calls as OpenAPI 3.1; without a token, for the tools that fetch it."""
    prefix, server = url_for(".list_orders").rstrip("/"), request.host_url.rstrip("/")
    schemas = schemas_of(current_app)
    return json_response(200, describe(prefix, server, current_app.config, schemas))


@orders_bp.before_request
def require_customer() -> None:
    """Refuse a request without a customer; a JWT's own answers are the shop's to shape."""
    if not needs_no_token():
        verify_customer()


@orders_bp.after_request
def keep_private(response: Response) -> Response:
    """Keep what has a customer's address in it out of every cache."""
    if not needs_no_token():
        response.headers.setdefault("Cache-Control", "no-store")
    return response


@orders_bp.teardown_request
def end_transaction(error: BaseException | None) -> None:
    """End what is only read by COMMIT; what the shop has left uncommitted stays so."""
    session = current_orders.session
    if error is not None or not session().in_transaction():
        return  # An order has ended its own.
    if session().is_active and pending_changes(session) is None:
        end_read(session)


@orders_bp.url_value_preprocessor
def take_shop_values(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Keep what the shop's prefix or `url_defaults` adds to the paths away from the views."""
    given = values or {}
    g.orders_url_values = {name: given.pop(name) for name in given.keys() - {"order_id"}}


@orders_bp.url_defaults
def give_shop_values(endpoint: str, values: dict[str, Any]) -> None:
    """Put it into the URLs of orders again."""
    for name, value in g.get("orders_url_values", {}).items():
        if current_app.url_map.is_endpoint_expecting(endpoint, name):
            values.setdefault(name, value)


@orders_bp.errorhandler(OrdersError)
def answer_problem(error: OrdersError) -> Response:
    """Return a refusal as a problem document (RFC 9457)."""
    log.info("refused: %s", error.code, extra={"event": "refused", "code": error.code})
    return problem(error)


@orders_bp.errorhandler(UnknownCustomer)
def answer_unknown(error: UnknownCustomer) -> ResponseReturnValue:
    """Return 401; with a JWT it is the shop's own."""
    return answer_unknown_customer(error)


@orders_bp.errorhandler(HTTPException)
def answer_http_error(error: HTTPException) -> Response | HTTPException:
    """Return an error of Flask's, or of the shop's code, as a problem document too."""
    return http_problem(error)


@orders_bp.errorhandler(ConfigurationError)
def answer_misconfigured(error: ConfigurationError) -> Response:
    """Log the fix, which is not for clients; what was begun is rolled back by now."""
    log.error("misconfigured: %s", error, extra={"event": "misconfigured"})
    return problem(Misconfigured())


@orders_bp.errorhandler(SQLAlchemyError)
def answer_database_error(error: SQLAlchemyError) -> Response:
    """Return 503 if the database is unavailable; a bug goes on to the shop's own handler."""
    if isinstance(error, StatementError) and isinstance(error.orig, ConfigurationError):
        # Raised by a column's type.
        return answer_misconfigured(error.orig)
    if not is_unavailable(error):
        hide_values(error)
        raise error
    name = type(error).__name__
    log.error("the database is unavailable: %s", name, extra={"event": "unavailable"})
    roll_back(current_orders.session)
    return problem(TryAgain())
