"""The staff's pages of the example shop, over HTTP."""

import re
from base64 import b64encode
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from example_app import create_app
from example_app.models import Cart, CartItem, Customer, Order, OrderEvent, Product, db
from flask_orders import current_orders

from .support.requests import HOME

PASSWORD = "only for the tests"


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """A shop in which Ann and Ben have ordered; Ann has paid."""
    monkeypatch.setenv("ADMIN_PASSWORD", PASSWORD)
    app = create_app(str(tmp_path))
    app.test_client().get("/")
    with app.app_context():
        for name, product in (("ann", 1), ("ben", 2)):
            customer = Customer(email=f"{name}@example.com", password_hash="")
            db.session.add(customer)
            db.session.flush()
            item = CartItem(product_id=product, quantity=2)
            db.session.add(Cart(customer_id=customer.id, items=[item]))
            db.session.commit()
            current_orders.place(customer.id, billing_address=HOME)
        order = order_of("ann")
        current_orders.record_payment(order.id, "pay-1", order.total_amount)
        db.session.commit()
        yield app
        db.session.remove()
        db.engine.dispose()


def order_of(name: str) -> Any:
    query = db.select(Order).join(Customer).where(Customer.email == f"{name}@example.com")
    return db.session.scalars(query).one()


class Staff:
    """Somebody with the password."""

    def __init__(self, client: FlaskClient, password: str = PASSWORD) -> None:
        self._client = client
        token = b64encode(f"staff:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}"}

    def get(self, url: str) -> TestResponse:
        return self._client.get(url, headers=self._headers)

    def act(self, action: str, *orders: Any, token: str | None = None) -> TestResponse:
        if token is None:
            page = self.get("/admin/orders/").text
            (token, *_) = re.findall(r'name="csrf_token"[^>]*value="([^"]+)"', page)
        form = {"action": action, "rowid": [str(order.id) for order in orders]}
        return self._client.post(
            "/admin/orders/action/",
            data={**form, "csrf_token": token},
            headers=self._headers,
            follow_redirects=True,
        )


@pytest.fixture
def staff(app: Flask) -> Staff:
    return Staff(app.test_client())


@pytest.mark.parametrize(
    "url", ["/admin/", "/admin/orders/", "/admin/payments/", "/admin/refunds/"]
)
def test_only_the_staff_gets_in(app: Flask, url: str) -> None:
    client = app.test_client()
    assert client.get(url).status_code == 401
    assert Staff(client, "guessed").get(url).status_code == 401
    assert Staff(client).get(url).status_code == 200


@pytest.mark.parametrize("by", ["number", "e-mail"])
def test_an_order_is_found(staff: Staff, by: str) -> None:
    ann, ben = order_of("ann"), order_of("ben")
    wanted = ann.number if by == "number" else "ann@"
    page = staff.get(f"/admin/orders/?search={wanted}").text
    assert ann.number in page
    assert ben.number not in page


def test_an_order_has_its_items_and_events(staff: Staff) -> None:
    order = order_of("ann")
    page = staff.get(f"/admin/orders/details/?id={order.id}").text
    assert order.items[0].name in page
    assert "paid by payment" in page


def test_cancelling_goes_through_the_library(staff: Staff) -> None:
    order = order_of("ann")
    stock = db.session.get_one(Product, 1).stock
    page = staff.act("cancel", order).text
    db.session.expire_all()
    assert f"The order {order.number} is cancelled." in page
    assert db.session.get_one(Product, 1).stock == stock + 2
    events = db.session.query(OrderEvent).filter_by(order_id=order.id)
    assert [event.actor for event in events] == ["payment", "shop"]
    (due,) = current_orders.refunds_due()
    assert due.amount == Decimal(order.total_amount)


def test_what_can_not_be_delivered_is_said_and_the_rest_is_done(staff: Staff) -> None:
    ann, ben = order_of("ann"), order_of("ben")
    page = staff.act("deliver", ben, ann).text
    db.session.expire_all()
    assert f"The order {ann.number} is delivered." in page
    assert (ann.status, ben.status) == ("delivered", "awaiting_payment")


def test_another_site_can_not_send_the_form(staff: Staff) -> None:
    order = order_of("ann")
    staff.act("cancel", order, token="another")
    db.session.expire_all()
    assert order.status == "paid"


@pytest.mark.parametrize("page", ["new", "edit", "delete"])
def test_everything_else_is_read_only(app: Flask, staff: Staff, page: str) -> None:
    order = order_of("ann")
    answer = staff.get(f"/admin/orders/{page}/?id={order.id}")
    assert answer.status_code in (302, 404, 405)
    db.session.expire_all()
    assert order.status == "paid"
