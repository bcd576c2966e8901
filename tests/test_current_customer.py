"""`current_customer=`: sessions, logins, tokens and gateways of the shop's own name the customer.

What it gives is the customer's key in some form, or nobody's; it is never a guess.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from flask import abort, g, request, session
from flask_jwt_extended import create_access_token
from flask_login import UserMixin, current_user
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, Session, mapped_column
from werkzeug.local import LocalProxy
from werkzeug.test import TestResponse

from flask_orders import ConfigurationError, declare_models, orders_bp
from flask_orders.errors import InvalidRequest, UnknownCustomer
from flask_orders.testing import run_concurrently

from .support.apps import install
from .support.checks import check
from .support.database import counted, nothing_changed
from .support.keys import KINDS, ODD
from .support.logins import (
    CONFIG,
    SECRET,
    WELL,
    Who,
    add_login,
    add_pay,
    answers,
    assert_nobody,
    fill,
    login_shop,
    signed_in,
    statuses,
)
from .support.openapi import check_valid, resolved
from .support.people import close, people
from .support.requests import ANSWERED, CALLS, CHECKOUT, ORDERS, SAVE
from .support.responses import body, refused
from .support.shops import Shop


def test_flask_login_in_one_line(database: URL) -> None:
    """Also users who are signed out, deactivated or deleted meanwhile."""
    shop = login_shop(database)
    assert_nobody(shop)

    first, second, third = (signed_in(shop, key) for key in (1, 2, 3))
    found = [first.open(url, method=method, json=SAVE) for method, url in CALLS]
    assert [answer.status_code for answer in found] == ANSWERED
    assert [order["customer_id"] for order in shop.rows("orders")] == [1]

    first.post("/logout")
    with shop.engine.begin() as connection:
        users = shop.db.metadata.tables["users"]
        connection.execute(users.update().where(users.c.id == 2).values(enabled=False))
        connection.execute(sa.text("DELETE FROM cart_items"))
        connection.execute(sa.text("DELETE FROM carts"))
        connection.execute(users.delete().where(users.c.id == 3))
    with nothing_changed(shop):
        for client in (first, second, third):
            for method, url in CALLS:
                refused(client.open(url, method=method, json=SAVE), 401, "unauthorized")
    close(shop)


def test_a_user_sees_no_other_user_s_order(database: URL) -> None:
    shop = login_shop(database)
    url = signed_in(shop, 1).post(ORDERS, json=SAVE).headers["Location"]
    stranger = signed_in(shop, 2)
    for method, path in (("GET", url), ("POST", f"{url}cancel/"), ("POST", f"{url}checkout/")):
        refused(stranger.open(path, method=method, json={}), 404, "order_not_found")
    close(shop)


def test_a_login_costs_no_statement_more_than_a_token(database: URL) -> None:
    """Beside the shop's own: one that loads the user."""
    shop = login_shop(database)
    tokens = install(shop.db, database, config={**CONFIG, "JWT_SECRET_KEY": SECRET})
    add_pay(tokens)
    user: Any = shop.models.Customer
    tokens.extensions["flask-jwt-extended"].user_lookup_loader(
        lambda _header, claims: shop.db.session.get(user, int(claims["sub"]))
    )
    with tokens.app_context():
        headers = {"Authorization": f"Bearer {create_access_token('2')}"}
        engine = shop.db.engine
    client = signed_in(shop, 1)
    with counted(shop.engine) as by_session:
        assert client.post(ORDERS, json=CHECKOUT).status_code == 303
    with counted(engine) as by_token:
        assert tokens.test_client().post(ORDERS, json=CHECKOUT, headers=headers).status_code == 303
    assert len(by_session) == len(by_token)
    close(shop)


def test_a_user_whom_the_shop_has_changed_and_committed_before_the_view(database: URL) -> None:
    """As in the usual "last seen" of a before_request function, which expires the user."""
    shop = login_shop(database)
    calls = itertools.count()

    @shop.app.before_request
    def see() -> None:
        if current_user.is_authenticated:
            current_user.enabled = True
            next(calls)
            shop.db.session.commit()

    client = signed_in(shop, 1)
    found = [client.open(url, method=method, json=SAVE) for method, url in CALLS]
    assert [answer.status_code for answer in found] == ANSWERED
    assert next(calls) == len(CALLS)
    close(shop)


