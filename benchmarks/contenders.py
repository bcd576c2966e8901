"""Measure the contenders in turns, so that all of them see the same machine."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from .stage import Purchase, Stage

# The library's name among the contenders.
LIBRARY = "flask_orders"

# Places the order; returns the seconds that it took, and the order's key.
Contender = Callable[[Purchase], tuple[float, UUID]]

# Uncounted calls at the start: psycopg prepares a statement when it is sent for the sixth time, and
# PostgreSQL settles on a plan after five more executions.
WARM_UP = 12


# What every contender's order must have alike.
OF_ORDER = (
    *("status", "items_count", "subtotal", "savings_on_items", "discount_amount"),
    *("amount_saved", "shipping", "total_amount", "billing_country"),
)
OF_ITEM = (
    *("position", "product_id", "sku", "name", "quantity", "list_price", "unit_price"),
    *("discount_amount", "total_price", "shipping", "voucher_discount", "offer_id"),
    *("offer_title", "stock_deducted"),
)


class Spread(NamedTuple):
    """The median and the 90th percentile, in milliseconds."""

    median: float
    p90: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Spread":
        ms = sorted(1000 * one for one in seconds)
        return cls(statistics.median(ms), ms[int(len(ms) * 0.9)])

    def __str__(self) -> str:
        return f"{self.median:.1f} ({self.p90:.1f})"


def in_turns(
    calls: Mapping[str, Callable[[], float]], rounds: int, warm_up: int = WARM_UP
) -> dict[str, Spread]:
    """Every call once in each round, each round beginning with another; what they took."""
    taken = defaultdict[str, list[float]](list)
    names = list(calls)
    for i in range(-warm_up, rounds):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            seconds = calls[name]()
            if i >= 0:
                taken[name].append(seconds)
    return {name: Spread.of(taken[name]) for name in names}


def bought(stage: Stage, place: Contender, items: int) -> float:
    """Return the seconds for an order of random products, without filling the cart."""
    return place(stage.purchase(stage.products(items)))[0]


def check_agreement(stage: Stage, contenders: Mapping[str, Contender], items: int) -> None:
    """Check that all contenders make equal orders of equal carts; only then compare them.

    Raises:
        RuntimeError: the orders of two contenders differ.
    """
    products, made = stage.products(items), {}
    for name, place in contenders.items():
        _, order_id = place(stage.purchase(products))
        made[name] = _results(stage, order_id)
    first = next(iter(made.values()))
    different = [name for name, rows in made.items() if rows != first]
    if different:
        raise RuntimeError(f"not the same orders as the first contender's: {different}; {made}")


def _results(stage: Stage, order_id: UUID) -> list[sa.Row[Any]]:
    orders, items = stage.tables["orders"].c, stage.tables["order_items"].c
    order = sa.select(*(orders[name] for name in OF_ORDER)).where(orders.id == order_id)
    of_items = sa.select(*(items[name] for name in OF_ITEM)).where(items.order_id == order_id)
    with stage.engine.connect() as connection:
        return [
            *connection.execute(order).all(),
            *connection.execute(of_items.order_by(items.product_id)).all(),
        ]
