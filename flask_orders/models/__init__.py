"""The tables: mixins, the attribute contract of a host's classes, and `declare_models`.

Called by the host once, by the blueprint when it is registered, and by the service.
"""

from ..texts import voucher_code
from .builder import race_foreign_keys, race_unique_keys
from .contract import HostColumns, are_equal_in_python, attribute, row_count, table
from .declare import Models, declare_models, declared_models
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
    OutboxEventMixin,
    ProductMixin,
    VoucherMixin,
    VoucherRedemptionMixin,
)

__all__ = [
    "AddressMixin",
    "CartItemMixin",
    "CartMixin",
    "HostColumns",
    "IdempotencyKeyMixin",
    "Models",
    "OfferMixin",
    "OrderEventMixin",
    "OrderItemMixin",
    "OrderMixin",
    "OrderPaymentMixin",
    "OutboxEventMixin",
    "ProductMixin",
    "VoucherMixin",
    "VoucherRedemptionMixin",
    "are_equal_in_python",
    "attribute",
    "declare_models",
    "declared_models",
    "race_foreign_keys",
    "race_unique_keys",
    "row_count",
    "table",
    "voucher_code",
]
