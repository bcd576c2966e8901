"""A club's shop, made by a factory any number of times; its tests roll everything back.

Members are known by their text login, which is their key. It has neither coupons nor shipping.
"""

from typing import Any
from uuid import UUID

from flask import Blueprint, Flask, jsonify, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, create_access_token, current_user, jwt_required
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, Numeric, String, select
from sqlalchemy.orm import DeclarativeBaseNoMeta, relationship
from werkzeug.security import check_password_hash, generate_password_hash

from flask_orders import declare_models, mapping, orders_bp  # + flask_orders

# Few rounds: the passwords of its customers are the tests' own.
HASH = "pbkdf2:sha256:1000"


class Base(DeclarativeBaseNoMeta):
    pass


db = SQLAlchemy(model_class=Base)
jwt = JWTManager()

# SQLite numbers the rows of an INTEGER key only.
Key = BigInteger().with_variant(Integer, "sqlite")


class Member(db.Model):
    login = Column(String(50), primary_key=True)
    password = Column(String(255), nullable=False)


class Article(db.Model):
    number = Column(Key, primary_key=True)
    sku = Column(String(20), nullable=False, unique=True)
    name = Column(String(100), nullable=False)
    price = Column(Numeric(8, 2), nullable=False)
    left = Column(Integer, nullable=False)


class Cart(db.Model):
    id = Column(Key, primary_key=True)
    login = Column(String(50), ForeignKey(Member.login), nullable=False, unique=True)
    lines = relationship("Line", back_populates="cart", cascade="all, delete-orphan")


class Line(db.Model):
    id = Column(Key, primary_key=True)
    cart_id = Column(Key, ForeignKey(Cart.id), nullable=False)
    article_number = Column(Key, ForeignKey(Article.number), nullable=False)
    quantity = Column(Integer, nullable=False)
    cart = relationship(Cart, back_populates="lines")
    product = relationship(Article)


declare_models(  # + flask_orders
    db,  # + flask_orders
    customer=Member,  # + flask_orders
    product=mapping.product(Article, stock=Article.left),  # + flask_orders
    cart=Cart,  # + flask_orders
    cart_item=Line,  # + flask_orders
)  # + flask_orders


@jwt.user_lookup_loader
def look_up(_header: dict[str, Any], claims: dict[str, Any]) -> Member | None:
    return db.session.get(Member, claims["sub"])


def join() -> ResponseReturnValue:
    form = request.get_json()
    db.session.add(
        Member(login=form["login"], password=generate_password_hash(form["password"], HASH))
    )
    db.session.commit()
    return jsonify(login=form["login"]), 201


def sign_in() -> ResponseReturnValue:
    form = request.get_json()
    member = db.get_or_404(Member, form["login"])
    if not check_password_hash(str(member.password), form["password"]):
        return jsonify(error="wrong password"), 401
    return jsonify(token=create_access_token(member.login))


def articles() -> ResponseReturnValue:
    found = db.session.scalars(select(Article).order_by(Article.number))
    return jsonify([{"number": one.number, "price": str(one.price)} for one in found])


def my_cart() -> Cart:
    cart = db.session.scalar(select(Cart).filter_by(login=current_user.login))
    if cart is None:
        cart = Cart(login=current_user.login)
        db.session.add(cart)
    return cart


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def add_line() -> ResponseReturnValue:
    cart = my_cart()
    cart.lines.append(Line(**request.get_json()))
    db.session.commit()
    return jsonify(added=True), 201


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def show_lines() -> ResponseReturnValue:
    lines = my_cart().lines
    return jsonify([{"article": one.article_number, "quantity": one.quantity} for one in lines])


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def pay(order_id: UUID) -> ResponseReturnValue:
    return jsonify(order=str(order_id), pay_at="the bar")


def make_blueprint() -> Blueprint:
    shop = Blueprint("club", __name__)
    shop.add_url_rule("/members", view_func=join, methods=["POST"])
    shop.add_url_rule("/tokens", view_func=sign_in, methods=["POST"])
    shop.add_url_rule("/articles", view_func=articles)
    shop.add_url_rule("/lines", view_func=add_line, methods=["POST"])
    shop.add_url_rule("/lines", view_func=show_lines)
    shop.add_url_rule("/pay/<uuid:order_id>", view_func=pay)
    return shop


def create_app(url: str, **config: Any) -> Flask:
    app = Flask("club")
    app.config.update(
        SQLALCHEMY_DATABASE_URI=url, JWT_SECRET_KEY="the secret of the club's own shop"
    )
    app.config["ORDERS_PAYMENT_ENDPOINT"] = "club.pay"  # + flask_orders
    app.config.update(config)
    db.init_app(app)
    jwt.init_app(app)
    Migrate(app, db, app.config.get("MIGRATIONS", "migrations"))
    app.register_blueprint(make_blueprint())
    app.register_blueprint(orders_bp)  # + flask_orders
    return app
