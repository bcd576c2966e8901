"""The public signals (blinker), each sent after the commit of the change that it reports.

The sender is the Flask app; while the receivers run, `db.session` is a session of their own. Every
status that an order can be changed to has a signal, by the table in `status.py`. `order_placing`
alone is sent inside the order's transaction, in its session.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from blinker import NamedSignal, Namespace
from flask_sqlalchemy.session import Session
from sqlalchemy import select
from sqlalchemy.orm import scoped_session, selectinload

from .db.after_commit import send_after_commit
from .models import Models, OrderMixin
from .outbox import Outbox
from .status import CANCELLED, DELIVERED, PAID, TRANSITIONS

__all__ = [
    "order_cancelled",
    "order_delivered",
    "order_paid",
    "order_placed",
    "order_placing",
    "order_refunded",
    "outbox_event",
    "payment_unexpected",
]

_namespace = Namespace()

# By the status that the order has now; each carries `order=`.
SIGNALS: Mapping[str, NamedSignal] = {
    rule.target: _namespace.signal(rule.signal, doc=f"The order is {rule.target} now: `order=`.")
    for rule in TRANSITIONS
}

order_placing: NamedSignal = _namespace.signal(
    "order-placing",
    doc="A cart is becoming an order, in this transaction: `order=`, `cart=` the shop's own cart, "
    "`items=` pairs of an order item and the shop's own cart item. Its receivers may write, and "
    "refuse the order by raising an `OrdersError`.",
)
order_placed: NamedSignal = _namespace.signal(
    "order-placed", doc="A cart became an order: `order=`."
)
order_paid: NamedSignal = SIGNALS[PAID]
order_cancelled: NamedSignal = SIGNALS[CANCELLED]
order_delivered: NamedSignal = SIGNALS[DELIVERED]
payment_unexpected: NamedSignal = _namespace.signal(
    "payment-unexpected",
    doc="A payment arrived for an order that awaits none; refund it: `order=`, `payment=`.",
)
order_refunded: NamedSignal = _namespace.signal(
    "order-refunded", doc="Money went back to the customer: `order=`, `refund=`."
)
outbox_event: NamedSignal = _namespace.signal(
    "outbox-event", doc="The relay delivers an event of the outbox: `event=`, a CloudEvent."
)


class Emitter:
    """Emits the signals of one app, and stores their events in its outbox if it has one."""

    def __init__(
        self,
        session: scoped_session[Session],
        models: Models,
        outbox: Callable[[], Outbox | None],
    ) -> None:
        self._session = session
        self._models = models
        self._outbox = outbox

    def emit(
        self,
        signal: NamedSignal,
        order: Mapping[str, Any],
        **money: dict[str, Any],
    ) -> None:
        """Store the event, and send the signal after the commit.

        Args:
            signal: one of this module.
            order: columns of the order's row, as the transaction leaves them.
            money: the event's JSON about a `payment` or a `refund`, with its `reference`.
        """
        outbox = self._outbox()
        if outbox is not None:
            outbox.write(signal, order, money)
        references = {name: described["reference"] for name, described in money.items()}
        self._send(signal, order["id"], references)

    def emit_again(self, signal: NamedSignal, order_id: UUID) -> None:
        """Send the signal of a change whose COMMIT succeeded although its answer was lost."""
        self._send(signal, order_id, {})

    def _send(self, signal: NamedSignal, order_id: UUID, references: Mapping[str, str]) -> None:
        send_after_commit(self._session, signal, partial(self._content, order_id, references))

    def _content(self, order_id: UUID, references: Mapping[str, str]) -> dict[str, Any]:
        content: dict[str, Any] = {"order": read_order(self._session, self._models, order_id)}
        recorded: dict[str, Any] = {
            "payment": self._models.OrderPayment,
            "refund": self._models.OrderRefund,
        }
        for name, reference in references.items():
            model = recorded[name]
            found = self._session.execute(select(model).where(model.reference == reference))
            content[name] = found.scalar_one()
        return content


def read_order(session: scoped_session[Session], models: Models, order_id: UUID) -> OrderMixin:
    """Return an order with its items."""
    model = models.Order
    order: OrderMixin = session.execute(
        select(model).where(model.id == order_id).options(selectinload(model.items))
    ).scalar_one()
    return order
