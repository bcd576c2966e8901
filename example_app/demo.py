"""`flask --app example_app demo`: a customer fills her cart and orders, over real HTTP.

Called by the flask CLI. It ends with exit code 1 if anything is answered otherwise than expected.
"""

import logging
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Thread
from typing import Any

import click
import requests
from flask import Flask, current_app
from flask.cli import with_appcontext
from flask_migrate import upgrade
from rich.console import Console
from werkzeug.serving import make_server

from .catalogue import stock_the_shop
from .printing import print_cart, print_exchange, print_order

API = "/api/v1/i"
ORDERS = f"{API}/orders/"
TIMEOUT = 30

SAVED = {"success": "Your Order has been saved"}

ADDRESS = {
    "street_address": "123 Main St",
    "postal_code": 12345,
    "city": "Anytown",
    "state": "CA",
    "country": "Canada",
}


@click.command("demo")
@with_appcontext
def demo_command() -> None:
    """Order twice and be refused once, at a shop served for that only."""
    console = Console(highlight=False)
    upgrade()
    stock_the_shop()
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined] # a proxy
    with served(app) as url:
        console.print(f"The shop is open at {url}, for this demo only.")
        customer = Customer(url)
        email = customer.sign_in()
        console.print(f"{email} has registered and signed in.")
        checkout(customer, console)
        save_order(customer, console)
        be_refused(customer, console)
    console.print("\nEverything was answered as expected.", style="bold green")


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The app on a free port of this machine; gives its URL."""
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


class Customer:
    """A browser, so to speak: a new customer each time, whose first order it is."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = requests.Session()

    def sign_in(self) -> str:
        """Register and sign in; the e-mail address."""
        email = f"ada.{secrets.token_hex(4)}@example.com"
        who = {"email": email, "password": secrets.token_urlsafe()}
        self.call(201, "POST", f"{API}/customers/", who)
        token = self.call(200, "POST", f"{API}/sign-in/", who).json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"
        return email

    def fill_cart(self, items: Mapping[str, int], voucher: str) -> None:
        """Put products, by their sku, and a voucher into the cart."""
        for sku, quantity in items.items():
            self.call(201, "POST", f"{API}/cart/items/", {"sku": sku, "quantity": quantity})
        self.call(200, "PUT", f"{API}/cart/voucher/", {"code": voucher})

    def call(self, status: int, method: str, path: str, body: Any = None) -> requests.Response:
        """One request, which has to be answered with that status."""
        answer = self._http.request(
            method, self._url + path, json=body, allow_redirects=False, timeout=TIMEOUT
        )
        if answer.status_code != status:
            raise click.ClickException(
                f"{method} {path} was answered {answer.status_code}, not {status}: {answer.text}"
            )
        return answer


def checkout(customer: Customer, console: Console) -> None:
    """The request of the API's own documentation, with an address."""
    customer.fill_cart({"TEA-ASSAM": 3, "KETTLE-GOOSE": 1, "FILTERS": 2}, "WELCOME10")
    console.rule("[bold]Check out")
    print_cart(console, customer.call(200, "GET", f"{API}/cart/").json())
    body = {"action": "checkout", "billing_address": ADDRESS}
    answer = customer.call(303, "POST", ORDERS, body)
    print_exchange(console, "POST", ORDERS, body, answer)
    links = answer.json()
    expect(links["payment"], answer.headers["Location"], "Location")
    payment = customer.call(200, "GET", answer.headers["Location"])
    print_exchange(console, "GET", answer.headers["Location"], None, payment)
    show_order(customer, console, links["order"])


def save_order(customer: Customer, console: Console) -> None:
    """To pay later; she has an address by now, and it is not her first order any more."""
    customer.fill_cart({"CUP-BLUE": 4, "POT-GLASS": 1, "TASTING": 1, "FILTERS": 1}, "TENOFF")
    console.rule("[bold]Save the order for later")
    print_cart(console, customer.call(200, "GET", f"{API}/cart/").json())
    body = {"action": "save_order"}
    answer = customer.call(201, "POST", ORDERS, body)
    print_exchange(console, "POST", ORDERS, body, answer)
    expect(answer.json(), SAVED, "body")
    show_order(customer, console, answer.headers["Location"])


def be_refused(customer: Customer, console: Console) -> None:
    """Order with nothing in the cart."""
    console.rule("[bold]Order an empty cart")
    body = {"action": "checkout"}
    answer = customer.call(400, "POST", ORDERS, body)
    print_exchange(console, "POST", ORDERS, body, answer)
    expect(answer.json()["code"], "empty_cart", "code")


def show_order(customer: Customer, console: Console, path: str) -> None:
    """The order as it is answered, and the cart, which has to be empty."""
    print_order(console, customer.call(200, "GET", path).json())
    cart = customer.call(200, "GET", f"{API}/cart/").json()
    print_cart(console, cart)
    expect(cart, {"items": [], "voucher": None}, "cart")


def expect(found: Any, expected: Any, what: str) -> None:
    """End the demo unless something is as it has to be."""
    if found != expected:
        raise click.ClickException(f"The {what} is {found!r}, not {expected!r}.")
