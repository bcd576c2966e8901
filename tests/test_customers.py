"""The customer is the user lookup's result, else the JWT's subject; never a guess."""

from collections.abc import Callable, Mapping
from datetime import date
from enum import Enum
from typing import Any, ClassVar
from uuid import UUID

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
from .support.requests import ORDERS, SAVE
from .support.responses import body, refused
from .support.shops import Shop

KEY = str(UUID(int=7))
CALLS = [
    ("GET", ORDERS),
    ("GET", f"{ORDERS}preview/"),
    ("GET", f"{ORDERS}{KEY}/"),
    ("POST", ORDERS),
    ("POST", f"{ORDERS}{KEY}/checkout/"),
    ("POST", f"{ORDERS}{KEY}/cancel/"),
]

ANSWERED = [200, 200, 404, 201, 404, 404]


def answers(shop: Shop, subject: Any, calls: Any = CALLS) -> list[Any]:
    """What each call answers to the bearer of a token."""
    with shop.app.app_context():
        headers = {"Authorization": f"Bearer {create_access_token(subject)}"}
    client = shop.app.test_client()
    return [client.open(url, method=method, json=SAVE, headers=headers) for method, url in calls]


def statuses(shop: Shop, subject: Any, calls: Any = CALLS) -> set[int]:
    return {answer.status_code for answer in answers(shop, subject, calls)}


def people(url: URL) -> tuple[Shop, dict[str, Any], JWTManager]:
    """A shop whose customers and staff are in one table, and a second class of users."""
    db = SQLAlchemy()

    class Person(db.Model):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str] = mapped_column(sa.String(20))
        deleted: Mapped[bool] = mapped_column(default=False)
        __mapper_args__: ClassVar[Any] = {
            "polymorphic_on": "kind",
            "polymorphic_identity": "person",
        }

    class Customer(Person):
        __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "customer"}

    class Wholesaler(Customer):
        __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "wholesaler"}

    class Staff(Person):
        __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "staff"}

    class User(db.Model):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)

    models = declare_models(db, customer=Customer)
    app = install(db, url, config={"ORDERS_PAYMENT_ENDPOINT": "orders.get_order"})
    shop = Shop(app, db, models)
    with app.app_context():
        db.create_all()
        db.session.add_all([Customer(id=1), Staff(id=2), Wholesaler(id=3), User(id=1)])
        product = models.Product(sku="A", name="A", price=1, stock=9)
        db.session.add(product)
        db.session.commit()
    for person in (1, 2, 3):
        shop.cart(person, {shop.rows("products")[0]["id"]: 1})
    classes = {cls.__name__: cls for cls in (Person, Customer, Staff, User)}
    return shop, classes, app.extensions["flask-jwt-extended"]


def close(shop: Shop) -> None:
    with shop.app.app_context():
        shop.db.drop_all()
    shop.close()


def test_a_lookup_that_returns_no_customer_is_a_misconfiguration(
    database: URL, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither its key nor the subject is taken for a customer's key."""
    shop, classes, jwt = people(database)
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
    shop, classes, jwt = people(database)

    @jwt.user_lookup_loader
    def look_up(_header: Any, claims: Mapping[str, Any]) -> Any:
        return LocalProxy(lambda: shop.db.session.get(classes["Person"], int(claims["sub"])))

    assert [answer.status_code for answer in answers(shop, "3")] == ANSWERED
    (order,) = shop.rows("orders")
    assert order["customer_id"] == 3
    close(shop)


def test_the_key_of_a_sibling_class_is_unknown(database: URL) -> None:
    """By the mapper: staff and customers are rows of one table."""
    shop, _classes, _jwt = people(database)
    with nothing_changed(shop):
        assert statuses(shop, "2") == {401}
        assert statuses(shop, "9") == {401}
    assert statuses(shop, "1") == {200, 201, 404}
    close(shop)


def test_a_customer_hidden_by_the_shop_s_criteria_is_unknown(database: URL) -> None:
    shop, classes, jwt = people(database)
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


class Prefixed(sa.types.TypeDecorator[str]):
    """ "cus_7" in Python, 7 in the database."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else int(value.removeprefix("cus_"))

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else f"cus_{value}"


class Plain(sa.types.TypeDecorator[int]):
    impl = sa.Integer
    cache_ok = True


class Folded(sa.types.TypeDecorator[str]):
    impl = sa.String(20)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else value.lower()


class Typed(sa.types.TypeDecorator[UUID]):
    """Of a type that won't say what its values are in Python."""

    impl = sa.Uuid
    cache_ok = True

    @property
    def python_type(self) -> type[Any]:
        raise NotImplementedError


class Branch(Enum):
    NORTH = "n"
    SOUTH = "s"


NUMBERS = ["8", " 7", "7 ", "7.0", "+7", "07", "1_0", "\uff17", "", "abc", str(2**31), str(2**63)]
ODD = ["9" * 30, "9" * 5000, "a\0", "\ud800", "x" * 300, "None", "True"]

# A key type, a key, how a token has it, and what others may have.
KINDS: dict[str, tuple[Callable[[], Any], Any, str, list[str]]] = {
    "integer": (sa.Integer, 7, "7", NUMBERS),
    "bigint": (sa.BigInteger, 7, "7", NUMBERS),
    "uuid": (sa.Uuid, UUID(int=7), KEY, ["7", KEY[:-1] + "8", f"{{{KEY}}}", f"urn:uuid:{KEY}"]),
    "uuid as text": (lambda: sa.Uuid(as_uuid=False), KEY, KEY, ["7", KEY.replace("-", "")]),
    "text": (lambda: sa.String(40), "ann", "ann", ["bob", "ann\0", ""]),
    "enum": (lambda: sa.Enum(Branch), Branch.NORTH, "NORTH", ["SOUTH", "EAST", "N"]),
    "date": (sa.Date, date(2026, 1, 2), "2026-01-02", ["20260102", "2026-1-2", "2026-13-01"]),
    "prefixed": (Prefixed, "cus_7", "cus_7", ["7", "cus_ 7", "cus_07", "cus_x", "cus_8"]),
    "plain": (Plain, 7, "7", NUMBERS),
    "folded": (Folded, "ann", "ann", ["bob", ""]),
    "untold": (Typed, UUID(int=7), KEY, ["7", KEY[:-1] + "8"]),
}


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
    assert [answer.status_code for answer in answers(shop, subject)] == [
        200,
        200,
        404,
        201,
        404,
        404,
    ]
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
