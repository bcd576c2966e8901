"""The shop's side of its payments: recorded from the provider's callback, once; refunds too.

A payment is recorded once, however often the provider (here `sandbox.py` or Stripe) reports it.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Blueprint, Flask, abort, current_app, request
from sqlalchemy.exc import DBAPIError

from flask_orders import Conflict, OrdersError, current_orders
from flask_orders.models import OrderMixin, OrderPaymentMixin
from flask_orders.pricing import Currency

from .models import Order, db
from .schemas import CallbackSchema
from .signatures import HEADER, is_signed

log = logging.getLogger(__name__)

payments = Blueprint("payments", __name__)


@payments.post("/payments/callback/")
def callback() -> tuple[str, int]:
    """Record a payment; the provider repeats its callback until the response is 204.

    An unknown order returns 404, an amount other than the order's 409 (`errors.py`).
    """
    secret, header = current_app.config["PAYMENT_SECRET"], request.headers.get(HEADER, "")
    if not is_signed(request.get_data(), secret, header, time.time()):
        abort(400, "The signature is missing, invalid or expired.")
    payment: Any = CallbackSchema().load(request.get_json())
    record_payment(payment)
    return "", 204


def order_to_pay(order_id: UUID) -> OrderMixin:
    """Return the order of a payment page; the link is enough."""
    order: OrderMixin | None = db.session.get(Order, order_id)
    if order is None:
        abort(404, "There is no order with this id.")
    return order


def record_payment(payment: dict[str, Any]) -> None:
    """Record the payment and commit, or return 503 so that the provider repeats the callback."""
    with _committed("payment"):
        current_orders.record_payment(
            payment["order_id"],
            payment["reference"],
            payment["amount"],
            currency=payment["currency"],
        )


def record_refund(order_id: UUID, reference: str, amount: Decimal, payment: str) -> None:
    """Record a refund of a payment and commit, or return 503 as `record_payment` does."""
    with _committed("refund"):
        current_orders.record_refund(order_id, reference, amount, payment=payment)


@contextmanager
def _committed(what: str) -> Iterator[None]:
    """Commit at the end, or roll back and return the status that tells the provider what to do."""
    try:
        yield
        db.session.commit()
    except ValueError as error:
        db.session.rollback()
        abort(400, str(error))
    except (Conflict, DBAPIError) as error:
        db.session.rollback()
        log.warning(
            "A %s could not be recorded; the provider will repeat it: %s",
            what,
            type(error).__name__,
        )
        abort(503, "The shop is busy; send it again.")
    except OrdersError as error:
        db.session.rollback()
        log.error("A %s does not fit, and is not recorded: %s", what, error.code)
        raise


def log_refund_due(_app: Flask, order: OrderMixin, payment: OrderPaymentMixin) -> None:
    """Log that an unexpected payment has to be refunded (receives `payment_unexpected`).

    The order's number is not personal data, so it may be logged.
    """
    amount = f"{payment.amount.normalize():f}"
    if payment.currency == order.currency:
        amount = Currency.of(order.currency, order.currency_decimals).text(payment.amount)
    log.warning(
        "Refund %s %s: payment %s of order %s (%s)",
        amount,
        payment.currency,
        payment.reference,
        order.number,
        order.status,
    )
