"""What is not supported is refused when it is declared, or by `check`, with the reason."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import JSON, ForeignKey, Numeric, String
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, column_property, mapped_column

from flask_orders import ConfigurationError, declare_models, mapping

from .support.apps import new_db
from .support.checks import check
from .support.shops import open_shop

PRICE = Numeric(10, 2)


class Shapes:
    """A shop with rows of every kind that an order can't lock or refer to."""

    def __init__(self) -> None:
        self.db = db = new_db()

        class User(db.Model):
            __tablename__ = "users"
            id: Mapped[int] = mapped_column(primary_key=True)

        class Product(db.Model):
            __tablename__ = "products"
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str] = mapped_column(String(20), default="A")
            price: Mapped[Decimal] = mapped_column(PRICE, default=Decimal(1))
            variants: Mapped[Any] = mapped_column(JSON, default=dict)

        class Book(db.Model):
            __tablename__ = "books"
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str] = mapped_column(String(20))
            price: Mapped[Decimal] = mapped_column(PRICE)

        class Tenanted(db.Model):
            __tablename__ = "tenanted"
            tenant_id: Mapped[int] = mapped_column(primary_key=True)
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str] = mapped_column(String(20))
            price: Mapped[Decimal] = mapped_column(PRICE)

        class Cart(db.Model):
            __tablename__ = "carts"
            id: Mapped[int] = mapped_column(primary_key=True)
            user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), unique=True)

        class CartItem(db.Model):
            __tablename__ = "cart_items"
            id: Mapped[int] = mapped_column(primary_key=True)
            cart_id: Mapped[int] = mapped_column(ForeignKey("carts.id"), index=True)
            kind: Mapped[str] = mapped_column(String(10), default="product")
            product_id: Mapped[int] = mapped_column(ForeignKey("products.id"))
            book_id: Mapped[int | None] = mapped_column(ForeignKey("books.id"))
            object_id: Mapped[int | None]
            quantity: Mapped[int] = mapped_column(default=1)

        products, carts, items = Product.__table__, Cart.__table__, CartItem.__table__
        users = User.__table__

        class ProductOfJoin(db.Model):
            __table__ = sa.join(products, Book.__table__, products.c.id == Book.__table__.c.id)
            id = column_property(products.c.id, Book.__table__.c.id)
            book_name = Book.__table__.c.name
            book_price = Book.__table__.c.price

        class CartOfJoin(db.Model):
            __table__ = sa.join(carts, users, carts.c.user_id == users.c.id)
            id = column_property(carts.c.id)
            users_id = column_property(carts.c.user_id, users.c.id)

        class ItemOfJoin(db.Model):
            __table__ = sa.join(items, carts, items.c.cart_id == carts.c.id)
            id = column_property(items.c.id)
            carts_id = column_property(items.c.cart_id, carts.c.id)

        class ProductOfSelect(db.Model):
            __table__ = sa.select(products).where(products.c.id > 0).subquery("selected")

        self.User, self.Product, self.Book, self.Tenanted = User, Product, Book, Tenanted
        self.Cart, self.CartItem = Cart, CartItem
        self.ProductOfJoin, self.CartOfJoin, self.ItemOfJoin = ProductOfJoin, CartOfJoin, ItemOfJoin
        self.ProductOfSelect = ProductOfSelect


def sold(cls: Any, **parts: Any) -> dict[str, Any]:
    return {"product": mapping.product(cls, **{"sku": None, "stock": None, **parts})}


Given = Callable[[Shapes], dict[str, Any]]

# What is given, and what the message says: the reason, and the way.
REFUSED: dict[str, tuple[Given, str]] = {
    "products in two tables": (
        lambda s: {"product": (s.Product, s.Book)},
        r"pass a model, a class on db.Model",
    ),
    "a generic reference": (
        lambda s: {
            "cart_item": mapping.cart_item(
                s.CartItem, product=(s.CartItem.kind, s.CartItem.object_id)
            )
        },
        r"product: it is no column",
    ),
    "stock in a JSON column": (
        lambda s: sold(s.Product, stock=s.Product.variants["stock"].as_integer()),
        r"stock: it is no column, so that an order can't lock and change it",
    ),
    "the whole JSON column": (
        lambda s: sold(s.Product, stock=s.Product.variants),
        r"stock: Product.variants is a JSON",
    ),
    "price in a JSON column": (
        lambda s: sold(s.Product, price=s.Product.variants),
        r"price: Product.variants",
    ),
    "a key of tenant and id": (
        lambda s: sold(s.Tenanted),
        r"primary key has 2 columns, and an order refers to it by one",
    ),
    "a cart with a key of two columns": (
        lambda s: {"cart": s.Tenanted},
        r"primary key has 2 columns",
    ),
    "a customer with a key of two columns": (
        lambda s: {"customer": s.Tenanted},
        r"primary key of 2 columns",
    ),
    "a product on a join": (lambda s: sold(s.ProductOfJoin), r"mapped to a join or a subquery"),
    "a product on a subquery": (lambda s: sold(s.ProductOfSelect), r"mapped to a join or a subq"),
    "a cart on a join": (lambda s: {"cart": s.CartOfJoin}, r"mapped to a join or a subquery"),
    "an item on a join": (lambda s: {"cart_item": s.ItemOfJoin}, r"mapped to a join or a subquery"),
    "the name of a class": (lambda s: {"product": "Product"}, r"pass a model"),
    "an object": (lambda s: {"product": s.Product()}, r"pass a model"),
    "a table as product": (
        lambda s: {"product": s.Product.__table__},
        r"pass a model",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_when_it_is_declared(what: str) -> None:
    shop = Shapes()
    given, message = REFUSED[what]
    with pytest.raises(ConfigurationError, match=message):
        declare_models(shop.db, **{"customer": shop.User, **arguments(shop), **given(shop)})
    assert "orders" not in shop.db.metadata.tables


def arguments(shop: Shapes) -> dict[str, Any]:
    return {
        "product": mapping.product(shop.Product, sku=None, stock=None),
        "cart": shop.Cart,
        "cart_item": mapping.cart_item(shop.CartItem, product=shop.CartItem.product_id),
    }


@pytest.mark.parametrize("name", ["products", "carts", "cart_items"])
def test_a_view_is_named_by_check(database: URL, name: str) -> None:
    """A view has no row that an order could lock; only the database knows that it is one."""
    shapes = Shapes()
    shop = open_shop(
        shapes.db, database, declare_models(shapes.db, customer=shapes.User, **arguments(shapes))
    )
    with shop.engine.begin() as connection:
        if database.get_backend_name() == "mysql":
            connection.exec_driver_sql("SET foreign_key_checks=0")
        connection.exec_driver_sql(f"ALTER TABLE {name} RENAME TO real_{name}")
        connection.exec_driver_sql(f"CREATE VIEW {name} AS SELECT * FROM real_{name}")
    code, output = check(shop.app)
    assert code == 1
    assert f"'{name}' is a view" in output
    with shop.engine.begin() as connection:
        connection.exec_driver_sql(f"DROP VIEW {name}")
    shop.close()
