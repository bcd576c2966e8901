"""A jeweller: what a ring costs depends on its size and its engraving, which are the item's."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from flask import Blueprint, Flask, jsonify, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, create_access_token, current_user, jwt_required
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, Numeric, String, select
from sqlalchemy.orm import Mapped, mapped_column, relationship
from werkzeug.security import generate_password_hash

from flask_orders import declare_models, mapping, orders_bp  # + flask_orders
from flask_orders.models import OrderItemMixin  # + flask_orders
from flask_orders.pricing import CartItem, Currency, PricedCart, PricedItem  # + flask_orders

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
    basket: Mapped["Basket"] = relationship(back_populates="user")


class Ring(db.Model):
    __tablename__ = "rings"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    stock: Mapped[int]


class Basket(db.Model):
    __tablename__ = "baskets"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), unique=True)
    user: Mapped[User] = relationship(back_populates="basket")
    items: Mapped[list["BasketItem"]] = relationship(back_populates="basket")


class BasketItem(db.Model):
    __tablename__ = "basket_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    basket_id: Mapped[int] = mapped_column(ForeignKey(Basket.id), index=True)
    ring_id: Mapped[int] = mapped_column(ForeignKey(Ring.id))
    size: Mapped[int] = mapped_column(default=54)
    engraving: Mapped[str | None] = mapped_column(String(40))
    quantity: Mapped[int]
    basket: Mapped[Basket] = relationship(back_populates="items")
    ring: Mapped[Ring] = relationship()


class OrderItem(OrderItemMixin, db.Model):  # + flask_orders
    size: Mapped[int]  # + flask_orders
    engraving: Mapped[str | None] = mapped_column(String(40))  # + flask_orders


declare_models(  # + flask_orders
    db,  # + flask_orders
    customer=User,  # + flask_orders
    product=mapping.product(Ring, sku=None),  # + flask_orders
    cart=Basket,  # + flask_orders
    cart_item=mapping.cart_item(  # + flask_orders
        BasketItem,  # + flask_orders
        copy=(BasketItem.size, BasketItem.engraving),  # + flask_orders
    ),  # + flask_orders
    order_item=OrderItem,  # + flask_orders
    promotions=False,  # + flask_orders
)  # + flask_orders

LARGE = 60


def extra(item: BasketItem) -> Decimal:
    """What the item's size and engraving cost, for each ring."""
    large = Decimal("12.00") if item.size > LARGE else Decimal(0)
    return large + Decimal("1.50") * len(item.engraving or "")


class RingPricing:  # + flask_orders
    def price(self, cart: Any, now: datetime) -> PricedCart:  # + flask_orders
        items = [self.item(item, cart.currency) for item in cart.items]  # + flask_orders
        return PricedCart.of(items, cart.currency)  # + flask_orders

    def item(self, item: CartItem, currency: Currency) -> PricedItem:  # + flask_orders
        list_price = item.product.price + extra(item.row)  # + flask_orders
        return PricedItem.of(item, currency, list_price=list_price)  # + flask_orders

    def redeem(self, voucher: Any, order: Any) -> None:  # + flask_orders
        """There are no vouchers."""  # + flask_orders

    def release(self, voucher: Any, order: Any) -> None:  # + flask_orders
        """There are no vouchers."""  # + flask_orders


@jwt.user_lookup_loader
def look_up(_header: dict[str, Any], claims: dict[str, Any]) -> User | None:
    return db.session.get(User, int(claims["sub"]))


@shop.post("/register")
def register() -> ResponseReturnValue:
    form = request.get_json()
    user = User(email=form["email"], password=generate_password_hash(form["password"], HASH))
    user.basket = Basket()
    db.session.add(user)
    db.session.commit()
    return jsonify(id=user.id, token=create_access_token(str(user.id))), 201


@shop.get("/products")
def products() -> ResponseReturnValue:
    found = db.session.scalars(select(Ring).order_by(Ring.name))
    return jsonify([{"id": one.id, "name": one.name, "price": str(one.price)} for one in found])


@shop.post("/cart/items")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def add_to_basket() -> ResponseReturnValue:
    form = request.get_json()
    ring = db.get_or_404(Ring, form.pop("product_id"))
    current_user.basket.items.append(BasketItem(ring=ring, **form))
    db.session.commit()
    return "", 204


@shop.get("/cart")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def show_basket() -> ResponseReturnValue:
    items = current_user.basket.items
    total = sum(item.quantity * (item.ring.price + extra(item)) for item in items)
    rows = [{"ring": item.ring.name, "quantity": item.quantity} for item in items]
    return jsonify(items=rows, total=str(total))


@shop.get("/pay/<uuid:order_id>")
@jwt_required()  # type: ignore[untyped-decorator] # it is an Any
def pay(order_id: Any) -> ResponseReturnValue:
    return jsonify(order=str(order_id), pay_to="the jeweller")


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["JWT_SECRET_KEY"] = "the secret of the jeweller, which is long"
    app.config["ORDERS_PAYMENT_ENDPOINT"] = "shop.pay"  # + flask_orders
    app.config.update(config)
    db.init_app(app)
    jwt.init_app(app)
    migrate.init_app(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    app.register_blueprint(shop)
    app.register_blueprint(orders_bp, pricing=RingPricing())  # + flask_orders
    return app
