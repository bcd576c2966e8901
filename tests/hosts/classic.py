"""A shop of the classic make: integer keys, the tables as Flask-SQLAlchemy names them.

It takes orders by telephone so far: the shop assistant reads the cart and the coupon off
the screen.
"""

from typing import Any

from flask import Blueprint, Flask, jsonify, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, create_access_token, current_user, jwt_required
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from werkzeug.security import check_password_hash, generate_password_hash

from flask_orders import declare_models, mapping, orders_bp  # + flask_orders

db = SQLAlchemy()
jwt = JWTManager()
migrate = Migrate()
shop = Blueprint("shop", __name__)

# Few rounds: the passwords of its customers are the tests' own.
HASH = "pbkdf2:sha256:1000"


class User(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    email = db.Column(db.String(120), unique=True, nullable=False)
    password = db.Column(db.String(255), nullable=False)


class Product(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    sku = db.Column(db.String(40), unique=True, nullable=False)
    name = db.Column(db.String(200), nullable=False)
    price = db.Column(db.Numeric(10, 2), nullable=False)
    quantity_on_hand = db.Column(db.Integer, nullable=False, default=0)
    active = db.Column(db.Boolean, nullable=False, default=True)


class Cart(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    user_id = db.Column(db.Integer, db.ForeignKey("user.id"), unique=True, nullable=False)
    coupon = db.Column(db.String(40))
    items = db.relationship("CartItem", back_populates="cart", cascade="all, delete-orphan")


class CartItem(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    cart_id = db.Column(db.Integer, db.ForeignKey("cart.id"), nullable=False)
    product_id = db.Column(db.Integer, db.ForeignKey("product.id"), nullable=False)
    quantity = db.Column(db.Integer, nullable=False, default=1)
    cart = db.relationship("Cart", back_populates="items")
    product = db.relationship("Product", lazy="joined")


declare_models(  # + flask_orders
    db,  # + flask_orders
    customer=User,  # + flask_orders
    product=mapping.product(Product, stock=Product.quantity_on_hand),  # + flask_orders
    cart=mapping.cart(Cart, voucher=Cart.coupon),  # + flask_orders
    cart_item=CartItem,  # + flask_orders
)  # + flask_orders


@jwt.user_identity_loader
def identify(user: User) -> str:
    return str(user.id)


@jwt.user_lookup_loader
def look_up(_header: dict[str, Any], claims: dict[str, Any]) -> User | None:
    return db.session.get(User, int(claims["sub"]))


@shop.post("/register")
def register() -> ResponseReturnValue:
    form = request.get_json()
    user = User(email=form["email"], password=generate_password_hash(form["password"], HASH))
    db.session.add(user)
    db.session.commit()
    return jsonify(id=user.id), 201


@shop.post("/login")
def login() -> ResponseReturnValue:
    form = request.get_json()
    user = User.query.filter_by(email=form["email"]).first()
    if user is None or not check_password_hash(user.password, form["password"]):
        return jsonify(error="wrong e-mail address or password"), 401
    return jsonify(access_token=create_access_token(user))


@shop.get("/products")
def products() -> ResponseReturnValue:
    found = Product.query.filter_by(active=True).order_by(Product.name)
    return jsonify([{"id": one.id, "name": one.name, "price": str(one.price)} for one in found])


def my_cart() -> Cart:
    cart: Cart | None = Cart.query.filter_by(user_id=current_user.id).first()
    if cart is None:
        cart = Cart(user_id=current_user.id)
        db.session.add(cart)
    return cart


@shop.post("/cart/items")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def add_to_cart() -> ResponseReturnValue:
    form = request.get_json()
    product = db.get_or_404(Product, form["product_id"])
    cart = my_cart()
    cart.items.append(CartItem(product=product, quantity=form.get("quantity", 1)))
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
    items = CartItem.query.filter_by(cart=cart).all()
    lines = [{"product_id": item.product_id, "quantity": item.quantity} for item in items]
    total = sum(item.quantity * item.product.price for item in items)
    return jsonify(items=lines, coupon=cart.coupon, total=str(total))


@shop.get("/pay/<uuid:order_id>")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def pay(order_id: Any) -> ResponseReturnValue:
    return jsonify(order=str(order_id), pay_to="the bank")


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["JWT_SECRET_KEY"] = "the classic shop's own secret, long enough"
    app.config["ORDERS_PAYMENT_ENDPOINT"] = "shop.pay"  # + flask_orders
    app.config.update(config)
    db.init_app(app)
    jwt.init_app(app)
    migrate.init_app(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    app.register_blueprint(shop)
    app.register_blueprint(orders_bp)  # + flask_orders
    return app
