"""What declare_models takes and what it refuses immediately, each with the line to write."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Boolean, Float, ForeignKey, Integer, Numeric, String, Table
from sqlalchemy.ext.associationproxy import association_proxy
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    column_property,
    composite,
    mapped_column,
    relationship,
)

from flask_orders import ConfigurationError, declare_models, mapping
from flask_orders.stock import Stock


@dataclass
class Pair:
    """A composite value."""

    cents: int
    left: int | None


class Classes:
    """A small shop's classes with names of their own."""

    def __init__(self) -> None:
        class Base(DeclarativeBase):
            pass

        self.db = db = SQLAlchemy(model_class=Base)

        class User(db.Model):
            __tablename__ = "users"
            id: Mapped[int] = mapped_column(primary_key=True)
            email: Mapped[str] = mapped_column(String(50), unique=True)

        class Article(db.Model):
            __tablename__ = "articles"
            id: Mapped[int] = mapped_column(primary_key=True)
            title: Mapped[str] = mapped_column(String(50))
            amount: Mapped[Decimal] = mapped_column(Numeric(10, 2))
            cents: Mapped[int]
            weight: Mapped[float] = mapped_column(Float)
            left: Mapped[int | None]
            state: Mapped[str] = mapped_column(String(10), default="draft")
            phase: Mapped[str] = mapped_column(sa.Enum("new", "old"), default="new")
            free: Mapped[int | None] = mapped_column(sa.Computed("cents - left"))
            discontinued: Mapped[bool] = mapped_column(Boolean, default=False)
            maker_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
            maker: Mapped[User | None] = relationship()

            maker_mail = association_proxy("maker", "email")
            pair: Mapped[Pair] = composite("cents", "left")

            @property
            def label(self) -> str:
                return f"{self.title}!"

            @cached_property
            def kept(self) -> Decimal:
                return self.amount

            @hybrid_property
            def doubled(self) -> Decimal:
                return self.amount * 2

            def compute(self) -> Decimal:
                return self.amount

        Article.summed = column_property(Article.amount + 1)

        class Book(Article):
            __tablename__ = "books"
            id: Mapped[int] = mapped_column(ForeignKey("articles.id"), primary_key=True)
            allocated: Mapped[int] = mapped_column(default=0)

        class Basket(db.Model):
            __tablename__ = "baskets"
            id: Mapped[int] = mapped_column(primary_key=True)
            owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
            bought: Mapped[bool | None]
            code: Mapped[str | None] = mapped_column(String(20))

        class Row(db.Model):
            __tablename__ = "basket_rows"
            id: Mapped[int] = mapped_column(primary_key=True)
            basket_id: Mapped[int] = mapped_column(ForeignKey("baskets.id"))
            article_id: Mapped[int] = mapped_column(ForeignKey("articles.id"))
            count: Mapped[int]
            share: Mapped[Decimal] = mapped_column(Numeric(5, 2))

        self.User, self.Article, self.Book = User, Article, Book
        self.Basket, self.Row = Basket, Row

    def product(self, **parts: Any) -> Any:
        article = self.Article
        said: dict[str, Any] = {"sku": article.id, "name": article.title, "price": article.amount}
        return mapping.product(article, **{**said, "stock": None, **parts})

    def product_class(self, **attributes: Any) -> Any:
        """A class of products like Article, with further attributes."""
        columns = {"__tablename__": "more", "id": mapped_column(Integer, primary_key=True)}
        counts = {name: mapped_column(Integer) for name in ("cents", "left")}
        return type("More", (self.db.Model,), {**columns, **counts, **attributes})

    def book(self, **parts: Any) -> Any:
        return mapping.product(
            self.Book, sku=None, name=self.Book.title, price=self.Book.amount, **parts
        )

    def row(self, **parts: Any) -> Any:
        return mapping.cart_item(self.Row, **{"quantity": self.Row.count, **parts})

    def declare(self, **given: Any) -> Any:
        arguments: dict[str, Any] = {
            "customer": self.User,
            "product": self.product(),
            "cart": self.Basket,
            "cart_item": self.row(),
        }
        return declare_models(self.db, **{**arguments, **given})