@pytest.mark.parametrize("way", [lambda: current_user, lambda: current_user.enabled and 1])
def test_a_user_who_is_deleted_after_the_shop_has_loaded_it(
    database: URL, way: Callable[[], Any]
) -> None:
    shop = login_shop(database, current_customer=way)
    user: Any = shop.models.Customer
    with shop.session() as own:
        own.execute(sa.delete(shop.models.CartItem))
        own.execute(sa.delete(shop.models.Cart))

    @shop.app.before_request
    def leave() -> None:
        if current_user.is_authenticated:
            shop.db.session.commit()
            with shop.session() as other:
                other.execute(sa.delete(user).filter_by(id=1))

    refused(signed_in(shop, 1).post(ORDERS, json=SAVE), 401, "unauthorized")
    assert shop.rows("orders") == []
    close(shop)


def test_simultaneous_clicks_of_a_session_are_one_order(database: URL) -> None:
    shop = login_shop(database)
    clients = [signed_in(shop, 1) for _ in range(6)]

    def click(client: Any) -> Callable[[], TestResponse]:
        return lambda: client.post(ORDERS, json=CHECKOUT)

    made = run_concurrently(*[click(client) for client in clients])
    assert {answer.status_code for answer in made} == {303}
    assert len({answer.headers["Location"] for answer in made}) == len(shop.rows("orders")) == 1
    close(shop)


def test_a_jwt_manager_plays_no_part(database: URL) -> None:
    """Neither its tokens nor the places in which it looks for them."""
    config = {
        **CONFIG,
        "JWT_SECRET_KEY": SECRET,
        "JWT_TOKEN_LOCATION": ["headers", "json", "query_string"],
    }
    shop = login_shop(database, jwt=True, config=config)
    with shop.app.app_context():
        token = create_access_token("2")
    bearer = {"Authorization": f"Bearer {token}"}
    assert_nobody(shop, headers=bearer)
    client = signed_in(shop, 1)
    with nothing_changed(shop):
        in_body = refused(
            client.post(ORDERS, json={**SAVE, "access_token": token}), 400, "invalid_request"
        )
        in_query = refused(client.get(f"{ORDERS}?jwt={token}"), 400, "invalid_request")
    assert (list(in_body["errors"]), list(in_query["errors"])) == (["access_token"], ["jwt"])
    for headers in (bearer, {"Authorization": "Bearer nonsense"}):
        assert client.get(ORDERS, headers=headers).status_code == 200
    assert client.post(ORDERS, json=SAVE, headers=bearer).status_code == 201
    assert [order["customer_id"] for order in shop.rows("orders")] == [1]
    close(shop)


# No key of KINDS is one, though a database might compare them: a date and a datetime, 7 and 7.0.
OF_ANOTHER_TYPE = [datetime(2026, 1, 2), 7.0, Decimal(7), b"7", (7,), ["ann"]]  # noqa: DTZ001


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_its_text_and_its_customer(database: URL, kind: str) -> None:
    """Each of them is the customer, and what can't be a key is nobody's, in every call."""
    make_type, key, text, others = KINDS[kind]
    db, who = SQLAlchemy(), Who()

    class Customer(db.Model):
        __tablename__ = "customers"
        id: Mapped[Any] = mapped_column(make_type(), primary_key=True, autoincrement=False)

    models = declare_models(db, customer=Customer)
    config = {**CONFIG, "ORDERS_PAYMENT_ENDPOINT": "orders.get_order"}
    shop = Shop(install(db, database, jwt=False, config=config, current_customer=who), db, models)
    fill(shop, [Customer(id=key)])
    with nothing_changed(shop):
        for other in (*others, *ODD):
            who.always(other)
            assert set(statuses(shop, [CALLS[0], CALLS[3]])) == {401}, other
        for wrong in OF_ANOTHER_TYPE:
            who.always(wrong)
            assert set(statuses(shop, [CALLS[0], CALLS[3]])) == {500}, wrong
    for give in (
        lambda: key,
        lambda: text,
        lambda: LocalProxy(lambda: key),
        lambda: db.session.get(Customer, key),
        lambda: Customer(id=key),
    ):
        who.give = give
        cart = shop.cart(key, {1: 1})
        assert statuses(shop) == ANSWERED
        with shop.session() as own:
            own.execute(sa.delete(models.Cart).where(models.Cart.id == cart))
    assert [order["customer_id"] for order in shop.rows("orders")] == [key] * 5
    close(shop)


