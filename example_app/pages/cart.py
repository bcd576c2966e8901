"""The cart's page: quantities, a voucher, and totals that say what was saved."""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_jwt_extended import current_user
from marshmallow import EXCLUDE, ValidationError
from sqlalchemy import select
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from flask_orders import current_orders

from ..cart_changes import add_units, remove, set_units, set_voucher
from ..models import Cart, db
from ..schemas import FormItemSchema, FormQuantitySchema, VoucherSchema
from .access import signed_in


def add_to(pages: Blueprint) -> None:
    """Add the routes to the blueprint."""
    pages.get("/cart/")(show_cart)
    pages.post("/cart/")(add_to_cart)
    pages.post("/cart/items/<int:item_id>/")(change_item)
    pages.post("/cart/voucher/")(change_voucher)


@signed_in
def show_cart() -> str:
    """Return the cart as an order of it would be now."""
    cart = db.session.scalars(select(Cart).where(Cart.customer_id == current_user.id)).one()
    voucher = cart.voucher.code if cart.voucher else None
    preview = current_orders.preview(current_user.id)
    return render_template("shop/cart.html", cart=preview, voucher=voucher)


@signed_in
def add_to_cart() -> Response:
    """Add a unit of a product."""
    try:
        body: Any = FormItemSchema().load(request.form, unknown=EXCLUDE)
        add_units(body["sku"], body["quantity"])
    except (ValidationError, HTTPException) as error:
        return _refused(error)
    return _changed()


@signed_in
def change_item(item_id: int) -> Response:
    """Set the quantity of an item, or remove it."""
    try:
        if "remove" in request.form:
            remove(item_id)
        else:
            body: Any = FormQuantitySchema().load(request.form, unknown=EXCLUDE)
            set_units(item_id, body["quantity"])
    except (ValidationError, HTTPException) as error:
        return _refused(error)
    return _changed()


@signed_in
def change_voucher() -> Response:
    """Apply a voucher, or remove the one that is applied."""
    try:
        if "remove" in request.form:
            set_voucher(None)
        else:
            body: Any = VoucherSchema().load(request.form, unknown=EXCLUDE)
            set_voucher(body["code"])
    except (ValidationError, HTTPException) as error:
        return _refused(error)
    return _changed()


def _changed() -> Response:
    db.session.commit()
    return redirect(url_for("pages.show_cart"), 303)


def _refused(error: ValidationError | HTTPException) -> Response:
    """Show the cart as it was, and why it was not changed."""
    db.session.rollback()
    if isinstance(error, ValidationError):
        for messages in error.messages_dict.values():
            flash(" ".join(messages), "error")
    else:
        flash(str(error.description), "error")
    return redirect(url_for("pages.show_cart"), 303)
