"""What a success returns: orders, pages of orders, and the URLs of both.

A response is made of the order's key and whether it is payable, and of nothing that may change
later, so that an Idempotency-Key's replay is the first response, byte for byte.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response, current_app, url_for
from werkzeug.routing import BuildError

from ..converting import PlacedOrder
from ..errors import ConfigurationError
from ..models import OrderMixin
from ..own_fields import schemas_of
from ..pagination import OrderPage
from ..service import current_orders
from .problems import dumps

SAVED = {"success": "Your Order has been saved"}

SET_PAYMENT_ENDPOINT = (
    "Set app.config['ORDERS_PAYMENT_ENDPOINT'] to the name of an endpoint that takes order_id, "
    "such as 'payments.pay' of the route '/pay/<uuid:order_id>'."
)


def json_response(status: int, body: Any, **headers: str) -> Response:
    """Return a body as JSON."""
    return Response(dumps(body), status, headers, mimetype="application/json")


def saved(placed: PlacedOrder) -> Response:
    """Return 201 and the order's URL."""
    return json_response(201, SAVED, Location=order_url(placed.order_id), **_replayed(placed))


def checked_out(placed: PlacedOrder) -> Response:
    """Redirect to the payment, or, if there is nothing to pay, to the order."""
    order = order_url(placed.order_id)
    payment = payment_url(placed.order_id) if placed.payable else None
    body = {"order": order, "payment": payment}
    return json_response(303, body, Location=payment or order, **_replayed(placed))


def order_response(order: OrderMixin) -> Response:
    """Return 200 and the order."""
    return json_response(200, schemas_of(current_app).order.dump(order))


def page_response(found: OrderPage, wanted: Mapping[str, Any]) -> Response:
    """Return 200 and a page, with the URLs of its neighbours, which leave out later orders."""

    def url(*, before: int | None = None, after: int | None = None) -> str:
        query = {
            "status": wanted["status"],
            "limit": wanted["limit"],
            "until": found.up_to_sequence,
        }
        return url_for(".list_orders", **query, before=before, after=after)

    page = {
        "count": found.count,
        "next": None if found.before is None else url(before=found.before),
        "previous": None if found.after is None else url(after=found.after),
        "results": schemas_of(current_app).order.dump(found.orders, many=True),
    }
    return json_response(200, page)


def payment_url(order_id: UUID) -> str:
    """Return where an order is paid.

    Raises:
        ConfigurationError: ORDERS_PAYMENT_ENDPOINT is not set, or is not an endpoint that takes
            order_id.
    """
    endpoint = current_orders.settings.payment_endpoint
    if endpoint is None:
        raise ConfigurationError(f"ORDERS_PAYMENT_ENDPOINT is not set. {SET_PAYMENT_ENDPOINT}")
    try:
        return url_for(endpoint, order_id=order_id)
    except BuildError as error:
        raise ConfigurationError(f"{error}. {SET_PAYMENT_ENDPOINT}") from None


def _replayed(placed: PlacedOrder) -> dict[str, str]:
    return {"Idempotent-Replayed": "true"} if placed.replayed else {}


def order_url(order_id: UUID) -> str:
    """Return the URL of an order."""
    return url_for(".get_order", order_id=order_id)
