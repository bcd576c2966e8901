"""The demo's customer and its payment provider: two HTTP clients that check every status."""

import secrets
from collections.abc import Mapping
from typing import Any

import click
import requests

from ..sandbox import Callback

API = "/api/v1/i"
ORDERS = f"{API}/orders/"
CALLBACK = "/payments/callback/"
TIMEOUT = 30

ADDRESS = {
    "street_address": "123 Main St",
    "postal_code": 12345,
    "city": "Anytown",
    "state": "CA",
    "country": "Canada",
}


class Customer:
    """A new customer, without orders, and the HTTP session of a browser."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = requests.Session()

    def sign_in(self) -> str:
        """Register and sign in; return the e-mail address."""
        email = f"ada.{secrets.token_hex(4)}@example.com"
        credentials = {"email": email, "password": secrets.token_urlsafe()}
        self.call(201, "POST", f"{API}/customers/", credentials)
        token = self.call(200, "POST", f"{API}/sign-in/", credentials).json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"
        return email

    def fill_cart(self, items: Mapping[str, int], voucher: str | None = None) -> None:
        """Add products, by sku, to the cart, and apply a voucher."""
        for sku, quantity in items.items():
            self.call(201, "POST", f"{API}/cart/items/", {"sku": sku, "quantity": quantity})
        if voucher is not None:
            self.call(200, "PUT", f"{API}/cart/voucher/", {"code": voucher})

    def get(self, path: str) -> Any:
        """GET a path and return its JSON."""
        return self.call(200, "GET", path).json()

    def call(self, status: int, method: str, path: str, body: Any = None) -> requests.Response:
        """Send a request and require this status."""
        response = self._http.request(
            method, self.url + path, json=body, allow_redirects=False, timeout=TIMEOUT
        )
        return require_status(response, status)


def send_callback(url: str, callback: Callback) -> requests.Response:
    """Send a callback to the shop, without a token, as the payment provider does."""
    response = requests.post(
        url + CALLBACK, data=callback.body, headers=callback.headers, timeout=TIMEOUT
    )
    return require_status(response, 204)


def require_status(response: requests.Response, status: int) -> requests.Response:
    """Return the response, or end the demo if its status is not the expected one."""
    if response.status_code != status:
        request = f"{response.request.method} {response.request.path_url}"
        raise click.ClickException(
            f"{request} returned {response.status_code}, not {status}: {response.text}"
        )
    return response


def expect(found: Any, expected: Any, what: str) -> None:
    """End the demo if a value is not the expected one."""
    if found != expected:
        raise click.ClickException(f"The {what} is {found!r}, not {expected!r}.")
