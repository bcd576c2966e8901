"""A photo laboratory: its cart items have options, and those have files.

A frame may be ordered as a gift with a print, and the orders of its old system point to cart items.
"""

from decimal import Decimal
from typing import Any

from flask import Blueprint, Flask, jsonify, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, create_access_token, current_user, jwt_required
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import JSON, ForeignKey, Numeric, String, select
from sqlalchemy.orm import Mapped, mapped_column, relationship
from werkzeug.security import generate_password_hash

from flask_orders import declare_models, mapping, orders_bp  # + flask_orders
from flask_orders.models import OrderItemMixin  # + flask_orders
from flask_orders.signals import order_placing  # + flask_orders

# Few rounds: the passwords of its customers are the tests' own.
HASH = "pbkdf2:sha256:1000"

db = SQLAlchemy()
jwt = JWTManager()
migrate = Migrate()
shop = Blueprint("shop", __name__)


class User(db.Model):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(120), unique=True)
    password: Mapped[str] = mapped_column(String(255))
    cart: Mapped["Cart"] = relationship(back_populates="user")


class Print(db.Model):
    __tablename__ = "prints"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    on_sale: Mapped[bool]


class Cart(db.Model):
    __tablename__ = "carts"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), unique=True)
    user: Mapped[User] = relationship(back_populates="cart")
    items: Mapped[list["CartItem"]] = relationship(
        back_populates="cart", cascade="all, delete-orphan"
    )


class CartItem(db.Model):
    __tablename__ = "cart_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    cart_id: Mapped[int] = mapped_column(ForeignKey(Cart.id), index=True)
    print_id: Mapped[int] = mapped_column(ForeignKey(Print.id))
    gift_of_id: Mapped[int | None] = mapped_column(ForeignKey("cart_items.id"))
    paper: Mapped[str] = mapped_column(String(20), default="matt")
    quantity: Mapped[int]
    cart: Mapped[Cart] = relationship(back_populates="items")
    print: Mapped[Print] = relationship()
    gift_of: Mapped["CartItem | None"] = relationship(remote_side="CartItem.id")
    options: Mapped[list["ItemOption"]] = relationship(cascade="all, delete-orphan")


class ItemOption(db.Model):
    __tablename__ = "item_options"

    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey(CartItem.id), index=True)
    name: Mapped[str] = mapped_column(String(40))
    choice: Mapped[str] = mapped_column(String(80))
    files: Mapped[list["OptionFile"]] = relationship(cascade="all, delete-orphan")


class OptionFile(db.Model):
    __tablename__ = "option_files"

    id: Mapped[int] = mapped_column(primary_key=True)
    option_id: Mapped[int] = mapped_column(ForeignKey(ItemOption.id), index=True)
    path: Mapped[str] = mapped_column(String(200))


class OldOrder(db.Model):
    """An order of the system that the laboratory had before."""

    __tablename__ = "old_orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int | None] = mapped_column(ForeignKey(CartItem.id))
    note: Mapped[str] = mapped_column(String(80))


class OrderItem(OrderItemMixin, db.Model):  # + flask_orders
    paper: Mapped[str] = mapped_column(String(20))  # + flask_orders
    options: Mapped[dict[str, str] | None] = mapped_column(JSON)  # + flask_orders


declare_models(  # + flask_orders
    db, customer=User, cart=Cart, order_item=OrderItem,  # + flask_orders
    product=mapping.product(Print, sku=None, stock=None, active=Print.on_sale),  # + flask_orders
    cart_item=mapping.cart_item(CartItem, copy=(CartItem.paper,)))  # fmt: skip  # + flask_orders


def copy_options(sender: Flask, order: Any, cart: Cart, items: Any) -> None:  # + flask_orders
    keys = [item.id for _, item in items]  # + flask_orders
    chosen = select(ItemOption).where(ItemOption.item_id.in_(keys))  # + flask_orders
    options = db.session.scalars(chosen).all()  # + flask_orders
    for order_item, item in items:  # + flask_orders
        own = [option for option in options if option.item_id == item.id]  # + flask_orders
        order_item.options = {option.name: option.choice for option in own}  # + flask_orders


@jwt.user_lookup_loader
def look_up(_header: dict[str, Any], claims: dict[str, Any]) -> User | None:
    return db.session.get(User, int(claims["sub"]))


@shop.post("/register")
def register() -> ResponseReturnValue:
    form = request.get_json()
    user = User(email=form["email"], password=generate_password_hash(form["password"], HASH))
    user.cart = Cart()
    db.session.add(user)
    db.session.commit()
    return jsonify(id=user.id, token=create_access_token(str(user.id))), 201


@shop.get("/products")
def products() -> ResponseReturnValue:
    found = db.session.scalars(select(Print).order_by(Print.name))
    return jsonify([{"id": one.id, "name": one.name, "price": str(one.price)} for one in found])


@shop.post("/cart/items")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def add_to_cart() -> ResponseReturnValue:
    form = request.get_json()
    options = [
        ItemOption(name=name, choice=choice, files=[OptionFile(path=f"/uploads/{name}.jpg")])
        for name, choice in form.get("options", {}).items()
    ]
    item = CartItem(
        print=db.get_or_404(Print, form["product_id"]),
        gift_of_id=form.get("gift_of"),
        paper=form.get("paper"),
        quantity=form["quantity"],
        options=options,
    )
    current_user.cart.items.append(item)
    db.session.commit()
    return jsonify(id=item.id)


@shop.get("/cart")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def show_cart() -> ResponseReturnValue:
    return jsonify(
        [
            {
                "print": item.print.name,
                "quantity": item.quantity,
                "options": {option.name: option.choice for option in item.options},
            }
            for item in current_user.cart.items
        ]
    )


@shop.get("/pay/<uuid:order_id>")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def pay(order_id: Any) -> ResponseReturnValue:
    return jsonify(order=str(order_id), pay_to="the laboratory")


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["JWT_SECRET_KEY"] = "the secret of the laboratory, which is long"
    app.config["ORDERS_PAYMENT_ENDPOINT"] = "shop.pay"  # + flask_orders
    app.config.update(config)
    db.init_app(app)
    jwt.init_app(app)
    migrate.init_app(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    app.register_blueprint(shop)
    app.register_blueprint(orders_bp)  # + flask_orders
    order_placing.connect(copy_options, app)  # + flask_orders
    return app
