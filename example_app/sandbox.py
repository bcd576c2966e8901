"""A sandbox instead of a payment provider: its payment page, and the callbacks that it sends.

`checkout` redirects the customer here (ORDERS_PAYMENT_ENDPOINT). The sandbox takes no money, and
anyone with the link can pay: leave this file out of a real shop.
"""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Any
from uuid import UUID

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from sqlalchemy import select, update
from werkzeug.test import Client
from werkzeug.wrappers import Response as Redirect

from flask_orders import current_orders
from flask_orders.models import OrderMixin
from flask_orders.pricing import Currency

from .models import Order, OrderPayment, db
from .payments import order_to_pay
from .signatures import HEADER, sign

sandbox = Blueprint("sandbox", __name__)


@dataclass(frozen=True)
class Callback:
    """A callback to the shop as it is sent over HTTP."""

    body: bytes
    headers: dict[str, str]


def signed(secret: str, order_id: UUID | str, amount: str, currency: str) -> Callback:
    """Return the signed callback that reports a new payment."""
    now = datetime.now(UTC)
    payment = {
        "order_id": str(order_id),
        "reference": f"sandbox-{secrets.token_hex(8)}",
        "amount": amount,
        "currency": currency,
        "sent": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    body = json.dumps(payment).encode()
    signature = sign(body, secret, time.time())
    return Callback(body, {"Content-Type": "application/json", HEADER: signature})


def backdate(order_id: UUID) -> None:
    """Move the order's creation so far back that the next `flask orders expire` cancels it."""
    created = datetime.now(UTC) - timedelta(hours=current_orders.settings.payment_hours)
    db.session.execute(update(Order).where(Order.id == order_id).values(created=created))
    db.session.commit()


def let_expire(order_id: UUID) -> None:
    """Expire the order, as time and `flask orders expire` would."""
    backdate(order_id)
    while current_orders.expire():
        db.session.commit()


def cancel(order_id: UUID) -> None:
    """Cancel the order, as a shop does that can't deliver it."""
    current_orders.cancel(order_id, by_shop=True)
    db.session.commit()


@dataclass(frozen=True)
class Way:
    """A way to pay: what happens first, and which callbacks the shop gets."""

    label: str
    before: Callable[[UUID], None] | None = None
    times: int = 1
    too_much: Decimal = Decimal(0)
    is_forged: bool = False


WAYS = {
    "once": Way("Pay"),
    "twice": Way("Pay, and send the callback twice", times=2),
    "late": Way("Let the order expire, then pay", before=let_expire),
    "cancelled": Way("Let the shop cancel the order, then pay", before=cancel),
    "amount": Way("Pay 1.00 too much", too_much=Decimal(1)),
    "forged": Way("Pay, and sign the callback with a wrong key", is_forged=True),
}


# What the shop's response to a callback means, for the page.
MEANINGS = {
    HTTPStatus.NO_CONTENT: "the payment is recorded",
    HTTPStatus.BAD_REQUEST: "the signature is invalid, nothing is recorded",
    HTTPStatus.CONFLICT: "the payment does not match the order, nothing is recorded",
    HTTPStatus.SERVICE_UNAVAILABLE: "the shop is busy, nothing is recorded yet",
}


@sandbox.get("/pay/<uuid:order_id>/")
def pay(order_id: UUID) -> Response:
    """Return the amount due and the payments so far; the link is enough, no token is required."""
    order = order_to_pay(order_id)
    page = _page(order)
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
        statuses = request.args.getlist("status", type=lambda text: HTTPStatus(int(text)))
        responses = [(status, MEANINGS.get(status, "nothing is recorded")) for status in statuses]
        response = make_response(
            render_template("pay.html", items=order.items, ways=WAYS, responses=responses, **page)
        )
    else:
        response = jsonify(page)
    response.vary.add("Accept")
    return response


@sandbox.post("/pay/<uuid:order_id>/")
def paid(order_id: UUID) -> Redirect:
    """Report a payment to the shop without taking money, and show the page again."""
    way = WAYS.get(request.form.get("way", ""))
    if way is None:
        abort(400, f"'way' must be one of {', '.join(WAYS)}.")
    order = order_to_pay(order_id)
    if way.before is not None:
        way.before(order.id)
    secret = "not the key" if way.is_forged else current_app.config["PAYMENT_SECRET"]
    currency = Currency.of(order.currency, order.currency_decimals)
    amount = currency.text(order.total_amount + way.too_much)
    callback = signed(secret, order.id, amount, order.currency)
    # The callback begins its own transaction, even if it gets this request's session.
    db.session.rollback()
    statuses = [_send(callback) for _ in range(way.times)]
    return redirect(url_for("sandbox.pay", order_id=order_id, status=statuses), 303)


def _send(callback: Callback) -> int:
    """POST the callback to the shop, in this process, and return the response's status."""
    shop = Client(current_app)
    url = url_for("payments.callback")
    return shop.post(url, data=callback.body, headers=callback.headers).status_code


def _page(order: OrderMixin) -> dict[str, Any]:
    text = Currency.of(order.currency, order.currency_decimals).text
    arrived = select(OrderPayment).where(OrderPayment.order_id == order.id)
    return {
        "sandbox": True,
        "message": "This is a sandbox: no money is taken.",
        "number": order.number,
        "amount": text(order.total_amount),
        "currency": order.currency,
        "status": order.status,
        "payments": [
            {
                "reference": payment.reference,
                "amount": text(payment.amount),
                "to_refund": not payment.expected,
            }
            for payment in db.session.scalars(arrived.order_by(OrderPayment.id))
        ],
    }
