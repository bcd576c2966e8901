"""A pricing of a shop's own that does nothing of its own: tests override what they are about."""

from typing import Any

from flask_orders.pricing import Cart, PricedCart, PricedItem


class PlainPricing:
    """Every item at its product's price; there are no vouchers."""

    def price(self, cart: Cart, now: Any) -> PricedCart:
        items = [PricedItem.of(item, cart.currency) for item in cart.items]
        return PricedCart.of(items, cart.currency)

    def redeem(self, voucher: Any, order: Any) -> None:
        """There are no vouchers."""

    def release(self, voucher: Any, order: Any) -> None:
        """There are no vouchers."""
