"""Looking too early poisons a shop: a mapper that misses a later class never works again.

So neither `declare_models` nor `register_blueprint` configures a mapper, whatever the parts are.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import ForeignKey, Numeric, String
from sqlalchemy.engine import URL
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship, synonym

from flask_orders import ConfigurationError, declare_models, mapping
from flask_orders.models import OrderItemMixin, OrderMixin

from .support.apps import install, new_db
from .support.shops import Shop


class FirstModule:
    """Classes each of which has a relationship to a class of a later module."""

    def __init__(self) -> None:
        self.db = db = new_db()

        class User(db.Model):
            __tablename__ = "users"
            id: Mapped[int] = mapped_column(primary_key=True)
            profile = relationship("Profile", back_populates="user", uselist=False)

        class Product(db.Model):
            __tablename__ = "products"
            id: Mapped[int] = mapped_column(primary_key=True)
            kind: Mapped[str] = mapped_column(String(10), default="any")
            brand_id: Mapped[int | None] = mapped_column(ForeignKey("brands.id"))
            sku: Mapped[str] = mapped_column(String(20), default="S")
            title: Mapped[str] = mapped_column(String(20), default="T")
            price: Mapped[Decimal] = mapped_column(Numeric(10, 2), default=Decimal(10))
            cents: Mapped[int] = mapped_column(default=1000)
            weight: Mapped[float] = mapped_column(default=10.0)
            left: Mapped[int] = mapped_column(default=5)
            allocated: Mapped[int] = mapped_column(default=0)
            hidden: Mapped[bool] = mapped_column(default=False)
            brand = relationship("Brand", back_populates="products")
            name = synonym("title")

            @property
            def label(self) -> str:
                return f"{self.title} by {self.brand.name}"

            @hybrid_property
            def net(self) -> Decimal:
                return self.price * 1

        Product.gross = column_property(Product.price + 0)

        class Cart(db.Model):
            __tablename__ = "carts"
            id: Mapped[int] = mapped_column(primary_key=True)
            user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), unique=True)
            bought: Mapped[bool | None]
            coupon: Mapped[str | None] = mapped_column(String(20))
            delivery_id: Mapped[int | None] = mapped_column(ForeignKey("deliveries.id"))
            delivery = relationship("Delivery")
            rows = relationship("CartItem", back_populates="cart")

        class CartItem(db.Model):
            __tablename__ = "cart_items"
            id: Mapped[int] = mapped_column(primary_key=True)
            cart_id: Mapped[int] = mapped_column(ForeignKey("carts.id"))
            product_id: Mapped[int] = mapped_column(ForeignKey("products.id"))
            quantity: Mapped[int] = mapped_column(default=1)
            saved: Mapped[bool] = mapped_column(default=False)
            note: Mapped[str | None] = mapped_column(String(20))
            cart = relationship("Cart", back_populates="rows")
            product = relationship("Product")
            options = relationship("Option", back_populates="item", cascade="all, delete-orphan")

        class WebOrderItem(OrderItemMixin, db.Model):
            __tablename__ = "web_order_items"
            note: Mapped[str | None] = mapped_column(String(20))
            tracking = relationship("Tracking", back_populates="item")

        class WebOrder(OrderMixin, db.Model):
            __tablename__ = "web_orders"

        self.User, self.Product, self.Cart, self.CartItem = User, Product, Cart, CartItem
        self.WebOrder, self.WebOrderItem = WebOrder, WebOrderItem

    def later_module(self) -> None:
        """Declare the classes that the relationships name."""
        db = self.db

        class Profile(db.Model):
            __tablename__ = "profiles"
            id: Mapped[int] = mapped_column(primary_key=True)
            user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
            user = relationship("User", back_populates="profile")

        class Brand(db.Model):
            __tablename__ = "brands"
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str] = mapped_column(String(20), default="B")
            surcharge: Mapped[Decimal] = mapped_column(Numeric(10, 2), default=Decimal(10))
            products = relationship("Product", back_populates="brand")

        class Delivery(db.Model):
            __tablename__ = "deliveries"
            id: Mapped[int] = mapped_column(primary_key=True)

        class Option(db.Model):
            __tablename__ = "options"
            id: Mapped[int] = mapped_column(primary_key=True)
            item_id: Mapped[int] = mapped_column(ForeignKey("cart_items.id"))
            item = relationship("CartItem", back_populates="options")

        class Tracking(db.Model):
            __tablename__ = "trackings"
            id: Mapped[int] = mapped_column(primary_key=True)
            item_id = mapped_column(ForeignKey("web_order_items.id"))
            item = relationship("WebOrderItem", back_populates="tracking")

        self.Brand, self.Option = Brand, Option

    def product(self, **parts: Any) -> Any:
        return mapping.product(self.Product, **{"stock": self.Product.left, **parts})

    def declare(self, **given: Any) -> Any:
        classes: dict[str, Any] = {
            "product": self.product(),
            "cart": self.Cart,
            "cart_item": self.CartItem,
        }
        return declare_models(
            self.db,
            customer=self.User,
            order=self.WebOrder,
            order_item=self.WebOrderItem,
            **{**classes, **given},
        )

    def configured(self) -> list[str]:
        return [one.class_.__name__ for one in self.db.Model.registry.mappers if one.configured]


Given = Callable[[FirstModule], dict[str, Any]]

FORMS: dict[str, Given] = {
    "column": lambda m: {"product": m.product(name=m.Product.title)},
    "column of the table": lambda m: {"product": m.product(name=m.Product.__table__.c.title)},
    "synonym": lambda m: {"product": m.product(name=m.Product.name)},
    "constant": lambda m: {"product": m.product(sku=None, shipping=Decimal(0))},
    "expression": lambda m: {"product": m.product(active=~m.Product.hidden)},
    "expression of a relationship": lambda m: {
        "product": m.product(active=lambda: m.Product.brand.has(name="B"))
    },
    "subquery": lambda m: {
        "product": m.product(
            price=sa.select(sa.cast(sa.func.max(m.CartItem.quantity) * 10, Numeric(10, 2)))
            .correlate(m.Product)
            .scalar_subquery()
        )
    },
    "function": lambda m: {"product": m.product(price=lambda p: p.brand.surcharge)},
    "function and load": lambda m: {
        "product": m.product(price=lambda p: p.brand.surcharge, load=m.Product.brand)
    },
    "load by lambda": lambda m: {
        "product": m.product(name=m.Product.label, load=lambda: (m.Product.brand,))
    },
    "property": lambda m: {"product": m.product(name=m.Product.label)},
    "property found by its name": lambda m: {"product": m.product()},
    "hybrid": lambda m: {"product": m.product(price=m.Product.net)},
    "column_property": lambda m: {"product": m.product(price=m.Product.gross)},
    "minor units": lambda m: {"product": m.product(price=mapping.minor_units(m.Product.cents))},
    "float": lambda m: {"product": m.product(price=mapping.from_float(m.Product.weight))},
    "function of minor units": lambda m: {
        "product": m.product(price=mapping.minor_units(lambda p: p.cents))
    },
    "sale price": lambda m: {"product": m.product(sale_price=mapping.minor_units(m.Product.cents))},
    "reserved": lambda m: {
        "product": m.product(stock=mapping.reserved(m.Product.left, m.Product.allocated))
    },
    "taken in cart": lambda m: {"product": m.product(stock=mapping.taken_in_cart(m.Product.left))},
    "no stock": lambda m: {"product": m.product(stock=None)},
    "open": lambda m: {"cart": mapping.cart(m.Cart, open=m.Cart.bought.is_not(True))},
    "open by lambda": lambda m: {"cart": mapping.cart(m.Cart, open=lambda: ~m.Cart.delivery.has())},
    "voucher": lambda m: {"cart": mapping.cart(m.Cart, voucher=m.Cart.coupon)},
    "customer": lambda m: {"cart": mapping.cart(m.Cart, customer=m.Cart.user_id)},
    "open items": lambda m: {
        "cart_item": mapping.cart_item(m.CartItem, open=m.CartItem.saved.is_(False))
    },
    "open items by lambda": lambda m: {
        "cart_item": mapping.cart_item(m.CartItem, open=lambda: ~m.CartItem.options.any())
    },
    "quantity": lambda m: {
        "cart_item": mapping.cart_item(m.CartItem, quantity=m.CartItem.quantity * 1)
    },
    "one row a unit": lambda m: {"cart_item": mapping.cart_item(m.CartItem, quantity=1)},
    "copy": lambda m: {"cart_item": mapping.cart_item(m.CartItem, copy=(m.CartItem.note,))},
    "references": lambda m: {
        "cart_item": mapping.cart_item(
            m.CartItem, cart=m.CartItem.cart_id, product=m.CartItem.product_id
        )
    },
    "a bare table": lambda m: {"cart_item": m.CartItem.__table__},
}


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_a_part_configures_a_mapper(sqlite_file: URL, form: str) -> None:
    first = FirstModule()
    models = first.declare(**FORMS[form](first))
    assert first.configured() == []
    app = install(first.db, sqlite_file)
    # An app factory says all of it again.
    assert first.declare(**FORMS[form](first)) is models
    assert first.configured() == []

    first.later_module()
    first.db.Model.registry.configure()

    with app.app_context():
        first.db.create_all()
    shop = Shop(app, first.db, models)
    shop.add(first.User(id=1))
    shop.add(first.Product(id=1, brand=first.Brand(id=1)))
    shop.add(first.Cart(id=1, user_id=1))
    shop.add(first.CartItem(cart_id=1, product_id=1))
    assert shop.order(1)["total_amount"] == "10.00"
    shop.close()


WRONG: dict[str, Given] = {
    "a float": lambda m: {"product": m.product(price=m.Product.weight)},
    "a relationship": lambda m: {"product": m.product(name=m.Product.brand)},
    "another class": lambda m: {"product": m.product(shipping=m.Cart.id)},
    "no stock": lambda m: {"product": m.Product},
}


@pytest.mark.parametrize("what", WRONG)
def test_neither_does_a_refusal(what: str) -> None:
    first = FirstModule()
    with pytest.raises(ConfigurationError):
        first.declare(**WRONG[what](first))
    assert first.configured() == []
    first.later_module()
    first.db.Model.registry.configure()
    assert first.declare().Order is first.WebOrder


def test_a_new_shop_beside_a_module_that_comes_later() -> None:
    """The blueprint alone, registered before the shop's own modules are complete."""
    first = FirstModule()
    declare_models(first.db, table_prefix="fo_")
    install(first.db)
    assert first.configured() == []
    first.later_module()
    first.db.Model.registry.configure()
