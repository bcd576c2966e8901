"""A browser without JavaScript, which sends the forms of the example shop's pages."""

import re
from dataclasses import dataclass
from html import unescape
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from example_app.models import Address, Customer, Order, db

ENTERED = {
    "street_address": "123 Main St",
    "postal_code": "K1A 0B1",
    "city": "Ottawa",
    "state": "ON",
    "country": "Canada",
}


@dataclass
class Browser:
    """A browser without JavaScript, which sends the forms of the pages that it was given."""

    app: Flask
    client: FlaskClient
    email: str

    def get(self, path: str, status: int = 200) -> str:
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text
        return unescape(answer.text)

    def post(self, path: str, **form: str) -> TestResponse:
        cookie = self.client.get_cookie("csrf_access_token")
        token = {} if cookie is None else {"csrf_token": cookie.value}
        return self.client.post(path, data={**token, **form})

    def register(self) -> None:
        form = {"email": self.email, "password": "a long password", "new": "yes"}
        assert self.post("/shop/sign-in/", **form).status_code == 303

    def add(self, sku: str, quantity: int = 1) -> None:
        answer = self.post("/shop/cart/", sku=sku, quantity=str(quantity))
        assert answer.headers["Location"] == "/shop/cart/"

    def checkout(self) -> dict[str, str]:
        """The hidden fields of the checkout's form."""
        page = self.get("/shop/checkout/")
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))
        return {name: hidden[name] for name in ("key", "expected_total")}

    def order(self, **form: str) -> TestResponse:
        return self.post("/shop/checkout/", **form)

    def orders(self) -> list[Any]:
        with self.app.app_context():
            mine = sa.select(Order).join(Customer).where(Customer.email == self.email)
            return list(db.session.scalars(mine.order_by(Order.sequence)))

    def addresses(self) -> list[Any]:
        with self.app.app_context():
            mine = sa.select(Address).join(Customer).where(Customer.email == self.email)
            return list(db.session.scalars(mine))


def notices(answer: TestResponse) -> list[str]:
    return [unescape(text) for text in re.findall(r'class="notice">([^<]*)<', answer.text)]
