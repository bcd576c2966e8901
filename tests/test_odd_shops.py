"""Shops with mappings that look right and are not: each is named by check, none sells wrongly."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Column, ForeignKey, Integer, Numeric, String
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, deferred, mapped_column, registry, relationship
from sqlalchemy.types import TypeDecorator

from flask_orders import declare_models, mapping
from flask_orders.models import OrderItemMixin

from .support.apps import new_db
from .support.database import nothing_changed
from .support.responses import body
from .support.shops import Shop, check_output, open_shop


class Flag(TypeDecorator[bool]):
    """A condition that an old shop stores as "Y" or "N"."""

    impl = String(1)
    cache_ok = True

    def process_bind_param(self, value: bool | None, _dialect: Any) -> str:
        return "Y" if value else "N"

    def process_result_value(self, value: str | None, _dialect: Any) -> bool:
        return value == "Y"


class Phase(IntEnum):
    """A status whose members are numbers, and whose first is not 0."""

    DRAFT = 1
    SOLD = 2


class OddClasses:
    """A shop's own classes in the old style, without a single type."""

    def __init__(self) -> None:
        self.db = db = new_db()

        class User(db.Model):
            __tablename__ = "users"
            id = Column(Integer, primary_key=True)

        class Mug(db.Model):
            __tablename__ = "mugs"
            id = Column(Integer, primary_key=True)
            title = Column("mug title (%)", String(50))
            price = deferred(Column("Price %", Numeric(10, 2)), raiseload=True)
            left = deferred(Column("Übrig", Integer), raiseload=True)
            state = Column(String(10), default="draft")
            flag = Column(Flag, default=True)
            code = Column(sa.LargeBinary, default=b"mug")
            reserved = Column(Integer, default=0)
            hidden = Column(sa.Boolean, default=False)
            sold_from = Column(sa.DateTime, default=datetime(2020, 1, 1, tzinfo=UTC))

            rows = relationship("Row", viewonly=True)

            def is_sold(self) -> bool:
                return False

        class Basket(db.Model):
            __tablename__ = "baskets"
            id = Column(Integer, primary_key=True)
            user_id = Column(Integer, ForeignKey("users.id"), unique=True)
            ordered = Column(sa.Boolean)
            ordered_at = Column(sa.DateTime)
            ends = Column(sa.DateTime, default=datetime(2040, 1, 1, tzinfo=UTC))

        class Row(db.Model):
            __tablename__ = "rows"
            id = Column(Integer, primary_key=True)
            basket_id = Column(Integer, ForeignKey("baskets.id"), index=True)
            mug_id = Column(Integer, ForeignKey("mugs.id"))
            quantity = Column(Integer, server_default="2")
            engraving = deferred(Column(String(20)), raiseload=True)

        class Sale(db.Model):
            __tablename__ = "sales"
            id = Column(Integer, primary_key=True)
            basket_id = Column(Integer, ForeignKey("baskets.id"))

        self.User, self.Mug, self.Basket, self.Row, self.Sale = User, Mug, Basket, Row, Sale

    def open(self, url: URL, *, cart: Any = None, order_item: Any = None, **product: Any) -> Shop:
        """The shop, with two mugs in the basket of customer 1."""
        mug, basket = self.Mug, self.Basket
        said = {"sku": None, "name": mug.title, "price": mug.price, "stock": mug.left}
        models = declare_models(
            self.db,
            customer=self.User,
            product=mapping.product(mug, **{**said, "active": True, **product}),
            cart=mapping.cart(basket, open=sa.true() if cart is None else cart),
            cart_item=mapping.cart_item(
                self.Row, open=sa.true(), copy=() if order_item is None else (self.Row.engraving,)
            ),
            order_item=order_item,
        )
        shop = open_shop(self.db, url, models)
        with shop.session() as session:
            session.add_all([self.User(id=1), mug(id=1, title="Mug", price=Decimal(10), left=5)])
            session.flush()
            session.add(basket(id=7, user_id=1))
            session.flush()
            session.add(self.Row(basket_id=7, mug_id=1, engraving="Ann"))
        return shop


@pytest.fixture
def classes() -> OddClasses:
    return OddClasses()


Said = Callable[[OddClasses], dict[str, Any]]

