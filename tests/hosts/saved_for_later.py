"""A shop for records: no carts, what a customer wants to buy hangs on the customer.

Some of it is saved for later.
"""

from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Flask, abort, request
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


class User(db.Model):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(120), unique=True)
    password: Mapped[str] = mapped_column(String(255))
    wanted: Mapped[list["Wanted"]] = relationship(back_populates="user", order_by="Wanted.id")


class Record(db.Model):
    __tablename__ = "records"

    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(String(20), unique=True)
    title: Mapped[str] = mapped_column(String(200))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    stock: Mapped[int]


class Wanted(db.Model):
    __tablename__ = "wanted"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    record_id: Mapped[int] = mapped_column(ForeignKey(Record.id))
    quantity: Mapped[int] = mapped_column(default=1)
    saved_for_later: Mapped[bool] = mapped_column(default=False)
    user: Mapped[User] = relationship(back_populates="wanted")
    record: Mapped[Record] = relationship()


declare_models(  # + flask_orders
    db,  # + flask_orders
    customer=User,  # + flask_orders
    product=mapping.product(Record, name=Record.title),  # + flask_orders
    cart=User,  # + flask_orders
    cart_item=mapping.cart_item(Wanted, open=Wanted.saved_for_later.is_(False)),  # + flask_orders
)  # + flask_orders


@jwt.user_lookup_loader
def look_up(_header: dict[str, Any], claims: dict[str, Any]) -> User | None:
    return db.session.get(User, int(claims["sub"]))


def register() -> ResponseReturnValue:
    form = request.get_json()
    user = User(email=form["email"], password=generate_password_hash(form["password"], HASH))
    db.session.add(user)
    db.session.commit()
    return {"id": user.id, "token": create_access_token(str(user.id))}, 201


def list_records() -> ResponseReturnValue:
    found = db.session.scalars(select(Record).order_by(Record.title))
    return {"records": [{"id": one.id, "title": one.title, "price": one.price} for one in found]}


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def add_to_cart() -> ResponseReturnValue:
    form = request.get_json()
    record = db.get_or_404(Record, form["product_id"])
    db.session.add(Wanted(user=current_user, record=record, quantity=form.get("quantity", 1)))
    db.session.commit()
    return "", 204


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def save_for_later(record_id: int) -> ResponseReturnValue:
    found = [one for one in current_user.wanted if one.record_id == record_id]
    if not found:
        abort(404)
    for one in found:
        one.saved_for_later = True
    db.session.commit()
    return "", 204


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def show_cart() -> ResponseReturnValue:
    lines = [
        {"record": one.record.title, "quantity": one.quantity, "later": one.saved_for_later}
        for one in current_user.wanted
    ]
    return {"wanted": lines}


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def pay(order_id: UUID) -> ResponseReturnValue:
    return {"order": str(order_id), "pay_to": "the record shop"}


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI=url,
        JWT_SECRET_KEY="the secret of the shop for old records",
        ORDERS_PAYMENT_ENDPOINT="pay",  # + flask_orders
    )
    app.config.from_mapping(config)
    db.init_app(app)
    Migrate(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    jwt.init_app(app)
    app.add_url_rule("/register", view_func=register, methods=["POST"])
    app.add_url_rule("/products", view_func=list_records)
    app.add_url_rule("/cart/items", view_func=add_to_cart, methods=["POST"])
    app.add_url_rule("/cart/later/<int:record_id>", view_func=save_for_later, methods=["POST"])
    app.add_url_rule("/cart", view_func=show_cart)
    app.add_url_rule("/pay/<uuid:order_id>", view_func=pay)
    app.register_blueprint(orders_bp)  # + flask_orders
    return app
