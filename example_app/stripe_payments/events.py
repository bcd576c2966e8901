"""Stripe's events: a payment that succeeded, and refunds, also those made at its dashboard.

Events come at least once and in any order. A response other than 2xx makes Stripe send an event
again, for three days.
"""

from collections.abc import Callable, Mapping
from typing import Any

from flask import abort
from sqlalchemy import select

from ..models import OrderPayment, db
from ..payments import record_payment, record_refund
from .amounts import from_units


def record_intent(intent: Mapping[str, Any]) -> None:
    """Record the payment of a PaymentIntent that succeeded."""
    order_id = intent["metadata"].get("order_id")
    # Not of an order: the account may sell more than this shop does.
    if order_id is None:
        return
    currency = intent["currency"].upper()
    # Less than the amount if only a part was captured.
    received = intent.get("amount_received", intent["amount"])
    record_payment(
        {
            "order_id": order_id,
            "reference": intent["id"],
            "amount": from_units(received, currency),
            "currency": currency,
        }
    )


def record_refund_of(refund: Mapping[str, Any]) -> None:
    """Record a refund, once Stripe says that it succeeded, for the order of its payment."""
    if refund["status"] != "succeeded":
        return
    payment = refund["payment_intent"]
    query = select(OrderPayment.order_id).where(OrderPayment.reference == payment)
    order_id = db.session.scalar(query)
    # The recording begins a transaction of its own.
    db.session.rollback()
    if order_id is None:
        abort(409, "The refunded payment is not recorded (yet): send the event again.")
    currency = refund["currency"].upper()
    record_refund(order_id, refund["id"], from_units(refund["amount"], currency), payment)


HANDLERS: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "payment_intent.succeeded": record_intent,
    "refund.created": record_refund_of,
    "refund.updated": record_refund_of,
}


def handle(event: Mapping[str, Any]) -> None:
    """Record what an event says; events of other types are ignored."""
    handler = HANDLERS.get(event["type"])
    if handler is not None:
        handler(event["data"]["object"])
