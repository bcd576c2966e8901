"""A shop for seeds: what is in a basket is a table without a class; a token of its own signs in."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Flask, abort, current_app, request
from flask.typing import ResponseReturnValue
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.security import check_password_hash, generate_password_hash

from flask_orders import declare_models, mapping, orders_bp  # + flask_orders

# Few rounds: the passwords of its customers are the tests' own.
HASH = "pbkdf2:sha256:1000"

db = SQLAlchemy()


class Gardener(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    email = db.Column(db.String(120), unique=True, nullable=False)
    password = db.Column(db.String(255), nullable=False)
    basket = db.relationship("Basket", back_populates="gardener", uselist=False)


class Basket(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    gardener_id = db.Column(db.Integer, db.ForeignKey("gardener.id"), unique=True, nullable=False)
    gardener = db.relationship("Gardener", back_populates="basket")
    seeds = db.relationship("Seed", secondary="basket_seed", viewonly=True)


class Seed(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    article = db.Column(db.String(20), unique=True, nullable=False)
    plant = db.Column(db.String(100), nullable=False)
    price = db.Column(db.Numeric(8, 2), nullable=False)
    bags = db.Column(db.Integer, nullable=False)


basket_seed = db.Table(
    "basket_seed",
    db.Column("basket_id", db.ForeignKey("basket.id"), primary_key=True),
    db.Column("seed_id", db.ForeignKey("seed.id"), primary_key=True),
    db.Column("bags", db.Integer, nullable=False),
)

declare_models(  # + flask_orders
    db,  # + flask_orders
    customer=Gardener,  # + flask_orders
    product=mapping.product(  # + flask_orders
        Seed,  # + flask_orders
        sku=Seed.article,  # + flask_orders
        name=Seed.plant,  # + flask_orders
        stock=Seed.bags,  # + flask_orders
    ),  # + flask_orders
    cart=Basket,  # + flask_orders
    cart_item=mapping.cart_item(basket_seed, quantity=basket_seed.c.bags),  # + flask_orders
)  # + flask_orders


def tokens() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.config["SECRET_KEY"], salt="sign-in")


def gardener_id() -> int | None:
    """Return the key in the request's token."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        return int(tokens().loads(token, max_age=3600)["id"]) if scheme == "Bearer" else None
    except BadData:
        return None


def my_basket() -> Basket:
    key = gardener_id()
    if key is None:
        abort(401)
    basket: Basket | None = Basket.query.filter_by(gardener_id=key).first()
    if basket is None:
        basket = Basket(gardener_id=key)
        db.session.add(basket)
        db.session.flush()
    return basket


def register() -> ResponseReturnValue:
    form = request.get_json()
    password = generate_password_hash(form["password"], HASH)
    gardener = Gardener(email=form["email"], password=password)
    db.session.add(gardener)
    db.session.commit()
    return {"id": gardener.id}, 201


def sign_in() -> ResponseReturnValue:
    form = request.get_json()
    gardener = Gardener.query.filter_by(email=form["email"]).first()
    if gardener is None or not check_password_hash(gardener.password, form["password"]):
        abort(403)
    return {"token": tokens().dumps({"id": gardener.id})}


def list_seeds() -> ResponseReturnValue:
    found = Seed.query.order_by(Seed.plant)
    return {one.article: {"plant": one.plant, "price": str(one.price)} for one in found}


def add_to_basket() -> ResponseReturnValue:
    basket, form = my_basket(), request.get_json()
    seed = Seed.query.filter_by(article=form["article"]).first_or_404()
    added = {"basket_id": basket.id, "seed_id": seed.id, "bags": form["bags"]}
    db.session.execute(basket_seed.insert().values(added))
    db.session.commit()
    return "", 204


def show_basket() -> ResponseReturnValue:
    basket = my_basket()
    rows = db.session.execute(
        db.select(Seed.plant, Seed.price, basket_seed.c.bags)
        .join(basket_seed)
        .where(basket_seed.c.basket_id == basket.id)
    ).all()
    total = sum((row.price * row.bags for row in rows), Decimal(0))
    return {"seeds": {row.plant: row.bags for row in rows}, "total": str(total)}


def pay(order_id: UUID) -> ResponseReturnValue:
    return {"order": str(order_id), "pay": "at the market"}


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SECRET_KEY"] = "the secret of the shop for seeds"
    app.config["ORDERS_PAYMENT_ENDPOINT"] = "pay"  # + flask_orders
    app.config.update(config)
    db.init_app(app)
    Migrate(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    app.add_url_rule("/register", view_func=register, methods=["POST"])
    app.add_url_rule("/sign-in", view_func=sign_in, methods=["POST"])
    app.add_url_rule("/seeds", view_func=list_seeds)
    app.add_url_rule("/basket", view_func=add_to_basket, methods=["POST"])
    app.add_url_rule("/basket", view_func=show_basket)
    app.add_url_rule("/pay/<uuid:order_id>", view_func=pay)
    app.register_blueprint(orders_bp, current_customer=gardener_id)  # + flask_orders
    return app
