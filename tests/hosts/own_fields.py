"""A florist: an order has a delivery address, a card's text and an invoice number."""

from decimal import Decimal
from typing import Any

from flask import Blueprint, Flask, jsonify, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, create_access_token, current_user, jwt_required
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from marshmallow import Schema, fields, validate
from sqlalchemy import JSON, ForeignKey, Numeric, String, select
from sqlalchemy.orm import Mapped, mapped_column, relationship
from werkzeug.security import generate_password_hash

from flask_orders import declare_models, orders_bp  # + flask_orders
from flask_orders.models import OrderMixin  # + flask_orders
from flask_orders.schemas import CreateOrderSchema, OrderSchema  # + flask_orders

# Few rounds: the passwords of its customers are the tests' own.
HASH = "pbkdf2:sha256:1000"

db = SQLAlchemy()
jwt = JWTManager()
migrate = Migrate()
shop = Blueprint("shop", __name__)


class User(db.Model):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(120), unique=True)
    password: Mapped[str] = mapped_column(String(255))
    cart: Mapped["Cart"] = relationship(back_populates="user")


class Bouquet(db.Model):
    __tablename__ = "bouquets"

    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    stock: Mapped[int]


class Cart(db.Model):
    __tablename__ = "carts"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), unique=True)
    user: Mapped[User] = relationship(back_populates="cart")
    items: Mapped[list["CartItem"]] = relationship(back_populates="cart")


class CartItem(db.Model):
    __tablename__ = "cart_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    cart_id: Mapped[int] = mapped_column(ForeignKey(Cart.id), index=True)
    bouquet_id: Mapped[int] = mapped_column(ForeignKey(Bouquet.id))
    quantity: Mapped[int]
    cart: Mapped[Cart] = relationship(back_populates="items")
    bouquet: Mapped[Bouquet] = relationship()


class DeliverySchema(Schema):
    """Where the flowers go to; the florist's own form has it too."""

    street = fields.String(required=True, validate=validate.Length(1, 100))
    city = fields.String(required=True, validate=validate.Length(1, 100))


class Order(OrderMixin, db.Model):  # + flask_orders
    gift_note: Mapped[str | None] = mapped_column(String(200))  # + flask_orders
    delivery: Mapped[dict[str, str] | None] = mapped_column(JSON)  # + flask_orders
    invoice_number: Mapped[str | None] = mapped_column(String(20))  # + flask_orders


declare_models(  # + flask_orders
    db, customer=User, product=Bouquet, cart=Cart, cart_item=CartItem,  # + flask_orders
    order=Order)  # fmt: skip  # + flask_orders


class RequestSchema(CreateOrderSchema):  # + flask_orders
    gift_note = fields.String(validate=validate.Length(max=200))  # + flask_orders
    delivery = fields.Nested(DeliverySchema)  # + flask_orders


class AnswerSchema(OrderSchema):  # + flask_orders
    gift_note = fields.String()  # + flask_orders
    delivery = fields.Nested(DeliverySchema)  # + flask_orders
    invoice_number = fields.String()  # + flask_orders


@jwt.user_lookup_loader
def look_up(_header: dict[str, Any], claims: dict[str, Any]) -> User | None:
    return db.session.get(User, int(claims["sub"]))


@shop.post("/register")
def register() -> ResponseReturnValue:
    form = request.get_json()
    user = User(email=form["email"], password=generate_password_hash(form["password"], HASH))
    user.cart = Cart()
    db.session.add(user)
    db.session.commit()
    return jsonify(id=user.id, token=create_access_token(str(user.id))), 201


@shop.get("/products")
def products() -> ResponseReturnValue:
    found = db.session.scalars(select(Bouquet).order_by(Bouquet.name))
    return jsonify([{"id": one.id, "name": one.name, "price": str(one.price)} for one in found])


@shop.post("/cart/items")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def add_to_cart() -> ResponseReturnValue:
    form = request.get_json()
    bouquet = db.get_or_404(Bouquet, form["product_id"])
    current_user.cart.items.append(CartItem(bouquet=bouquet, quantity=form["quantity"]))
    db.session.commit()
    return "", 204


@shop.get("/cart")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def show_cart() -> ResponseReturnValue:
    items = current_user.cart.items
    return jsonify([{"bouquet": item.bouquet.name, "quantity": item.quantity} for item in items])


@shop.get("/pay/<uuid:order_id>")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def pay(order_id: Any) -> ResponseReturnValue:
    return jsonify(order=str(order_id), pay_to="the florist")


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["JWT_SECRET_KEY"] = "the secret of the florist, which is long"
    app.config["ORDERS_PAYMENT_ENDPOINT"] = "shop.pay"  # + flask_orders
    app.config.update(config)
    db.init_app(app)
    jwt.init_app(app)
    migrate.init_app(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    app.register_blueprint(shop)
    schemas = {"request_schema": RequestSchema, "order_schema": AnswerSchema}  # + flask_orders
    app.register_blueprint(orders_bp, **schemas)  # + flask_orders
    return app
