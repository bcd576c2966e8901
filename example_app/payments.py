"""A sandbox in the place of a payment page: it shows what is to be paid, and takes no money.

Called by a customer's browser, which `checkout` sends here (ORDERS_PAYMENT_ENDPOINT).
"""

from uuid import UUID

from flask import Blueprint, Response, abort, jsonify

from flask_orders import Currency

from .models import Order, db

payments = Blueprint("payments", __name__)


@payments.get("/pay/<uuid:order_id>/")
def pay(order_id: UUID) -> Response:
    """What is to be paid, for whoever has the link: a browser brings no token along."""
    order = db.session.get(Order, order_id)
    if order is None:
        abort(404, "There is no order with this id.")
    return jsonify(
        sandbox=True,
        message="This is a sandbox: no money is taken.",
        number=order.number,
        amount=Currency.of(order.currency).text(order.total_amount),
        currency=order.currency,
        status=order.status,
    )
