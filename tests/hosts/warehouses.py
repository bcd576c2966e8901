"""A furniture shop: the units of a product are in several warehouses, in a table of their own."""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Blueprint, Flask, jsonify, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, create_access_token, current_user, jwt_required
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, Numeric, String, func, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from werkzeug.security import generate_password_hash

from flask_orders import Conflict, declare_models, mapping, orders_bp  # + flask_orders

# Few rounds: the passwords of its customers are the tests' own.
HASH = "pbkdf2:sha256:1000"


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)
jwt = JWTManager()
migrate = Migrate()
shop = Blueprint("shop", __name__)


class User(db.Model):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(120), unique=True)
    password: Mapped[str] = mapped_column(String(255))


class Product(db.Model):
    __tablename__ = "products"

    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))


class Level(db.Model):
    __tablename__ = "stock_levels"

    product_id: Mapped[int] = mapped_column(ForeignKey(Product.id), primary_key=True)
    warehouse: Mapped[str] = mapped_column(String(20), primary_key=True)
    units: Mapped[int]


class Cart(db.Model):
    __tablename__ = "carts"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), unique=True)
    items: Mapped[list["CartItem"]] = relationship(back_populates="cart")


class CartItem(db.Model):
    __tablename__ = "cart_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    cart_id: Mapped[int] = mapped_column(ForeignKey(Cart.id), index=True)
    product_id: Mapped[int] = mapped_column(ForeignKey(Product.id))
    quantity: Mapped[int] = mapped_column(default=1)
    cart: Mapped[Cart] = relationship(back_populates="items")
    product: Mapped[Product] = relationship()


def units_left(products: Collection[int]) -> dict[int, int]:
    counts = select(Level.product_id, func.sum(Level.units)).group_by(Level.product_id)
    found = db.session.execute(counts.where(Level.product_id.in_(products)))
    return {product_id: int(units) for product_id, units in found}


def locked_levels(products: Collection[int]) -> Sequence[Level]:
    levels = select(Level).where(Level.product_id.in_(products)).with_for_update()
    in_order = levels.order_by(Level.product_id, Level.warehouse)
    return db.session.scalars(in_order.execution_options(populate_existing=True)).all()


def take(wanted: Mapping[int, int]) -> bool:
    """Take units out of the warehouses; False if there are not enough."""
    missing, changes = dict(wanted), []
    for level in locked_levels(wanted):
        taken = min(level.units, missing[level.product_id])
        missing[level.product_id] -= taken
        changes.append(changed(level, -taken))
    if any(missing.values()):
        return False
    db.session.execute(update(Level), changes)
    return True


def put_back(units: Mapping[int, int]) -> None:
    """Put units into the first warehouse of each product."""
    first = {level.product_id: level for level in reversed(locked_levels(units))}
    changes = [changed(level, units[product_id]) for product_id, level in first.items()]
    db.session.execute(update(Level), changes)


def changed(level: Level, more: int) -> dict[str, Any]:
    key = {"product_id": level.product_id, "warehouse": level.warehouse}
    return {**key, "units": level.units + more}


class WarehouseStock:  # + flask_orders
    def available(self, products: Mapping[int, Any]) -> Mapping[int, int]:  # + flask_orders
        return units_left(products)  # + flask_orders

    def deduct(self, units: Mapping[int, int]) -> None:  # + flask_orders
        if not take(units):  # + flask_orders
            raise Conflict  # + flask_orders

    def restock(self, units: Mapping[int, int]) -> None:  # + flask_orders
        put_back(units)  # + flask_orders


goods = mapping.product(Product, stock=WarehouseStock())  # + flask_orders
declare_models(db, customer=User, product=goods, cart=Cart, cart_item=CartItem)  # + flask_orders


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
    found = db.session.scalars(select(Product).order_by(Product.id))
    return jsonify([{"id": one.id, "name": one.name, "price": str(one.price)} for one in found])


def my_cart() -> Cart:
    cart = db.session.scalar(select(Cart).filter_by(user_id=current_user.id))
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
    return jsonify(order=str(order_id), pay_to="the furniture shop")


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["JWT_SECRET_KEY"] = "the furniture shop's own secret, which is long"
    app.config["ORDERS_PAYMENT_ENDPOINT"] = "shop.pay"  # + flask_orders
    app.config.update(config)
    db.init_app(app)
    jwt.init_app(app)
    migrate.init_app(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    app.register_blueprint(shop)
    app.register_blueprint(orders_bp)  # + flask_orders
    return app
