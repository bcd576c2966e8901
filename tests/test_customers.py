"""The customer is the user lookup's result, else the JWT's subject; never a guess."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from flask_jwt_extended import JWTManager, create_access_token
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, Session, mapped_column, with_loader_criteria
from werkzeug.local import LocalProxy

from flask_orders import declare_models

from .support.apps import install, make_app
from .support.database import nothing_changed
from .support.keys import KINDS, ODD
from .support.people import close, people
from .support.requests import ANSWERED, CALLS, ORDERS, SAVE
from .support.responses import body, refused
from .support.shops import Shop


def answers(shop: Shop, subject: Any, calls: Any = CALLS) -> list[Any]:
    """What each call answers to the bearer of a token."""
    with shop.app.app_context():
        headers = {"Authorization": f"Bearer {create_access_token(subject)}"}
    client = shop.app.test_client()
    return [client.open(url, method=method, json=SAVE, headers=headers) for method, url in calls]


def jwt_of(shop: Shop) -> JWTManager:
    manager: JWTManager = shop.app.extensions["flask-jwt-extended"]
    return manager


def statuses(shop: Shop, subject: Any, calls: Any = CALLS) -> set[int]:
    return {answer.status_code for answer in answers(shop, subject, calls)}


def test_a_lookup_that_returns_no_customer_is_a_misconfiguration(
    database: URL, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither its key nor the subject is taken for a customer's key."""
    shop, classes = people(database)
    jwt = jwt_of(shop)
    session = shop.db.session
    returned: list[Callable[[], Any]] = [
        lambda: session.get(classes["User"], 1),
        lambda: session.get(classes["Staff"], 2),
        lambda: classes["Person"](id=1),
        lambda: {"id": 1},
        lambda: session.execute(sa.select(classes["Customer"].id)).first(),
        lambda: True,
        lambda: 1,
        lambda: "1",
    ]
    with nothing_changed(shop):
        for make in returned:
            jwt.user_lookup_loader(lambda _header, _claims, make=make: make())
            for answer in answers(shop, "1"):
                refused(answer, 500, "misconfigured")
    assert caplog.text.count("let the user_lookup_loader return the Customer") == 8 * len(CALLS)
    jwt.user_lookup_loader(lambda _header, _claims: None)
    assert statuses(shop, "1") == {401}
    close(shop)


def test_a_lookup_may_return_a_customer_of_a_subclass(database: URL) -> None:
    shop, classes = people(database)
    jwt = jwt_of(shop)

    @jwt.user_lookup_loader
    def look_up(_header: Any, claims: Mapping[str, Any]) -> Any:
        return LocalProxy(lambda: shop.db.session.get(classes["Person"], int(claims["sub"])))

    assert [answer.status_code for answer in answers(shop, "3")] == ANSWERED
    (order,) = shop.rows("orders")
    assert order["customer_id"] == 3
    close(shop)


def test_the_key_of_a_sibling_class_is_unknown(database: URL) -> None:
    """By the mapper: staff and customers are rows of one table."""
    shop, _classes = people(database)
    with nothing_changed(shop):
        assert statuses(shop, "2") == {401}
        assert statuses(shop, "9") == {401}
    assert statuses(shop, "1") == {200, 201, 404}
    close(shop)


def test_a_customer_hidden_by_the_shop_s_criteria_is_unknown(database: URL) -> None:
    shop, classes = people(database)
    jwt = jwt_of(shop)
    customer = classes["Customer"]

    def hide(state: Any) -> None:
        if state.is_select:
            criteria = with_loader_criteria(customer, customer.deleted.is_(False))
            state.statement = state.statement.options(criteria)

    sa.event.listen(Session, "do_orm_execute", hide)
    try:
        with shop.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE people SET deleted = (id = 1)")
        with nothing_changed(shop):
            assert statuses(shop, "1") == {401}
            # One that a lookup makes of the claims alone is looked for, too.
            jwt.user_lookup_loader(lambda _header, claims: customer(id=claims["sub"]))
            assert statuses(shop, "1") == {401}
            assert statuses(shop, str(2**63)) == {401}
        assert statuses(shop, "3") == {200, 201, 404}
    finally:
        sa.event.remove(Session, "do_orm_execute", hide)
    close(shop)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_lookup_the_subject_is_the_key_in_its_one_spelling(
    database: URL, kind: str
) -> None:
    """What can't be a key is 401 in every call, and never an error of the database's."""
    make_type, key, subject, others = KINDS[kind]
    db = SQLAlchemy()

    class Customer(db.Model):
        __tablename__ = "customers"
        id: Mapped[Any] = mapped_column(make_type(), primary_key=True, autoincrement=False)

    models = declare_models(db, customer=Customer)
    app = install(db, database, config={"ORDERS_PAYMENT_ENDPOINT": "orders.get_order"})
    shop = Shop(app, db, models)
    with app.app_context():
        db.create_all()
        db.session.add(Customer(id=key))
        db.session.add(models.Product(id=1, sku="A", name="A", price=1, stock=None))
        db.session.commit()
    shop.cart(key, {1: 1})
    with nothing_changed(shop):
        for other in (*others, *ODD):
            assert statuses(shop, other, [("GET", ORDERS), ("POST", ORDERS)]) == {401}, other
    assert [answer.status_code for answer in answers(shop, subject)] == ANSWERED
    (order,) = body(answers(shop, subject)[0])["results"]
    assert shop.rows("orders")[0]["customer_id"] == key
    assert order["id"] == str(shop.rows("orders")[0]["id"])
    close(shop)


def test_a_subject_that_no_text_column_holds_is_401(database: URL) -> None:
    """In a shop without a class of customers the subject itself is the key."""
    app, db = make_app(database, JWT_VERIFY_SUB=False)
    shop = Shop(app, db, declare_models(db))
    with app.app_context():
        db.create_all()
    with nothing_changed(shop):
        for subject in ("a\0", "\ud800", "x" * 256, "", None, True, 1.5):
            # Flask-JWT-Extended 4.7.0 refuses some itself, by 422.
            assert statuses(shop, subject) <= {401, 422}, subject
    close(shop)
