"""The transactional outbox: events as rows of the transaction they are about, and their relay.

Written by the lifecycle and the service if ORDERS_OUTBOX is set; relayed by `flask orders relay`.
After the pattern "Transactional outbox" (C. Richardson, Microservices Patterns, chapter 3); the
envelope is the JSON format of CloudEvents 1.0.
"""

import json
import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from blinker import NamedSignal
from flask_sqlalchemy.session import Session
from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.orm import aliased, scoped_session

from .keys import new_key
from .models import Models, table
from .pricing import Currency

log = logging.getLogger("flask_orders")

SOURCE = "urn:flask-orders"

# Seconds: for so long an event is the relay's that has claimed it; then another one may have it.
CLAIM = 60
LONGEST_PAUSE = 3600

Deliver = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Claimed:
    """An event that a relay has claimed; `attempts` counts this one."""

    id: int
    attempts: int
    body: str


class Outbox:
    """The events of one app that are not delivered yet."""

    def __init__(self, session: scoped_session[Session], models: Models) -> None:
        self._session = session
        self._model = models.OutboxEvent

    def write(
        self, signal: NamedSignal, order: Mapping[str, Any], payment: dict[str, Any] | None
    ) -> None:
        """Keep an event about an order, as it is from now on, in the order's own transaction."""
        event_id, now = new_key(), datetime.now(UTC)
        data: dict[str, Any] = {"order": _order(order)}
        if payment is not None:
            data["payment"] = payment
        envelope = {
            "specversion": "1.0",
            "id": str(event_id),
            "source": SOURCE,
            "type": f"flask-orders.{signal.name}",
            "subject": str(order["id"]),
            "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "datacontenttype": "application/json",
            "data": data,
        }
        row = {
            "event_id": event_id,
            "order_id": order["id"],
            "type": envelope["type"],
            "body": json.dumps(envelope, default=str),
            "created": now,
            "due": now,
            "attempts": 0,
        }
        self._session.execute(insert(table(self._model)), [row])

    def claim(self, limit: int) -> list[Claimed]:
        """Claim the first event of each order that has one due. The caller commits."""
        model, earlier = self._model, aliased(self._model)
        now = datetime.now(UTC)
        is_first = ~exists().where(earlier.order_id == model.order_id, earlier.id < model.id)
        found = self._session.execute(
            select(model.id, model.attempts, model.body)
            .where(model.due <= now, is_first)
            .order_by(model.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        ).all()
        rows = table(model)
        self._session.execute(
            update(rows)
            .where(rows.c.id.in_([row.id for row in found]))
            .values(due=now + timedelta(seconds=CLAIM), attempts=rows.c.attempts + 1)
        )
        return [Claimed(row.id, row.attempts + 1, row.body) for row in found]

    def delivered(self, event: Claimed) -> None:
        """Forget an event. The caller commits."""
        rows = table(self._model)
        self._session.execute(delete(rows).where(rows.c.id == event.id))

    def failed(self, event: Claimed) -> None:
        """Try again later, and no later event of the order before that. The caller commits."""
        rows = table(self._model)
        pause = timedelta(seconds=min(2**event.attempts, LONGEST_PAUSE))
        self._session.execute(
            update(rows).where(rows.c.id == event.id).values(due=datetime.now(UTC) + pause)
        )


def _order(order: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": str(order["id"]),
        "number": order["number"],
        "status": order["status"],
        "currency": order["currency"],
        "total_amount": Currency.of(order["currency"]).text(order["total_amount"]),
        "customer": {"id": order["customer_id"]},
    }


def relay(
    session: scoped_session[Session],
    transaction: Callable[[Callable[[], Any]], Any],
    outbox: Outbox,
    deliver: Deliver,
    limit: int = 100,
) -> int:
    """Deliver one batch; how many events were delivered, and so may make room for others.

    `transaction` runs a function in a transaction of its own, and commits it. An event is forgotten
    once `deliver` has returned, so one whose relay is killed is delivered again.
    """
    count = 0
    for event in transaction(partial(outbox.claim, limit)):
        try:
            deliver(json.loads(event.body))
        except Exception as error:
            session.rollback()
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error(
                "an event of the outbox was not delivered, attempt %d: %s at\n%s",
                event.attempts,
                type(error).__name__,
                where,
            )
            transaction(partial(outbox.failed, event))
        else:
            session.rollback()
            transaction(partial(outbox.delivered, event))
            count += 1
    return count
