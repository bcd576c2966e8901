"""The demo's customer, and the payment provider: two clients of the shop, over HTTP.

Called by the steps of the demo, in `ordering.py` and `life.py`.
"""

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
    """A browser, so to speak: a new customer each time, whose first order it is."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = requests.Session()

    def sign_in(self) -> str:
        """Register and sign in; the e-mail address."""
        email = f"ada.{secrets.token_hex(4)}@example.com"
        who = {"email": email, "password": secrets.token_urlsafe()}
        self.call(201, "POST", f"{API}/customers/", who)
        token = self.call(200, "POST", f"{API}/sign-in/", who).json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"
        return email

    def fill_cart(self, items: Mapping[str, int], voucher: str | None = None) -> None:
        """Put products, by their sku, and a voucher into the cart."""
        for sku, quantity in items.items():
            self.call(201, "POST", f"{API}/cart/items/", {"sku": sku, "quantity": quantity})
        if voucher is not None:
            self.call(200, "PUT", f"{API}/cart/voucher/", {"code": voucher})

    def get(self, path: str) -> Any:
        """What is there."""
        return self.call(200, "GET", path).json()

    def call(self, status: int, method: str, path: str, body: Any = None) -> requests.Response:
        """One request, which has to be answered with that status."""
        answer = self._http.request(
            method, self.url + path, json=body, allow_redirects=False, timeout=TIMEOUT
        )
        return answered(answer, status)


def send_callback(url: str, callback: Callback) -> requests.Response:
    """Tell the shop at a URL of a payment, as the payment provider does: it has no token."""
    answer = requests.post(
        url + CALLBACK, data=callback.body, headers=callback.headers, timeout=TIMEOUT
    )
    return answered(answer, 204)


def answered(answer: requests.Response, status: int) -> requests.Response:
    """End the demo unless a request was answered as it has to be."""
    if answer.status_code != status:
        asked = f"{answer.request.method} {answer.request.path_url}"
        raise click.ClickException(
            f"{asked} was answered {answer.status_code}, not {status}: {answer.text}"
        )
    return answer


def expect(found: Any, expected: Any, what: str) -> None:
    """End the demo unless something is as it has to be."""
    if found != expected:
        raise click.ClickException(f"The {what} is {found!r}, not {expected!r}.")
