"""A box office: a ticket that is put into the cart is taken out of the stock immediately."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Blueprint, Flask, abort, jsonify, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, create_access_token, current_user, jwt_required
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, Numeric, String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from werkzeug.security import generate_password_hash

from flask_orders import declare_models, mapping, orders_bp  # + flask_orders

# Few rounds: the passwords of its customers are the tests' own.
HASH = "pbkdf2:sha256:1000"


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)
jwt = JWTManager()
migrate = Migrate()
shop = Blueprint("shop", __name__)


class User(db.Model):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(120), unique=True)
    password: Mapped[str] = mapped_column(String(255))


class Product(db.Model):
    __tablename__ = "tickets"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    left: Mapped[int] = mapped_column(default=0)
    on_sale: Mapped[bool] = mapped_column(default=True)


class Cart(db.Model):
    __tablename__ = "carts"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), unique=True)
    items: Mapped[list["CartItem"]] = relationship(back_populates="cart")


class CartItem(db.Model):
    __tablename__ = "cart_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    cart_id: Mapped[int] = mapped_column(ForeignKey(Cart.id), index=True)
    product_id: Mapped[int] = mapped_column(ForeignKey(Product.id))
    quantity: Mapped[int] = mapped_column(default=1)
    cart: Mapped[Cart] = relationship(back_populates="items")
    product: Mapped[Product] = relationship()


declare_models(  # + flask_orders
    db,  # + flask_orders
    customer=User,  # + flask_orders
    product=mapping.product(  # + flask_orders
        Product,  # + flask_orders
        sku=None,  # + flask_orders
        stock=mapping.taken_in_cart(Product.left),  # + flask_orders
        active=Product.on_sale,  # + flask_orders
    ),  # + flask_orders
    cart=Cart,  # + flask_orders
    cart_item=CartItem,  # + flask_orders
)  # + flask_orders


@jwt.user_lookup_loader
def look_up(_header: dict[str, Any], claims: dict[str, Any]) -> User | None:
    return db.session.get(User, int(claims["sub"]))


@shop.post("/register")
def register() -> ResponseReturnValue:
    form = request.get_json()
    user = User(email=form["email"], password=generate_password_hash(form["password"], HASH))
    db.session.add(user)
    db.session.commit()
    return jsonify(id=user.id, token=create_access_token(str(user.id))), 201


@shop.get("/products")
def products() -> ResponseReturnValue:
    found = db.session.scalars(select(Product).order_by(Product.id))
    return jsonify([{"id": one.id, "name": one.name, "price": str(one.price)} for one in found])


def my_cart() -> Cart:
    cart = db.session.scalar(select(Cart).filter_by(user_id=current_user.id))
    if cart is None:
        cart = Cart(user_id=current_user.id)
        db.session.add(cart)
    return cart


@shop.post("/cart/items")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def add_to_cart() -> ResponseReturnValue:
    form = request.get_json()
    product = db.session.get_one(Product, form["product_id"], with_for_update=True)
    if product.left < form["quantity"]:
        abort(409, "Not so many tickets are left.")
    product.left -= form["quantity"]
    cart = my_cart()
    cart.items.append(CartItem(product=product, quantity=form["quantity"]))
    db.session.commit()
    return "", 204


@shop.delete("/cart/items/<int:product_id>")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def remove_from_cart(product_id: int) -> ResponseReturnValue:
    product = db.session.get_one(Product, product_id, with_for_update=True)
    cart = my_cart()
    for item in cart.items:
        if item.product is product:
            product.left += item.quantity
            db.session.delete(item)
    db.session.commit()
    return "", 204


@shop.get("/cart")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def show_cart() -> ResponseReturnValue:
    cart = my_cart()
    items = [{"product": one.product.name, "quantity": one.quantity} for one in cart.items]
    return jsonify(items)


@shop.get("/pay/<uuid:order_id>")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def pay(order_id: UUID) -> ResponseReturnValue:
    return jsonify(order=str(order_id), pay_to="the box office")


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["JWT_SECRET_KEY"] = "the box office's own secret, which is long"
    app.config["ORDERS_PAYMENT_ENDPOINT"] = "shop.pay"  # + flask_orders
    app.config.update(config)
    db.init_app(app)
    jwt.init_app(app)
    migrate.init_app(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    app.register_blueprint(shop)
    app.register_blueprint(orders_bp)  # + flask_orders
    return app
