"""A clothes shop: what is bought is a variant, and its name and price depend on its product too.

Its database has no foreign keys. It has vouchers, delivery costs and orders by telephone of its
own, whose classes are defined in a later module than its catalogue and carts.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import flask_wtf
from flask import Blueprint, Flask, abort, jsonify, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, create_access_token, current_user, jwt_required
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Numeric, String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, foreign, mapped_column, relationship, remote
from werkzeug.security import generate_password_hash

from flask_orders import declare_models, mapping, orders_bp  # + flask_orders
from flask_orders.errors import VoucherNotApplicable  # + flask_orders
from flask_orders.pricing import PricedCart, PricedItem  # + flask_orders

# Few rounds: the passwords of its customers are the tests' own.
HASH = "pbkdf2:sha256:1000"


class Base(DeclarativeBase):
    # Its modules are reloaded at a notebook's prompt.
    __table_args__ = {"extend_existing": True}  # noqa: RUF012 - SQLAlchemy's own


db = SQLAlchemy(model_class=Base)
jwt = JWTManager()
migrate = Migrate()
csrf = flask_wtf.CSRFProtect()
shop = Blueprint("shop", __name__)
office = Blueprint("office", __name__, url_prefix="/office")


class Account(db.Model):
    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(120), unique=True)
    password: Mapped[str] = mapped_column(String(255))


class Product(db.Model):
    __tablename__ = "products"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    base_price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    published: Mapped[bool]


class Variant(db.Model):
    __tablename__ = "variants"

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(index=True)
    sku: Mapped[str] = mapped_column(String(40), unique=True)
    size: Mapped[str] = mapped_column(String(10))
    surcharge: Mapped[Decimal] = mapped_column(Numeric(10, 2), default=Decimal(0))
    stock: Mapped[int]
    product: Mapped[Product] = relationship(
        primaryjoin=lambda: foreign(Variant.product_id) == remote(Product.id)
    )

    @property
    def title(self) -> str:
        return f"{self.product.title}, {self.size}"

    @property
    def current_price(self) -> Decimal:
        return self.product.base_price + self.surcharge

    def is_for_sale(self) -> bool:
        return self.product.published


class Cart(db.Model):
    __tablename__ = "carts"

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(unique=True)
    voucher_code: Mapped[str | None] = mapped_column(String(40))
    delivery: Mapped[str] = mapped_column(String(20), default="standard")
    lines: Mapped[list["CartLine"]] = relationship(
        primaryjoin=lambda: foreign(CartLine.cart_id) == Cart.id, back_populates="cart"
    )


class CartLine(db.Model):
    __tablename__ = "cart_lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    cart_id: Mapped[int] = mapped_column(index=True)
    product_id: Mapped[int]
    variant_id: Mapped[int]
    quantity: Mapped[int]
    cart: Mapped[Cart] = relationship(
        primaryjoin=lambda: foreign(CartLine.cart_id) == Cart.id, back_populates="lines"
    )
    product: Mapped[Product] = relationship(
        primaryjoin=lambda: foreign(CartLine.product_id) == Product.id
    )
    variant: Mapped[Variant] = relationship(
        primaryjoin=lambda: foreign(CartLine.variant_id) == Variant.id
    )


declare_models(  # + flask_orders
    db, customer=Account, table_prefix="fo_", promotions=False,  # + flask_orders
    product=mapping.product(  # + flask_orders
        Variant,  # + flask_orders
        name=Variant.title,  # + flask_orders
        price=Variant.current_price,  # + flask_orders
        active=Variant.is_for_sale,  # + flask_orders
        load=Variant.product,  # + flask_orders
    ),  # + flask_orders
    cart=mapping.cart(Cart, customer=Cart.account_id, voucher=Cart.voucher_code),  # + flask_orders
    cart_item=mapping.cart_item(  # + flask_orders
        CartLine, cart=CartLine.cart_id, product=CartLine.variant_id),  # + flask_orders
)  # fmt: skip  # + flask_orders

# What follows was a module of its own, vouchers.py, which is imported after the models above.

FREE_FROM = Decimal(50)
DELIVERY = {"pickup": Decimal(0), "standard": Decimal("4.90"), "express": Decimal("11.95")}


class Voucher(db.Model):
    __tablename__ = "vouchers"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(40), unique=True)
    percent: Mapped[Decimal] = mapped_column(Numeric(4, 1))
    minimum: Mapped[Decimal] = mapped_column(Numeric(10, 2), default=Decimal(0))
    uses_left: Mapped[int]
    orders: Mapped[list["Order"]] = relationship(
        "Order", primaryjoin="foreign(Order.voucher_id) == Voucher.id", back_populates="voucher"
    )


class Order(db.Model):
    """An order by telephone."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    caller: Mapped[str] = mapped_column(String(80))
    voucher_id: Mapped[int | None]
    voucher: Mapped[Voucher | None] = relationship(
        "Voucher", primaryjoin="foreign(Order.voucher_id) == Voucher.id", back_populates="orders"
    )
    events: Mapped[list["OrderEvent"]] = relationship(
        "OrderEvent", primaryjoin="foreign(OrderEvent.order_id) == Order.id", back_populates="order"
    )


class OrderEvent(db.Model):
    __tablename__ = "order_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(index=True)
    what: Mapped[str] = mapped_column(String(80))
    order: Mapped[Order] = relationship(
        "Order", primaryjoin="foreign(OrderEvent.order_id) == Order.id", back_populates="events"
    )


def to_cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def find_voucher(code: str | None) -> Voucher | None:
    """The voucher with this code, as long as it has a use left."""
    voucher = db.session.scalar(select(Voucher).filter_by(code=code))
    return voucher if voucher is not None and voucher.uses_left > 0 else None


