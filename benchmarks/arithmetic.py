"""The prices of an order, worked out by hand for the yardsticks: no validation, no other currency.

Called by `bare.py` and `handwritten.py`.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple
from uuid import UUID

from flask_orders.keys import new_key, new_number

CENT = Decimal("0.01")


class Line(NamedTuple):
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


def priced(lines: Sequence[Line], offers: Iterable[Sequence[Any]], percent: Decimal) -> PricedOrder:
    """Percentage offers and a percentage voucher on the lines.

    Args:
        lines: what is bought.
        offers: rows of offer id, title, percentage, product id or None for all.
        percent: the voucher's.
    """
    found = defaultdict[int | None, list[tuple[Decimal, int, str]]](list)
    for offer_id, title, off, product_id in offers:
        found[product_id].append((off, -offer_id, title))
    key, items = new_key(), []
    for position, line in enumerate(lines, start=1):
        off, number, title = max(found[None] + found[line.product_id])
        unit = (line.price * (100 - off) / 100).quantize(CENT, ROUND_HALF_UP)
        items.append(
            {
                "id": new_key(),
                "order_id": key,
                "position": position,
                "product_id": line.product_id,
                "sku": line.sku,
                "name": line.name,
                "quantity": line.quantity,
                "list_price": line.price,
                "unit_price": unit,
                "discount_amount": (line.price - unit) * line.quantity,
                "total_price": unit * line.quantity,
                "shipping": line.shipping or Decimal(0),
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
    }


def _share_out(discount: Decimal, subtotal: Decimal, items: list[dict[str, Any]]) -> None:
    """By the largest remainder, so that the shares add up."""
    exact = [discount * item["total_price"] / subtotal for item in items]
    shares = [share.quantize(CENT, ROUND_DOWN) for share in exact]
    cents = int((discount - sum(shares)) / CENT)
    by_remainder = sorted(range(len(items)), key=lambda i: shares[i] - exact[i])
    for i in by_remainder[:cents]:
        shares[i] += CENT
    for item, share in zip(items, shares, strict=True):
        item["voucher_discount"] = share
