"""A bookshop: a customer has one basket after another, and the last one is still open.

Its own checkout closes a basket with everything in it, which is the customer's history. Prices are
whole units of the currency. Baskets from before the column `ordered` have NULL there.
"""

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
    id = db.Column(db.Integer, primary_key=True)
    email = db.Column(db.String(120), unique=True, nullable=False)
    password = db.Column(db.String(255), nullable=False)
    baskets = db.relationship("Basket", backref="user", lazy="dynamic")


class Book(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    isbn = db.Column(db.String(13), unique=True, nullable=False)
    title = db.Column(db.String(200), nullable=False)
    price = db.Column(db.Integer, nullable=False)
    copies = db.Column(db.Integer, nullable=False, default=0)
    in_baskets = db.relationship("BasketItem", backref="product")


class Basket(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    user_id = db.Column(db.Integer, db.ForeignKey("user.id"), nullable=False, index=True)
    ordered = db.Column(db.Boolean)
    ordered_at = db.Column(db.DateTime)
    items = db.relationship("BasketItem", backref="cart", cascade="all, delete-orphan")


class BasketItem(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    basket_id = db.Column(db.Integer, db.ForeignKey("basket.id"), nullable=False, index=True)
    book_id = db.Column(db.Integer, db.ForeignKey("book.id"), nullable=False)
    quantity = db.Column(db.Integer, nullable=False, default=1)


declare_models(  # + flask_orders
    db,  # + flask_orders
    customer=User,  # + flask_orders
    product=mapping.product(  # + flask_orders
        Book,  # + flask_orders
        sku=Book.isbn,  # + flask_orders
        name=Book.title,  # + flask_orders
        price=mapping.major_units(Book.price),  # + flask_orders
        stock=Book.copies,  # + flask_orders
    ),  # + flask_orders
    cart=mapping.cart(Basket, open=Basket.ordered.is_not(True)),  # + flask_orders
    cart_item=BasketItem,  # + flask_orders
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
    found = Book.query.order_by(Book.title)
    return jsonify([{"id": one.id, "title": one.title, "price": one.price} for one in found])


def my_basket() -> Basket:
    basket: Basket | None = current_user.baskets.filter(Basket.ordered.isnot(True)).first()
    if basket is None:
        basket = Basket(user=current_user)
        db.session.add(basket)
    return basket


@shop.post("/cart/items")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def add_to_basket() -> ResponseReturnValue:
    form = request.get_json()
    book = db.get_or_404(Book, form["product_id"])
    basket = my_basket()
    basket.items.append(BasketItem(product=book, quantity=form.get("quantity", 1)))
    db.session.commit()
    return "", 204


@shop.post("/cart/reserve")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def reserve() -> ResponseReturnValue:
    """Order for collection in the bookshop, where it is paid for: the way until now."""
    basket = my_basket()
    basket.ordered, basket.ordered_at = True, db.func.now()
    db.session.commit()
    return jsonify(basket=basket.id), 201


@shop.get("/cart")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def show_basket() -> ResponseReturnValue:
    items = BasketItem.query.filter_by(cart=my_basket()).all()
    total = sum(item.quantity * item.product.price for item in items)
    lines = [{"book": item.product.title, "quantity": item.quantity} for item in items]
    return jsonify(items=lines, total=total)


@shop.get("/pay/<uuid:order_id>")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def pay(order_id: Any) -> ResponseReturnValue:
    return jsonify(order=str(order_id), pay_to="the bookseller")


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
