"""Shops that name their customers themselves, by `current_customer=`; most by Flask-Login."""

from collections.abc import Callable
from typing import Any

from flask import Flask
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.test import TestResponse

from flask_orders import declare_models

from .apps import install
from .database import nothing_changed
from .requests import CALLS, SAVE
from .responses import refused
from .shops import Shop

SECRET = "only for the tests, and long enough for HS256"

CONFIG = {
    "SECRET_KEY": SECRET,
    "ORDERS_PAYMENT_ENDPOINT": "pay",
    "SQLALCHEMY_ENGINE_OPTIONS": {"hide_parameters": True},
}


class Who:
    """What names the customer: `current_customer=` of the tests, which say what it gives."""

    def __init__(self) -> None:
        self.give: Callable[[], Any] = lambda: None

    def always(self, value: Any) -> None:
        self.give = lambda: value

    def __call__(self) -> Any:
        return self.give()


def answers(shop: Shop, calls: Any = CALLS, **options: Any) -> list[TestResponse]:
    client = shop.app.test_client()
    return [client.open(url, method=method, json=SAVE, **options) for method, url in calls]


def statuses(shop: Shop, calls: Any = CALLS, **options: Any) -> list[int]:
    return [answer.status_code for answer in answers(shop, calls, **options)]


def assert_nobody(shop: Shop, **options: Any) -> None:
    """Every call answers that nobody is signed in, and nothing changes."""
    with nothing_changed(shop):
        for answer in answers(shop, **options):
            refused(answer, 401, "unauthorized")


def add_pay(app: Flask) -> None:
    app.add_url_rule("/pay/<uuid:order_id>/", "pay", lambda order_id: f"pay {order_id}")


def add_login(app: Flask, db: SQLAlchemy, user: Any) -> None:
    """Add Flask-Login to an app, as its documentation does, and a view that signs in."""
    LoginManager(app).user_loader(lambda key: db.session.get(user, int(key)))

    @app.post("/login/<int:key>")
    def login(key: int) -> str:
        login_user(db.session.get_one(user, key), force=True)
        return "in"

    @app.post("/logout")
    def logout() -> str:
        logout_user()
        return "out"


def login_shop(url: URL, **options: Any) -> Shop:
    """A shop with Flask-Login: users, each of whom has a cart; `options` are those of `install`."""
    db = SQLAlchemy()

    class User(UserMixin, db.Model):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        enabled: Mapped[bool] = mapped_column(default=True)

        @property
        def is_active(self) -> bool:
            return self.enabled

    models = declare_models(db, customer=User)
    options = {"jwt": False, "current_customer": current_user, "config": CONFIG, **options}
    shop = Shop(install(db, url, **options), db, models)
    add_pay(shop.app)
    add_login(shop.app, db, User)
    fill(shop, [User(id=key) for key in (1, 2, 3)])
    for key in (1, 2, 3):
        shop.cart(key, {1: 1})
    return shop


def fill(shop: Shop, customers: list[Any]) -> None:
    """Create the tables, customers and a product."""
    with shop.app.app_context():
        shop.db.create_all()
        product = shop.models.Product(id=1, sku="A", name="A", price=1, stock=None)
        shop.db.session.add_all([*customers, product])
        shop.db.session.commit()


def signed_in(shop: Shop, key: int) -> Any:
    client = shop.app.test_client()
    assert client.post(f"/login/{key}").text == "in"
    return client


WELL = (0, "Everything is set up.\n")
