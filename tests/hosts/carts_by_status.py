"""A shop for garden tools: carts that are open, ordered or abandoned, by a text column.

A cart that has become an order is closed; what the customer puts in next begins a new one.
"""

from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Flask, abort, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, create_access_token, get_jwt_identity, jwt_required
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, Index, Numeric, String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from werkzeug.security import generate_password_hash

from flask_orders import declare_models, mapping, orders_bp  # + flask_orders
from flask_orders.signals import order_placing  # + flask_orders

# Few rounds: the passwords of its customers are the tests' own.
HASH = "pbkdf2:sha256:1000"


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Account(db.Model):
    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(120), unique=True)
    password: Mapped[str] = mapped_column(String(255))
    carts: Mapped[list["Cart"]] = relationship(back_populates="account", order_by="Cart.id")


class Tool(db.Model):
    __tablename__ = "tools"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    stock: Mapped[int]


class Cart(db.Model):
    __tablename__ = "carts"
    __table_args__ = (Index("ix_carts_account_id_status", "account_id", "status"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id))
    status: Mapped[str] = mapped_column(String(10), default="open")
    account: Mapped[Account] = relationship(back_populates="carts")
    items: Mapped[list["CartItem"]] = relationship(back_populates="cart", order_by="CartItem.id")


class CartItem(db.Model):
    __tablename__ = "cart_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    cart_id: Mapped[int] = mapped_column(ForeignKey(Cart.id), index=True)
    tool_id: Mapped[int] = mapped_column(ForeignKey(Tool.id))
    quantity: Mapped[int]
    cart: Mapped[Cart] = relationship(back_populates="items")
    tool: Mapped[Tool] = relationship()


declare_models(  # + flask_orders
    db,  # + flask_orders
    customer=Account,  # + flask_orders
    product=mapping.product(Tool, sku=None),  # + flask_orders
    cart=mapping.cart(Cart, open=Cart.status == "open"),  # + flask_orders
    cart_item=CartItem,  # + flask_orders
)  # + flask_orders


def close_cart(_app: Flask, cart: Cart, **_more: Any) -> None:  # + flask_orders
    cart.status = "ordered"  # + flask_orders


def register() -> ResponseReturnValue:
    form = request.get_json()
    password = generate_password_hash(form["password"], HASH)
    account = Account(email=form["email"], password=password)
    db.session.add(account)
    db.session.commit()
    return {"id": account.id, "token": create_access_token(str(account.id))}, 201


def list_tools() -> ResponseReturnValue:
    found = db.session.scalars(select(Tool).order_by(Tool.name))
    return {"tools": [{"id": one.id, "name": one.name, "price": str(one.price)} for one in found]}


def my_cart() -> Cart:
    account = int(get_jwt_identity())
    cart = db.session.scalar(select(Cart).filter_by(account_id=account, status="open"))
    if cart is None:
        cart = Cart(account_id=account)
        db.session.add(cart)
    return cart


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def add_to_cart() -> ResponseReturnValue:
    form = request.get_json()
    if db.session.get(Tool, form["product_id"]) is None:
        abort(404)
    item = CartItem(tool_id=form["product_id"], quantity=form.get("quantity", 1))
    cart = my_cart()
    cart.items.append(item)
    db.session.commit()
    return "", 204


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def abandon() -> ResponseReturnValue:
    cart = my_cart()
    cart.status = "abandoned"
    db.session.commit()
    return "", 204


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def show_cart() -> ResponseReturnValue:
    items = my_cart().items
    return {"items": [{"tool": one.tool.name, "quantity": one.quantity} for one in items]}


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def pay(order_id: UUID) -> ResponseReturnValue:
    return {"order": str(order_id), "pay_to": "the gardener"}


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI=url,
        JWT_SECRET_KEY="the secret of the shop for garden tools",
        ORDERS_PAYMENT_ENDPOINT="pay",  # + flask_orders
    )
    app.config.from_mapping(config)
    db.init_app(app)
    Migrate(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    JWTManager(app)
    app.add_url_rule("/register", view_func=register, methods=["POST"])
    app.add_url_rule("/products", view_func=list_tools)
    app.add_url_rule("/cart/items", view_func=add_to_cart, methods=["POST"])
    app.add_url_rule("/cart/abandon", view_func=abandon, methods=["POST"])
    app.add_url_rule("/cart", view_func=show_cart)
    app.add_url_rule("/pay/<uuid:order_id>", view_func=pay)
    app.register_blueprint(orders_bp)  # + flask_orders
    order_placing.connect(close_cart, app)  # + flask_orders
    return app
