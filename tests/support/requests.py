"""The requests that most tests send, and the address in them."""

from typing import Any

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
