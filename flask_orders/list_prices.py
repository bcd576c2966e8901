"""The pricing of a shop without offers and vouchers: every item at its own price.

A cart that holds a voucher is refused rather than sold without its discount.
"""

from datetime import datetime
from typing import Any

from .errors import VoucherNotApplicable, VoucherReason
from .pricing import AppliedVoucher, Cart, OrderReference, PricedCart, PricedItem


class ListPrices:
    """A `Pricing` that reads nothing."""

    def price(self, cart: Cart, now: datetime) -> PricedCart:
        if cart.voucher is not None:
            raise VoucherNotApplicable(VoucherReason.NOT_FOUND)
        items = [PricedItem.of(item, cart.currency) for item in cart.items]
        return PricedCart.of(items, cart.currency)

    def redeem(self, voucher: Any, order: OrderReference) -> None:
        raise VoucherNotApplicable(VoucherReason.NOT_FOUND)

    def release(self, voucher: AppliedVoucher, order: OrderReference) -> None:
        """Release nothing: the voucher's row was left out together with the offers."""
