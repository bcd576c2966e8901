"""Payments by Stripe instead of the sandbox (PAYMENTS=stripe; needs the extra `stripe`)."""

from flask import Flask

from .client import check_settings
from .refunding import refund_command
from .testing import serve_command
from .views import stripe_payments


def add_stripe(app: Flask) -> None:
    """Add the payment page, the webhook and the commands to the app."""
    check_settings(app.config)
    app.register_blueprint(stripe_payments)
    app.cli.add_command(refund_command)
    app.cli.add_command(serve_command)
