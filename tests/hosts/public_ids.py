"""A shop whose keys read "prd_7" or are UUIDs as text, and whose rows refer to e-mails and SKUs."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from flask import Blueprint, Flask, jsonify, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, create_access_token, current_user, jwt_required
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Dialect, ForeignKey, Integer, Numeric, String, TypeDecorator, Uuid, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from werkzeug.security import generate_password_hash

from flask_orders import declare_models, orders_bp  # + flask_orders

# Few rounds: the passwords of its customers are the tests' own.
HASH = "pbkdf2:sha256:1000"


class Base(DeclarativeBase):
    pass


class PublicId(TypeDecorator[str]):
    """A number in the database, "prd_7" everywhere else."""

    impl = Integer
    cache_ok = True

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix

    def process_bind_param(self, value: str | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value.removeprefix(f"{self.prefix}_"))

    def process_result_value(self, value: int | None, dialect: Dialect) -> str | None:
        return None if value is None else f"{self.prefix}_{value}"


def new_id() -> str:
    return str(uuid4())


def render_item(kind: str, item: object, _context: object) -> str | bool:
    """Have a migration import nothing of the shop's."""
    return "sa.Integer()" if kind == "type" and isinstance(item, PublicId) else False


db = SQLAlchemy(model_class=Base)
jwt = JWTManager()
migrate = Migrate()
shop = Blueprint("shop", __name__)


class User(db.Model):
    __tablename__ = "users"

    id: Mapped[str] = mapped_column(PublicId("usr"), primary_key=True)
    email: Mapped[str] = mapped_column(String(120), unique=True)
    password: Mapped[str] = mapped_column(String(255))


class Product(db.Model):
    __tablename__ = "products"

    id: Mapped[str] = mapped_column(PublicId("prd"), primary_key=True)
    sku: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    stock: Mapped[int] = mapped_column(default=0)


class Cart(db.Model):
    __tablename__ = "carts"

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True, default=new_id)
    code: Mapped[str] = mapped_column(String(36), unique=True, default=new_id)
    user_email: Mapped[str] = mapped_column(ForeignKey(User.email), unique=True)
    items: Mapped[list["CartItem"]] = relationship(back_populates="cart")


class CartItem(db.Model):
    __tablename__ = "cart_items"

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True, default=new_id)
    cart_code: Mapped[str] = mapped_column(ForeignKey(Cart.code), index=True)
    product_sku: Mapped[str] = mapped_column(ForeignKey(Product.sku))
    quantity: Mapped[int] = mapped_column(default=1)
    cart: Mapped[Cart] = relationship(back_populates="items")
    product: Mapped[Product] = relationship()


declare_models(db, customer=User, product=Product, cart=Cart, cart_item=CartItem)  # + flask_orders


@jwt.user_lookup_loader
def look_up(_header: dict[str, Any], claims: dict[str, Any]) -> User | None:
    return db.session.get(User, claims["sub"])


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
    cart = db.session.scalar(select(Cart).filter_by(user_email=current_user.email))
    if cart is None:
        cart = Cart(user_email=current_user.email)
        db.session.add(cart)
    return cart


@shop.post("/cart/items")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def add_to_cart() -> ResponseReturnValue:
    form = request.get_json()
    product = db.get_or_404(Product, form["product_id"])
    cart = my_cart()
    cart.items.append(CartItem(product=product, quantity=form["quantity"]))
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
    return jsonify(order=str(order_id), pay_to="the shop")


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["JWT_SECRET_KEY"] = "the shop's own secret, which is long"
    app.config["ORDERS_PAYMENT_ENDPOINT"] = "shop.pay"  # + flask_orders
    app.config.update(config)
    db.init_app(app)
    jwt.init_app(app)
    history = {"directory": app.config.get("MIGRATIONS", "migrations"), "render_item": render_item}
    migrate.init_app(app, db, **history)
    app.register_blueprint(shop)
    app.register_blueprint(orders_bp)  # + flask_orders
    return app
