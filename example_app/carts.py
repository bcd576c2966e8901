"""The API of the signed-in customer's cart."""

from typing import Any

from flask import Blueprint, Response, jsonify, request
from flask_jwt_extended import current_user, verify_jwt_in_request
from sqlalchemy import select

from flask_orders.models import CartMixin

from .cart_changes import add_units, remove, set_units, set_voucher
from .models import Cart, db
from .schemas import AddItemSchema, CartSchema, QuantitySchema, VoucherSchema

carts = Blueprint("carts", __name__, url_prefix="/api/v1/i/cart")


@carts.before_request
def require_customer() -> None:
    """Require a valid token for every request."""
    verify_jwt_in_request()


@carts.get("/")
def get_cart() -> Response:
    """Return the cart."""
    cart = db.session.scalars(select(Cart).where(Cart.customer_id == current_user.id)).one()
    return jsonify(CartSchema().dump(cart))


@carts.post("/items/")
def add_item() -> tuple[Response, int]:
    """Add units of a product, to its item if the cart has one."""
    body: Any = AddItemSchema().load(request.get_json())
    return _saved(add_units(body["sku"], body["quantity"])), 201


@carts.patch("/items/<int:item_id>/")
def change_item(item_id: int) -> Response:
    """Set the quantity of an item."""
    body: Any = QuantitySchema().load(request.get_json())
    return _saved(set_units(item_id, body["quantity"]))


@carts.delete("/items/<int:item_id>/")
def remove_item(item_id: int) -> Response:
    """Remove an item."""
    return _saved(remove(item_id))


@carts.put("/voucher/")
def apply_voucher() -> Response:
    """Apply a voucher to the cart, replacing the one applied before."""
    body: Any = VoucherSchema().load(request.get_json())
    return _saved(set_voucher(body["code"]))


@carts.delete("/voucher/")
def remove_voucher() -> Response:
    """Remove the voucher from the cart."""
    return _saved(set_voucher(None))


def _saved(cart: CartMixin) -> Response:
    db.session.commit()
    return jsonify(CartSchema().dump(cart))
