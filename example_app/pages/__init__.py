"""The shop's pages: HTML and forms, which work without JavaScript.

They order by `current_orders.place`, with the guarantees of `POST /api/v1/i/orders/`.
"""

from decimal import Decimal

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask_jwt_extended import current_user, unset_jwt_cookies, verify_jwt_in_request
from flask_jwt_extended.exceptions import CSRFError, JWTExtendedException
from jwt import PyJWTError
from markupsafe import Markup
from werkzeug.exceptions import HTTPException

from flask_orders import OrdersError, current_orders
from flask_orders.models import OrderMixin
from flask_orders.pricing import Currency

from . import cart, catalogue, checkout, orders, sign_in

pages = Blueprint("pages", __name__, url_prefix="/shop")

for routes in (catalogue, sign_in, cart, checkout, orders):
    routes.add_to(pages)


@pages.before_request
def know_customer() -> None:
    """Find out who is signed in, by the cookie; nobody has to be."""
    verify_jwt_in_request(optional=True, locations="cookies")


@pages.errorhandler(CSRFError)
def refuse_foreign_form(_error: CSRFError) -> tuple[str, int]:
    """Refuse a form that this shop's page has not made for this customer."""
    text = "This form was made before you signed in, or by another site. Go back and reload it."
    return render_template("shop/message.html", text=text), 400


@pages.errorhandler(JWTExtendedException)
@pages.errorhandler(PyJWTError)
def sign_out(_error: Exception) -> Response:
    """Forget a cookie that is expired or invalid, or whose customer was deleted."""
    response = make_response(redirect(url_for("pages.show_sign_in"), 303))
    unset_jwt_cookies(response)
    return response


@pages.errorhandler(HTTPException)
def show_error(error: HTTPException) -> tuple[str, int] | HTTPException:
    """Show what a view aborts with as a page."""
    if error.code is None or error.code < 400:
        return error
    return render_template("shop/message.html", text=error.description), error.code


@pages.errorhandler(OrdersError)
def show_refusal(error: OrdersError) -> tuple[str, int]:
    """Show why an order is refused or not found."""
    return render_template("shop/message.html", text=error.detail), error.status


@pages.app_template_filter("money")
def money(amount: Decimal, order: OrderMixin | None = None) -> str:
    """Return an amount in the order's currency, or else in the shop's."""
    if order is None:
        currency = Currency.of(current_orders.settings.currency)
    else:
        currency = Currency.of(order.currency, order.currency_decimals)
    return f"{currency.text(amount)} {currency.code}"


@pages.context_processor
def add_customer() -> dict[str, object]:
    """Give every page the customer, and the token that its forms need."""
    value = request.cookies.get("csrf_access_token", "")
    token = Markup('<input type="hidden" name="csrf_token" value="{}" />').format(value)
    return {"customer": current_user, "token": token}
