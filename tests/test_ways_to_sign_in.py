"""The ways to say who the customer is that the docs show, each with its own line of a shop."""

from collections.abc import Callable, Mapping
from typing import Any

import jwt as pyjwt
import pytest
import sqlalchemy as sa
from flask import g, request, session
from flask_jwt_extended import JWTManager
from flask_login import UserMixin, current_user
from flask_sqlalchemy import SQLAlchemy
from itsdangerous import BadData, URLSafeTimedSerializer
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column

from flask_orders import declare_models

from .support.apps import install
from .support.database import nothing_changed
from .support.logins import (
    CONFIG,
    SECRET,
    Who,
    add_login,
    add_pay,
    assert_nobody,
    fill,
    signed_in,
    statuses,
)
from .support.people import close
from .support.requests import CHECKOUT, ORDERS, SAVE
from .support.responses import body, refused
from .support.shops import Shop


def users_and(url: URL, **options: Any) -> tuple[Shop, Any]:
    """A shop of users 7 and 8, each with a cart; user 7 is ann@example.com."""
    db = SQLAlchemy()

    class User(db.Model):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        email: Mapped[str] = mapped_column(sa.String(100))

    models = declare_models(db, customer=User)
    config = {**CONFIG, **options.pop("config", {})}
    shop = Shop(install(db, url, config=config, **options), db, models)
    add_pay(shop.app)
    users = {7: "ann@example.com", 8: "bob@example.com"}
    fill(shop, [User(id=key, email=email) for key, email in users.items()])
    for key in users:
        shop.cart(key, {1: 1})
    return shop, User


def assert_orders(shop: Shop, key: int, **options: Any) -> None:
    assert shop.app.test_client().post(ORDERS, json=SAVE, **options).status_code == 201
    assert [order["customer_id"] for order in shop.rows("orders")] == [key]


def test_a_session(database: URL) -> None:
    shop, _ = users_and(database, jwt=False, current_customer=lambda: session.get("user_id"))
    assert_nobody(shop)
    client = shop.app.test_client()
    with client.session_transaction() as cookie:
        cookie["user_id"] = 7
    assert client.post(ORDERS, json=SAVE).status_code == 201
    assert [order["customer_id"] for order in shop.rows("orders")] == [7]
    # A cookie that is forged is an empty session.
    client.set_cookie("session", "eyJ1c2VyX2lkIjo4fQ.aaaaaa.aaaaaa")
    with nothing_changed(shop):
        refused(client.post(ORDERS, json=SAVE), 401, "unauthorized")
    close(shop)


def test_a_user_that_a_before_request_function_has_loaded(database: URL) -> None:
    """As in Flask's own tutorial: `g.user` is None for a visitor."""
    shop, user = users_and(database, jwt=False, current_customer=lambda: g.user)

    @shop.app.before_request
    def load_user() -> None:
        key = session.get("user_id")
        g.user = None if key is None else shop.db.session.get(user, key)

    assert_nobody(shop)
    client = shop.app.test_client()
    with client.session_transaction() as cookie:
        cookie["user_id"] = 7
    assert client.post(ORDERS, json=SAVE).status_code == 201
    close(shop)


def test_a_token_of_the_shop_s_own(database: URL) -> None:
    tokens = URLSafeTimedSerializer(SECRET, salt="login")

    def customer_of_token() -> Any:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            return tokens.loads(token, max_age=3600)["user_id"] if scheme == "Bearer" else None
        except BadData:
            return None

    shop, _ = users_and(database, jwt=False, current_customer=customer_of_token)
    signed = tokens.dumps({"user_id": 7})
    assert_nobody(shop)
    for header in ("Bearer", f"Bearer {signed}x", f"Basic {signed}", signed):
        assert_nobody(shop, headers={"Authorization": header})
    assert_orders(shop, 7, headers={"Authorization": f"Bearer {signed}"})
    close(shop)


