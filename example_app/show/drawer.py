"""The drawer as HTML: the customer's last exchange, and the buttons."""

from flask import render_template, request

from .memory import memory, visitor
from .tricks import TRICKS


def drawer() -> str:
    """Return the drawer of who is signed in."""
    customer_id = visitor()
    is_known = customer_id is not None
    return render_template(
        "show/drawer.html",
        tricks=TRICKS,
        is_known=is_known,
        exchange=memory().exchanges.get(customer_id) if customer_id is not None else None,
        armed=memory().armed.get(customer_id) if customer_id is not None else None,
        csrf_token=request.cookies.get("csrf_access_token", ""),
    )
