"""The signals (blinker), sent after the commit only; sent by the blueprint.

Each is sent with the Flask app as its sender and the order as `order=`.
"""

import logging
import traceback
from collections.abc import Callable
from typing import Any

from blinker import Namespace, Signal
from flask import Flask

log = logging.getLogger("flask_orders")

_namespace = Namespace()

order_placed = _namespace.signal("order-placed", doc="A cart became an order.")


def send(signal: Signal, app: Flask, order: Any, *, after_failure: Callable[[], None]) -> None:
    """Tell every receiver; one that fails is logged, and harms nobody: the order stands.

    `after_failure` makes the session usable for the next one. An exception's text is not logged,
    since a database's may quote the customer's address; where it was raised is.
    """
    for receiver in signal.receivers_for(app):
        try:
            receiver(app, order=order)
        except Exception as error:
            name = signal.name  # type: ignore[attr-defined] # a NamedSignal
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("a receiver of %s failed: %s at\n%s", name, type(error).__name__, where)
            after_failure()
