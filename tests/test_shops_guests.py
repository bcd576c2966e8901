"""Guests without an account: a customer's row is made for each, and the session names it."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask, session
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column

from flask_orders import declare_models, orders_bp

from .support.apps import new_db, text_of
from .support.requests import ORDERS, SAVE
from .support.responses import body, refused
from .support.shops import Shop


@pytest.fixture
def shop(database: URL) -> Iterator[Shop]:
    db = new_db()
    app = Flask("guests")
    app.config.update(SQLALCHEMY_DATABASE_URI=text_of(database), SECRET_KEY="the guests' own")

    class Customer(db.Model):
        __tablename__ = "customers"
        id: Mapped[int] = mapped_column(primary_key=True)

    models = declare_models(db, customer=Customer)

    @app.post("/guests")
    def begin_checkout() -> ResponseReturnValue:
        guest = Customer()
        db.session.add(guest)
        db.session.commit()
        session["customer_id"] = guest.id
        return "", 204

    db.init_app(app)
    app.register_blueprint(orders_bp, current_customer=lambda: session.get("customer_id"))
    with app.app_context():
        db.create_all()
    shop = Shop(app, db, models)
    yield shop
    shop.close()


def guest(shop: Shop) -> FlaskClient:
    """Return the browser of a guest, whose cart has a product for 10."""
    browser = shop.app.test_client()
    assert browser.post("/guests").status_code == 204
    key: Any = max(row["id"] for row in shop.rows("customers"))
    shop.cart(key, {shop.product("10.00"): 1})
    return browser


def test_a_guest_orders_and_reads_the_order_and_no_other_guest_does(shop: Shop) -> None:
    browser, other = guest(shop), guest(shop)
    made = browser.post(ORDERS, json=SAVE)
    assert made.status_code == 201, made.text
    url = made.headers["Location"]
    assert body(browser.get(url))["total_amount"] == "10.00"
    refused(other.get(url), 404, "order_not_found")
    assert [row["total_amount"] for row in shop.rows("orders")] == [Decimal(10)]


def test_a_visitor_without_a_customer_s_row_orders_nothing(shop: Shop) -> None:
    refused(shop.app.test_client().post(ORDERS, json=SAVE), 401, "unauthorized")
    assert shop.rows("orders") == []
