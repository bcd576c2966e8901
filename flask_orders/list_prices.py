"""The pricing of a shop without offers and vouchers: every item at its own price.

A cart that holds a voucher is refused rather than sold without its discount.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from .currency import Currency
from .errors import VoucherNotApplicable, VoucherReason
from .pricing import AppliedVoucher, CartItem, OrderReference, PricedCart, PricedItem


class ListPrices:
    """A `Pricing` that reads nothing."""

    def __init__(self, currency: Callable[[], Currency]) -> None:
        self._currency = currency

    def price(
        self, items: Sequence[CartItem], _customer_id: Any, voucher: Any, _now: datetime
    ) -> PricedCart:
        if voucher is not None:
            raise VoucherNotApplicable(VoucherReason.NOT_FOUND)
        currency = self._currency()
        return PricedCart.of([PricedItem.of(item, currency) for item in items], currency)

    def redeem(self, voucher: Any, order: OrderReference) -> None:
        raise VoucherNotApplicable(VoucherReason.NOT_FOUND)

    def release(self, voucher: AppliedVoucher, order: OrderReference) -> None:
        """Release nothing: the voucher's row was left out together with the offers."""
