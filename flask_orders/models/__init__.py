"""The tables: the mixins that a shop may extend, and `declare_models`, which maps them.

Every class is declared on the shop's own `db.Model`; the shop's own classes are not changed.
"""

from ..texts import voucher_code
from .declare import Models, declare_models
from .mixins import (
    AddressMixin,
    CartItemMixin,
    CartMixin,
    IdempotencyKeyMixin,
    OfferMixin,
    OrderEventMixin,
    OrderItemMixin,
    OrderMixin,
    OrderPaymentMixin,
    OrderRefundMixin,
    OutboxEventMixin,
    ProductMixin,
    VoucherMixin,
    VoucherRedemptionMixin,
)

__all__ = [
    "AddressMixin",
    "CartItemMixin",
    "CartMixin",
    "IdempotencyKeyMixin",
    "Models",
    "OfferMixin",
    "OrderEventMixin",
    "OrderItemMixin",
    "OrderMixin",
    "OrderPaymentMixin",
    "OrderRefundMixin",
    "OutboxEventMixin",
    "ProductMixin",
    "VoucherMixin",
    "VoucherRedemptionMixin",
    "declare_models",
    "voucher_code",
]