@contextmanager
def people_who(url: URL) -> Iterator[tuple[Shop, dict[str, Any], Who]]:
    who = Who()
    shop, classes = people(url, jwt=False, current_customer=who)
    yield shop, classes, who
    close(shop)


def test_what_is_no_customer_is_a_misconfiguration(
    database: URL, caplog: pytest.LogCaptureFixture
) -> None:
    """Its key is not taken for a customer's."""
    with people_who(database) as (shop, classes, who):
        own = shop.db.session
        given: list[Callable[[], Any]] = [
            lambda: own.get(classes["User"], 1),
            lambda: own.get(classes["Staff"], 2),
            lambda: LocalProxy(lambda: own.get(classes["Staff"], 2)),
            lambda: classes["Person"](id=1),
            lambda: classes["Customer"],
            lambda: own.execute(sa.select(classes["Customer"].id)).first(),
            lambda: {"id": 1},
            lambda: [1],
            lambda: (1,),
            lambda: True,
            lambda: 1.0,
            lambda: b"1",
            lambda: lambda: 1,
        ]
        with nothing_changed(shop):
            for who.give in given:
                for answer in answers(shop):
                    refused(answer, 500, "misconfigured")
        assert caplog.text.count("let it give the Customer, its key or None") == len(given) * 6


def test_a_customer_in_every_state_of_the_orm(database: URL) -> None:
    """Of a subclass, of another session, detached, expired, both of it, or made without a read."""
    with people_who(database) as (shop, classes, who):
        wholesaler = classes["Wholesaler"]

        def load() -> Any:
            return shop.db.session.get(wholesaler, 3)

        def of_another_session() -> Any:
            with Session(shop.engine) as other:
                return other.get(wholesaler, 3)

        def expired(*, commit: bool, detached: bool) -> Any:
            found = load()
            shop.db.session.expire(found)
            if commit:
                shop.db.session.commit()
            if detached:
                shop.db.session.expunge(found)
            return found

        given: list[Callable[[], Any]] = [
            load,
            of_another_session,
            lambda: expired(commit=False, detached=False),
            lambda: expired(commit=True, detached=False),
            lambda: expired(commit=True, detached=True),
            lambda: wholesaler(id=3),
            lambda: wholesaler(id="3"),
        ]
        for who.give in given:
            assert statuses(shop)[:3] == ANSWERED[:3]
            assert shop.rows("orders")[-1]["customer_id"] == 3
            with shop.session() as own:
                own.execute(sa.delete(shop.models.Cart).filter_by(customer_id=3))
            shop.cart(3, {shop.rows("products")[0]["id"]: 1})
        assert len(shop.rows("orders")) == len(given)


def test_a_customer_who_no_longer_exists_is_nobody(database: URL) -> None:
    with people_who(database) as (shop, classes, who):
        customer = classes["Customer"]
        with shop.session() as own:
            gone = own.get_one(customer, 1)
        with shop.session() as own:
            own.execute(sa.delete(shop.models.CartItem))
            own.execute(sa.delete(shop.models.Cart))
            own.execute(sa.delete(customer).where(customer.id == 1))
        staff, never = 2, customer()
        for value in (gone, customer(id=1), 1, "1", staff, "2", never, customer(id=2**63)):
            who.always(value)
            assert_nobody(shop)


class Anonymous:
    """Flask-Login's, in two ages, and a guest of the shop's own."""

    is_anonymous = True


class OldAnonymous:
    def is_authenticated(self) -> bool:
        return False


class Old:
    """A user from before Flask-Login 0.3: its flags are methods."""

    def is_authenticated(self) -> bool:
        return True

    def is_anonymous(self) -> bool:
        return False


def test_nobody_in_all_its_forms(sqlite_file: URL) -> None:
    def raise_unknown() -> None:
        raise UnknownCustomer

    visitor: Any = Anonymous()
    proxy: Any = LocalProxy(lambda: visitor)
    with people_who(sqlite_file) as (shop, _classes, who):
        given: list[Callable[[], Any]] = [
            lambda: None,
            lambda: False,
            lambda: LocalProxy(lambda: None),
            Anonymous,
            OldAnonymous,
            lambda: LocalProxy(Anonymous),
            lambda: visitor.customer_id,
            lambda: proxy.customer_id,
            lambda: "",
            lambda: 2**63,
            raise_unknown,
        ]
        for who.give in given:
            assert_nobody(shop)


