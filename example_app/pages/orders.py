"""The customer's orders: the list, and one with everything that was copied into it."""

from uuid import UUID

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_jwt_extended import current_user
from sqlalchemy import select
from werkzeug.wrappers import Response

from flask_orders import OrdersError, current_orders
from flask_orders.countries import country_name
from flask_orders.status import AWAITING_PAYMENT

from ..models import Order, db
from .access import signed_in

# Orders on a page of the list.
ON_PAGE = 20


def add_to(pages: Blueprint) -> None:
    """Add the routes to the blueprint."""
    pages.get("/orders/")(list_orders)
    pages.get("/orders/<uuid:order_id>/")(show_order)
    pages.post("/orders/<uuid:order_id>/cancel/")(cancel_order)


@signed_in
def list_orders() -> str:
    """Return the customer's orders, the newest first."""
    query = select(Order).where(Order.customer_id == current_user.id)
    before = request.args.get("before", type=int)
    if before is not None:
        query = query.where(Order.sequence < before)
    orders = db.session.scalars(query.order_by(Order.sequence.desc()).limit(ON_PAGE + 1)).all()
    has_older = len(orders) > ON_PAGE
    return render_template("shop/orders.html", orders=orders[:ON_PAGE], has_older=has_older)


@signed_in
def show_order(order_id: UUID) -> str:
    """Return an order."""
    order = current_orders.get(current_user.id, order_id)
    return render_template(
        "shop/order.html",
        order=order,
        country=country_name(order.billing_country),
        is_payable=order.status == AWAITING_PAYMENT,
    )


@signed_in
def cancel_order(order_id: UUID) -> Response:
    """Cancel an order that is not paid: its stock and its voucher are released."""
    current_orders.get(current_user.id, order_id)
    db.session.rollback()
    try:
        for attempt in current_orders.retrying():
            with attempt, attempt.transaction():
                current_orders.cancel(order_id)
    except OrdersError as error:
        flash(error.detail, "error")
    return redirect(url_for("pages.show_order", order_id=order_id), 303)
