"""Carts that are in the session, and have no rows."""

from typing import Any

from flask_orders import current_orders

from .requests import HOME
from .shops import Shop


def place(shop: Shop, customer: Any, items: Any, key: Any = "cart", **more: Any) -> Any:
    """Order a cart that has no rows, as a shop does that has it in the session."""
    with shop.app.app_context():
        try:
            return current_orders.place(
                customer, items=items, billing_address=HOME, idempotency_key=key, **more
            )
        finally:
            shop.db.session.remove()
