"""A worker that handles one request from standard input and kills itself after the COMMIT."""

import json
import os
import signal
import sys

from flask import Flask

from flask_orders.signals import order_placed

from .. import create_app
from .repeating import answer


def handle() -> None:
    """Handle the request; no response leaves the process."""

    def kill(_app: Flask, **_order: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    order_placed.connect(kill)
    environ, body = json.load(sys.stdin)
    answer(create_app(sys.argv[1]), environ, body.encode())


if __name__ == "__main__":
    handle()
