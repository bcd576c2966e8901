"""Atomic checkout for Flask: turns the signed-in customer's cart into an order.

The names here are what most shops need. What the modules `.models`, `.models.mapping`, `.pricing`,
`.stock`, `.schemas`, `.errors`, `.signals` and `.testing` list in `__all__` is public too. Every
other name and module is private, whether or not it begins with an underscore, and may change in any
release.
"""

from .addresses import BillingAddress
from .errors import ConfigurationError, Conflict, OrdersError
from .http.blueprint import orders_bp
from .models import Models, declare_models, mapping
from .schemas import BillingAddressSchema
from .service import OrderService, current_orders

__all__ = [
    "BillingAddress",
    "BillingAddressSchema",
    "ConfigurationError",
    "Conflict",
    "Models",
    "OrderService",
    "OrdersError",
    "current_orders",
    "declare_models",
    "mapping",
    "orders_bp",
]
