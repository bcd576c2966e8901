"""The checkout: an address, the total that the customer agrees to, and one button's key."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import uuid4

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_jwt_extended import current_user
from marshmallow import EXCLUDE, ValidationError
from sqlalchemy import select

from flask_orders import BillingAddress, BillingAddressSchema, OrdersError, current_orders
from flask_orders.countries import country_name, country_names
from flask_orders.errors import IdempotencyKeyReused, ItemUnavailable, PriceChanged
from flask_orders.models import AddressMixin

from ..models import Address, db
from .access import signed_in

FIELDS = {
    "street_address": ("Street address", "billing street-address"),
    "postal_code": ("Postal code", "billing postal-code"),
    "city": ("City", "billing address-level2"),
    "state": ("State, province or region", "billing address-level1"),
}

# The shop's own sentences about refusals, for the page and for its script.
REFUSALS = {
    "item_unavailable": "Nothing was ordered: an item in your cart is not available as ordered.",
    "price_changed": (
        "A price has changed while you were here: the total is now {actual}, not {expected}. "
        "Nothing was ordered. Do you agree to the new total?"
    ),
    "errors": "Nothing was ordered. Correct the fields that are marked.",
}

# What a page offers of the address book.
MOST_ADDRESSES = 5


def add_to(pages: Blueprint) -> None:
    """Add the routes to the blueprint."""
    pages.get("/checkout/")(show_checkout)
    pages.post("/checkout/")(order)


@signed_in
def show_checkout() -> str:
    """Return the form, with the saved address if there is one."""
    return _form()


@signed_in
def order() -> ResponseReturnValue:
    """Order, all of it or nothing; a form that is sent twice makes one order.

    The total that the page showed is the most that the customer pays.
    """
    form = request.form
    try:
        placed = current_orders.place(
            current_user.id,
            billing_address=_billing_address(),
            expected_total=Decimal(form["expected_total"]),
            checkout=form["action"] == "checkout",
            idempotency_key=form["key"],
        )
    except ValidationError as error:
        return _form(message=REFUSALS["errors"], errors=error.messages_dict), 400
    except ItemUnavailable:
        # The cart's page says which item, and has the buttons to change or remove it.
        flash(REFUSALS["item_unavailable"], "error")
        return redirect(url_for("pages.show_cart"), 303)
    except PriceChanged as error:
        message = REFUSALS[error.code].format(**error.extensions)
        return _form(message=message), error.status
    except OrdersError as error:
        return _form(message=error.detail, is_new=isinstance(error, IdempotencyKeyReused)), 409
    if form["action"] == "checkout" and placed.payable:
        endpoint = current_app.config["ORDERS_PAYMENT_ENDPOINT"]
        return redirect(url_for(endpoint, order_id=placed.order_id), 303)
    return redirect(url_for("pages.show_order", order_id=placed.order_id), 303)


def _billing_address() -> BillingAddress:
    """Return the chosen address of the address book, or the one that was entered.

    Raises:
        ValidationError: a field that was entered is invalid.
    """
    chosen = request.form.get("use", "new")
    for address in _address_book():
        if str(address.id) == chosen:
            return BillingAddress.stored(address)
    return BillingAddressSchema().load(request.form, unknown=EXCLUDE)


def _address_book() -> Sequence[AddressMixin]:
    """Return the customer's addresses, the newest first."""
    mine = select(Address).where(Address.customer_id == current_user.id)
    return db.session.scalars(mine.order_by(Address.id.desc()).limit(MOST_ADDRESSES)).all()


def _as_entered(address: AddressMixin) -> dict[str, str]:
    """Return a saved address as a customer would enter it."""
    return {name: getattr(address, name) for name in FIELDS} | {
        "country": country_name(address.country)
    }


def _form(*, is_new: bool = False, **found: Any) -> str:
    """Return the form: again, with what was entered and what is wrong, or for the first time.

    A form that is shown again keeps its key: nothing was ordered with it.
    """
    key = uuid4() if is_new else request.form.get("key", uuid4())
    return render_template(
        "shop/checkout.html",
        cart=current_orders.preview(current_user.id),
        addresses=[(address, _as_entered(address)) for address in _address_book()],
        fields=FIELDS,
        countries=country_names(),
        refusals=REFUSALS,
        key=key,
        **found,
    )
