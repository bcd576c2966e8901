"""`flask orders check` on mappings: prints what was resolved, and names what is wrong in rows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import ForeignKey, Numeric, String
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column, relationship

from flask_orders import declare_models, mapping
from flask_orders.models import OrderItemMixin

from .support.apps import install, new_db
from .support.checks import check_with_mapping
from .support.shops import Shop


class Parts:
    """A shop whose classes have a column for every part, under names of its own."""

    def __init__(self) -> None:
        self.db = db = new_db()

        class User(db.Model):
            __tablename__ = "users"
            id: Mapped[int] = mapped_column(primary_key=True)

        class Brand(db.Model):
            __tablename__ = "brands"
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str] = mapped_column(String(20))
            surcharge: Mapped[Decimal] = mapped_column(Numeric(10, 2), default=Decimal(0))

        class Article(db.Model):
            __tablename__ = "articles"
            id: Mapped[int] = mapped_column(primary_key=True)
            title: Mapped[str] = mapped_column(String(20), default="A")
            amount: Mapped[Decimal] = mapped_column(Numeric(10, 2), default=Decimal(1))
            cents: Mapped[int] = mapped_column(default=100)
            weight: Mapped[float] = mapped_column(default=1.0)
            left: Mapped[int] = mapped_column(default=9)
            allocated: Mapped[int] = mapped_column(default=0)
            hidden: Mapped[bool] = mapped_column(default=False)
            brand_id: Mapped[int | None] = mapped_column(ForeignKey("brands.id"))
            brand: Mapped[Brand | None] = relationship()

            @property
            def label(self) -> str:
                return f"{self.title} by {self.brand.name if self.brand else '?'}"

            def compute(self) -> Decimal:
                return self.amount

        class Basket(db.Model):
            __tablename__ = "baskets"
            id: Mapped[int] = mapped_column(primary_key=True)
            owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"), unique=True)
            bought: Mapped[bool | None]

        class Row(db.Model):
            __tablename__ = "basket_rows"
            id: Mapped[int] = mapped_column(primary_key=True)
            basket_id: Mapped[int] = mapped_column(ForeignKey("baskets.id"), index=True)
            article_id: Mapped[int] = mapped_column(ForeignKey("articles.id"))
            count: Mapped[int]
            saved: Mapped[bool | None]
            note: Mapped[str | None] = mapped_column(String(20))

        class OrderItem(OrderItemMixin, db.Model):
            note: Mapped[str | None] = mapped_column(String(20))

        self.User, self.Brand, self.Article = User, Brand, Article
        self.Basket, self.Row, self.OrderItem = Basket, Row, OrderItem

    def product(self, **parts: Any) -> Any:
        article = self.Article
        said: dict[str, Any] = {
            "sku": None,
            "name": article.title,
            "price": article.amount,
            "stock": article.left,
            "active": article.hidden.is_(False),
        }
        return mapping.product(article, **{**said, **parts})

    def cart(self, **parts: Any) -> Any:
        return mapping.cart(self.Basket, **{"open": self.Basket.bought.is_not(True), **parts})

    def cart_item(self, **parts: Any) -> Any:
        said: dict[str, Any] = {"quantity": self.Row.count, "open": self.Row.saved.is_not(True)}
        return mapping.cart_item(self.Row, **{**said, **parts})

    @contextmanager
    def open(self, url: URL, **given: Any) -> Iterator[Shop]:
        classes = {"product": self.product(), "cart": self.cart(), "cart_item": self.cart_item()}
        models = declare_models(
            self.db, customer=self.User, order_item=self.OrderItem, **{**classes, **given}
        )
        config = {
            "ORDERS_PAYMENT_ENDPOINT": "pay",
            "SQLALCHEMY_ENGINE_OPTIONS": {"hide_parameters": True},
        }
        app = install(self.db, url, config=config)
        app.add_url_rule("/pay/<uuid:order_id>", "pay", lambda order_id: "")
        with app.app_context():
            self.db.create_all()
        shop = Shop(app, self.db, models)
        try:
            yield shop
        finally:
            shop.close()


@pytest.fixture
def parts() -> Parts:
    return Parts()


def checked(shop: Shop) -> tuple[list[str], list[str]]:
    """Return the lines of the mapping, and the findings."""
    code, lines, output = check_with_mapping(shop.app)
    found = output.splitlines()
    if code == 0:
        assert found == ["Everything is set up."]
        return lines, []
    return lines, found


class Shelves:
    def available(self, products: Any) -> Any:
        return dict.fromkeys(products, 5)

    def deduct(self, units: Any) -> None:
        pass

    def restock(self, units: Any) -> None:
        pass


Given = Callable[[Parts], dict[str, Any]]


def add_two(price: Any) -> Decimal:
    return Decimal(price.amount) + 2


# What is given, and what is printed of it.
PRINTED: dict[str, tuple[Given, str]] = {
    "column": (lambda p: {"product": p.product()}, "name=Article.title"),
    "constant": (lambda p: {"product": p.product(shipping=Decimal("4.90"))}, "Decimal('4.90')"),
    "expression": (
        lambda p: {"product": p.product(active=~p.Article.hidden)},
        "active=articles.hidden = 0|active=articles.hidden = false|active=NOT articles.hidden",
    ),
    "expression with values": (
        lambda p: {"product": p.product(active=p.Article.title.in_(["A", "B"]))},
        "active=articles.title IN ('A', 'B')",
    ),
    "expression of several lines": (
        lambda p: {
            "product": p.product(
                price=sa.select(sa.func.max(p.Brand.surcharge))
                .where(p.Brand.id == p.Article.brand_id)
                .correlate(p.Article)
                .scalar_subquery()
            )
        },
        "price=(SELECT max(brands.surcharge) AS max_1 FROM brands, articles "
        "WHERE brands.id = articles.brand_id)|price=(SELECT max(brands.surcharge) AS max_1 "
        "FROM brands WHERE brands.id = articles.brand_id)",
    ),
    "lambda of an expression": (
        lambda p: {"product": p.product(active=lambda: p.Article.brand.has())},
        "active=EXISTS (SELECT 1 FROM ",
    ),
    "function": (lambda p: {"product": p.product(price=add_two)}, "price=add_two"),
    "lambda": (
        lambda p: {"product": p.product(price=lambda article: article.amount)},
        "price=lambda article: ...",
    ),
    "method": (lambda p: {"product": p.product(price=p.Article.compute)}, "price=Article.compute"),
    "property": (
        lambda p: {"product": p.product(name=p.Article.label, load=p.Article.brand)},
        "name=Article.label",
    ),
    "load": (
        lambda p: {"product": p.product(name=p.Article.label, load=p.Article.brand)},
        "load=Article.brand",
    ),
    "minor units": (
        lambda p: {"product": p.product(price=mapping.minor_units(p.Article.cents))},
        "price=minor_units(Article.cents)",
    ),
    "micros": (
        lambda p: {"product": p.product(price=mapping.minor_units(p.Article.cents, 6))},
        "price=minor_units(Article.cents, 6)",
    ),
    "major units": (
        lambda p: {"product": p.product(price=mapping.major_units(p.Article.cents))},
        "price=major_units(Article.cents)",
    ),
    "float": (
        lambda p: {"product": p.product(price=mapping.from_float(p.Article.weight))},
        "price=from_float(Article.weight)",
    ),
    "stock": (lambda p: {"product": p.product()}, "stock=Article.left"),
    "no stock": (lambda p: {"product": p.product(stock=None)}, "stock=None"),
    "reserved": (
        lambda p: {
            "product": p.product(stock=mapping.reserved(p.Article.left, p.Article.allocated))
        },
        "stock=reserved(Article.left, Article.allocated)",
    ),
    "taken in cart": (
        lambda p: {"product": p.product(stock=mapping.taken_in_cart(p.Article.left))},
        "stock=taken_in_cart(Article.left)",
    ),
    "own stock": (lambda p: {"product": p.product(stock=Shelves())}, "stock=Shelves()"),
    "cart": (lambda p: {}, "cart: Basket, customer=Basket.owner_id, voucher=None"),
    "open": (
        lambda p: {"cart": p.cart(open=p.Basket.bought.is_not(True))},
        "open=baskets.bought IS NOT true|open=baskets.bought IS NOT 1",
    ),
    "item": (
        lambda p: {},
        "cart item: Row, cart=Row.basket_id, product=Row.article_id, quantity=Row.count",
    ),
    "one row a unit": (lambda p: {"cart_item": p.cart_item(quantity=1)}, "quantity=1"),
    "copy": (lambda p: {"cart_item": p.cart_item(copy=(p.Row.note,))}, "copy=Row.note"),
}


@pytest.mark.parametrize("name", PRINTED)
def test_every_kind_of_part_is_printed_on_one_line(
    sqlite_file: URL, parts: Parts, name: str
) -> None:
    given, expected = PRINTED[name]
    with parts.open(sqlite_file, **given(parts)) as shop:
        lines, found = checked(shop)
    assert found == []
    assert [line.partition(":")[0] for line in lines] == ["product", "cart", "cart item"]
    assert any(text in line for text in expected.split("|") for line in lines), lines
    assert not any(" at 0x" in line or "<" in line for line in lines)


def test_a_customer_that_is_the_cart_and_a_bare_table(sqlite_file: URL, parts: Parts) -> None:
    table = sa.Table(
        "wants",
        parts.db.metadata,
        sa.Column("user_id", sa.ForeignKey("users.id"), primary_key=True),
        sa.Column("article_id", sa.ForeignKey("articles.id"), primary_key=True),
    )
    item = mapping.cart_item(table, quantity=1)
    with parts.open(sqlite_file, cart=parts.User, cart_item=item) as shop:
        lines, found = checked(shop)
    assert found == []
    assert lines[1:] == [
        "cart: User, customer=its own key, voucher=None",
        "cart item: the table 'wants', cart=wants.c.user_id, product=wants.c.article_id, "
        "quantity=1",
    ]


def raises(article: Any) -> Decimal:
    return Decimal(1) if article.brand is None else Decimal(1) / article.brand.surcharge


def is_float(article: Any) -> Any:
    return float(article.amount)


@pytest.mark.parametrize("part", ["price", "name", "shipping", "active", "sku", "sale_price"])
def test_a_function_that_raises_is_named_with_its_products(
    database: URL, parts: Parts, part: str
) -> None:
    """The other products, and all the other checks, are looked at all the same."""
    product = parts.product(**{part: raises, "load": parts.Article.brand})
    with parts.open(database, product=product, cart=parts.cart(open=~parts.Basket.bought)) as shop:
        shop.add(parts.Brand(id=1, name="B", surcharge=Decimal(0)))
        for key in range(1, 10):
            shop.add(parts.Article(id=key, brand_id=1 if key > 2 else None))
        _, found = checked(shop)
        (line,) = [line for line in found if "can't be read" in line]
        assert line.startswith("- 7 product(s) can't be read, since a part of mapping.product(...)")
        assert "DivisionByZero" in line or "InvalidOperation" in line
        with shop.engine.connect() as connection:
            rows = connection.exec_driver_sql(line.partition("some are: ")[2].replace("%", "%%"))
            assert [row[0] for row in rows] == [3, 4, 5, 6, 7]
        assert any("Basket.bought" in line for line in found)


def test_a_function_that_returns_floats_is_named_with_the_ways_out(
    database: URL, parts: Parts
) -> None:
    with parts.open(database, product=parts.product(price=is_float)) as shop:
        for key in (1, 2):
            shop.add(parts.Article(id=key))
        _, found = checked(shop)
    (line,) = found
    assert line.startswith("- 2 product(s) can't be read")
    assert "is_float is 1.0, a float" in line
    assert "mapping.from_float(is_float)" in line


def test_a_lambda_that_returns_floats_is_spelled_readably(database: URL, parts: Parts) -> None:
    with parts.open(database, product=parts.product(price=lambda one: float(one.amount))) as shop:
        shop.add(parts.Article(id=1))
        _, found = checked(shop)
    assert "mapping.from_float(lambda one: ...)" in found[0]


@pytest.mark.parametrize("fine", [raises, add_two])
def test_functions_that_return_prices_are_fine(database: URL, parts: Parts, fine: Any) -> None:
    product = parts.product(price=fine, load=parts.Article.brand)
    with parts.open(database, product=product) as shop:
        shop.add(parts.Article(id=1))
        assert checked(shop)[1] == []


NULLS: dict[str, tuple[Given, str]] = {
    "cart": (
        lambda p: {"cart": p.cart(open=~p.Basket.bought)},
        "Basket.bought.is_not(True)",
    ),
    "cart by comparison": (
        lambda p: {"cart": p.cart(open=p.Basket.bought != True)},  # noqa: E712
        "Basket.bought.is_not(True)",
    ),
    "item": (lambda p: {"cart_item": p.cart_item(open=~p.Row.saved)}, "Row.saved.is_not(True)"),
    "item by lambda": (
        lambda p: {"cart_item": p.cart_item(open=lambda: sa.not_(p.Row.saved))},
        "Row.saved.is_not(True)",
    ),
}

NO_NULLS: dict[str, Given] = {
    "cart": lambda p: {"cart": p.cart(open=p.Basket.bought.is_not(True))},
    "item": lambda p: {"cart_item": p.cart_item(open=p.Row.saved.is_not(True))},
    "never null": lambda p: {"product": p.product(active=~p.Article.hidden)},
}


@pytest.mark.parametrize("name", NULLS)
def test_a_not_over_a_nullable_column_is_named(sqlite_file: URL, parts: Parts, name: str) -> None:
    given, line = NULLS[name]
    with parts.open(sqlite_file, **given(parts)) as shop:
        (found,) = checked(shop)[1]
    assert line in found


@pytest.mark.parametrize("name", NO_NULLS)
def test_a_condition_that_is_true_for_null_is_fine(
    sqlite_file: URL, parts: Parts, name: str
) -> None:
    with parts.open(sqlite_file, **NO_NULLS[name](parts)) as shop:
        assert checked(shop)[1] == []


FAILING: dict[str, tuple[Given, str]] = {
    "the cart": (
        lambda p: {"cart": p.cart(open=sa.func.no_such(p.Basket.id) == 1)},
        "the SELECT of the cart fails",
    ),
    "the items": (
        lambda p: {
            "cart_item": p.cart_item(quantity=sa.func.no_such(p.Row.count, type_=sa.Integer))
        },
        "the SELECT of the cart's items fails",
    ),
    "the products": (
        lambda p: {"product": p.product(active=sa.func.no_such(p.Article.id) == 1)},
        "the SELECT of the products fails",
    ),
}


@pytest.mark.parametrize("what", FAILING)
def test_a_statement_that_fails_is_named(database: URL, parts: Parts, what: str) -> None:
    given, line = FAILING[what]
    with parts.open(database, **given(parts)) as shop:
        found = checked(shop)[1]
    assert any(line in each and "no_such" in each.lower() for each in found), found


@pytest.mark.parametrize("name", ["coupon_code", "shipping_method"])
def test_a_cart_s_column_that_looks_like_money_is_named(
    sqlite_file: URL, parts: Parts, name: str
) -> None:
    setattr(parts.Basket, name, mapped_column(String(20), nullable=True))
    with parts.open(sqlite_file) as shop:
        (found,) = checked(shop)[1]
    assert f"Basket.{name} looks like" in found
    assert "pricing=..." in found
