"""The signals (blinker), and how they wait for the commit of the transaction that they are about.

Announced by the service, inside whichever transaction it works in, the blueprint's or a host's own;
sent when that is committed, and never if it, or the savepoint around, is rolled back. Each is sent
with the Flask app as its sender, while `db.session` is a session of the receivers' own.
"""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from blinker import NamedSignal, Namespace
from flask import Flask, current_app
from flask_sqlalchemy.session import Session as HostSession
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, SessionTransaction, scoped_session

from .db.retrying import roll_back

__all__ = [
    "order_cancelled",
    "order_delivered",
    "order_paid",
    "order_placed",
    "outbox_event",
    "payment_unexpected",
]

log = logging.getLogger("flask_orders")

_namespace = Namespace()

order_placed = _namespace.signal("order-placed", doc="A cart became an order: `order=`.")
order_paid = _namespace.signal("order-paid", doc="An order was paid: `order=`.")
order_cancelled = _namespace.signal(
    "order-cancelled", doc="An order was cancelled, or has expired: `order=`."
)
order_delivered = _namespace.signal("order-delivered", doc="An order was delivered: `order=`.")
payment_unexpected = _namespace.signal(
    "payment-unexpected",
    doc="Money arrived for an order that does not await it, so refund it: `order=`, `payment=`.",
)
outbox_event = _namespace.signal(
    "outbox-event", doc="A relay delivers an event of the outbox: `event=`, a CloudEvent."
)

_WAITING = "flask_orders_announcements"
_COMMITTED = "flask_orders_committed"

Content = Callable[[], dict[str, Any]]


@dataclass(slots=True)
class _Announcement:
    session: scoped_session[HostSession]
    transaction: SessionTransaction
    signal: NamedSignal
    content: Content


def announce(session: scoped_session[HostSession], signal: NamedSignal, content: Content) -> None:
    """Have the signal sent once the session's transaction is committed.

    `content` reads, after the commit, what its receivers are given.
    """
    if not signal.receivers:
        return
    transaction = session().get_nested_transaction() or session().get_transaction()
    if transaction is not None:
        waiting = session.info.setdefault(_WAITING, [])
        waiting.append(_Announcement(session, transaction, signal, content))


def watch_commits(session: scoped_session[HostSession]) -> None:
    """Have the session send what is announced in its transactions; once is enough."""
    if not event.contains(session, "after_commit", _after_commit):
        event.listen(session, "after_commit", _after_commit)
        event.listen(session, "after_transaction_end", _after_transaction_end)


def _after_commit(session: Session) -> None:
    session.info[_COMMITTED] = session.get_nested_transaction() or session.get_transaction()


def _after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    committed = session.info.pop(_COMMITTED, None) is transaction
    waiting: list[_Announcement] = session.info.pop(_WAITING, [])
    if not committed:
        waiting = [one for one in waiting if one.transaction is not transaction]
    if transaction.parent is None:
        if committed and waiting:
            _send_all(waiting)
        return
    for one in waiting:
        if one.transaction is transaction:
            one.transaction = transaction.parent
    session.info[_WAITING] = waiting


def _send_all(announcements: list[_Announcement]) -> None:
    for one in announcements:
        with _session_of_its_own(one.session):
            try:
                content = one.content()
            except Exception as error:
                name, what = one.signal.name, type(error).__name__
                log.error("what %s is about could not be read for its receivers: %s", name, what)
            else:
                _send(one.session, one.signal, content)


@contextmanager
def _session_of_its_own(session: scoped_session[HostSession]) -> Iterator[None]:
    """Put another session in the place of the one that has just committed.

    Inside `with db.session.begin():` that one does nothing more; what its caller holds must not
    expire; and a connection that breaks here must not make a COMMIT of success look lost.
    """
    committed = session()
    session.registry.set(session.session_factory())
    try:
        yield
    finally:
        try:
            session.close()
        except DBAPIError:
            session().invalidate()
        session.registry.set(committed)


def _send(
    session: scoped_session[HostSession], signal: NamedSignal, content: dict[str, Any]
) -> None:
    """Tell every receiver; one that fails is logged, and harms nobody: the order stands.

    An exception's text is not logged, since a database's may quote the customer's address; where
    it was raised is.
    """
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined] # a proxy
    for receiver in signal.receivers_for(app):
        try:
            receiver(app, **content)
        except Exception as error:
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error(
                "a receiver of %s failed: %s at\n%s", signal.name, type(error).__name__, where
            )
            roll_back(session)