class Warehouse:
    """A stock of the shop's own, which has everything."""

    def available(self, products: Mapping[Any, Any]) -> dict[Any, int | None]:
        return dict.fromkeys(products)

    def deduct(self, units: Mapping[Any, int]) -> None: ...

    def restock(self, units: Mapping[Any, int]) -> None: ...


WAREHOUSE: Stock = Warehouse()


@pytest.fixture
def shop() -> Classes:
    return Classes()


def test_a_mapping_finds_the_foreign_keys_and_configures_no_mapper(shop: Classes) -> None:
    models = shop.declare()
    found = models.shop
    assert found.cart.customer.column is sa.inspect(shop.Basket).columns.owner_id
    assert found.cart_item.cart.column is sa.inspect(shop.Row).columns.basket_id
    assert found.cart_item.product.column is sa.inspect(shop.Row).columns.article_id
    assert not any(mapper.configured for mapper in sa.inspect(shop.User).registry.mappers)
    sa.orm.configure_mappers()


Change = Callable[[Classes], dict[str, Any]]

REFUSED: dict[str, tuple[Change, str]] = {
    "integer price": (
        lambda s: {"product": s.product(price=s.Article.cents)},
        r"mapping.minor_units\(Article.cents\).*mapping.major_units\(Article.cents\)"
        r".*mapping.from_float",
    ),
    "float price": (
        lambda s: {"product": s.product(price=s.Article.weight)},
        r"mapping.from_float\(Article.weight\)",
    ),
    "minor units of a Numeric": (
        lambda s: {"product": s.product(price=mapping.minor_units(s.Article.amount))},
        "write Article.amount alone",
    ),
    "float from an Integer": (
        lambda s: {"product": s.product(price=mapping.from_float(s.Article.cents))},
        "holds no floats",
    ),
    "text price": (
        lambda s: {"product": s.product(price=s.Article.state)},
        "price: Article.state is a String",
    ),
    "float expression": (
        lambda s: {"product": s.product(price=s.Article.weight * 2)},
        "mapping.from_float",
    ),
    "float constant": (lambda s: {"product": s.product(price=1.5)}, r"price=Decimal\(...\)"),
    "shipping of another class": (
        lambda s: {"product": s.product(shipping=s.Row.share)},
        "basket_rows, which is not the row's own",
    ),
    "cached price": (
        lambda s: {"product": s.product(price=s.Article.kept)},
        "cached_property",
    ),
    "relationship as name": (
        lambda s: {"product": s.product(name=s.Article.maker)},
        "is a relationship",
    ),
    "function of two": (
        lambda s: {"product": s.product(name=lambda article, other: other)},
        "takes 2 parameters",
    ),
    "stock as text": (
        lambda s: {"product": s.product(stock=s.Article.state)},
        "stock: Article.state is a String",
    ),
    "stock as expression": (
        lambda s: {"product": s.product(stock=s.Article.left - 1)},
        "can't lock and change it",
    ),
    "stock as function": (
        lambda s: {"product": s.product(stock=lambda article: article.left)},
        "can't lock and change it",
    ),
    "class of a stock of its own": (
        lambda s: {"product": s.product(stock=Warehouse)},
        r"write stock=Warehouse\(...\)",
    ),
    "stock not said": (
        lambda s: {
            "product": mapping.product(
                s.Article, sku=None, name=s.Article.title, price=s.Article.amount
            )
        },
        "stock=None if the shop does not count stock",
    ),
    "active as text": (
        lambda s: {"product": s.product(active=s.Article.state)},
        "active=Article.state == ...",
    ),
    "open as text": (
        lambda s: {"cart": mapping.cart(s.Basket, open=s.Basket.id == "x", voucher=3)},
        "voucher: it is no column",
    ),
    "voucher that can't be taken off": (
        lambda s: {"cart": mapping.cart(s.Basket, voucher=s.Basket.owner_id)},
        "voucher: Basket.owner_id is NOT NULL and no text",
    ),
    "open as function": (
        lambda s: {"cart": mapping.cart(s.Basket, open=lambda basket: not basket.bought)},
        "open: a row is read by it",
    ),
    "quantity of two": (lambda s: {"cart_item": s.row(quantity=2)}, "quantity=1"),
    "quantity true": (lambda s: {"cart_item": s.row(quantity=True)}, "quantity=1"),
    "quantity as Numeric": (
        lambda s: {"cart_item": s.row(quantity=s.Row.share)},
        "quantity: Row.share is a Numeric",
    ),
    "quantity as function": (
        lambda s: {"cart_item": s.row(quantity=lambda row: row.count)},
        "quantity: it is read by SQL",
    ),
    "no such quantity": (
        lambda s: {"cart_item": s.Row},
        "Row has no attribute 'quantity'; write quantity=Row.<its column>, or quantity=1",
    ),
    "product as expression": (
        lambda s: {"cart_item": s.row(product=s.Row.article_id + 1)},
        "product: it is no column",
    ),
    "product by the cart's foreign key": (
        lambda s: {"cart_item": s.row(product=s.Row.basket_id)},
        "product: Row.basket_id refers to baskets.id, .*; write product=Row.article_id",
    ),
    "cart by the product's foreign key": (
        lambda s: {"cart_item": s.row(cart=s.Row.article_id)},
        "cart: Row.article_id refers to articles.id, .*; write cart=Row.basket_id",
    ),
    "cart without its foreign key": (
        lambda s: {"cart_item": s.row(cart=s.Row.id)},
        "cart: Row.id has no foreign key, .*; write cart=Row.basket_id",
    ),
    "customer without its foreign key": (
        lambda s: {"cart": mapping.cart(s.Basket, customer=s.Basket.id)},
        "customer: Basket.id has no foreign key, .*; write customer=Basket.owner_id",
    ),
    "customer of another class": (
        lambda s: {
            "customer": s.Book,
            "cart": mapping.cart(s.Basket, customer=s.Basket.owner_id),
        },
        "customer: Basket.owner_id refers to users.id, .* the key of a Book",
    ),
    "cart as the customer, with a customer": (
        lambda s: {
            "customer": s.Basket,
            "cart": mapping.cart(s.Basket, customer=s.Basket.owner_id),
        },
        "customer: Basket is the customer's class too",
    ),
    "no customer": (
        lambda s: {"customer": None},
        "customer: Basket has no attribute 'customer_id'; write customer=Basket",
    ),
    "cart is no class": (lambda s: {"cart": "Basket"}, "pass a model"),
    "stock is the price": (
        lambda s: {"product": s.product(stock=s.Article.amount)},
        "stock: Article.amount is the price already",
    ),
    "stock is the price in cents": (
        lambda s: {
            "product": s.product(price=mapping.minor_units(s.Article.cents), stock=s.Article.cents)
        },
        "stock: Article.cents is the price already",
    ),
    "shipping is a price from a float": (
        lambda s: {
            "product": s.product(
                price=mapping.from_float(s.Article.weight),
                shipping=mapping.from_float(s.Article.weight),
            )
        },
        "shipping: Article.weight is the price already",
    ),
    "stock is the key": (
        lambda s: {"product": s.product(stock=s.Article.id)},
        "stock: Article.id is the key already",
    ),
    "price is the key": (
        lambda s: {"product": s.product(price=mapping.minor_units(s.Article.id))},
        "price: Article.id is the key already",
    ),
    "stock is a foreign key": (
        lambda s: {"product": s.product(stock=s.Article.maker_id)},
        "stock: Article.maker_id is a foreign key",
    ),
    "stock is computed": (
        lambda s: {"product": s.product(stock=s.Article.free)},
        "stock: Article.free is computed by the database",
    ),
    "reserved twice": (
        lambda s: {"product": s.product(stock=mapping.reserved(s.Article.left, s.Article.left))},
        "stock's allocated: Article.left is the stock's quantity already",
    ),
    "quantity is the key": (
        lambda s: {"cart_item": s.row(quantity=s.Row.id)},
        "quantity: Row.id is the key already",
    ),
    "quantity is a foreign key": (
        lambda s: {"cart_item": s.row(quantity=s.Row.article_id)},
        "quantity: Row.article_id is the product already.*quantity: Row.article_id is a foreign",
    ),
    "voucher is a mark": (
        lambda s: {"cart": mapping.cart(s.Basket, voucher=s.Basket.bought)},
        r"voucher: Basket.bought is a Boolean\(\), which holds neither the code nor the key",
    ),
    "voucher is the customer": (
        lambda s: {
            "customer": None,
            "cart": mapping.cart(s.Basket, customer=s.Basket.code, voucher=s.Basket.code),
        },
        "voucher: Basket.code is the customer already",
    ),
    "name is the name of an attribute": (
        lambda s: {"product": s.product(name="title")},
        "name: 'title' would be the same text for every row; write name=Article.<its column>",
    ),
    "active is the name of an attribute": (
        lambda s: {"product": s.product(active="discontinued")},
        "active: 'discontinued' would be the same",
    ),
    "name is an association proxy": (
        lambda s: {"product": s.product(name=s.Article.maker_mail)},
        "name: .* would be the same for every row: give a column, or lambda row: row.",
    ),
    "active is an association proxy": (
        lambda s: {"product": s.product(active=s.Article.maker_mail)},
        "active: .* would be the same for every row",
    ),
    "name is a class": (lambda s: {"product": s.product(name=str)}, "name: str is a class"),
    "price is a composite": (
        lambda s: {"product": s.product(price=s.Article.pair)},
        "price: .*pair is no single value",
    ),
    "name found as a composite": (
        lambda s: {
            "product": mapping.product(
                s.product_class(name=composite(Pair, "cents", "left")),
                sku=None,
                price=None,
                stock=None,
            )
        },
        "name: .*name is no single value",
    ),
    "price is a SELECT": (
        lambda s: {"product": s.product(price=sa.select(s.Row.share))},
        "price: it is a SELECT: end it with .scalar_subquery",
    ),
    "active is text": (
        lambda s: {"product": s.product(active=sa.text("discontinued = 0"))},
        r"active: text\('discontinued = 0'\) has no value: write literal_column",
    ),
    "active is no member of an Enum": (
        lambda s: {"product": s.product(active=s.Article.phase.in_(["new", "newer"]))},
        "active: .*'newer' is none of 'new', 'old'",
    ),
    "open is a key": (
        lambda s: {"cart": mapping.cart(s.Basket, open=s.Basket.owner_id)},
        "open: Basket.owner_id is a key, which is no condition",
    ),
    "another mapping": (
        lambda s: {"cart": mapping.cart_item(s.Basket, open=s.Basket.bought.is_not(True))},
        r"write cart=mapping.cart\(...\)",
    ),
    "one class twice": (
        lambda s: {"cart": mapping.cart(s.Row)},
        r"declare_models\(cart=..., cart_item=...\) was given one class for both",
    ),
    "load of a column": (
        lambda s: {"product": s.product(load=s.Article.title)},
        "load: Article.title is no relationship",
    ),
    "copy of nothing": (
        lambda s: {"cart_item": s.row(copy=(s.Row.count + 1,))},
        "copy: .* is no column of Row",
    ),
    "copy without a column of the order item": (
        lambda s: {"cart_item": s.row(copy=(s.Row.share,))},
        "no column 'share' of their own; .*order_item=OrderItem",
    ),
    "copy over a column of the library": (
        lambda s: {"cart_item": mapping.cart_item(s.Row, quantity=1, copy=(s.Row.id,))},
        "id",
    ),
    "reserved by text": (
        lambda s: {"product": s.product(stock=mapping.reserved(s.Article.left, s.Article.state))},
        "stock: Article.state is a String",
    ),
    "reserved in two tables": (
        lambda s: {
            "product": s.book(stock=mapping.reserved(s.Book.left, s.Book.allocated)),
        },
        "columns of one table",
    ),
    "taken in cart of nothing": (
        lambda s: {"product": s.product(stock=mapping.taken_in_cart(None))},
        "stock: ",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_mapping_is_refused_when_declared(shop: Classes, name: str) -> None:
    change, message = REFUSED[name]
    with pytest.raises(ConfigurationError, match=f"(?s){message}"):
        shop.declare(**change(shop))
    assert "orders" not in shop.db.metadata.tables


def test_all_problems_of_all_classes_are_named_together(shop: Classes) -> None:
    product = mapping.product(shop.Article, price=shop.Article.cents)
    with pytest.raises(ConfigurationError) as refused:
        shop.declare(product=product, cart_item=shop.Row)
    for part in ("sku", "name", "price", "stock", "quantity"):
        assert f"{part}: " in str(refused.value)


ACCEPTED: dict[str, Change] = {
    "property": lambda s: {"product": s.product(name=s.Article.label)},
    "hybrid": lambda s: {"product": s.product(price=s.Article.doubled)},
    "column_property": lambda s: {"product": s.product(price=s.Article.summed)},
    "method": lambda s: {"product": s.product(price=s.Article.compute)},
    "function": lambda s: {"product": s.product(price=lambda a: a.amount)},
    "expression": lambda s: {"product": s.product(active=~s.Article.discontinued)},
    "lambda": lambda s: {"product": s.product(active=lambda: s.Article.maker.has())},
    "subquery": lambda s: {
        "product": s.product(
            price=sa.select(sa.func.max(s.Row.share)).correlate(s.Article).scalar_subquery()
        )
    },
    "column of the table": lambda s: {"product": s.product(price=s.Article.__table__.c.amount)},
    "minor units": lambda s: {"product": s.product(price=mapping.minor_units(s.Article.cents))},
    "float": lambda s: {"product": s.product(price=mapping.from_float(s.Article.weight))},
    "constant": lambda s: {"product": s.product(sale_price=Decimal(1), shipping=Decimal("4.90"))},
    "quantity expression": lambda s: {"cart_item": s.row(quantity=s.Row.count + 1)},
    "one row a unit": lambda s: {"cart_item": s.row(quantity=1)},
    "open": lambda s: {"cart": mapping.cart(s.Basket, open=s.Basket.bought.is_not(True))},
    "taken in cart": lambda s: {"product": s.product(stock=mapping.taken_in_cart(s.Article.left))},
    "stock of the shop's own": lambda s: {"product": s.product(stock=WAREHOUSE)},
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_part_may_be_an_attribute_an_expression_a_constant_or_a_function(
    shop: Classes, name: str
) -> None:
    given = ACCEPTED[name](shop)
    first = shop.declare(**given)
    # An app factory says the same again, with lambdas and expressions made anew.
    assert shop.declare(**ACCEPTED[name](shop)) is first
    with pytest.raises(ConfigurationError, match="other arguments"):
        shop.declare(product=shop.product(sku=None), cart_item=shop.row(cart=shop.Row.basket_id))
    assert not sa.inspect(shop.Article).configured


def test_a_hybrid_without_an_expression_is_read_of_the_object(shop: Classes) -> None:
    """`and` in a hybrid's body raises an error for a class."""
    active = hybrid_property(lambda more: more.cents > 1 and more.left > 1)
    found = shop.product_class(active=active)
    product = mapping.product(found, sku=None, name=None, price=None, stock=None)
    models = shop.declare(product=product, cart=None, cart_item=None)
    assert models.shop.product.active.call(found(cents=2, left=2))


def test_products_in_concrete_tables_are_refused(shop: Classes) -> None:
    """Each table counts its keys from 1."""

    class Ware(shop.db.Model):
        __tablename__ = "wares"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20))

    class Disc(Ware):
        __tablename__ = "discs"
        __mapper_args__: ClassVar = {"concrete": True}
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20))

    def product(cls: Any) -> Any:
        return mapping.product(cls, sku=None, price=None, stock=None)

    with pytest.raises(ConfigurationError, match=r"product=Ware: .*concrete"):
        shop.declare(product=product(Ware), cart=None, cart_item=None)
    assert shop.declare(product=product(Disc), cart=None, cart_item=None).Product is Disc


