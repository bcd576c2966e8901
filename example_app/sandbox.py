"""A sandbox in the place of a payment provider: its page, and the callbacks that it sends.

Called by a customer's browser, which `checkout` sends here (ORDERS_PAYMENT_ENDPOINT), and by the
demo. It takes no money, and lets whoever has the link pay: a real shop has nothing of this file.
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
from .signatures import HEADER, sign

sandbox = Blueprint("sandbox", __name__)


@dataclass(frozen=True)
class Callback:
    """A request to the shop, as it goes over the wire."""

    body: bytes
    headers: dict[str, str]


def signed(secret: str, order_id: UUID | str, amount: str, currency: str) -> Callback:
    """Tell the shop of a new payment."""
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


def make_old(order_id: UUID) -> None:
    """Have an order wait for its payment since so long ago that it expires at the next look."""
    created = datetime.now(UTC) - timedelta(hours=current_orders.settings.payment_hours)
    db.session.execute(update(Order).where(Order.id == order_id).values(created=created))
    db.session.commit()


def let_expire(order_id: UUID) -> None:
    """What time and `flask orders expire` do."""
    make_old(order_id)
    while current_orders.expire():
        db.session.commit()


def cancel(order_id: UUID) -> None:
    """What the shop does with an order that it can't deliver."""
    current_orders.cancel(order_id, by_shop=True)
    db.session.commit()


@dataclass(frozen=True)
class Way:
    """A way to pay: what happens before, and how the shop is told."""

    label: str
    before: Callable[[UUID], None] | None = None
    times: int = 1
    too_much: Decimal = Decimal(0)
    is_forged: bool = False


WAYS = {
    "once": Way("Pay"),
    "twice": Way("Pay, and tell the shop twice", times=2),
    "late": Way("Let the order expire, then pay", before=let_expire),
    "cancelled": Way("Let the shop cancel the order, then pay", before=cancel),
    "amount": Way("Pay 1.00 too much", too_much=Decimal(1)),
    "forged": Way("Pay, and sign the callback with a wrong key", is_forged=True),
}


# What the shop's answers to a callback mean, in words for the page.
MEANINGS = {
    HTTPStatus.NO_CONTENT: "the payment is noted",
    HTTPStatus.BAD_REQUEST: "the signature is wrong, nothing is noted",
    HTTPStatus.CONFLICT: "the payment does not match the order, nothing is noted",
    HTTPStatus.SERVICE_UNAVAILABLE: "the shop is busy, nothing is noted yet",
}


@sandbox.get("/pay/<uuid:order_id>/")
def pay(order_id: UUID) -> Response:
    """What is to be paid and what has been, for whoever has the link: a browser brings no token."""
    order = _order(order_id)
    page = _page(order)
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
        answers = request.args.getlist("answer", type=lambda text: HTTPStatus(int(text)))
        told = [(answer, MEANINGS.get(answer, "nothing is noted")) for answer in answers]
        response = make_response(
            render_template("pay.html", items=order.items, ways=WAYS, told=told, **page)
        )
    else:
        response = jsonify(page)
    response.vary.add("Accept")
    return response


@sandbox.post("/pay/<uuid:order_id>/")
def paid(order_id: UUID) -> Redirect:
    """Take no money, tell the shop that it has arrived, and show the page again."""
    way = WAYS.get(request.form.get("way", ""))
    if way is None:
        abort(400, f"Give a way: {', '.join(WAYS)}.")
    order = _order(order_id)
    if way.before is not None:
        way.before(order.id)
    secret = "not the key" if way.is_forged else current_app.config["PAYMENT_SECRET"]
    currency = Currency.of(order.currency, order.currency_decimals)
    amount = currency.text(order.total_amount + way.too_much)
    callback = signed(secret, order.id, amount, order.currency)
    # The callback begins a transaction of its own, though it may find our session and connection.
    db.session.rollback()
    answers = [_send(callback) for _ in range(way.times)]
    return redirect(url_for("sandbox.pay", order_id=order_id, answer=answers), 303)


def _send(callback: Callback) -> int:
    """POST to the shop and be answered; here, both are one process."""
    shop = Client(current_app)
    url = url_for("payments.callback")
    return shop.post(url, data=callback.body, headers=callback.headers).status_code


def _order(order_id: UUID) -> OrderMixin:
    order: OrderMixin | None = db.session.get(Order, order_id)
    if order is None:
        abort(404, "There is no order with this id.")
    return order


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
            {"reference": one.reference, "amount": text(one.amount), "to_refund": not one.expected}
            for one in db.session.scalars(arrived.order_by(OrderPayment.id))
        ],
    }