def test_an_old_user_s_flags_are_called(sqlite_file: URL) -> None:
    with people_who(sqlite_file) as (shop, classes, who):
        mapped = {"__mapper_args__": {"polymorphic_identity": "clerk"}}
        clerk = type("Clerk", (Old, classes["Customer"]), mapped)
        who.give = lambda: clerk(id=1)
        assert statuses(shop) == ANSWERED


def test_a_class_is_neither_a_user_nor_nobody(sqlite_file: URL) -> None:
    """Whose flags are properties, and always true: the mistake is reported, and no visitor is."""
    who = Who()
    shop = login_shop(sqlite_file, current_customer=who)
    user: Any = shop.models.Customer
    with nothing_changed(shop):
        who.always(user)
        for answer in answers(shop):
            refused(answer, 500, "misconfigured")
        who.give = lambda: user.customer_id
        assert set(statuses(shop)) == {500}
    close(shop)


@pytest.mark.parametrize(
    ("fail", "status", "code"),
    [
        (lambda: abort(401), 401, "unauthorized"),
        (lambda: abort(403, "Not here."), 403, "forbidden"),
        (lambda: request.args["customer"], 400, "bad_request"),
        (lambda: g.user, 500, "internal_server_error"),
        (lambda: dict[str, int]()["customer"], 500, "internal_server_error"),
        (lambda: int("x"), 500, "internal_server_error"),
    ],
)
def test_a_function_that_raises(
    fail: Callable[[], Any], status: int, code: str, sqlite_file: URL
) -> None:
    """The shop's own HTTP error is a problem document; anything else is a bug of the shop's."""
    with people_who(sqlite_file) as (shop, _classes, who):
        who.give = fail
        with nothing_changed(shop):
            for answer in answers(shop):
                assert (answer.status_code, body(answer)["code"]) == (status, code)
                assert answer.mimetype == "application/problem+json"


def test_a_refusal_of_the_shop_s_own(sqlite_file: URL) -> None:
    def refuse() -> None:
        raise InvalidRequest("Write to us.")

    with people_who(sqlite_file) as (shop, _classes, who):
        who.give = refuse
        with nothing_changed(shop):
            for answer in answers(shop):
                assert refused(answer, 400, "invalid_request")["detail"] == "Write to us."


def text_shop(url: URL, who: Any) -> Shop:
    """A shop without a class of customers."""
    db = SQLAlchemy()
    models = declare_models(db)
    config = {**CONFIG, "ORDERS_PAYMENT_ENDPOINT": "orders.get_order"}
    shop = Shop(install(db, url, jwt=False, config=config, current_customer=who), db, models)
    fill(shop, [])
    return shop


def test_without_a_class_of_customers_the_key_is_text(
    database: URL, caplog: pytest.LogCaptureFixture
) -> None:
    who = Who()
    shop = text_shop(database, who)
    for given, key in ((7, "7"), ("ann", "ann"), ("7 ", "7 ")):
        shop.cart(key, {1: 1})
        who.always(given)
        assert statuses(shop) == ANSWERED
        assert key in {order["customer_id"] for order in shop.rows("orders")}
    with nothing_changed(shop):
        for wrong in (Old(), True, b"7", KINDS["uuid"][1]):
            who.always(wrong)
            for answer in answers(shop):
                refused(answer, 500, "misconfigured")
        assert "call declare_models(db, customer=Old) if that is their class" in caplog.text
        for nobody in ("a\0", "\ud800", "x" * 256, "", None, Anonymous()):
            who.always(nobody)
            assert set(statuses(shop)) == {401}
    close(shop)


async def later() -> int:
    return 1


