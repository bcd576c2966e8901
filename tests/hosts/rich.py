"""A shop that has everything: variants, coupons, agreed prices, an address book, cookies.

What is bought is a variant of a product. `orders` is what it orders from its own suppliers.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Blueprint, Flask, Response, abort, jsonify, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    current_user,
    jwt_required,
    set_access_cookies,
)
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, Numeric, String, Text, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from werkzeug.security import check_password_hash, generate_password_hash

import flask_orders as fo  # + flask_orders

# Few rounds: the passwords of its customers are the tests' own.
HASH = "pbkdf2:sha256:1000"


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)
migrate = Migrate(db=db)
jwt = JWTManager()
shop = Blueprint("shop", __name__, url_prefix="/shop")


class Customer(db.Model):
    __tablename__ = "customers"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(255), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))


class Address(db.Model):
    __tablename__ = "addresses"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id), index=True)
    line: Mapped[str] = mapped_column(String(255))
    zip: Mapped[str] = mapped_column(String(20))
    town: Mapped[str] = mapped_column(String(100))
    country_code: Mapped[str] = mapped_column(String(2))


class Order(db.Model):
    """What the shop has ordered from a supplier."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    supplier: Mapped[str] = mapped_column(String(100))
    note: Mapped[str | None] = mapped_column(Text)


class Product(db.Model):
    __tablename__ = "products"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    base_price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    published: Mapped[bool] = mapped_column(default=True)


class Variant(db.Model):
    __tablename__ = "variants"

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey(Product.id))
    sku: Mapped[str] = mapped_column(String(64), unique=True)
    size: Mapped[str] = mapped_column(String(20))
    adjustment: Mapped[Decimal] = mapped_column(Numeric(10, 2), default=0)
    stock: Mapped[int]
    product: Mapped[Product] = relationship(lazy="joined", innerjoin=True)

    @property
    def name(self) -> str:
        return f"{self.product.title}, {self.size}"

    @property
    def price(self) -> Decimal:
        return self.product.base_price + self.adjustment

    @property
    def active(self) -> bool:
        return self.product.published


class AgreedPrice(db.Model):
    __tablename__ = "agreed_prices"

    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id), primary_key=True)
    variant_id: Mapped[int] = mapped_column(ForeignKey(Variant.id), primary_key=True)
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))


class Coupon(db.Model):
    __tablename__ = "coupons"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(40), unique=True)
    percent: Mapped[int]
    uses_left: Mapped[int]

    def percent_of(self, amount: Decimal) -> Decimal:
        return amount * self.percent / 100


class Cart(db.Model):
    __tablename__ = "carts"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id), unique=True)
    coupon_id: Mapped[int | None] = mapped_column(ForeignKey(Coupon.id))
    coupon: Mapped[Coupon | None] = relationship()
    items: Mapped[list["CartItem"]] = relationship(back_populates="cart", lazy="selectin")


class CartItem(db.Model):
    __tablename__ = "cart_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    cart_id: Mapped[int] = mapped_column(ForeignKey(Cart.id))
    variant_id: Mapped[int] = mapped_column(ForeignKey(Variant.id))
    quantity: Mapped[int]
    cart: Mapped[Cart] = relationship(back_populates="items")
    variant: Mapped[Variant] = relationship(lazy="joined")


class WebOrder(fo.models.OrderMixin, db.Model):  # + flask_orders
    __tablename__ = "fo_orders"  # + flask_orders
    gift_note: Mapped[str | None] = mapped_column(Text)  # + flask_orders
    channel: Mapped[str] = mapped_column(String(20), default="web")  # + flask_orders


fo.declare_models(  # + flask_orders
    db,  # + flask_orders
    customer=Customer,  # + flask_orders
    product=fo.mapping.product(Variant, load=Variant.product),  # + flask_orders
    cart=fo.mapping.cart(Cart, voucher=Cart.coupon_id),  # + flask_orders
    cart_item=CartItem,  # + flask_orders
    order=WebOrder,  # + flask_orders
    table_prefix="fo_",  # + flask_orders
    promotions=False,  # + flask_orders
)  # + flask_orders


def prices_for(customer_id: int, variants: Sequence[Variant]) -> dict[int, Decimal]:
    """What a unit of each variant costs this customer."""
    agreed = db.session.execute(
        select(AgreedPrice.variant_id, AgreedPrice.price).filter_by(customer_id=customer_id)
    )
    by_variant: dict[int, Decimal] = {row.variant_id: row.price for row in agreed}
    return {variant.id: by_variant.get(variant.id, variant.price) for variant in variants}


def home_of(customer_id: int) -> Address | None:
    """The address that the customer has entered last."""
    newest = select(Address).filter_by(customer_id=customer_id).order_by(Address.id.desc())
    return db.session.scalar(newest.limit(1))


