"""A shoe shop: a pair that is on sale has its own lower price beside the regular one."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Flask, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, create_access_token, current_user, jwt_required
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, Numeric, String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from werkzeug.security import generate_password_hash

from flask_orders import declare_models, mapping, orders_bp  # + flask_orders

# Few rounds: the passwords of its customers are the tests' own.
HASH = "pbkdf2:sha256:1000"


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)
jwt = JWTManager()


class Customer(db.Model):
    __tablename__ = "customers"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(120), unique=True)
    password: Mapped[str] = mapped_column(String(255))


class Shoe(db.Model):
    __tablename__ = "shoes"

    id: Mapped[int] = mapped_column(primary_key=True)
    article: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    regular_price: Mapped[Decimal] = mapped_column(Numeric(12, 4))
    reduced_price: Mapped[Decimal | None] = mapped_column(Numeric(12, 4))
    pairs: Mapped[int]

    @property
    def current_price(self) -> Decimal:
        return min(self.regular_price, self.reduced_price or self.regular_price)


class Cart(db.Model):
    __tablename__ = "carts"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id), unique=True)
    code: Mapped[str | None] = mapped_column(String(40))
    items: Mapped[list["CartItem"]] = relationship(back_populates="cart", order_by="CartItem.id")


class CartItem(db.Model):
    __tablename__ = "cart_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    cart_id: Mapped[int] = mapped_column(ForeignKey(Cart.id), index=True)
    shoe_id: Mapped[int] = mapped_column(ForeignKey(Shoe.id))
    quantity: Mapped[int]
    cart: Mapped[Cart] = relationship(back_populates="items")
    shoe: Mapped[Shoe] = relationship()


declare_models(  # + flask_orders
    db,  # + flask_orders
    customer=Customer,  # + flask_orders
    product=mapping.product(  # + flask_orders
        Shoe,  # + flask_orders
        sku=Shoe.article,  # + flask_orders
        price=Shoe.regular_price,  # + flask_orders
        sale_price=Shoe.reduced_price,  # + flask_orders
        stock=Shoe.pairs,  # + flask_orders
    ),  # + flask_orders
    cart=mapping.cart(Cart, voucher=Cart.code),  # + flask_orders
    cart_item=CartItem,  # + flask_orders
)  # + flask_orders


@jwt.user_lookup_loader
def look_up(_header: dict[str, Any], claims: dict[str, Any]) -> Customer | None:
    return db.session.get(Customer, int(claims["sub"]))


def register() -> ResponseReturnValue:
    form = request.get_json()
    password = generate_password_hash(form["password"], HASH)
    customer = Customer(email=form["email"], password=password)
    db.session.add(customer)
    db.session.commit()
    return {"id": customer.id, "token": create_access_token(str(customer.id))}, 201


def list_shoes() -> ResponseReturnValue:
    found = db.session.scalars(select(Shoe).order_by(Shoe.name))
    return {
        "shoes": [
            {"name": one.name, "now": str(one.current_price), "was": str(one.regular_price)}
            for one in found
        ]
    }


def my_cart() -> Cart:
    cart = db.session.scalar(select(Cart).filter_by(customer_id=current_user.id))
    if cart is None:
        cart = Cart(customer_id=current_user.id)
        db.session.add(cart)
    return cart


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def add_to_cart() -> ResponseReturnValue:
    form = request.get_json()
    shoe = db.get_or_404(Shoe, form["product_id"])
    cart = my_cart()
    cart.items.append(CartItem(shoe=shoe, quantity=form.get("quantity", 1)))
    db.session.commit()
    return "", 204


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def enter_code() -> ResponseReturnValue:
    my_cart().code = request.get_json()["code"]
    db.session.commit()
    return "", 204


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def show_cart() -> ResponseReturnValue:
    items = my_cart().items
    total = sum(item.quantity * item.shoe.current_price for item in items)
    lines = [{"shoe": item.shoe.name, "quantity": item.quantity} for item in items]
    return {"items": lines, "total": str(total)}


@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def pay(order_id: UUID) -> ResponseReturnValue:
    return {"order": str(order_id), "pay_to": "the shoemaker"}


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI=url,
        JWT_SECRET_KEY="the secret of the shop that sells shoes",
        ORDERS_PAYMENT_ENDPOINT="pay",  # + flask_orders
    )
    app.config.from_mapping(config)
    db.init_app(app)
    Migrate(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    jwt.init_app(app)
    app.add_url_rule("/register", view_func=register, methods=["POST"])
    app.add_url_rule("/products", view_func=list_shoes)
    app.add_url_rule("/cart/items", view_func=add_to_cart, methods=["POST"])
    app.add_url_rule("/cart/code", view_func=enter_code, methods=["POST"])
    app.add_url_rule("/cart", view_func=show_cart)
    app.add_url_rule("/pay/<uuid:order_id>", view_func=pay)
    app.register_blueprint(orders_bp)  # + flask_orders
    return app