SOLD_BY_MISTAKE: dict[str, tuple[Said, str]] = {
    "a method that is not called": (
        lambda c: {"active": lambda mug: mug.is_sold},
        "active is <bound method .*, which is neither true nor false",
    ),
    "a status for a condition": (
        lambda c: {"active": lambda mug: mug.state},
        "active is 'draft', a str, which is neither true nor false",
    ),
    "a number of an Enum for a condition": (
        lambda c: {"active": lambda mug: Phase.DRAFT},
        "active is <Phase.DRAFT: 1>, a Phase, which is neither true nor false",
    ),
    "a method for a name": (
        lambda c: {"name": lambda mug: mug.is_sold},
        "name is <bound method .*, which is no text",
    ),
    "an object for a name": (
        lambda c: {"name": lambda mug: mug},
        "name is .*, which is no text",
    ),
    "bytes for a text": (
        lambda c: {"sku": c.Mug.code},
        "sku is b'mug', a bytes, which is no text",
    ),
    "amounts for units": (
        lambda c: {"price": mapping.minor_units(lambda mug: Decimal("10.00"))},
        r"is Decimal\('10.00'\), a Decimal, which counts no units",
    ),
}


@pytest.mark.parametrize("name", SOLD_BY_MISTAKE)
def test_a_function_that_returns_something_else_sells_nothing(
    classes: OddClasses, sqlite_file: URL, name: str
) -> None:
    said, message = SOLD_BY_MISTAKE[name]
    shop = classes.open(sqlite_file, **said(classes))
    found = check_output(shop)
    assert re.search(message, found), found
    with nothing_changed(shop):
        assert body(shop.post(1))["code"] == "misconfigured"
    shop.close()


CHECKED: dict[str, tuple[Said, str]] = {
    "a time of Python's": (
        lambda c: {"cart": c.Basket.ends > datetime(2026, 1, 1, tzinfo=UTC)},
        r"open= of Basket compares with datetime.* write func.now\(\)",
    ),
    "a time of a lambda's": (
        lambda c: {"active": lambda: c.Mug.sold_from <= datetime.now(UTC)},
        "active= of Mug compares with datetime",
    ),
    "a reversed column": (
        lambda c: {"cart": c.Basket.ordered},
        r"open=Basket.ordered looks reversed.* write open=Basket.ordered.is_not\(True\)",
    ),
    "a reversed condition": (
        lambda c: {"cart": c.Basket.ordered == sa.true()},
        "open=Basket.ordered looks reversed",
    ),
    "a reversed time": (
        lambda c: {"cart": c.Basket.ordered_at.is_not(None)},
        r"open=Basket.ordered_at looks reversed.* write open=Basket.ordered_at.is_\(None\)",
    ),
    "a reversed activity": (
        lambda c: {"active": c.Mug.hidden},
        r"active=Mug.hidden looks reversed.* write active=Mug.hidden.is_not\(True\)",
    ),
    "a reserved stock the other way round": (
        lambda c: {"stock": mapping.reserved(c.Mug.reserved, c.Mug.left)},
        r"looks swapped: write mapping.reserved\(Mug.left, Mug.reserved\)",
    ),
    "a walk without load=": (
        lambda c: {"sku": lambda mug: len(mug.rows)},
        r"reads Mug.rows by a statement for each product.*say .*load=Mug.rows\)",
    ),
    "a lambda for a value": (
        lambda c: {"price": lambda: Decimal(3)},
        r"a lambda of tests.test_odd_shops returns Decimal\('3'\)",
    ),
    "a lambda for a SELECT": (
        lambda c: {"price": lambda: sa.select(c.Row.quantity)},
        "price: it is a SELECT",
    ),
}


@pytest.mark.parametrize("name", CHECKED)
def test_a_condition_that_is_not_meant_is_named(
    classes: OddClasses, sqlite_file: URL, name: str
) -> None:
    said, message = CHECKED[name]
    shop = classes.open(sqlite_file, **said(classes))
    found = check_output(shop)
    assert re.search(message, found), found
    shop.close()


NOT_NAMED: dict[str, Said] = {
    "not exists": lambda c: {"cart": ~sa.exists().where(c.Sale.basket_id == c.Basket.id)},
    "the database's time": lambda c: {"cart": c.Basket.ends > sa.func.now()},
    "deferred columns": lambda c: {},
    "a condition that is stored as text": lambda c: {"active": c.Mug.flag},
    "a walk with load=": lambda c: {"sku": lambda mug: len(mug.rows), "load": c.Mug.rows},
    "an integer for a condition": lambda c: {"active": c.Mug.left},
}


@pytest.mark.parametrize("name", NOT_NAMED)
def test_an_odd_shop_sells(classes: OddClasses, database: URL, name: str) -> None:
    shop = classes.open(database, **NOT_NAMED[name](classes))
    assert check_output(shop) == "Everything is set up.\n"

    assert shop.post(1).status_code == 201

    (item,) = shop.rows("order_items")
    assert (item["product_id"], item["quantity"], item["unit_price"]) == (1, 2, Decimal(10))
    assert [row["Übrig"] for row in shop.rows("mugs")] == [3]
    assert shop.rows("rows") == []
    shop.close()


