"""Several bakeries on one platform: each request sees its bakery's rows, and no deleted ones.

What a customer saves for later is a sibling class of the cart item, in the same table.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Blueprint, Flask, g, jsonify, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, create_access_token, current_user, jwt_required
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, Numeric, String, UniqueConstraint, event, select
from sqlalchemy.orm import (
    DeclarativeBase,
    LoaderCriteriaOption,
    Mapped,
    ORMExecuteState,
    mapped_column,
    relationship,
    with_loader_criteria,
)
from werkzeug.security import generate_password_hash

from flask_orders import declare_models, orders_bp  # + flask_orders

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


class OfBakery:
    """What belongs to one bakery."""

    bakery_id: Mapped[int] = mapped_column(default=lambda: g.bakery_id)


class Deletable:
    """What is marked and stays."""

    deleted_at: Mapped[datetime | None] = mapped_column()


class Product(OfBakery, Deletable, db.Model):
    __tablename__ = "products"

    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(String(40))
    name: Mapped[str] = mapped_column(String(200))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    stock: Mapped[int] = mapped_column(default=0)


class Cart(OfBakery, db.Model):
    __tablename__ = "carts"
    __table_args__ = (UniqueConstraint("user_id", "bakery_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id))
    items: Mapped[list["CartItem"]] = relationship(back_populates="cart")


class Entry(Deletable, db.Model):
    __tablename__ = "cart_items"
    __mapper_args__ = {"polymorphic_on": "kind"}  # noqa: RUF012 - SQLAlchemy's own

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    cart_id: Mapped[int] = mapped_column(ForeignKey(Cart.id), index=True)
    product_id: Mapped[int] = mapped_column(ForeignKey(Product.id))
    quantity: Mapped[int] = mapped_column(default=1)
    product: Mapped[Product] = relationship()


class CartItem(Entry):
    __mapper_args__ = {"polymorphic_identity": "cart"}  # noqa: RUF012 - SQLAlchemy's own

    cart: Mapped[Cart] = relationship(back_populates="items")


class SavedItem(Entry):
    __mapper_args__ = {"polymorphic_identity": "saved"}  # noqa: RUF012 - SQLAlchemy's own


@event.listens_for(db.session, "do_orm_execute")
def see_own_rows(state: ORMExecuteState) -> None:
    if state.is_select:
        bakery_id = g.get("bakery_id")
        criteria = [only(Deletable, lambda cls: cls.deleted_at.is_(None))]
        # Without a request, as in a command, every bakery's rows are seen.
        if bakery_id is not None:
            criteria.append(only(OfBakery, lambda cls: cls.bakery_id == bakery_id))
        state.statement = state.statement.options(*criteria)


def only(mixin: type[Any], condition: Any) -> LoaderCriteriaOption:
    return with_loader_criteria(mixin, condition, include_aliases=True)


declare_models(db, customer=User, product=Product, cart=Cart, cart_item=CartItem)  # + flask_orders


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


@shop.before_app_request
def choose_bakery() -> None:
    g.bakery_id = int(request.headers.get("X-Bakery", 1))


@shop.get("/products")
def products() -> ResponseReturnValue:
    found = db.session.scalars(select(Product).order_by(Product.id))
    return jsonify([{"id": one.id, "name": one.name, "price": str(one.price)} for one in found])


@shop.delete("/products/<int:product_id>")
def delete_product(product_id: int) -> ResponseReturnValue:
    db.get_or_404(Product, product_id).deleted_at = datetime.now(UTC).replace(tzinfo=None)
    db.session.commit()
    return "", 204


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


@shop.post("/cart/saved/<int:product_id>")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def save_for_later(product_id: int) -> ResponseReturnValue:
    cart = my_cart()
    db.session.add(SavedItem(cart_id=cart.id, product_id=product_id, quantity=1))
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
    return jsonify(order=str(order_id), pay_to="the bakery")


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["JWT_SECRET_KEY"] = "the bakeries' own secret, which is long"
    app.config["ORDERS_PAYMENT_ENDPOINT"] = "shop.pay"  # + flask_orders
    app.config.update(config)
    db.init_app(app)
    jwt.init_app(app)
    migrate.init_app(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    app.register_blueprint(shop)
    app.register_blueprint(orders_bp)  # + flask_orders
    return app
