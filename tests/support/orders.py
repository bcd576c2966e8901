"""What happens to orders: signals that are received, time that passes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from blinker import NamedSignal

from flask_orders import signals

from .shops import Shop

SIGNALS = (
    *("order_placed", "order_paid", "order_cancelled", "order_delivered"),
    *("payment_unexpected", "order_refunded"),
)


@contextmanager
def heard() -> Iterator[list[tuple[str, Any]]]:
    """Collect the signals that are sent meanwhile, with the order's status at that moment."""
    received: list[tuple[str, Any]] = []
    with ExitStack() as stack:
        for name in SIGNALS:
            signal: NamedSignal = getattr(signals, name)

            def receive(_app: object, order: Any, name: str = name, **_more: Any) -> None:
                received.append((name, order.status))

            stack.enter_context(signal.connected_to(receive))
        yield received


def age(shop: Shop, hours: float, *order_ids: str) -> None:
    """Move the creation of these orders into the past."""
    order = shop.models.Order
    with shop.session() as session:
        created = datetime.now(UTC) - timedelta(hours=hours)
        which = order.id.in_([UUID(order_id) for order_id in order_ids])
        session.execute(sa.update(order).where(which).values(created=created))