def test_a_token_of_pyjwt(database: URL) -> None:
    def customer_of_jwt() -> Any:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            return pyjwt.decode(token, SECRET, ["HS256"], options={"require": ["exp"]})["uid"]
        except pyjwt.InvalidTokenError:
            return None

    shop, _ = users_and(database, jwt=False, current_customer=customer_of_jwt)

    def bearer(secret: str = SECRET, **claims: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {pyjwt.encode(claims, secret, 'HS256')}"}

    assert_nobody(shop)
    for headers in (
        bearer(uid=7),
        bearer(uid=7, exp=1),
        bearer("another secret, and long enough for HS256", uid=7, exp=2**32),
        {"Authorization": "Bearer x"},
    ):
        assert_nobody(shop, headers=headers)
    assert_orders(shop, 7, headers=bearer(uid=7, exp=2**32))
    close(shop)


def test_a_gateway_s_header(database: URL) -> None:
    shop, _ = users_and(
        database, jwt=False, current_customer=lambda: request.headers.get("X-Customer-Id")
    )
    assert_nobody(shop)
    for forged in ("x", "7.0", " 7 7", "9", str(2**63)):
        assert_nobody(shop, headers={"X-Customer-Id": forged})
    assert_orders(shop, 7, headers={"X-Customer-Id": "7"})
    close(shop)


@pytest.mark.parametrize(
    "way",
    [
        lambda: current_user.customer_id,
        lambda: getattr(current_user, "customer", None),
    ],
)
def test_logins_and_customers_in_two_tables(
    database: URL, caplog: pytest.LogCaptureFixture, way: Callable[[], Any]
) -> None:
    """The login's key is another customer's; the login itself is refused, also as a whole."""
    db = SQLAlchemy()

    class Customer(db.Model):
        __tablename__ = "customers"
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)

    class Login(UserMixin, db.Model):
        __tablename__ = "logins"
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        customer_id: Mapped[int | None] = mapped_column(sa.ForeignKey("customers.id"))
        customer = db.relationship(Customer)

    models, who = declare_models(db, customer=Customer), Who()
    shop = Shop(install(db, database, jwt=False, config=CONFIG, current_customer=who), db, models)
    add_pay(shop.app)
    add_login(shop.app, db, Login)
    fill(shop, [Customer(id=7), Customer(id=8)])
    with shop.session() as own:
        own.add_all([Login(id=8, customer_id=7), Login(id=9, customer_id=None)])
    for key in (7, 8):
        shop.cart(key, {1: 1})
    who.give = way
    assert_nobody(shop)
    client, without = signed_in(shop, 8), signed_in(shop, 9)
    with nothing_changed(shop):
        refused(without.post(ORDERS, json=SAVE), 401, "unauthorized")
    assert client.post(ORDERS, json=SAVE).status_code == 201
    assert [order["customer_id"] for order in shop.rows("orders")] == [7]
    who.give = lambda: current_user
    with nothing_changed(shop):
        refused(client.post(ORDERS, json=SAVE), 500, "misconfigured")
    assert "lambda: current_user.customer_id" in caplog.text
    close(shop)


def bearer_of(**claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {pyjwt.encode(claims, SECRET, 'HS256')}"}


def test_a_jwt_without_sub(database: URL) -> None:
    """Flask-JWT-Extended reads another claim; its user lookup may read any."""
    config = {"JWT_SECRET_KEY": SECRET, "JWT_IDENTITY_CLAIM": "uid"}
    shop, _ = users_and(database, config=config)
    with nothing_changed(shop):
        assert set(statuses(shop, headers=bearer_of(sub="7"))) == {422}
        assert set(statuses(shop, headers=bearer_of(uid="9"))) == {401}
    assert_orders(shop, 7, headers=bearer_of(uid=7))
    close(shop)


def test_an_identity_that_is_an_e_mail_address(database: URL) -> None:
    """By the user lookup; without one it is no customer's key."""
    shop, user = users_and(database, config={"JWT_SECRET_KEY": SECRET})
    headers = bearer_of(sub="ann@example.com")
    with nothing_changed(shop):
        assert set(statuses(shop, headers=headers)) == {401}

    jwt: JWTManager = shop.app.extensions["flask-jwt-extended"]

    @jwt.user_lookup_loader
    def look_up(_header: Any, claims: Mapping[str, Any]) -> Any:
        return shop.db.session.scalar(sa.select(user).filter_by(email=claims["sub"]))

    with nothing_changed(shop):
        assert set(statuses(shop, headers=bearer_of(sub="eve@example.com"))) == {401}
    assert_orders(shop, 7, headers=headers)
    close(shop)


def test_a_guest_is_a_customer_whose_row_the_shop_has_made(database: URL) -> None:
    shop, user = users_and(database, jwt=False, current_customer=lambda: session.get("customer_id"))

    @shop.app.post("/guest")
    def begin_as_guest() -> str:
        guest = user(id=9, email=request.form["email"])
        shop.db.session.add(guest)
        shop.db.session.commit()
        session["customer_id"] = guest.id
        return "Go on to the checkout."

    client = shop.app.test_client()
    assert client.post("/guest", data={"email": "guest@example.com"}).status_code == 200
    shop.cart(9, {1: 1})
    placed = client.post(ORDERS, json=CHECKOUT)
    assert placed.status_code == 303
    assert client.get(body(placed)["order"]).status_code == 200
    assert [order["customer_id"] for order in shop.rows("orders")] == [9]
    close(shop)
