"""A shop of the modern make: UUID users, text product keys, a naming convention, names of its own.

It sells files, so it has no stock; a cart line remembers the price at which it was put there.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from flask import Flask, abort, jsonify, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, create_access_token, get_jwt_identity, jwt_required
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, MetaData, Numeric, String, UniqueConstraint, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from werkzeug.security import check_password_hash, generate_password_hash

from flask_orders import declare_models, mapping, orders_bp  # + flask_orders

# Few rounds: the passwords of its customers are the tests' own.
HASH = "pbkdf2:sha256:1000"


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


db = SQLAlchemy(model_class=Base)


class User(db.Model):
    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    handle: Mapped[str] = mapped_column(String(80), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))


class Product(db.Model):
    __tablename__ = "catalogue"

    sku: Mapped[str] = mapped_column(String(32), primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    unit_price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    active: Mapped[bool] = mapped_column(default=True)


class Cart(db.Model):
    __tablename__ = "baskets"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), unique=True)
    lines: Mapped[list["CartItem"]] = relationship(back_populates="cart", order_by="CartItem.sku")


class CartItem(db.Model):
    __tablename__ = "basket_lines"
    __table_args__ = (UniqueConstraint("basket_id", "sku"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    basket_id: Mapped[UUID] = mapped_column(ForeignKey(Cart.id, ondelete="CASCADE"))
    sku: Mapped[str] = mapped_column(ForeignKey(Product.sku))
    qty: Mapped[int]
    unit_price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    cart: Mapped[Cart] = relationship(back_populates="lines")
    product: Mapped[Product] = relationship()


declare_models(  # + flask_orders
    db,  # + flask_orders
    customer=User,  # + flask_orders
    product=mapping.product(  # + flask_orders
        Product,  # + flask_orders
        name=Product.title,  # + flask_orders
        price=Product.unit_price,  # + flask_orders
        stock=None,  # + flask_orders
    ),  # + flask_orders
    cart=Cart,  # + flask_orders
    cart_item=mapping.cart_item(CartItem, quantity=CartItem.qty),  # + flask_orders
)  # + flask_orders


def register() -> ResponseReturnValue:
    form = request.get_json()
    password = generate_password_hash(form["password"], HASH)
    db.session.add(User(handle=form["handle"], password_hash=password))
    db.session.commit()
    return {"handle": form["handle"]}, 201


def sign_in() -> ResponseReturnValue:
    form = request.get_json()
    user = db.session.scalar(select(User).filter_by(handle=form["handle"]))
    if user is None or not check_password_hash(user.password_hash, form["password"]):
        abort(401)
    return {"token": create_access_token(str(user.id))}


def list_catalogue() -> ResponseReturnValue:
    found: Sequence[Product] = db.session.scalars(select(Product).filter_by(active=True)).all()
    rows = [{"sku": one.sku, "title": one.title, "price": str(one.unit_price)} for one in found]
    return jsonify(rows)


def my_basket() -> Cart:
    owner = UUID(get_jwt_identity())
    basket = db.session.scalar(select(Cart).filter_by(owner_id=owner))
    if basket is None:
        basket = Cart(owner_id=owner)
        db.session.add(basket)
    return basket


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def put_into_basket(sku: str) -> ResponseReturnValue:
    product = db.get_or_404(Product, sku)
    qty = request.get_json()["qty"]
    line = CartItem(product=product, qty=qty, unit_price=product.unit_price)
    basket = my_basket()
    basket.lines.append(line)
    db.session.commit()
    return {}, 201


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def show_basket() -> ResponseReturnValue:
    lines = my_basket().lines
    rows = [{"sku": line.sku, "qty": line.qty, "price": str(line.unit_price)} for line in lines]
    return {"lines": rows}


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def pay(order_id: UUID) -> ResponseReturnValue:
    return {"order": str(order_id), "wallet": get_jwt_identity()}


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI=url,
        JWT_SECRET_KEY="the secret of the shop that sells files",
        ORDERS_PAYMENT_ENDPOINT="pay",  # + flask_orders
    )
    app.config.from_mapping(config)
    db.init_app(app)
    Migrate(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    JWTManager(app)
    app.add_url_rule("/users", view_func=register, methods=["POST"])
    app.add_url_rule("/tokens", view_func=sign_in, methods=["POST"])
    app.add_url_rule("/catalogue", view_func=list_catalogue)
    app.add_url_rule("/basket/<sku>", view_func=put_into_basket, methods=["PUT"])
    app.add_url_rule("/basket", view_func=show_basket)
    app.add_url_rule("/orders/<uuid:order_id>/payment", view_func=pay)
    app.register_blueprint(orders_bp)  # + flask_orders
    return app