def test_two_foreign_keys_to_one_table_are_a_question(shop: Classes) -> None:
    db = shop.db

    class Gift(db.Model):
        __tablename__ = "gifts"
        id: Mapped[int] = mapped_column(primary_key=True)
        basket_id: Mapped[int] = mapped_column(ForeignKey("baskets.id"))
        article_id: Mapped[int] = mapped_column(ForeignKey("articles.id"))
        wrapping_id: Mapped[int] = mapped_column(ForeignKey("articles.id"))

    with pytest.raises(ConfigurationError, match=r"product=Gift.article_id or product=Gift.wrapp"):
        shop.declare(cart_item=mapping.cart_item(Gift, quantity=1))
    models = shop.declare(cart_item=mapping.cart_item(Gift, quantity=1, product=Gift.wrapping_id))
    assert models.shop.cart_item.product.column.name == "wrapping_id"


def test_a_part_of_a_foreign_key_of_several_columns_is_no_reference(shop: Classes) -> None:
    """All items of a tenant are not the items of one cart."""
    db = shop.db

    class TenantCart(db.Model):
        __tablename__ = "tenant_carts"
        __table_args__ = (sa.UniqueConstraint("tenant", "number"),)
        id: Mapped[int] = mapped_column(primary_key=True)
        owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
        tenant: Mapped[int]
        number: Mapped[int]

    class TenantRow(db.Model):
        __tablename__ = "tenant_rows"
        __table_args__ = (
            sa.ForeignKeyConstraint(
                ["tenant", "number"], ["tenant_carts.tenant", "tenant_carts.number"]
            ),
        )
        id: Mapped[int] = mapped_column(primary_key=True)
        tenant: Mapped[int]
        number: Mapped[int]
        article_id: Mapped[int] = mapped_column(ForeignKey("articles.id"))

    said_parts: list[dict[str, Any]] = [
        {},
        {"cart": TenantRow.tenant},
        {"cart": TenantRow.number},
    ]
    for said in said_parts:
        with pytest.raises(ConfigurationError, match="cart: "):
            shop.declare(
                cart=TenantCart, cart_item=mapping.cart_item(TenantRow, quantity=1, **said)
            )


