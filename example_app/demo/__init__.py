"""`flask --app example_app demo`: a customer orders, pays and cancels, over real HTTP.

The exit code is 1 if any response differs from the expected one.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import click
from flask import Flask, current_app
from flask.cli import with_appcontext
from flask_migrate import upgrade
from rich.console import Console
from rich.logging import RichHandler
from werkzeug.serving import make_server

from ..catalogue import stock_the_shop
from ..payments import log
from .client import Customer
from .life import audit, cancel, list_orders, pay_late, pay_later, refund
from .ordering import checkout, order_empty_cart, save_order


@click.command("demo")
@with_appcontext
def demo_command() -> None:
    """Order, pay, cancel and be refused, in a shop that is served for this demo only."""
    console = Console(highlight=False)
    upgrade()
    stock_the_shop()
    show_log(console)
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined] # a proxy
    with served(app) as url:
        console.print(f"The shop is running at {url}, for this demo only.")
        customer = Customer(url)
        email = customer.sign_in()
        console.print(f"{email} registered and signed in.")
        checkout(customer, console)
        saved = save_order(customer, console)
        order_empty_cart(customer, console)
        pay_later(customer, console, saved)
        cancel(customer, console)
        late = pay_late(customer, console)
        refund(customer, console, late)
        list_orders(customer, console)
        audit(console)
    console.print("\nAll responses were as expected.", style="bold green")


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """Serve the app on a free port of this machine; yield its URL."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def show_log(console: Console) -> None:
    """Show the refunds that the shop logs in the demo's output, and nowhere else."""
    log.addHandler(RichHandler(console=console, show_time=False, show_path=False))
    log.propagate = False
