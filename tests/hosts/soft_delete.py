"""A shop for plants: nothing is ever deleted, rows are marked, and every query filters by hand."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Flask, abort, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, create_access_token, current_user, jwt_required
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, Numeric, String, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from werkzeug.security import generate_password_hash

from flask_orders import declare_models, mapping, orders_bp  # + flask_orders

# Few rounds: the passwords of its customers are the tests' own.
HASH = "pbkdf2:sha256:1000"


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)
jwt = JWTManager()


class Deletable:
    """A row that is marked as deleted and stays."""

    deleted_at: Mapped[datetime | None]


class User(Deletable, db.Model):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(120), unique=True)
    password: Mapped[str] = mapped_column(String(255))


class Plant(Deletable, db.Model):
    __tablename__ = "plants"

    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(200))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    stock: Mapped[int]


class Cart(Deletable, db.Model):
    __tablename__ = "carts"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    items: Mapped[list["CartItem"]] = relationship(back_populates="cart", order_by="CartItem.id")


class CartItem(Deletable, db.Model):
    __tablename__ = "cart_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    cart_id: Mapped[int] = mapped_column(ForeignKey(Cart.id), index=True)
    plant_id: Mapped[int] = mapped_column(ForeignKey(Plant.id))
    quantity: Mapped[int]
    cart: Mapped[Cart] = relationship(back_populates="items")
    plant: Mapped[Plant] = relationship()


declare_models(  # + flask_orders
    db,  # + flask_orders
    customer=User,  # + flask_orders
    product=mapping.product(Plant, active=Plant.deleted_at.is_(None)),  # + flask_orders
    cart=mapping.cart(Cart, open=Cart.deleted_at.is_(None)),  # + flask_orders
    cart_item=mapping.cart_item(CartItem, open=CartItem.deleted_at.is_(None)),  # + flask_orders
)  # + flask_orders


@jwt.user_lookup_loader
def look_up(_header: dict[str, Any], claims: dict[str, Any]) -> User | None:
    return db.session.scalar(select(User).filter_by(id=int(claims["sub"]), deleted_at=None))


def register() -> ResponseReturnValue:
    form = request.get_json()
    user = User(email=form["email"], password=generate_password_hash(form["password"], HASH))
    db.session.add(user)
    db.session.commit()
    return {"id": user.id, "token": create_access_token(str(user.id))}, 201


def list_plants() -> ResponseReturnValue:
    found = db.session.scalars(select(Plant).filter_by(deleted_at=None).order_by(Plant.name))
    return {"plants": [{"id": one.id, "name": one.name, "price": str(one.price)} for one in found]}


def delete_plant(plant_id: int) -> ResponseReturnValue:
    db.get_or_404(Plant, plant_id).deleted_at = func.now()
    db.session.commit()
    return "", 204


def my_cart() -> Cart:
    cart = db.session.scalar(select(Cart).filter_by(user_id=current_user.id, deleted_at=None))
    if cart is None:
        cart = Cart(user_id=current_user.id)
        db.session.add(cart)
    return cart


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def add_to_cart() -> ResponseReturnValue:
    form = request.get_json()
    plant = db.session.scalar(select(Plant).filter_by(id=form["product_id"], deleted_at=None))
    if plant is None:
        abort(404)
    cart = my_cart()
    cart.items.append(CartItem(plant=plant, quantity=form.get("quantity", 1)))
    db.session.commit()
    return "", 204


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def remove_from_cart(plant_id: int) -> ResponseReturnValue:
    for item in my_cart().items:
        if item.plant_id == plant_id and item.deleted_at is None:
            item.deleted_at = func.now()
    db.session.commit()
    return "", 204


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def discard_cart() -> ResponseReturnValue:
    my_cart().deleted_at = func.now()
    db.session.commit()
    return "", 204


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def show_cart() -> ResponseReturnValue:
    items = [item for item in my_cart().items if item.deleted_at is None]
    return {"items": [{"plant": one.plant.name, "quantity": one.quantity} for one in items]}


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def pay(order_id: UUID) -> ResponseReturnValue:
    return {"order": str(order_id), "pay_to": "the nursery"}


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI=url,
        JWT_SECRET_KEY="the secret of the shop that sells plants",
        ORDERS_PAYMENT_ENDPOINT="pay",  # + flask_orders
    )
    app.config.from_mapping(config)
    db.init_app(app)
    Migrate(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    jwt.init_app(app)
    app.add_url_rule("/register", view_func=register, methods=["POST"])
    app.add_url_rule("/products", view_func=list_plants)
    app.add_url_rule("/products/<int:plant_id>", view_func=delete_plant, methods=["DELETE"])
    app.add_url_rule("/cart/items", view_func=add_to_cart, methods=["POST"])
    app.add_url_rule("/cart/items/<int:plant_id>", view_func=remove_from_cart, methods=["DELETE"])
    app.add_url_rule("/cart", view_func=discard_cart, methods=["DELETE"])
    app.add_url_rule("/cart", view_func=show_cart)
    app.add_url_rule("/pay/<uuid:order_id>", view_func=pay)
    app.register_blueprint(orders_bp)  # + flask_orders
    return app
