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
from uuid import UUID

from blinker import NamedSignal
from flask_sqlalchemy.session import Session
from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.orm import aliased, scoped_session

from .db.drivers import error_name
from .db.retrying import roll_back
from .keys import new_key
from .models import Models
from .models.contract import table
from .pricing import Currency

log = logging.getLogger("flask_orders")

SOURCE = "urn:flask-orders"

# Seconds: for so long an event is the relay's that has claimed it; then another one may have it. By
# the clocks of the relays' machines, which have to agree to a few seconds.
CLAIM = 60
LONGEST_PAUSE = 3600

Deliver = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Claimed:
    """An event that a relay has claimed; `attempts` counts this one."""

    id: int
    event_id: UUID
    order_id: UUID
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

    def claim(self) -> Claimed | None:
        """Claim, of the events that are the first of their order, the one that is due longest.

        Only one: the time of others would run out while it is delivered. The caller commits.
        """
        model, earlier = self._model, aliased(self._model)
        now = datetime.now(UTC)
        is_first = ~exists().where(earlier.order_id == model.order_id, earlier.id < model.id)
        found = self._session.execute(
            select(model.id, model.event_id, model.order_id, model.attempts + 1, model.body)
            .where(model.due <= now, is_first)
            # Not by `id` as well: all that became due in that second would be sorted each time.
            .order_by(model.due)
            .limit(1)
            .with_for_update(skip_locked=True)
        ).one_or_none()
        if found is None:
            return None
        event, rows = Claimed(*found), table(model)
        self._session.execute(
            update(rows)
            .where(rows.c.id == event.id)
            .values(due=now + timedelta(seconds=CLAIM), attempts=event.attempts)
        )
        return event

    def mark_delivered(self, event: Claimed) -> None:
        """Forget an event. The caller commits."""
        rows = table(self._model)
        # SQLite gives the id of a deleted row to another one.
        this = [rows.c.id == event.id, rows.c.event_id == event.event_id]
        self._session.execute(delete(rows).where(*this))

    def reschedule(self, event: Claimed) -> None:
        """Try again later, and no later event of the order before that. The caller commits."""
        rows = table(self._model)
        due = datetime.now(UTC) + timedelta(seconds=min(2**event.attempts, LONGEST_PAUSE))
        # A relay that was too slow leaves the event to the one that has claimed it since.
        this = [rows.c.event_id == event.event_id, rows.c.attempts == event.attempts]
        self._session.execute(update(rows).where(rows.c.id == event.id, *this).values(due=due))
        # The later ones would be looked at, and passed by, at every claim.
        later = [rows.c.order_id == event.order_id, rows.c.due < due]
        self._session.execute(update(rows).where(*later).values(due=due))


def _order(order: Mapping[str, Any]) -> dict[str, Any]:
    currency = Currency.of(order["currency"], order["currency_decimals"])
    return {
        "id": str(order["id"]),
        "number": order["number"],
        "status": order["status"],
        "currency": currency.code,
        "total_amount": currency.text(order["total_amount"]),
        "customer": {"id": order["customer_id"]},
    }


@dataclass(frozen=True, slots=True)
class Delivery:
    """An attempt at delivering an event; `error` is None if it has succeeded."""

    event_id: UUID
    error: str | None = None


def deliver_next(
    session: scoped_session[Session],
    transaction: Callable[[Callable[[], Any]], Any],
    outbox: Outbox,
    deliver: Deliver,
) -> Delivery | None:
    """Deliver the next event that is due; None if there is none.

    `transaction` runs a function in a transaction of its own, and commits it. An event is forgotten
    once `deliver` has returned, so one whose relay is killed is delivered again.
    """
    event: Claimed | None = transaction(outbox.claim)
    if event is None:
        return None
    try:
        deliver(json.loads(event.body))
    except Exception as error:
        delivery = Delivery(event.event_id, error_name(error))
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error(
            "event %s of the outbox was not delivered, attempt %d: %s at\n%s",
            event.event_id,
            event.attempts,
            delivery.error,
            where,
        )
    else:
        delivery = Delivery(event.event_id)
    roll_back(session)
    transaction(partial(outbox.reschedule if delivery.error else outbox.mark_delivered, event))
    return delivery
