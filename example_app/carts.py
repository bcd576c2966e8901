"""The signed-in customer's cart.

Called over HTTP. Whoever changes a cart locks it first, as its conversion to an order does.
"""

from datetime import UTC, datetime

from flask import Blueprint, Response, abort, jsonify, request
from flask_jwt_extended import current_user, verify_jwt_in_request
from sqlalchemy import select, update

from flask_orders.models import CartItemMixin, CartMixin, ProductMixin, VoucherMixin

from .models import Cart, CartItem, Product, Voucher, db
from .schemas import MOST_UNITS, AddItemSchema, CartSchema, QuantitySchema, VoucherSchema

carts = Blueprint("carts", __name__, url_prefix="/api/v1/i/cart")


@carts.before_request
def require_customer() -> None:
    """Let nobody in without a valid token."""
    verify_jwt_in_request()


@carts.get("/")
def get_cart() -> Response:
    """The cart."""
    cart = db.session.scalars(select(Cart).where(Cart.customer_id == current_user.id)).one()
    return jsonify(CartSchema().dump(cart))


@carts.post("/items/")
def add_item() -> tuple[Response, int]:
    """Add a product; what is in the cart already gets more of it."""
    body = AddItemSchema().load(request.get_json())
    cart = _locked_cart()
    product = _product(body["sku"])
    item = next((item for item in cart.items if item.product is product), None)
    if item is None:
        item = CartItem(product=product, quantity=0)
        cart.items.append(item)
    _set_quantity(item, item.quantity + body["quantity"])
    return _saved(cart), 201


@carts.patch("/items/<int:item_id>/")
def change_item(item_id: int) -> Response:
    """Set how many are wanted."""
    body = QuantitySchema().load(request.get_json())
    cart = _locked_cart()
    _set_quantity(_item(cart, item_id), body["quantity"])
    return _saved(cart)


@carts.delete("/items/<int:item_id>/")
def remove_item(item_id: int) -> Response:
    """Take an item out."""
    cart = _locked_cart()
    cart.items.remove(_item(cart, item_id))
    return _saved(cart)


@carts.put("/voucher/")
def apply_voucher() -> Response:
    """Put a voucher into the cart, in the place of the one that is there."""
    body = VoucherSchema().load(request.get_json())
    cart = _locked_cart()
    cart.voucher = _voucher(body["code"])
    return _saved(cart)


@carts.delete("/voucher/")
def remove_voucher() -> Response:
    """Take the voucher out."""
    cart = _locked_cart()
    cart.voucher = None
    return _saved(cart)


def _locked_cart() -> CartMixin:
    """The customer's cart, in a transaction that nobody else can change it in.

    The lock is an UPDATE, since SQLite knows no other, and the first statement of a transaction,
    so that what is read under it is read after it.
    """
    mine = Cart.customer_id == current_user.id
    db.session.rollback()
    db.session.execute(update(Cart).where(mine).values(id=Cart.id))
    cart: CartMixin = db.session.scalars(select(Cart).where(mine)).one()
    return cart


def _saved(cart: CartMixin) -> Response:
    db.session.commit()
    return jsonify(CartSchema().dump(cart))


def _product(sku: str) -> ProductMixin:
    product: ProductMixin | None = db.session.scalar(
        select(Product).where(Product.sku == sku, Product.active)
    )
    if product is None:
        abort(404, f"There is no product {sku}.")
    return product


def _item(cart: CartMixin, item_id: int) -> CartItemMixin:
    item: CartItemMixin | None = next((item for item in cart.items if item.id == item_id), None)
    if item is None:
        abort(404, "There is no such item in your cart.")
    return item


def _set_quantity(item: CartItemMixin, quantity: int) -> None:
    """Say now what the order would refuse; it looks again, since a cart reserves no stock."""
    stock = None if item.product is None else item.product.stock
    if stock is not None and quantity > stock:
        abort(409, f"There are only {stock} left.")
    if quantity > MOST_UNITS:
        abort(409, f"You can order {MOST_UNITS} of a product at most.")
    item.quantity = quantity


def _voucher(code: str) -> VoucherMixin:
    """The voucher with that code, if it is valid today; the order checks its other rules."""
    voucher: VoucherMixin | None = db.session.scalar(select(Voucher).where(Voucher.code == code))
    if voucher is None:
        abort(404, f"There is no voucher {code}.")
    if not voucher.active or not _is_valid(voucher, datetime.now(UTC)):
        abort(409, f"The voucher {code} is not valid today.")
    return voucher


def _is_valid(voucher: VoucherMixin, now: datetime) -> bool:
    started = voucher.valid_from is None or voucher.valid_from <= now
    return started and (voucher.valid_to is None or now < voucher.valid_to)
