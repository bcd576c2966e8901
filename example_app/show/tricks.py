"""Five tricks that are played on the customer's next order."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from secrets import token_hex
from typing import Any

from flask import (
    Flask,
    Response,
    current_app,
    g,
    has_app_context,
    jsonify,
    render_template,
    request,
)
from sqlalchemy import event, select
from werkzeug.wrappers import Response as AnyResponse

from flask_orders import BillingAddress, current_orders
from flask_orders.models import CartMixin

from ..models import Cart, CartItem, Customer, Product, Voucher, db
from .repeating import answer, environ_of_request, is_killed_while_answering

# The endpoints that make an order: the page's form, and the library's own.
ORDERING = ("pages.order", "orders.create_order")

RIVAL_ADDRESS = BillingAddress(
    street_address="1 Other St", postal_code="K1A 0B1", city="Ottawa", state="ON", country="Canada"
)


class DatabaseFailed(Exception):
    """Raised in place of a COMMIT."""


@dataclass(frozen=True)
class Played:
    """What was done, and the response if the view is not to be asked."""

    note: str
    response: AnyResponse | None = None


@dataclass(frozen=True)
class Trick:
    """A button's label, what is prepared when it is pressed, and what happens to the order."""

    label: str
    play: Callable[[int], Played | None]
    prepare: Callable[[int], None] | None = None


def raise_price(customer_id: int) -> Played | None:
    """Raise the price of the first product in the cart by 1.00."""
    with current_app.app_context():
        items = _cart_of(customer_id).items
        if not items:
            return None
        items[0].product.price += Decimal(1)
        db.session.commit()
        name = items[0].product.name
    return Played(f"The price of “{name}” was raised by 1.00, just before this order.")


def apply_new_voucher(customer_id: int) -> None:
    """Apply a new voucher to the cart that can be used once."""
    _cart_of(customer_id).voucher = Voucher(
        code=f"LAST-ONE-{token_hex(2).upper()}",
        discount_type="fixed",
        discount_value=Decimal(5),
        usage="single",
    )
    db.session.commit()


def take_voucher(customer_id: int) -> Played | None:
    """Let somebody else order with the cart's voucher."""
    with current_app.app_context():
        voucher = _cart_of(customer_id).voucher
        if voucher is None:
            return None
        rival = Customer(email=f"rival-{token_hex(8)}@example.com", password_hash=token_hex(8))
        db.session.add(rival)
        db.session.flush()
        product = db.session.scalars(select(Product).where(Product.sku == "GIFT-CARD")).one()
        item = CartItem(product=product, quantity=1)
        db.session.add(Cart(customer_id=rival.id, voucher=voucher, items=[item]))
        db.session.commit()
        current_orders.place(rival.id, billing_address=RIVAL_ADDRESS)
    return Played("Somebody else has used this voucher, for the last time, just before this order.")


def send_twice(_customer_id: int) -> Played:
    """Send the request twice at the same time, as a double click does."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined] # a proxy
    environ, body = environ_of_request(), request.get_data()
    with ThreadPoolExecutor(2) as threads:
        clicks = [threads.submit(answer, app, environ, body) for _ in range(2)]
        first, second = [click.result() for click in clicks]
    return Played(
        "The request was sent twice at the same time. The second response: "
        f"{second.status} {second.location or ''}",
        first,
    )


def fail_at_commit(_customer_id: int) -> Played:
    """Let the database fail at COMMIT, when everything is written."""
    g.show_fails = True
    return Played("Everything was written, then the database failed at COMMIT.")


def kill_worker(_customer_id: int) -> Played | None:
    """Let the worker be killed after its COMMIT, before it responds."""
    if not is_killed_while_answering():
        return None
    text = "There is no response: the worker was killed. Order again; the key finds the order."
    return Played("The worker was killed after its COMMIT: the order is there.", _failed(text, 502))


TRICKS: Mapping[str, Trick] = {
    "price": Trick("Raise a price", raise_price),
    "voucher": Trick("Take the voucher's last use", take_voucher, apply_new_voucher),
    "double": Trick("Click twice", send_twice),
    "fault": Trick("Let the database fail", fail_at_commit),
    "kill": Trick("Kill the worker", kill_worker),
}


def break_commits(app: Flask) -> None:
    """Raise in place of the COMMIT of a request that is to fail."""
    with app.app_context():
        engine = db.engine

    @event.listens_for(engine, "commit")
    def fail(_connection: Any) -> None:
        if has_app_context() and g.pop("show_fails", False):
            raise DatabaseFailed

    @app.errorhandler(DatabaseFailed)
    def show_failure(_error: DatabaseFailed) -> Response:
        return _failed("The database failed. Nothing was ordered; the cart is as it was.", 500)


def _cart_of(customer_id: int) -> CartMixin:
    cart: CartMixin = db.session.scalars(select(Cart).where(Cart.customer_id == customer_id)).one()
    return cart


def _failed(text: str, status: int) -> Response:
    if request.blueprint == "pages":
        response = current_app.make_response(render_template("shop/message.html", text=text))
    else:
        response = jsonify(detail=text)
    response.status_code = status
    return response
