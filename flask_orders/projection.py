"""The fields of an order and of its items, by name, for the INSERT and for the preview alike.

The columns of `OrderMixin` and `OrderItemMixin`, and the fields of `OrderSchema`, have these names:
an order reads the same in its preview, in its rows and in its answers.
"""

from dataclasses import asdict
from typing import Any

from .addresses import BillingAddress
from .offers import Voucher
from .pricing import AMOUNTS, PricedCart, PricedItem


def order_fields(customer_id: Any, priced: PricedCart) -> dict[str, Any]:
    """Return the fields that an order has from its customer and its priced cart."""
    voucher = priced.voucher
    return {
        "customer_id": customer_id,
        "currency": priced.currency.code,
        "currency_decimals": priced.currency.decimals,
        # The key of a voucher of the shop's own would be another row's in `vouchers`.
        "voucher_id": voucher.id if isinstance(voucher, Voucher) else None,
        "voucher_code": None if voucher is None else voucher.code,
        **{name: getattr(priced, name) for name in AMOUNTS},
    }


def address_fields(address: BillingAddress) -> dict[str, str]:
    """Return the fields of an order's copy of its billing address."""
    return {f"billing_{name}": text for name, text in asdict(address).items()}


def item_fields(priced: PricedItem) -> dict[str, Any]:
    """Return the fields that an order item has from its priced cart item."""
    item, offer = priced.cart_item, priced.offer
    return {
        **item.copied,
        "product_id": item.product_id,
        "sku": item.sku,
        "name": item.name,
        "quantity": priced.quantity,
        "list_price": priced.list_price,
        "unit_price": priced.unit_price,
        "discount_amount": priced.discount_amount,
        "total_price": priced.total_price,
        "shipping": priced.shipping,
        "voucher_discount": priced.voucher_discount,
        "offer_id": None if offer is None else offer.id,
        "offer_title": None if offer is None else offer.title,
    }