def test_a_cart_may_have_the_key_of_its_customer(shop: Classes) -> None:
    """Items that refer to the customer refer to such a cart, too."""
    db = shop.db

    class OwnCart(db.Model):
        __tablename__ = "own_carts"
        user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)

    class OwnRow(db.Model):
        __tablename__ = "own_rows"
        id: Mapped[int] = mapped_column(primary_key=True)
        user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
        article_id: Mapped[int] = mapped_column(ForeignKey("articles.id"))

    item = mapping.cart_item(OwnRow, quantity=1, cart=OwnRow.user_id)
    models = shop.declare(cart=OwnCart, cart_item=item)
    assert models.shop.cart_item.cart.target is sa.inspect(OwnCart).columns.user_id


def test_a_bare_table_needs_a_key(shop: Classes) -> None:
    without = Table(
        "keyless",
        shop.db.metadata,
        sa.Column("user_id", Integer, ForeignKey("users.id")),
        sa.Column("article_id", Integer, ForeignKey("articles.id")),
    )
    with pytest.raises(ConfigurationError, match="no primary key"):
        shop.declare(cart=shop.User, cart_item=mapping.cart_item(without, quantity=1))
    keyed = Table(
        "keyed",
        shop.db.metadata,
        sa.Column("user_id", Integer, ForeignKey("users.id"), primary_key=True),
        sa.Column("article_id", Integer, ForeignKey("articles.id"), primary_key=True),
    )
    models = shop.declare(cart=shop.User, cart_item=mapping.cart_item(keyed, quantity=1))
    assert models.shop.cart.customer is None
    assert [column.name for column in models.shop.cart_item.key] == ["user_id", "article_id"]


def test_a_product_with_a_key_of_two_columns_or_on_a_join_is_refused(shop: Classes) -> None:
    db = shop.db

    class Tenanted(db.Model):
        __tablename__ = "tenanted"
        tenant: Mapped[int] = mapped_column(primary_key=True)
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str] = mapped_column(String(20))
        amount: Mapped[Decimal] = mapped_column(Numeric(10, 2))

    class Joined(db.Model):
        __table__ = sa.join(
            shop.Article.__table__,
            shop.User.__table__,
            shop.Article.__table__.c.maker_id == shop.User.__table__.c.id,
        )
        id = column_property(shop.Article.__table__.c.id, shop.User.__table__.c.id)

    for cls, message in ((Tenanted, "primary key has 2 columns"), (Joined, "mapped to a join")):
        product = mapping.product(cls, sku=None, name=None, price=Decimal(1), stock=None)
        with pytest.raises(ConfigurationError, match=message):
            shop.declare(product=product)
