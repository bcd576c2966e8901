"""The shop's side of its payments: the provider's callback, and the refunds to make.

Called over HTTP by the payment provider (`sandbox.py` plays it), and by `payment_unexpected`.
"""

import logging
import time
from typing import Any

from flask import Blueprint, Flask, abort, current_app, request
from sqlalchemy.exc import DBAPIError

from flask_orders import Conflict, current_orders
from flask_orders.models import OrderMixin, OrderPaymentMixin
from flask_orders.pricing import Currency

from .models import db
from .schemas import CallbackSchema
from .signatures import HEADER, is_signed

log = logging.getLogger(__name__)

payments = Blueprint("payments", __name__)


@payments.post("/payments/callback/")
def callback() -> tuple[str, int]:
    """Money has arrived; the provider says so again and again until the answer is 204.

    An unknown order is answered 404, and another amount than the order's 409 (`errors.py`).
    """
    secret, header = current_app.config["PAYMENT_SECRET"], request.headers.get(HEADER, "")
    if not is_signed(request.get_data(), secret, header, time.time()):
        abort(400, "The signature is missing, wrong or too old.")
    note_payment(CallbackSchema().load(request.get_json()))
    return "", 204


def note_payment(payment: dict[str, Any]) -> None:
    """Make the order paid, or have the provider send the callback again."""
    try:
        current_orders.record_payment(
            payment["order_id"],
            payment["reference"],
            payment["amount"],
            currency=payment["currency"],
        )
        db.session.commit()
    except ValueError as error:
        db.session.rollback()
        abort(400, str(error))
    except (Conflict, DBAPIError) as error:
        db.session.rollback()
        log.warning("A payment could not be noted, send it again: %s", type(error).__name__)
        abort(503, "The shop is busy: send it again.")


def note_refund(_app: Flask, order: OrderMixin, payment: OrderPaymentMixin) -> None:
    """Money has arrived for an order that does not await it: whoever reads the log sends it back.

    `create_app` connects it to `payment_unexpected`. The order's number is nobody's personal data.
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
