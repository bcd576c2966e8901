"""The receivers of `order_placing`: what they write is part of the order, or undone with it.

They see the order's rows, today's stock, and the cart as it is before it is emptied. They can
neither change what the order costs nor what is ordered.
"""

from collections.abc import Sequence
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import select
from sqlalchemy.orm import scoped_session

from .carts import Carts
from .db.after_commit import has_receivers
from .db.before_commit import send_before_commit
from .errors import ConfigurationError
from .models import Models, OrderMixin
from .plan import OrderPlan
from .pricing import AMOUNTS
from .rows import Row
from .signals import order_placing, read_order

# What an order's amounts, stock and status follow from: the cart and its prices.
FIXED = (*AMOUNTS, "status")
FIXED_BY_ITEM = (
    *("quantity", "list_price", "unit_price", "discount_amount", "total_price"),
    *("shipping", "voucher_discount", "stock_deducted"),
)


class PlacingReceivers:
    """The receivers of one app."""

    def __init__(self, session: scoped_session[Session], models: Models, carts: Carts) -> None:
        self._session = session
        self._models = models
        self._carts = carts

    @property
    def any(self) -> bool:
        """Whether there are any."""
        return has_receivers(order_placing)

    def call(self, plan: OrderPlan) -> None:
        """Call the receivers, inside the transaction; flush what they have changed.

        Args:
            plan: the plan of an order that is written, and whose cart is not emptied yet.

        Raises:
            ConfigurationError: a receiver has deleted the cart, changed what the order costs, or
                ended the transaction.
            Exception: whatever a receiver raises.
        """
        given = send_before_commit(self._session, order_placing, lambda: self._content(plan))
        if given is None:
            return  # They have been disconnected since.
        _require_planned(plan, given["order"])
        if plan.cart is not None:
            self._require_cart(plan)

    def _content(self, plan: OrderPlan) -> dict[str, Any]:
        # A receiver that changes a product changes the version that the order has left.
        self._carts.refresh_products(list(plan.stock))
        order = read_order(self._session, self._models, plan.reference.id)
        items = [
            (item, row)
            for item, rows in zip(order.items, plan.cart_items, strict=True)
            for row in rows
        ]
        return {"order": order, "cart": plan.cart, "items": items}

    def _require_cart(self, plan: OrderPlan) -> None:
        key = self._models.shop.cart.key
        if self._session.execute(select(key).where(key == plan.cart_key)).first() is None:
            raise deleted_by_receiver()


def _require_planned(plan: OrderPlan, order: OrderMixin) -> None:
    """Refuse an order that costs, or has in it, something else than its cart.

    Raises:
        ConfigurationError: it names what a receiver has changed.
    """
    changed = _changed(order, plan.order, FIXED)
    if len(order.items) != len(plan.items):
        changed.append(f"{type(order).__name__}.items")
    for item, planned in zip(order.items, plan.items, strict=False):
        changed += _changed(item, planned, FIXED_BY_ITEM)
    if changed:
        raise ConfigurationError(
            f"A receiver of {order_placing.name} has changed {', '.join(changed)}: an order's "
            "items, amounts and status follow from its cart; give discounts and fees by "
            "register_blueprint(orders_bp, pricing=...)."
        )


def _changed(row: Any, planned: Row, names: Sequence[str]) -> list[str]:
    """Return the attributes of a row that are not as planned."""
    return [f"{type(row).__name__}.{name}" for name in names if getattr(row, name) != planned[name]]


def deleted_by_receiver() -> ConfigurationError:
    """Return the error about a receiver that has deleted the cart, or an item of it."""
    return ConfigurationError(
        f"A receiver of {order_placing.name} has deleted the cart or an item in it: leave both as "
        "they are; the order deletes its cart items after the receivers."
    )
