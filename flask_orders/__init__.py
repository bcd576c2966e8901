"""flask_orders: the step in which a cart becomes an order, for Flask shops."""

from .addresses import BillingAddress
from .blueprint import orders_bp
from .errors import ConfigurationError, Conflict, OrdersError, VoucherNotApplicable
from .models import (
    AddressMixin,
    CartItemMixin,
    CartMixin,
    IdempotencyKeyMixin,
    Models,
    OfferMixin,
    OrderItemMixin,
    OrderMixin,
    ProductMixin,
    VoucherMixin,
    VoucherRedemptionMixin,
    declare_models,
    voucher_code,
)
from .pricing import (
    AppliedOffer,
    AppliedVoucher,
    CartLine,
    Currency,
    PricedCart,
    PricedLine,
    Pricing,
)
from .schemas import BillingAddressSchema
from .service import OrderService, current_orders
from .signals import order_placed

__all__ = [
    "AddressMixin",
    "AppliedOffer",
    "AppliedVoucher",
    "BillingAddress",
    "BillingAddressSchema",
    "CartItemMixin",
    "CartLine",
    "CartMixin",
    "ConfigurationError",
    "Conflict",
    "Currency",
    "IdempotencyKeyMixin",
    "Models",
    "OfferMixin",
    "OrderItemMixin",
    "OrderMixin",
    "OrderService",
    "OrdersError",
    "PricedCart",
    "PricedLine",
    "Pricing",
    "ProductMixin",
    "VoucherMixin",
    "VoucherNotApplicable",
    "VoucherRedemptionMixin",
    "current_orders",
    "declare_models",
    "order_placed",
    "orders_bp",
    "voucher_code",
]
