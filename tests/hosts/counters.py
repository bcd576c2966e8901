"""A pet shop: its carts have counters, and its customers collect points."""

from decimal import Decimal
from typing import Any

from flask import Blueprint, Flask, jsonify, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, create_access_token, current_user, jwt_required
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, Numeric, String, select
from sqlalchemy.orm import Mapped, mapped_column, relationship
from werkzeug.security import generate_password_hash

from flask_orders import OrdersError, declare_models, mapping, orders_bp  # + flask_orders
from flask_orders.signals import order_placing  # + flask_orders

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
    points: Mapped[int] = mapped_column(default=0)
    cart: Mapped["Cart"] = relationship(back_populates="user")


class Article(db.Model):
    __tablename__ = "articles"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    stock: Mapped[int]


class Cart(db.Model):
    __tablename__ = "carts"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), unique=True)
    total_items: Mapped[int] = mapped_column(default=0)
    final_price: Mapped[Decimal] = mapped_column(Numeric(10, 2), default=Decimal(0))
    user: Mapped[User] = relationship(back_populates="cart")
    items: Mapped[list["CartItem"]] = relationship(back_populates="cart")


class CartItem(db.Model):
    __tablename__ = "cart_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    cart_id: Mapped[int] = mapped_column(ForeignKey(Cart.id), index=True)
    article_id: Mapped[int] = mapped_column(ForeignKey(Article.id))
    quantity: Mapped[int]
    cart: Mapped[Cart] = relationship(back_populates="items")
    article: Mapped[Article] = relationship()


declare_models(  # + flask_orders
    db,  # + flask_orders
    customer=User,  # + flask_orders
    product=mapping.product(Article, sku=None),  # + flask_orders
    cart=Cart,  # + flask_orders
    cart_item=CartItem,  # + flask_orders
)  # + flask_orders


class MinimumNotReached(OrdersError):  # + flask_orders
    code, status, title = "minimum_not_reached", 409, "The order is too small"  # + flask_orders


def complete(sender: Flask, order: Any, cart: Cart, items: Any) -> None:  # + flask_orders
    if order.subtotal < 5:  # + flask_orders
        raise MinimumNotReached("We deliver goods for 5.00 or more.")  # + flask_orders
    cart.total_items, cart.final_price = 0, Decimal(0)  # + flask_orders
    cart.user.points = User.points + int(order.total_amount)  # + flask_orders


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
    found = db.session.scalars(select(Article).order_by(Article.name))
    return jsonify([{"id": one.id, "name": one.name, "price": str(one.price)} for one in found])


@shop.post("/cart/items")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def add_to_cart() -> ResponseReturnValue:
    form = request.get_json()
    article, quantity = db.get_or_404(Article, form["product_id"]), form["quantity"]
    cart = current_user.cart
    cart.items.append(CartItem(article=article, quantity=quantity))
    cart.total_items += quantity
    cart.final_price += article.price * quantity
    db.session.commit()
    return "", 204


@shop.get("/cart")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def show_cart() -> ResponseReturnValue:
    cart = current_user.cart
    return jsonify(items=cart.total_items, price=str(cart.final_price), points=current_user.points)


@shop.get("/pay/<uuid:order_id>")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def pay(order_id: Any) -> ResponseReturnValue:
    return jsonify(order=str(order_id), pay_to="the pet shop")


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["JWT_SECRET_KEY"] = "the secret of the pet shop, which is long"
    app.config["ORDERS_PAYMENT_ENDPOINT"] = "shop.pay"  # + flask_orders
    app.config.update(config)
    db.init_app(app)
    jwt.init_app(app)
    migrate.init_app(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    app.register_blueprint(shop)
    app.register_blueprint(orders_bp)  # + flask_orders
    order_placing.connect(complete, app)  # + flask_orders
    return app