class ShopPricing:  # + flask_orders
    def price(self, cart: Any, now: Any) -> Any:  # + flask_orders
        p, currency = fo.pricing, cart.currency  # + flask_orders
        prices = prices_for(cart.customer_id, [i.product for i in cart.items])  # + flask_orders
        items = [  # + flask_orders
            p.PricedItem.of(item, currency, unit_price=prices[item.product_id])  # + flask_orders
            for item in cart.items  # + flask_orders
        ]  # + flask_orders
        if cart.voucher is None:  # + flask_orders
            return p.PricedCart.of(items, currency)  # + flask_orders
        coupon = db.session.get_one(Coupon, cart.voucher)  # + flask_orders
        off = coupon.percent_of  # + flask_orders
        return p.PricedCart.of(items, currency, voucher=coupon, discount=off)  # + flask_orders

    def redeem(self, voucher: Any, order: Any) -> None:  # + flask_orders
        it_has_a_use = (Coupon.id == voucher.id, Coupon.uses_left > 0)  # + flask_orders
        left: dict[Any, Any] = {"uses_left": Coupon.uses_left - 1}  # + flask_orders
        if not db.session.query(Coupon).where(*it_has_a_use).update(left):  # + flask_orders
            raise fo.errors.VoucherNotApplicable("used_up")  # + flask_orders

    def release(self, voucher: Any, order: Any) -> None:  # + flask_orders
        used = db.session.query(Coupon).filter_by(code=voucher.code)  # + flask_orders
        used.update({"uses_left": Coupon.uses_left + 1})  # + flask_orders


def home(customer_id: int) -> fo.BillingAddress | None:  # + flask_orders
    address = home_of(customer_id)  # + flask_orders
    if address is None:  # + flask_orders
        return None  # + flask_orders
    lines = (address.line, address.zip, address.town)  # + flask_orders
    return fo.BillingAddress(*lines, state="", country=address.country_code)  # + flask_orders


@jwt.user_lookup_loader
def look_up(_header: dict[str, Any], claims: dict[str, Any]) -> Customer | None:
    return db.session.get(Customer, int(claims["sub"]))


@shop.post("/customers")
def sign_up() -> ResponseReturnValue:
    form = request.get_json()
    password = generate_password_hash(form["password"], HASH)
    customer = Customer(email=form["email"], password_hash=password)
    db.session.add(customer)
    db.session.commit()
    return jsonify(id=customer.id), 201


@shop.post("/session")
def sign_in() -> ResponseReturnValue:
    form = request.get_json()
    customer = db.session.scalar(select(Customer).filter_by(email=form["email"]))
    if customer is None or not check_password_hash(customer.password_hash, form["password"]):
        abort(401)
    response: Response = jsonify(welcome=customer.email)
    set_access_cookies(response, create_access_token(str(customer.id)))
    return response


@shop.post("/addresses")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def add_address() -> ResponseReturnValue:
    db.session.add(Address(customer_id=current_user.id, **request.get_json()))
    db.session.commit()
    return "", 204


@shop.get("/account")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def account() -> ResponseReturnValue:
    address = home_of(current_user.id)
    return jsonify(email=current_user.email, town=address.town if address else None)


@shop.get("/variants")
@jwt_required(optional=True)  # type: ignore[untyped-decorator] # it is an Any
def variants() -> ResponseReturnValue:
    found = db.session.scalars(select(Variant).join(Variant.product).where(Product.published)).all()
    prices = prices_for(current_user.id if current_user else 0, found)
    return jsonify(
        [{"sku": one.sku, "name": one.name, "price": f"{prices[one.id]}"} for one in found]
    )


def my_cart() -> Cart:
    cart = db.session.scalar(select(Cart).filter_by(customer_id=current_user.id))
    if cart is None:
        cart = Cart(customer_id=current_user.id)
        db.session.add(cart)
    return cart


@shop.post("/cart")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def add_to_cart() -> ResponseReturnValue:
    form = request.get_json()
    variant = db.one_or_404(select(Variant).filter_by(sku=form["sku"]))
    cart = my_cart()
    cart.items.append(CartItem(variant=variant, quantity=form["quantity"]))
    db.session.commit()
    return "", 204


@shop.put("/cart/coupon")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def apply_coupon() -> ResponseReturnValue:
    coupon = db.one_or_404(select(Coupon).filter_by(code=request.get_json()["code"].upper()))
    if not coupon.uses_left:
        abort(410)
    cart = my_cart()
    cart.coupon = coupon
    db.session.commit()
    return "", 204


@shop.get("/cart")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def show_cart() -> ResponseReturnValue:
    cart = my_cart()
    prices = prices_for(current_user.id, [item.variant for item in cart.items])
    subtotal = sum((item.quantity * prices[item.variant_id] for item in cart.items), Decimal(0))
    off = cart.coupon.percent_of(subtotal) if cart.coupon else Decimal(0)
    lines = [{"sku": item.variant.sku, "quantity": item.quantity} for item in cart.items]
    return jsonify(items=lines, total=f"{subtotal - off:.2f}")


@shop.get("/payments/<uuid:order_id>")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def pay(order_id: UUID) -> ResponseReturnValue:
    return jsonify(order=str(order_id), card="please")


class DefaultConfig:
    JWT_SECRET_KEY = "the secret of the shop that has everything"
    JWT_TOKEN_LOCATION = ("cookies",)
    JWT_COOKIE_SECURE = True
    JWT_COOKIE_CSRF_PROTECT = True


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config.from_object(DefaultConfig)
    app.config["ORDERS_PAYMENT_ENDPOINT"] = "shop.pay"  # + flask_orders
    app.config.from_mapping(config, SQLALCHEMY_DATABASE_URI=url)
    db.init_app(app)
    migrate.init_app(app, directory=app.config.get("MIGRATIONS", "migrations"))
    jwt.init_app(app)
    app.register_blueprint(shop)
    mine: fo.pricing.Pricing = ShopPricing()  # + flask_orders
    app.register_blueprint(fo.orders_bp, pricing=mine, saved_address=home)  # + flask_orders
    return app