def of_request(_request: Any) -> int:
    return 1


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ("user_id", "an object of str"),
        (7, "an object of int"),
        (object(), "an object of object"),
        (UserMixin, "the class UserMixin"),
        (later, "an async function"),
        (of_request, "a function that needs arguments"),
    ],
)
def test_what_can_t_name_a_customer_is_refused_when_registered(wrong: Any, what: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{what}.*write current_customer=current_user"):
        install(SQLAlchemy(), jwt=False, current_customer=wrong)


def test_a_second_registration_keeps_or_refuses_it() -> None:
    """A proxy is compared by itself: what it stands for is nobody, outside a request."""
    proxies: list[Any] = [current_user, LocalProxy(lambda: None), LocalProxy(lambda: 1 // 0)]
    for first, other in itertools.permutations([*proxies, lambda: None, lambda: 1], 2):
        app = install(SQLAlchemy(), jwt=False, current_customer=first)
        app.register_blueprint(orders_bp, name="second", url_prefix="/2")
        app.register_blueprint(orders_bp, name="third", url_prefix="/3", current_customer=first)
        with pytest.raises(ConfigurationError, match=r"an app has one.*current_customer="):
            app.register_blueprint(orders_bp, name="4", url_prefix="/4", current_customer=other)
    app = install(SQLAlchemy())
    with pytest.raises(ConfigurationError, match=r"or without one.*current_customer="):
        app.register_blueprint(orders_bp, name="2", url_prefix="/2", current_customer=current_user)


def checked(
    url: URL | str, *, customers: bool = True, jwt: bool = False, **options: Any
) -> tuple[int, str]:
    db = SQLAlchemy()

    class User(db.Model):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)

    declare_models(db, customer=User if customers else None)
    app = install(db, url, jwt=jwt, config=CONFIG, **options)
    add_pay(app)
    add_login(app, db, User)
    with app.app_context():
        db.create_all()
    found = check(app)
    with app.app_context():
        db.drop_all()
        db.engine.dispose()
    return found


def test_check_needs_a_jwt_manager_or_a_current_customer(sqlite_file: URL) -> None:
    code, output = checked(sqlite_file)
    assert (code, output.count("\n")) == (1, 1), output
    assert "call JWTManager(app), of Flask-JWT-Extended, or pass" in output
    assert "current_customer=..." in output
    shops: tuple[dict[str, Any], ...] = (
        {"jwt": True},
        {"current_customer": current_user},
        {"jwt": True, "current_customer": current_user},
        {"current_customer": lambda: session.get("customer_id")},
        {"current_customer": lambda: current_user.customer_id},
        # What a before_request function has not put there is not guessed at.
        {"current_customer": lambda: g.user},
        {"current_customer": lambda: request.environ["REMOTE_USER"]},
        {"current_customer": lambda: session.get("customer_id"), "customers": False},
    )
    for options in shops:
        assert checked(sqlite_file, **options) == WELL, options


@pytest.mark.parametrize(
    ("options", "fix"),
    [
        ({"current_customer": lambda: 1}, "let it give None if nobody is signed in"),
        ({"current_customer": current_user, "customers": False}, "declare_models(db, customer="),
    ],
)
def test_check_asks_who_a_visitor_is(sqlite_file: URL, options: dict[str, Any], fix: str) -> None:
    code, output = checked(sqlite_file, **options)
    assert (code, output.count("\n")) == (1, 1), output
    assert fix in output


def test_openapi_claims_no_way_to_sign_in() -> None:
    """It says that nobody is 401, and that every POST is JSON, also where nothing in it is read."""
    documents = []
    for jwt in (False, True):
        app = install(SQLAlchemy(), jwt=jwt, config=CONFIG, current_customer=current_user)
        document = body(app.test_client().get(f"{ORDERS}openapi.json"))
        check_valid(document)
        documents.append(document)
    assert documents[0] == documents[1]
    assert "securitySchemes" not in document["components"]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if path.endswith("openapi.json"):
                continue
            assert "security" not in operation
            refusal = resolved(document, operation["responses"]["401"])
            problem = refusal["content"]["application/problem+json"]
            assert problem["schema"]["allOf"][1]["properties"]["code"]["enum"] == ["unauthorized"]
            assert ("415" in operation["responses"]) == (method == "post")
            described = operation.get("requestBody", {"required": False, "content": {}})
            assert described["required"] == (method == "post")
            assert list(described["content"]) == ["application/json"] * (method == "post")
    order = document["paths"][ORDERS]["post"]["requestBody"]["content"]["application/json"]
    assert order["schema"] == {"$ref": "#/components/schemas/CreateOrder"}
