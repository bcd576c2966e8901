"""A bookshop whose products, carts and cart items are each stored in two tables or three.

Every class loads its subclasses' columns with its own: `with_polymorphic="*"`.
"""

from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Blueprint, Flask, jsonify, request
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


class Listing(db.Model):
    __tablename__ = "listings"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    name: Mapped[str] = mapped_column(String(200))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {  # noqa: RUF012 - SQLAlchemy's own
        "polymorphic_on": kind,
        "version_id_col": version,
        "with_polymorphic": "*",
    }


class Product(Listing):
    __tablename__ = "products"
    __mapper_args__ = {  # noqa: RUF012 - SQLAlchemy's own
        "polymorphic_identity": "product",
        "with_polymorphic": "*",
    }

    id: Mapped[int] = mapped_column(ForeignKey(Listing.id), primary_key=True)
    stock: Mapped[int] = mapped_column(default=0)


class Book(Product):
    __tablename__ = "books"
    __mapper_args__ = {"polymorphic_identity": "book"}  # noqa: RUF012 - SQLAlchemy's own

    id: Mapped[int] = mapped_column(ForeignKey(Product.id), primary_key=True)
    isbn: Mapped[str] = mapped_column(String(20))


class Reading(Listing):
    __tablename__ = "readings"
    __mapper_args__ = {"polymorphic_identity": "reading"}  # noqa: RUF012 - SQLAlchemy's own

    id: Mapped[int] = mapped_column(ForeignKey(Listing.id), primary_key=True)
    author: Mapped[str] = mapped_column(String(100))


class Basket(db.Model):
    __tablename__ = "baskets"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), unique=True)
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {  # noqa: RUF012 - SQLAlchemy's own
        "polymorphic_on": kind,
        "version_id_col": version,
        "with_polymorphic": "*",
    }


class Cart(Basket):
    __tablename__ = "carts"
    __mapper_args__ = {  # noqa: RUF012 - SQLAlchemy's own
        "polymorphic_identity": "cart",
        "with_polymorphic": "*",
    }

    id: Mapped[int] = mapped_column(ForeignKey(Basket.id), primary_key=True)
    coupon: Mapped[str | None] = mapped_column(String(40))
    items: Mapped[list["CartItem"]] = relationship(back_populates="cart")


class GiftCart(Cart):
    __tablename__ = "gift_carts"
    __mapper_args__ = {"polymorphic_identity": "gift"}  # noqa: RUF012 - SQLAlchemy's own

    id: Mapped[int] = mapped_column(ForeignKey(Cart.id), primary_key=True)
    recipient: Mapped[str] = mapped_column(String(100))


class Entry(db.Model):
    __tablename__ = "entries"
    __mapper_args__ = {  # noqa: RUF012 - SQLAlchemy's own
        "polymorphic_on": "kind",
        "with_polymorphic": "*",
    }

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    cart_id: Mapped[int] = mapped_column(ForeignKey(Basket.id), index=True)


class CartItem(Entry):
    __tablename__ = "cart_items"
    __mapper_args__ = {  # noqa: RUF012 - SQLAlchemy's own
        "polymorphic_identity": "item",
        "with_polymorphic": "*",
    }

    id: Mapped[int] = mapped_column(ForeignKey(Entry.id), primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey(Listing.id))
    quantity: Mapped[int] = mapped_column(default=1)
    cart: Mapped[Cart] = relationship(back_populates="items")
    product: Mapped[Listing] = relationship()


class GiftItem(CartItem):
    __tablename__ = "gift_items"
    __mapper_args__ = {"polymorphic_identity": "gift"}  # noqa: RUF012 - SQLAlchemy's own

    id: Mapped[int] = mapped_column(ForeignKey(CartItem.id), primary_key=True)
    message: Mapped[str] = mapped_column(String(100))


declare_models(  # + flask_orders
    db,  # + flask_orders
    customer=User,  # + flask_orders
    product=mapping.product(Product, sku=None),  # + flask_orders
    cart=mapping.cart(Cart, voucher=Cart.coupon),  # + flask_orders
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
    product = db.get_or_404(Listing, form["product_id"])
    item = CartItem(product=product, quantity=form["quantity"])
    if form.get("message"):
        item = GiftItem(product=product, quantity=form["quantity"], message=form["message"])
    cart = my_cart()
    cart.items.append(item)
    db.session.commit()
    return "", 204


@shop.post("/cart/coupon")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def apply_coupon() -> ResponseReturnValue:
    cart = my_cart()
    cart.coupon = request.get_json()["code"]
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
    return jsonify(order=str(order_id), pay_to="the bookshop")


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["JWT_SECRET_KEY"] = "the bookshop's own secret, which is long"
    app.config["ORDERS_PAYMENT_ENDPOINT"] = "shop.pay"  # + flask_orders
    app.config.update(config)
    db.init_app(app)
    jwt.init_app(app)
    migrate.init_app(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    app.register_blueprint(shop)
    app.register_blueprint(orders_bp)  # + flask_orders
    return app
