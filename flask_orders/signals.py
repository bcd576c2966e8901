"""The signals (blinker), sent after the commit only; sent by the blueprint.

Each is sent with the Flask app as its sender and the order as `order=`.
"""

import logging
from typing import Any

from blinker import Namespace, Signal
from flask import Flask

log = logging.getLogger("flask_orders")

_namespace = Namespace()

order_placed = _namespace.signal("order-placed", doc="A cart became an order.")


def send(signal: Signal, app: Flask, order: Any) -> None:
    """Tell every receiver; one that fails is logged, and harms nobody: the order stands."""
    for receiver in signal.receivers_for(app):
        try:
            receiver(app, order=order)
        except Exception:
            log.exception("a receiver of %s failed", signal.name)  # type: ignore[attr-defined] # a NamedSignal
