"""The transactional outbox: an event is stored if and only if its order's transaction commits.

A relay delivers each event at least once, and the events of one order in their order. An event
that can't be delivered is set aside after ORDERS_OUTBOX_ATTEMPTS attempts, the order's later events
go on, and it is kept until it is sent again. After the pattern "Transactional outbox" (C.
Richardson, Microservices Patterns, chapter 3); the envelope is the JSON format of CloudEvents 1.0.
"""

import json
import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from blinker import NamedSignal
from flask_sqlalchemy.session import Session
from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.orm import aliased, scoped_session

from .db.drivers import error_name
from .db.retrying import retrying, roll_back
from .db.writes import row_count
from .key_values import spelling
from .keys import new_key
from .models import Models, OutboxEventMixin
from .models.contract import table
from .pricing import Currency
from .settings import Settings

log: logging.Logger = logging.getLogger("flask_orders")

SOURCE = "urn:flask-orders"

# Seconds for which an event belongs to the relay that has claimed it; then another relay may claim
# it. By the clocks of the relays' machines, which must agree to a few seconds.
CLAIM = 60
LONGEST_PAUSE = 3600

Deliver = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class ClaimedEvent:
    """An event that a relay has claimed; `attempts` counts this one."""

    id: int
    event_id: UUID
    order_id: UUID
    attempts: int
    body: str


class Outbox:
    """The undelivered events of one app."""

    def __init__(
        self, session: scoped_session[Session], models: Models, settings: Callable[[], Settings]
    ) -> None:
        self.session = session
        self._settings = settings
        self.model: type[OutboxEventMixin] = models.OutboxEvent

    def write(
        self, signal: NamedSignal, order: Mapping[str, Any], money: Mapping[str, dict[str, Any]]
    ) -> None:
        """Store an event about an order, as it is from now on, in the order's own transaction.

        Args:
            signal: what has happened.
            order: columns of the order's row.
            money: what is said of its payment or its refund, by `payment` or `refund`.
        """
        event_id, now = new_key(), datetime.now(UTC)
        data: dict[str, Any] = {"order": _order(order), **money}
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
            "body": json.dumps(envelope, default=spelling),
            "created": now,
            "due": now,
            "attempts": 0,
        }
        self.session.execute(insert(table(self.model)), [row])

    def claim(self) -> ClaimedEvent | None:
        """Claim the event that has been due longest, of those that are the first of their order.

        Only one: the claims of more would expire while it is delivered. The caller commits.
        """
        model, earlier = self.model, aliased(self.model)
        now = datetime.now(UTC)
        is_first = ~exists().where(
            earlier.order_id == model.order_id,
            earlier.id < model.id,
            earlier.due.is_not(None),
        )
        found = self.session.execute(
            select(model.id, model.event_id, model.order_id, model.attempts + 1, model.body)
            .where(model.due <= now, is_first)
            # Not by `id` as well: every event of the same second would be sorted each time.
            .order_by(model.due)
            .limit(1)
            .with_for_update(skip_locked=True)
        ).one_or_none()
        if found is None:
            return None
        event, rows = ClaimedEvent(*found), table(model)
        self.session.execute(
            update(rows)
            .where(rows.c.id == event.id)
            .values(due=now + timedelta(seconds=CLAIM), attempts=event.attempts)
        )
        return event

    def mark_delivered(self, event: ClaimedEvent) -> None:
        """Delete an event. The caller commits."""
        rows = table(self.model)
        # SQLite may reuse the id of a deleted row.
        this = [rows.c.id == event.id, rows.c.event_id == event.event_id]
        self.session.execute(delete(rows).where(*this))

    def reschedule(self, event: ClaimedEvent) -> None:
        """Make an event due later, or set it aside after the last attempt. The caller commits.

        Its order's later events wait for it, unless it is set aside.
        """
        rows = table(self.model)
        # A relay that was too slow leaves the event to the relay that has claimed it since.
        this = [rows.c.event_id == event.event_id, rows.c.attempts == event.attempts]
        postponed = update(rows).where(rows.c.id == event.id, *this)
        if self.is_last(event):
            self.session.execute(postponed.values(due=None))
            return
        due = datetime.now(UTC) + timedelta(seconds=min(2**event.attempts, LONGEST_PAUSE))
        self.session.execute(postponed.values(due=due))
        # Else every claim would read and skip the later events.
        later = [rows.c.order_id == event.order_id, rows.c.due < due]
        self.session.execute(update(rows).where(*later).values(due=due))

    def is_last(self, event: ClaimedEvent) -> bool:
        """Return whether no further attempt at delivering an event follows the present one."""
        return event.attempts >= self._settings().outbox_attempts

    def set_aside(self) -> list[UUID]:
        """Return the ids of the events that were set aside, the oldest first."""
        model = self.model
        query = select(model.event_id).where(model.due.is_(None)).order_by(model.id)
        return list(self.session.scalars(query))

    def retry(self) -> int:
        """Make the events that were set aside due now; return their number. The caller commits."""
        rows = table(self.model)
        again = update(rows).where(rows.c.due.is_(None))
        result = self.session.execute(again.values(due=datetime.now(UTC), attempts=0))
        return row_count(result)


@dataclass(frozen=True, slots=True)
class Delivery:
    """An attempt at delivering an event; `error` is None if it has succeeded."""

    event_id: UUID
    error: str | None = None
    is_set_aside: bool = False


def deliver_next(outbox: Outbox, deliver: Deliver, *, limit: int) -> Delivery | None:
    """Claim the next event that is due, deliver it, and record the outcome; None if none is due.

    An event is deleted once `deliver` has returned, so an event whose relay is killed is delivered
    again. What `deliver` has left uncommitted in the session is rolled back.

    Args:
        outbox: the events of one app.
        deliver: called with the event, outside any transaction.
        limit: the largest number of attempts at each of the two transactions.

    Raises:
        TryAgain: conflicts went on through all attempts. The event is delivered later, or again.
    """
    session, mapper = outbox.session, outbox.model
    for attempt in retrying(session, mapper=mapper, limit=limit):
        with attempt, attempt.transaction():
            event = outbox.claim()
    if event is None:
        return None
    is_last = outbox.is_last(event)
    error = _deliver(event, deliver, is_last=is_last)
    roll_back(session)
    settle = outbox.mark_delivered if error is None else outbox.reschedule
    for attempt in retrying(session, mapper=mapper, limit=limit):
        with attempt, attempt.transaction():
            settle(event)
    return Delivery(event.event_id, error, is_set_aside=error is not None and is_last)


def _deliver(event: ClaimedEvent, deliver: Deliver, *, is_last: bool) -> str | None:
    """Deliver an event; return None, or the name of the error, which is logged without its text."""
    try:
        deliver(json.loads(event.body))
    except Exception as error:
        name, where = error_name(error), "".join(traceback.format_tb(error.__traceback__))
        log.error(
            "event %s of the outbox was not delivered, attempt %d%s: %s at\n%s",
            event.event_id,
            event.attempts,
            ", and is set aside" if is_last else "",
            name,
            where,
            extra={
                "event": "delivery_set_aside" if is_last else "delivery_failed",
                "event_id": str(event.event_id),
                "order_id": str(event.order_id),
                "attempt": event.attempts,
            },
        )
        return name
    return None


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
