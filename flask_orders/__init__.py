"""flask_orders: the step in which a cart becomes an order, for Flask shops."""

from .addresses import BillingAddress
from .errors import ConfigurationError, Conflict, OrdersError, VoucherNotApplicable
from .http.blueprint import orders_bp
from .models import (
    AddressMixin,
    CartItemMixin,
    CartMixin,
    IdempotencyKeyMixin,
    Models,
    OfferMixin,
    OrderEventMixin,
    OrderItemMixin,
    OrderMixin,
    OrderPaymentMixin,
    OutboxEventMixin,
    ProductMixin,
    VoucherMixin,
    VoucherRedemptionMixin,
    declare_models,
    voucher_code,
)
from .pricing import (
    AppliedOffer,
    AppliedVoucher,
    CartItem,
    Currency,
    PricedCart,
    PricedItem,
    Pricing,
)
from .schemas import BillingAddressSchema
from .service import OrderService, current_orders
from .signals import (
    order_cancelled,
    order_delivered,
    order_paid,
    order_placed,
    outbox_event,
    payment_unexpected,
)

__all__ = [
    "AddressMixin",
    "AppliedOffer",
    "AppliedVoucher",
    "BillingAddress",
    "BillingAddressSchema",
    "CartItem",
    "CartItemMixin",
    "CartMixin",
    "ConfigurationError",
    "Conflict",
    "Currency",
    "IdempotencyKeyMixin",
    "Models",
    "OfferMixin",
    "OrderEventMixin",
    "OrderItemMixin",
    "OrderMixin",
    "OrderPaymentMixin",
    "OrderService",
    "OrdersError",
    "OutboxEventMixin",
    "PricedCart",
    "PricedItem",
    "Pricing",
    "ProductMixin",
    "VoucherMixin",
    "VoucherNotApplicable",
    "VoucherRedemptionMixin",
    "current_orders",
    "declare_models",
    "order_cancelled",
    "order_delivered",
    "order_paid",
    "order_placed",
    "orders_bp",
    "outbox_event",
    "payment_unexpected",
    "voucher_code",
]
