"""What the shop asks of Stripe: PaymentIntents and refunds, each at most once."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from flask import current_app
from stripe import PaymentIntent, Refund, StripeClient

from flask_orders.models import OrderMixin

from ..config import STRIPE, STRIPE_KEYS
from .amounts import to_units

# Seconds for which a webhook's signature is valid.
TOLERANCE = 300


def check_settings(config: Mapping[str, Any]) -> None:
    """Refuse to start without the keys that Stripe's dashboard shows.

    Raises:
        RuntimeError: a key is missing; the message names it.
    """
    missing = [name for name in STRIPE_KEYS if not config[name]]
    if missing:
        raise RuntimeError(
            f"PAYMENTS=stripe needs {', '.join(missing)} in the environment: copy them from "
            "Stripe's dashboard. Without an account: set STRIPE_API to a localstripe server."
        )


def client() -> StripeClient:
    """Return Stripe's client for this shop's account."""
    config = current_app.config
    return StripeClient(
        config["STRIPE_SECRET_KEY"],
        base_addresses={"api": config["STRIPE_API"]},
        max_network_retries=2,
    )


def is_test_server() -> bool:
    """Return whether a localstripe server is in Stripe's place."""
    return bool(current_app.config["STRIPE_API"] != STRIPE)


def intent_of(order: OrderMixin) -> PaymentIntent:
    """Return the PaymentIntent of an order's total: with the order's id as Idempotency-Key.

    Stripe remembers the key for a day at least. An intent that is made later is another one; if
    both are paid, the second payment is unexpected, and has to be refunded.

    Raises:
        ValueError: Stripe can't charge the amount.
        stripe.StripeError: Stripe refuses it or can't be reached.
    """
    return client().v1.payment_intents.create(
        {
            "amount": to_units(order.total_amount, order.currency),
            "currency": order.currency.lower(),
            "metadata": {"order_id": str(order.id)},
        },
        {"idempotency_key": str(order.id)},
    )


def pay_with_test_card(order: OrderMixin) -> PaymentIntent:
    """Pay an order with Stripe's test card, as the payment page's script would."""
    return client().v1.payment_intents.create(
        {
            "amount": to_units(order.total_amount, order.currency),
            "currency": order.currency.lower(),
            "metadata": {"order_id": str(order.id)},
            "payment_method": "pm_card_visa",
            "confirm": True,
        }
    )


def refund(payment: str, amount: Decimal, currency: str) -> Refund:
    """Refund a payment by its reference, the PaymentIntent's id; safe to repeat.

    Raises:
        stripe.StripeError: Stripe refuses it or can't be reached.
    """
    units = to_units(amount, currency)
    return client().v1.refunds.create(
        {"payment_intent": payment, "amount": units},
        {"idempotency_key": f"refund-{payment}-{units}"},
    )
