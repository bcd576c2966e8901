"""A shop of engraved mugs: its carts have counters and a code, its cart items an engraving."""

from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column, relationship

from flask_orders import declare_models
from flask_orders.models import OrderItemMixin, OrderMixin

from .apps import install, new_db
from .shops import Shop


def make_mug_shop(url: URL, **options: Any) -> Shop:
    """Return the shop, with its tables; `options` are those of `register_blueprint`."""
    db = new_db()

    class Customer(db.Model):
        __tablename__ = "customers"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str] = mapped_column(sa.String(255), unique=True)
        points: Mapped[int] = mapped_column(default=0)

    class Mug(db.Model):
        __tablename__ = "mugs"
        id: Mapped[int] = mapped_column(primary_key=True)
        sku: Mapped[str] = mapped_column(sa.String(64))
        name: Mapped[str] = mapped_column(sa.String(200))
        price: Mapped[Decimal | None] = mapped_column(sa.Numeric(10, 2))
        shipping: Mapped[Decimal | None] = mapped_column(sa.Numeric(10, 2))
        stock: Mapped[int | None]
        active: Mapped[bool] = mapped_column(default=True)
        sold: Mapped[int] = mapped_column(default=0)
        version: Mapped[int] = mapped_column(default=1)
        __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own

    class Basket(db.Model):
        __tablename__ = "baskets"
        id: Mapped[int] = mapped_column(primary_key=True)
        customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id"), unique=True)
        voucher: Mapped[str | None] = mapped_column(sa.String(40))
        express: Mapped[bool] = mapped_column(default=False)
        total_items: Mapped[int] = mapped_column(default=0)
        version: Mapped[int] = mapped_column(default=1)
        customer: Mapped[Customer] = relationship()
        items: Mapped[list["BasketItem"]] = relationship(back_populates="cart")
        __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own

    class BasketItem(db.Model):
        __tablename__ = "basket_items"
        id: Mapped[int] = mapped_column(primary_key=True)
        cart_id: Mapped[int] = mapped_column(sa.ForeignKey("baskets.id"))
        product_id: Mapped[int] = mapped_column(sa.ForeignKey("mugs.id"))
        quantity: Mapped[int]
        engraving: Mapped[str | None] = mapped_column(sa.String(40))
        cart: Mapped[Basket] = relationship(back_populates="items")
        product: Mapped[Mug] = relationship(lazy="joined")

    class Order(OrderMixin, db.Model):
        gift_note: Mapped[str | None] = mapped_column(sa.String(80))

    class OrderItem(OrderItemMixin, db.Model):
        engraving: Mapped[str | None] = mapped_column(sa.String(40))

    class Coupon(db.Model):
        __tablename__ = "coupons"
        code: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
        amount_off: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2))
        uses_left: Mapped[int]

    models = declare_models(
        db,
        customer=Customer,
        product=Mug,
        cart=Basket,
        cart_item=BasketItem,
        order=Order,
        order_item=OrderItem,
    )
    app = install(db, url, config={"ORDERS_PAYMENT_ENDPOINT": "pay"}, **options)
    app.add_url_rule("/pay/<uuid:order_id>/", "pay", lambda order_id: f"pay {order_id}")
    with app.app_context():
        db.create_all()
    return Shop(app, db, models)


def basket(shop: Shop, *items: dict[str, Any], **values: Any) -> int:
    """Give a new customer a cart with these items, one unit each; return the customer's key."""
    customer = shop.customer()
    rows = [shop.models.CartItem(**{"quantity": 1, **item}) for item in items]
    shop.add(shop.models.Cart(customer_id=customer, items=rows, **values))
    return customer