def test_a_condition_that_is_stored_as_text_may_be_false(
    classes: OddClasses, sqlite_file: URL
) -> None:
    """ "N" is true in Python and in no database's WHERE."""
    shop = classes.open(sqlite_file, active=classes.Mug.flag)
    with shop.session() as session:
        session.execute(sa.update(classes.Mug).values(flag=False))
    with nothing_changed(shop):
        assert [item["reason"] for item in body(shop.post(1))["items"]] == ["inactive"]
    shop.close()


def test_a_deferred_column_is_copied(classes: OddClasses, sqlite_file: URL) -> None:
    """It is read with its item, and not by a SELECT of its own."""

    class OrderItem(OrderItemMixin, classes.db.Model):
        __tablename__ = "order_items"
        engraving: Mapped[str | None] = mapped_column(String(20))

    shop = classes.open(sqlite_file, order_item=OrderItem)
    assert shop.post(1).status_code == 201
    assert [row["engraving"] for row in shop.rows("order_items")] == ["Ann"]
    shop.close()


def test_classes_that_are_mapped_imperatively(database: URL) -> None:
    """They have neither a `metadata` nor a base; their names need quotes on every database."""
    db = SQLAlchemy()
    columns = (
        Column("Nr.", Integer, primary_key=True, key="nr"),
        Column("Preis (netto)", Numeric(10, 2), key="p"),
        Column("Größe:1", String(20), key="g"),
        Column("Bestand %", Integer, key="b"),
    )
    tables = {
        "User": sa.Table("users", db.metadata, Column("id", Integer, primary_key=True)),
        "Good": sa.Table("Goods & Co", db.metadata, *columns),
        "Basket": sa.Table(
            "select",
            db.metadata,
            Column("id", Integer, primary_key=True),
            Column("user", Integer, ForeignKey("users.id"), unique=True),
        ),
        "Row": sa.Table(
            "row",
            db.metadata,
            Column("order", Integer, ForeignKey("select.id"), primary_key=True),
            Column("group", Integer, ForeignKey("Goods & Co.nr"), primary_key=True),
            Column("limit", Integer),
        ),
    }
    shop_classes: dict[str, Any] = {name: type(name, (), {}) for name in tables}
    for name, cls in shop_classes.items():
        registry(metadata=db.metadata).map_imperatively(cls, tables[name])
    good, row = shop_classes["Good"], shop_classes["Row"]
    models = declare_models(
        db,
        customer=shop_classes["User"],
        product=mapping.product(good, sku=good.nr, name=good.g, price=good.p, stock=good.b),
        cart=shop_classes["Basket"],
        cart_item=mapping.cart_item(row, quantity=row.limit),
    )
    shop = open_shop(db, database, models)
    assert check_output(shop) == "Everything is set up.\n"
    with shop.engine.begin() as connection:
        connection.execute(tables["User"].insert(), {"id": 1})
        goods = [{"nr": nr, "p": Decimal(nr), "g": f"a%s:{nr}", "b": 4} for nr in (1, 2)]
        connection.execute(tables["Good"].insert(), goods)
        connection.execute(tables["Basket"].insert(), {"id": 5, "user": 1})
        rows = [{"order": 5, "group": nr, "limit": nr} for nr in (1, 2)]
        connection.execute(tables["Row"].insert(), rows)

    made = shop.post(1)

    assert made.status_code == 201
    sold = [(item["name"], item["quantity"]) for item in shop.rows("order_items")]
    assert sorted(sold) == [("a%s:1", 1), ("a%s:2", 2)]
    assert [good["Bestand %"] for good in shop.rows("Goods & Co")] == [3, 2]
    assert shop.rows("row") == []
    assert shop.send(1, f"{made.headers['Location']}cancel/").status_code == 200
    assert [good["Bestand %"] for good in shop.rows("Goods & Co")] == [4, 4]
    shop.close()


def test_a_token_that_is_almost_a_customer_s_number_has_no_cart(database: URL) -> None:
    """Without a class of customers: PostgreSQL refuses "abc", and MariaDB takes "1abc" for 1."""
    db = new_db()

    class Cart(db.Model):
        __tablename__ = "carts"
        id = Column(Integer, primary_key=True)
        customer_id = Column(Integer, unique=True)

    models = declare_models(db, cart=Cart)
    shop = open_shop(db, database, models)
    with shop.session() as session:
        mug = models.Product(id=1, sku="mug", name="Mug", price=Decimal(10), stock=5)
        session.add_all([mug, Cart(id=7, customer_id=1)])
        session.flush()
        session.add(models.CartItem(cart_id=7, product_id=1, quantity=1))

    for stranger in ("abc", " 1", "1abc", "1.0", "9" * 30):
        with nothing_changed(shop):
            assert body(shop.post(stranger))["code"] == "empty_cart"

    assert shop.post("1").status_code == 201
    shop.close()
