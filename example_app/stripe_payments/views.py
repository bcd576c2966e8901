"""The payment page, to which `checkout` redirects, and the webhook."""

from uuid import UUID

from flask import Blueprint, abort, current_app, redirect, render_template, request, url_for
from stripe import InvalidRequestError, SignatureVerificationError, StripeError
from werkzeug.wrappers import Response

from flask_orders.pricing import Currency
from flask_orders.status import AWAITING_PAYMENT

from ..payments import order_to_pay
from .client import TOLERANCE, client, intent_of, is_test_server, pay_with_test_card
from .events import handle

stripe_payments = Blueprint("stripe_payments", __name__, url_prefix="/stripe")

# Bytes of a webhook's body.
LARGEST_EVENT = 256 * 1024


@stripe_payments.errorhandler(StripeError)
def stripe_failed(error: StripeError) -> tuple[str, int]:
    """Say what Stripe refuses, or that it can't be reached; nothing was paid."""
    current_app.logger.warning("Stripe: %s", type(error).__name__)
    if isinstance(error, InvalidRequestError):
        return f"Stripe does not accept this payment: {error.user_message}\n", 409
    return "Stripe can't be reached; try again.\n", 503


@stripe_payments.get("/pay/<uuid:order_id>/")
def pay(order_id: UUID) -> str:
    """Return the page on which an order is paid, or that says what became of it."""
    order = order_to_pay(order_id)
    secret = None
    if order.status == AWAITING_PAYMENT:
        try:
            secret = intent_of(order).client_secret
        except ValueError as error:
            abort(409, str(error))
    return render_template(
        "stripe.html",
        order=order,
        amount=Currency.of(order.currency, order.currency_decimals).text(order.total_amount),
        client_secret=secret,
        key=current_app.config["STRIPE_PUBLISHABLE_KEY"],
        is_test_server=is_test_server(),
    )


@stripe_payments.post("/pay/<uuid:order_id>/test-card/")
def pay_by_test_card(order_id: UUID) -> Response:
    """Pay with the test card; localstripe has no payment form of its own."""
    if not is_test_server():
        abort(404)
    order = order_to_pay(order_id)
    if order.status == AWAITING_PAYMENT:
        pay_with_test_card(order)
    return redirect(url_for("stripe_payments.pay", order_id=order_id), 303)


@stripe_payments.post("/webhook/")
def webhook() -> tuple[str, int]:
    """Record what Stripe reports, once, however often it does."""
    request.max_content_length = LARGEST_EVENT
    signature = request.headers.get("Stripe-Signature")
    secret = current_app.config["STRIPE_WEBHOOK_SECRET"]
    try:
        event = client().construct_event(request.get_data(), signature, secret, TOLERANCE)
    except (ValueError, SignatureVerificationError):
        abort(400, "The signature is missing, invalid or expired, or the body is not JSON.")
    handle(event.to_dict())
    return "", 204
