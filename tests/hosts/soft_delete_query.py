"""A shop for lamps whose `query_class` leaves deleted rows out, as with Flask-SQLAlchemy 2.

Only `Class.query` knows of it; `db.session.get` and `select()` find deleted rows.
"""

from typing import Any

from flask import Blueprint, Flask, jsonify, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, create_access_token, current_user, jwt_required
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.query import Query
from werkzeug.security import generate_password_hash

from flask_orders import declare_models, mapping, orders_bp  # + flask_orders

# Few rounds: the passwords of its customers are the tests' own.
HASH = "pbkdf2:sha256:1000"


class LiveQuery(Query):
    """A query for the rows that are not deleted."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        query = super().__new__(cls)
        if not args:  # a copy
            return query
        Query.__init__(query, *args, **kwargs)
        return query.filter_by(is_deleted=False) if hasattr(args[0], "is_deleted") else query

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        """`__new__` has done it."""


db = SQLAlchemy(query_class=LiveQuery)
jwt = JWTManager()
migrate = Migrate()
shop = Blueprint("shop", __name__)


class User(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    email = db.Column(db.String(120), unique=True, nullable=False)
    password = db.Column(db.String(255), nullable=False)


class Lamp(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    sku = db.Column(db.String(20), nullable=False)
    name = db.Column(db.String(200), nullable=False)
    price = db.Column(db.Numeric(10, 2), nullable=False)
    stock = db.Column(db.Integer, nullable=False)
    is_deleted = db.Column(db.Boolean, nullable=False, default=False)


class Cart(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    user_id = db.Column(db.Integer, db.ForeignKey("user.id"), nullable=False, index=True)
    is_deleted = db.Column(db.Boolean, nullable=False, default=False)


class CartItem(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    cart_id = db.Column(db.Integer, db.ForeignKey("cart.id"), nullable=False, index=True)
    lamp_id = db.Column(db.Integer, db.ForeignKey("lamp.id"), nullable=False)
    quantity = db.Column(db.Integer, nullable=False, default=1)
    is_deleted = db.Column(db.Boolean, nullable=False, default=False)
    lamp = db.relationship("Lamp")


declare_models(  # + flask_orders
    db,  # + flask_orders
    customer=User,  # + flask_orders
    product=mapping.product(Lamp, active=~Lamp.is_deleted),  # + flask_orders
    cart=mapping.cart(Cart, open=~Cart.is_deleted),  # + flask_orders
    cart_item=mapping.cart_item(CartItem, open=~CartItem.is_deleted),  # + flask_orders
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
    return jsonify([{"id": one.id, "price": str(one.price)} for one in Lamp.query.all()])


@shop.delete("/products/<int:lamp_id>")
def delete_lamp(lamp_id: int) -> ResponseReturnValue:
    Lamp.query.filter_by(id=lamp_id).first_or_404().is_deleted = True
    db.session.commit()
    return "", 204


def my_cart() -> Cart:
    cart: Cart | None = Cart.query.filter_by(user_id=current_user.id).first()
    if cart is None:
        cart = Cart(user_id=current_user.id)
        db.session.add(cart)
        db.session.flush()
    return cart


@shop.post("/cart/items")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def add_to_cart() -> ResponseReturnValue:
    form = request.get_json()
    lamp = Lamp.query.filter_by(id=form["product_id"]).first_or_404()
    quantity = form.get("quantity", 1)
    db.session.add(CartItem(cart_id=my_cart().id, lamp=lamp, quantity=quantity))
    db.session.commit()
    return "", 204


@shop.delete("/cart/items/<int:lamp_id>")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def remove_from_cart(lamp_id: int) -> ResponseReturnValue:
    for item in CartItem.query.filter_by(cart_id=my_cart().id, lamp_id=lamp_id):
        item.is_deleted = True
    db.session.commit()
    return "", 204


@shop.delete("/cart")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def discard_cart() -> ResponseReturnValue:
    my_cart().is_deleted = True
    db.session.commit()
    return "", 204


@shop.get("/cart")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def show_cart() -> ResponseReturnValue:
    items = CartItem.query.filter_by(cart_id=my_cart().id).all()
    return jsonify([{"lamp": item.lamp.name, "quantity": item.quantity} for item in items])


@shop.get("/pay/<uuid:order_id>")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def pay(order_id: Any) -> ResponseReturnValue:
    return jsonify(order=str(order_id), pay_to="the electrician")


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["JWT_SECRET_KEY"] = "the lamp shop's own secret, which is long"
    app.config["ORDERS_PAYMENT_ENDPOINT"] = "shop.pay"  # + flask_orders
    app.config.update(config)
    db.init_app(app)
    jwt.init_app(app)
    migrate.init_app(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    app.register_blueprint(shop)
    app.register_blueprint(orders_bp)  # + flask_orders
    return app
