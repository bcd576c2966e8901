"""A shop for shirts without carts: what a user wants to buy associates the user with a size.

Prices are in cents. It has taken orders by telephone so far.
"""

from typing import Any
from uuid import UUID

from flask import Flask, abort, jsonify, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    current_user,
    jwt_required,
    set_access_cookies,
)
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from werkzeug.security import check_password_hash, generate_password_hash

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
    wanted: Mapped[list["Wanted"]] = relationship(back_populates="user")


class Shirt(db.Model):
    __tablename__ = "shirts"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    price_in_cents: Mapped[int]
    sizes: Mapped[list["Size"]] = relationship(back_populates="shirt")


class Size(db.Model):
    __tablename__ = "sizes"

    id: Mapped[int] = mapped_column(primary_key=True)
    shirt_id: Mapped[int] = mapped_column(ForeignKey(Shirt.id), index=True)
    label: Mapped[str] = mapped_column(String(10))
    left: Mapped[int]
    shirt: Mapped[Shirt] = relationship(back_populates="sizes")


class Wanted(db.Model):
    __tablename__ = "wanted"

    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), primary_key=True)
    size_id: Mapped[int] = mapped_column(ForeignKey(Size.id), primary_key=True, index=True)
    how_many: Mapped[int] = mapped_column(default=1)
    user: Mapped[User] = relationship(back_populates="wanted")
    size: Mapped[Size] = relationship()


declare_models(  # + flask_orders
    db,  # + flask_orders
    customer=User,  # + flask_orders
    product=mapping.product(  # + flask_orders
        Size,  # + flask_orders
        sku=None,  # + flask_orders
        name=lambda size: f"{size.shirt.title}, {size.label}",  # + flask_orders
        price=mapping.minor_units(lambda size: size.shirt.price_in_cents),  # + flask_orders
        stock=Size.left,  # + flask_orders
        load=Size.shirt,  # + flask_orders
    ),  # + flask_orders
    cart=User,  # + flask_orders
    cart_item=mapping.cart_item(Wanted, quantity=Wanted.how_many),  # + flask_orders
)  # + flask_orders


@jwt.user_lookup_loader
def look_up(_header: dict[str, Any], claims: dict[str, Any]) -> User | None:
    return db.session.get(User, int(claims["sub"]))


def register() -> ResponseReturnValue:
    form = request.get_json()
    user = User(email=form["email"], password=generate_password_hash(form["password"], HASH))
    db.session.add(user)
    db.session.commit()
    return {"id": user.id}, 201


def sign_in() -> ResponseReturnValue:
    form = request.get_json()
    user = db.session.scalar(select(User).filter_by(email=form["email"]))
    if user is None or not check_password_hash(user.password, form["password"]):
        abort(403)
    response = jsonify(welcome=user.email)
    set_access_cookies(response, create_access_token(str(user.id)))
    return response


def list_shirts() -> ResponseReturnValue:
    found = db.session.scalars(select(Shirt).order_by(Shirt.title))
    return {
        shirt.title: {
            "price": f"{shirt.price_in_cents / 100:.2f}",
            "sizes": {size.label: size.id for size in shirt.sizes if size.left},
        }
        for shirt in found
    }


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def want(size_id: int) -> ResponseReturnValue:
    key = current_user.id, db.get_or_404(Size, size_id).id
    wanted = db.session.get(Wanted, key) or Wanted(user_id=key[0], size_id=key[1])
    wanted.how_many = request.get_json()["how_many"]
    db.session.add(wanted)
    db.session.commit()
    return "", 204


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def list_wanted() -> ResponseReturnValue:
    lines = [
        {"shirt": one.size.shirt.title, "size": one.size.label, "how_many": one.how_many}
        for one in current_user.wanted
    ]
    return {"wanted": lines}


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def pay(order_id: UUID) -> ResponseReturnValue:
    return {"order": str(order_id), "card": "please"}


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI=url,
        JWT_SECRET_KEY="the secret of the shop for shirts and sizes",
        JWT_TOKEN_LOCATION=("cookies",),
        JWT_COOKIE_CSRF_PROTECT=True,
        ORDERS_PAYMENT_ENDPOINT="pay",  # + flask_orders
    )
    app.config.from_mapping(config)
    db.init_app(app)
    Migrate(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    jwt.init_app(app)
    app.add_url_rule("/register", view_func=register, methods=["POST"])
    app.add_url_rule("/sign-in", view_func=sign_in, methods=["POST"])
    app.add_url_rule("/shirts", view_func=list_shirts)
    app.add_url_rule("/wanted/<int:size_id>", view_func=want, methods=["PUT"])
    app.add_url_rule("/wanted", view_func=list_wanted)
    app.add_url_rule("/pay/<uuid:order_id>", view_func=pay)
    app.register_blueprint(orders_bp)  # + flask_orders
    return app
