"""A tea shop: one cart for each customer, products without article numbers, names of its own."""

from typing import Any

from flask import Blueprint, Flask, jsonify, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, create_access_token, current_user, jwt_required
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from werkzeug.security import generate_password_hash

from flask_orders import declare_models, mapping, orders_bp  # + flask_orders

# Few rounds: the passwords of its customers are the tests' own.
HASH = "pbkdf2:sha256:1000"

db = SQLAlchemy()
jwt = JWTManager()
migrate = Migrate()
shop = Blueprint("shop", __name__)


class User(db.Model):
    __tablename__ = "users"

    id = db.Column(db.Integer, primary_key=True)
    email = db.Column(db.String(120), unique=True, nullable=False)
    password = db.Column(db.String(255), nullable=False)
    shopping_cart = db.relationship("ShoppingCart", back_populates="owner", uselist=False)


class Tea(db.Model):
    __tablename__ = "teas"

    id = db.Column(db.Integer, primary_key=True)
    title = db.Column(db.String(200), nullable=False)
    unit_price = db.Column(db.Numeric(10, 2), nullable=False)
    packets = db.Column(db.Integer, nullable=False, default=0)


class ShoppingCart(db.Model):
    __tablename__ = "shopping_carts"

    id = db.Column(db.Integer, primary_key=True)
    owner_id = db.Column(db.Integer, db.ForeignKey("users.id"), unique=True, nullable=False)
    owner = db.relationship("User", back_populates="shopping_cart")
    entries = db.relationship("CartEntry", back_populates="shopping_cart")


class CartEntry(db.Model):
    __tablename__ = "cart_entries"

    id = db.Column(db.Integer, primary_key=True)
    shopping_cart_id = db.Column(
        db.Integer, db.ForeignKey("shopping_carts.id"), nullable=False, index=True
    )
    tea_id = db.Column(db.Integer, db.ForeignKey("teas.id"), nullable=False)
    amount = db.Column(db.Integer, nullable=False, default=1)
    shopping_cart = db.relationship("ShoppingCart", back_populates="entries")
    tea = db.relationship("Tea")


declare_models(  # + flask_orders
    db,  # + flask_orders
    customer=User,  # + flask_orders
    product=mapping.product(  # + flask_orders
        Tea,  # + flask_orders
        sku=Tea.id,  # + flask_orders
        name=Tea.title,  # + flask_orders
        price=Tea.unit_price,  # + flask_orders
        stock=Tea.packets,  # + flask_orders
    ),  # + flask_orders
    cart=ShoppingCart,  # + flask_orders
    cart_item=mapping.cart_item(CartEntry, quantity=CartEntry.amount),  # + flask_orders
)  # + flask_orders


@jwt.user_lookup_loader
def look_up(_header: dict[str, Any], claims: dict[str, Any]) -> User | None:
    return db.session.get(User, int(claims["sub"]))


@shop.post("/register")
def register() -> ResponseReturnValue:
    form = request.get_json()
    user = User(email=form["email"], password=generate_password_hash(form["password"], HASH))
    user.shopping_cart = ShoppingCart()
    db.session.add(user)
    db.session.commit()
    return jsonify(id=user.id, token=create_access_token(str(user.id))), 201


@shop.get("/products")
def products() -> ResponseReturnValue:
    found = Tea.query.order_by(Tea.title)
    return jsonify(
        [{"id": one.id, "title": one.title, "price": str(one.unit_price)} for one in found]
    )


@shop.post("/cart/items")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def add_to_cart() -> ResponseReturnValue:
    form = request.get_json()
    tea = db.get_or_404(Tea, form["product_id"])
    cart = current_user.shopping_cart
    cart.entries.append(CartEntry(tea=tea, amount=form.get("quantity", 1)))
    db.session.commit()
    return "", 204


@shop.get("/cart")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def show_cart() -> ResponseReturnValue:
    entries = current_user.shopping_cart.entries
    total = sum(entry.amount * entry.tea.unit_price for entry in entries)
    lines = [{"tea": entry.tea.title, "amount": entry.amount} for entry in entries]
    return jsonify(entries=lines, total=str(total))


@shop.get("/pay/<uuid:order_id>")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def pay(order_id: Any) -> ResponseReturnValue:
    return jsonify(order=str(order_id), pay_to="the tea house")


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["JWT_SECRET_KEY"] = "the tea shop's own secret, which is long"
    app.config["ORDERS_PAYMENT_ENDPOINT"] = "shop.pay"  # + flask_orders
    app.config.update(config)
    db.init_app(app)
    jwt.init_app(app)
    migrate.init_app(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    app.register_blueprint(shop)
    app.register_blueprint(orders_bp)  # + flask_orders
    return app
