"""`flask localstripe`: a server like Stripe's on this machine, to try payments without an account.

localstripe (PyPI) keeps PaymentIntents and refunds, and sends signed webhooks. It knows neither
Idempotency-Keys nor webhooks about refunds.
"""

import threading
import time

import click
import requests
from flask import current_app
from flask.cli import with_appcontext

HOST = "127.0.0.1"
TIMEOUT = 5


@click.command("localstripe")
@click.option("--port", default=8420, show_default=True, help="Where localstripe listens.")
@click.option("--shop", default="http://127.0.0.1:5000", show_default=True, help="The shop's URL.")
@with_appcontext
def serve_command(port: int, shop: str) -> None:
    """Serve localstripe, on this machine only, with the shop's webhook registered."""
    try:
        from aiohttp import web
        from localstripe.server import app
    except ImportError:
        raise click.ClickException("it is not installed: pip install localstripe") from None
    webhook = {
        "url": f"{shop}/stripe/webhook/",
        "secret": current_app.config["STRIPE_WEBHOOK_SECRET"],
    }
    url = f"http://{HOST}:{port}/_config/webhooks/shop"
    threading.Thread(target=register_webhook, args=(url, webhook), daemon=True).start()
    web.run_app(app, host=HOST, port=port)


def register_webhook(url: str, webhook: dict[str, str]) -> None:
    """Tell localstripe the shop's webhook, as soon as it listens."""
    while True:
        try:
            requests.post(url, json=webhook, timeout=TIMEOUT).raise_for_status()
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return
