"""The example shop for tests: on a database of its own, with customers who order."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from flask_jwt_extended import create_access_token
from sqlalchemy.engine import URL

from example_app import create_app
from example_app.models import Cart, Customer, Product, db

from .requests import CHECKOUT
from .servers import fresh_database

API = "/api/v1/i"


@contextmanager
def example_shop(server_url: URL, folder: Path) -> Iterator[Flask]:
    """Make the shop, with its catalogue, on a fresh database of a server."""
    with fresh_database(server_url) as url, pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
        app = create_app(str(folder))
        app.test_client().get("/")
        yield app
        with app.app_context():
            db.engine.dispose()


def new_customer(app: Flask) -> tuple[int, str]:
    """Make a customer with an empty cart; return the key and a token."""
    with app.app_context():
        customer = Customer(email=f"{uuid4()}@example.com", password_hash="none")
        db.session.add(customer)
        db.session.flush()
        db.session.add(Cart(customer_id=customer.id))
        db.session.commit()
        return customer.id, create_access_token(str(customer.id))


def change_product(app: Flask, sku: str, **values: object) -> None:
    """Change a product of the catalogue meanwhile."""
    with app.app_context():
        db.session.execute(sa.update(Product).where(Product.sku == sku).values(values))
        db.session.commit()


def checked_out(
    app: Flask, sku: str, quantity: int
) -> tuple[FlaskClient, dict[str, str], str, str]:
    """Order, as a new customer; return the client, its token, the order's path and its payment."""
    client = app.test_client()
    _customer_id, jwt = new_customer(app)
    token = {"Authorization": f"Bearer {jwt}"}
    item = {"sku": sku, "quantity": quantity}
    assert client.post(f"{API}/cart/items/", json=item, headers=token).status_code == 201
    answer = client.post(f"{API}/orders/", json=CHECKOUT, headers=token)
    assert answer.status_code == 303, answer.text
    return client, token, answer.get_json()["order"], answer.headers["Location"]
