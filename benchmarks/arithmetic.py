"""Compute an order's prices for the yardsticks: no validation, one currency."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple
from uuid import UUID

from flask_orders.keys import new_key, new_number

CENT = Decimal("0.01")


class CartItem(NamedTuple):
    item_id: int
    product_id: int
    quantity: int
    sku: str
    name: str
    price: Decimal
    shipping: Decimal | None


class PricedOrder(NamedTuple):
    """The columns of an order and of its items."""

    order: dict[str, Any]
    items: list[dict[str, Any]]


def priced(
    bought: Sequence[CartItem], offers: Iterable[Sequence[Any]], percent: Decimal
) -> PricedOrder:
    """Apply percentage offers and a percentage voucher to the items of a cart.

    Args:
        bought: the items of the cart.
        offers: rows of offer id, title, percentage, and product id (None: every product).
        percent: the voucher's discount.
    """
    found = defaultdict[int | None, list[tuple[Decimal, int, str]]](list)
    for offer_id, title, off, product_id in offers:
        found[product_id].append((off, -offer_id, title))
    key, items = new_key(), []
    for position, item in enumerate(bought, start=1):
        off, number, title = max(found[None] + found[item.product_id])
        unit = (item.price * (100 - off) / 100).quantize(CENT, ROUND_HALF_UP)
        items.append(
            {
                "id": new_key(),
                "order_id": key,
                "position": position,
                "product_id": item.product_id,
                "sku": item.sku,
                "name": item.name,
                "quantity": item.quantity,
                "list_price": item.price,
                "unit_price": unit,
                "discount_amount": (item.price - unit) * item.quantity,
                "total_price": unit * item.quantity,
                "shipping": item.shipping or Decimal(0),
                "offer_id": -number,
                "offer_title": title,
                "stock_deducted": True,
            }
        )
    return PricedOrder(_totals(key, items, percent), items)


def _totals(key: UUID, items: list[dict[str, Any]], percent: Decimal) -> dict[str, Any]:
    subtotal = sum((item["total_price"] for item in items), Decimal(0))
    saved = sum((item["discount_amount"] for item in items), Decimal(0))
    shipping = sum((item["shipping"] for item in items), Decimal(0))
    discount = (subtotal * percent / 100).quantize(CENT, ROUND_HALF_UP)
    _share_out(discount, subtotal, items)
    now = datetime.now(UTC).replace(microsecond=0)
    return {
        "id": key,
        "number": new_number(),
        "status": "awaiting_payment",
        "currency": "USD",
        "currency_decimals": 2,
        "items_count": sum(item["quantity"] for item in items),
        "subtotal": subtotal,
        "savings_on_items": saved,
        "discount_amount": discount,
        "amount_saved": saved + discount,
        "shipping": shipping,
        "total_amount": subtotal + shipping - discount,
        "created": now,
        "updated": now,
        "written": int(now.timestamp() * 1_000_000),
    }


def _share_out(discount: Decimal, subtotal: Decimal, items: list[dict[str, Any]]) -> None:
    """Share the discount out by the largest remainder, so that the shares add up."""
    exact = [discount * item["total_price"] / subtotal for item in items]
    shares = [share.quantize(CENT, ROUND_DOWN) for share in exact]
    cents = int((discount - sum(shares)) / CENT)
    by_remainder = sorted(range(len(items)), key=lambda i: shares[i] - exact[i])
    for i in by_remainder[:cents]:
        shares[i] += CENT
    for item, share in zip(items, shares, strict=True):
        item["voucher_discount"] = share
