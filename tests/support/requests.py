"""The requests that most tests send, and the address in them."""

from typing import Any
from uuid import UUID

from flask_orders import BillingAddress

ORDERS = "/api/v1/i/orders/"
PREVIEW = f"{ORDERS}preview/"

ADDRESS: dict[str, Any] = {
    "street_address": "123 Main St",
    "postal_code": 12345,
    "city": "Anytown",
    "state": "CA",
    "country": "Canada",
}

SAVE: dict[str, Any] = {"action": "save_order", "billing_address": ADDRESS}
CHECKOUT: dict[str, Any] = {**SAVE, "action": "checkout"}

# An address that Python code hands in.
HOME = BillingAddress("1 Bay St", "K1A 0B1", "Ottawa", "ON", "CA")

# An order that nobody has.
NO_ORDER = f"{ORDERS}{UUID(int=7)}/"

# Every call that needs a customer, and what they answer to one who has a cart, in this order.
CALLS = [
    ("GET", ORDERS),
    ("GET", PREVIEW),
    ("GET", NO_ORDER),
    ("POST", ORDERS),
    ("POST", f"{NO_ORDER}checkout/"),
    ("POST", f"{NO_ORDER}cancel/"),
]
ANSWERED = [200, 200, 404, 201, 404, 404]