def saving(voucher: Voucher | None, subtotal: Decimal) -> Decimal:
    """What a voucher takes off."""
    if voucher is None or subtotal < voucher.minimum:
        return Decimal(0)
    return to_cents(subtotal * voucher.percent / 100)


def delivery_cost(cart: Cart, amount: Decimal) -> Decimal:
    """What the delivery of goods for this amount costs."""
    return Decimal(0) if amount >= FREE_FROM else DELIVERY[cart.delivery]


def total_of(cart: Cart) -> Decimal:
    """What the customer has to pay."""
    subtotal = sum((line.quantity * line.variant.current_price for line in cart.lines), Decimal(0))
    goods = subtotal - saving(find_voucher(cart.voucher_code), subtotal)
    return goods + delivery_cost(cart, goods)


class ShopPricing:  # + flask_orders
    def price(self, cart: Any, now: datetime) -> PricedCart:  # + flask_orders
        items = [PricedItem.of(item, cart.currency) for item in cart.items]  # + flask_orders
        subtotal = sum((item.total_price for item in items), Decimal(0))  # + flask_orders
        voucher = find_voucher(cart.voucher)  # + flask_orders
        if cart.voucher is not None and voucher is None:  # + flask_orders
            raise VoucherNotApplicable("used_up")  # + flask_orders
        off = saving(voucher, subtotal)  # + flask_orders
        return PricedCart.of(  # + flask_orders
            items,  # + flask_orders
            cart.currency,  # + flask_orders
            voucher=voucher if off else None,  # + flask_orders
            discount=lambda _subtotal: off,  # + flask_orders
            shipping=delivery_cost(cart.row, subtotal - off),  # + flask_orders
        )  # + flask_orders

    def redeem(self, voucher: Any, order: Any) -> None:  # + flask_orders
        usable = db.session.query(Voucher).filter_by(id=voucher.id)  # + flask_orders
        left: dict[Any, Any] = {"uses_left": Voucher.uses_left - 1}  # + flask_orders
        if not usable.where(Voucher.uses_left > 0).update(left):  # + flask_orders
            raise VoucherNotApplicable("used_up")  # + flask_orders

    def release(self, voucher: Any, order: Any) -> None:  # + flask_orders
        released = db.session.query(Voucher).filter_by(code=voucher.code)  # + flask_orders
        released.update({"uses_left": Voucher.uses_left + 1})  # + flask_orders


@jwt.user_lookup_loader
def look_up(_header: dict[str, Any], claims: dict[str, Any]) -> Account | None:
    return db.session.get(Account, int(claims["sub"]))


@shop.post("/register")
def register() -> ResponseReturnValue:
    form = request.get_json()
    account = Account(email=form["email"], password=generate_password_hash(form["password"], HASH))
    db.session.add(account)
    db.session.flush()
    db.session.add(Cart(account_id=account.id))
    db.session.commit()
    return jsonify(id=account.id, token=create_access_token(str(account.id))), 201


@shop.get("/products")
def products() -> ResponseReturnValue:
    found: Iterable[Variant] = db.session.scalars(select(Variant).order_by(Variant.sku))
    return jsonify(
        [
            {"sku": one.sku, "title": one.title, "price": str(one.current_price)}
            for one in found
            if one.is_for_sale()
        ]
    )


def my_cart() -> Cart:
    return db.session.execute(select(Cart).filter_by(account_id=current_user.id)).scalar_one()


@shop.post("/cart/lines")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def add_to_cart() -> ResponseReturnValue:
    form = request.get_json()
    variant = db.get_or_404(Variant, form["product_id"])
    line = CartLine(product=variant.product, variant=variant, quantity=form["quantity"])
    cart = my_cart()
    cart.lines.append(line)
    db.session.commit()
    return "", 204


@shop.put("/cart")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def change_cart() -> ResponseReturnValue:
    form, cart = request.get_json(), my_cart()
    if "voucher" in form:
        voucher = find_voucher(form["voucher"].upper()) or abort(410)
        cart.voucher_code = voucher.code
    cart.delivery = form.get("delivery", cart.delivery)
    db.session.commit()
    return "", 204


@shop.get("/cart")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def show_cart() -> ResponseReturnValue:
    cart = my_cart()
    lines = [{"title": line.variant.title, "quantity": line.quantity} for line in cart.lines]
    return jsonify(lines=lines, total=str(total_of(cart)))


@shop.get("/pay/<uuid:order_id>")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def pay(order_id: Any) -> ResponseReturnValue:
    return jsonify(order=str(order_id), card="please")


@office.post("/telephone")
def take_order_by_telephone() -> ResponseReturnValue:
    """A form of the staff's."""
    event = OrderEvent(what=f"called at {datetime.now(UTC):%H:%M}")
    db.session.add(Order(caller=request.form["caller"], events=[event]))
    db.session.commit()
    return "", 204


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI=url,
        SECRET_KEY="the secret of the clothes shop's forms",
        JWT_SECRET_KEY="the secret of the clothes shop's customers",
        ORDERS_PAYMENT_ENDPOINT="shop.pay",  # + flask_orders
    )
    app.config.from_mapping(config)
    db.init_app(app)
    jwt.init_app(app)
    migrate.init_app(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    csrf.init_app(app)
    csrf.exempt(shop)
    app.register_blueprint(shop)
    app.register_blueprint(office)
    csrf.exempt(orders_bp)  # + flask_orders
    app.register_blueprint(orders_bp, pricing=ShopPricing())  # + flask_orders
    return app
