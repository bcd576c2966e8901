"""The staff's pages at /admin/, by Flask-Admin: orders to look at, to cancel and to deliver.

Everything is read-only but the two actions, which go through `current_orders`: a status that is
edited by hand would leave the stock, the voucher and the events as they were.
"""

from collections.abc import Callable, Sequence
from hmac import compare_digest
from typing import Any
from uuid import UUID

from flask import Flask, Response, current_app, flash, request
from flask_admin import Admin, AdminIndexView
from flask_admin.actions import action
from flask_admin.contrib.sqla import ModelView
from flask_admin.form import SecureForm
from markupsafe import Markup

from flask_orders import OrdersError, current_orders
from flask_orders.models import OrderMixin

from .models import Order, OrderEvent, OrderPayment, OrderRefund, db


class StaffOnly:
    """A view behind HTTP Basic authentication, with the password in ADMIN_PASSWORD."""

    def is_accessible(self) -> bool:
        given = request.authorization
        expected: str = current_app.config["ADMIN_PASSWORD"]
        return given is not None and compare_digest(given.password or "", expected)

    def inaccessible_callback(self, _name: str, **_view: Any) -> Response:
        return Response("Sign in.", 401, {"WWW-Authenticate": 'Basic realm="staff"'})


class Index(StaffOnly, AdminIndexView):
    """The first page."""


class ReadOnly(StaffOnly, ModelView):
    """Rows that nobody edits."""

    # With a token in each form against cross-site requests.
    form_base_class = SecureForm
    can_create = can_edit = can_delete = False
    can_view_details = True


class OrderAdmin(ReadOnly):
    """The orders: found by number and e-mail address, with their items and events."""

    column_list = ("number", "created", "status", "customer.email", "total_amount", "currency")
    column_searchable_list = ("number", "customer.email")
    column_filters = ("status",)
    column_default_sort = ("created", True)
    column_details_list: Any = (*column_list, "voucher_code", "items", "events")
    column_formatters_detail = {  # noqa: RUF012 - Flask-Admin's own
        "items": lambda _view, _context, order, _name: _lines(
            f"{item.quantity} x {item.name} ({item.sku}): {item.total_price}"
            for item in order.items
        ),
        "events": lambda _view, _context, order, _name: _lines(
            f"{event.created:%Y-%m-%d %H:%M}: {event.to_status} by {event.actor}"
            for event in db.session.query(OrderEvent).filter_by(order_id=order.id)
        ),
    }

    def get_one(self, id: str) -> Any:  # noqa: A002 - Flask-Admin's name
        return db.session.get(Order, UUID(id))

    @action("cancel", "Cancel", "Cancel these orders? Paid ones have to be refunded.")
    def cancel(self, ids: Sequence[str]) -> None:
        _change(ids, lambda key: current_orders.cancel(key, by_shop=True, note="by staff"))

    @action("deliver", "Deliver", "Record that these orders were delivered?")
    def deliver(self, ids: Sequence[str]) -> None:
        _change(ids, lambda key: current_orders.deliver(key, note="by staff"))


def _change(ids: Sequence[str], change: Callable[[str], OrderMixin]) -> None:
    """Change each order in a transaction of its own, and say what could not be done."""
    for key in ids:
        try:
            for attempt in current_orders.retrying():
                with attempt, attempt.transaction():
                    order = change(key)
        except OrdersError as error:
            flash(error.detail, "error")
        else:
            flash(f"The order {order.number} is {order.status}.")


def _lines(texts: Any) -> Markup:
    return Markup("<br>").join(texts)


def add_admin(app: Flask) -> None:
    """Add the staff's pages to the app."""
    admin = Admin(app, "Orders", index_view=Index())
    admin.add_view(OrderAdmin(Order, db, endpoint="admin_orders", url="orders"))
    for model, name in ((OrderPayment, "payments"), (OrderRefund, "refunds")):
        admin.add_view(ReadOnly(model, db, endpoint=f"admin_{name}", url=name))
