"""Changes of the signed-in customer's cart, for the API and for the pages.

Each locks the cart first, as its conversion does, and leaves the commit to the caller.
"""

from datetime import UTC, datetime

from flask import abort
from flask_jwt_extended import current_user
from sqlalchemy import select, update

from flask_orders.models import CartItemMixin, CartMixin, ProductMixin, VoucherMixin

from .models import Cart, CartItem, Product, Voucher, db
from .schemas import MOST_UNITS


def add_units(sku: str, quantity: int) -> CartMixin:
    """Add units of a product, to its item if the cart has one."""
    cart = _locked_cart()
    product = _product(sku)
    item = next((item for item in cart.items if item.product is product), None)
    if item is None:
        item = CartItem(product=product, quantity=0)
        cart.items.append(item)
    _set_quantity(item, item.quantity + quantity)
    return cart


def set_units(item_id: int, quantity: int) -> CartMixin:
    """Set the quantity of an item."""
    cart = _locked_cart()
    _set_quantity(_item(cart, item_id), quantity)
    return cart


def remove(item_id: int) -> CartMixin:
    """Remove an item."""
    cart = _locked_cart()
    cart.items.remove(_item(cart, item_id))
    return cart


def set_voucher(code: str | None) -> CartMixin:
    """Apply a voucher to the cart, replacing the one applied before, or remove it."""
    cart = _locked_cart()
    cart.voucher = None if code is None else _voucher(code)
    return cart


def _locked_cart() -> CartMixin:
    """Lock the customer's cart and return it: no other transaction can change it until the commit.

    The lock is an UPDATE, since SQLite has no other kind, and it is the first statement of its
    transaction, so that everything read under the lock is read after it was taken.
    """
    mine = Cart.customer_id == current_user.id
    db.session.rollback()
    db.session.execute(update(Cart).where(mine).values(id=Cart.id))
    cart: CartMixin = db.session.scalars(select(Cart).where(mine)).one()
    return cart


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
        abort(404, "This item is not in your cart.")
    return item


def _set_quantity(item: CartItemMixin, quantity: int) -> None:
    """Set a quantity that can be ordered now; the order checks again, as carts hold no stock."""
    stock = None if item.product is None else item.product.stock
    if stock is not None and quantity > stock:
        abort(409, f"Only {stock} left in stock.")
    if quantity > MOST_UNITS:
        abort(409, f"You can order at most {MOST_UNITS} of a product.")
    item.quantity = quantity


def _voucher(code: str) -> VoucherMixin:
    """Return the voucher with this code if it is valid today; the order checks its other terms."""
    voucher: VoucherMixin | None = db.session.scalar(select(Voucher).where(Voucher.code == code))
    if voucher is None:
        abort(404, f"There is no voucher {code}.")
    if not voucher.active or not _is_valid(voucher, datetime.now(UTC)):
        abort(409, f"The voucher {code} is not valid today.")
    return voucher


def _is_valid(voucher: VoucherMixin, now: datetime) -> bool:
    started = voucher.valid_from is None or voucher.valid_from <= now
    return started and (voucher.valid_to is None or now < voucher.valid_to)
