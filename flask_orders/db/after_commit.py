"""Signals that wait for the commit of the transaction that they are about.

A signal is sent after its transaction is committed, and never if the transaction, or a savepoint
around the change, is rolled back. Its receivers have a session of their own. A receiver that fails
is logged; it affects neither the caller nor the other receivers.
"""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from blinker import NamedSignal
from flask import Flask, current_app
from flask_sqlalchemy.session import Session as HostSession
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, SessionTransaction, scoped_session

from .retrying import roll_back

log: logging.Logger = logging.getLogger("flask_orders")

_WAITING = "flask_orders_waiting_signals"
_COMMITTED = "flask_orders_committed"

Content = Callable[[], dict[str, Any]]


@dataclass(slots=True)
class _WaitingSignal:
    """A signal, and the innermost transaction whose rollback discards it."""

    session: scoped_session[HostSession]
    transaction: SessionTransaction
    signal: NamedSignal
    content: Content


def send_after_commit(
    session: scoped_session[HostSession], signal: NamedSignal, content: Content
) -> None:
    """Send the signal once the session's transaction is committed.

    Args:
        session: its transaction, or its innermost savepoint, is what the signal waits for.
        signal: without receivers nothing is done.
        content: reads what the receivers get, after the commit and in the receivers' session.
    """
    if not has_receivers(signal):
        return
    transaction = session().get_nested_transaction() or session().get_transaction()
    if transaction is not None:
        waiting = session.info.setdefault(_WAITING, [])
        waiting.append(_WaitingSignal(session, transaction, signal, content))


def has_receivers(signal: NamedSignal) -> bool:
    """Return whether the signal has receivers for this app."""
    return any(True for _ in signal.receivers_for(this_app()))


def this_app() -> Flask:
    """Return the app itself, the sender of every signal."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined] # a proxy
    return app


def watch_commits(session: scoped_session[HostSession]) -> None:
    """Install the listeners that send waiting signals (idempotent)."""
    if not event.contains(session, "after_commit", _after_commit):
        event.listen(session, "after_commit", _after_commit)
        event.listen(session, "after_transaction_end", _after_transaction_end)


def _after_commit(session: Session) -> None:
    session.info[_COMMITTED] = session.get_nested_transaction() or session.get_transaction()


def _after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    committed = session.info.pop(_COMMITTED, None) is transaction
    waiting: list[_WaitingSignal] = session.info.pop(_WAITING, [])
    if not committed:
        waiting = [entry for entry in waiting if entry.transaction is not transaction]
    if transaction.parent is None:
        if committed:
            _send_all(waiting)
        return
    for entry in waiting:
        if entry.transaction is transaction:
            entry.transaction = transaction.parent
    session.info[_WAITING] = waiting


def _send_all(waiting: list[_WaitingSignal]) -> None:
    for entry in waiting:
        with _receivers_session(entry.session):
            try:
                content = entry.content()
            except Exception as error:
                name, cause = entry.signal.name, type(error).__name__
                log.error(
                    "%s could not be read for its receivers: %s",
                    name,
                    cause,
                    extra={"event": "receiver_failed", "signal": name},
                )
            else:
                _send(entry.session, entry.signal, content)


@contextmanager
def _receivers_session(session: scoped_session[HostSession]) -> Iterator[None]:
    """Replace the session that has just committed by a new one.

    Inside `with db.session.begin():` the committed session refuses further statements; objects that
    its caller holds must not expire; and a connection that breaks in a receiver must not make a
    successful COMMIT look lost.
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
    """Call every receiver, and log those that fail.

    The log has the place where an exception was raised, but not its text: a driver's message may
    quote the customer's address.
    """
    app = this_app()
    for receiver in signal.receivers_for(app):
        try:
            receiver(app, **content)
        except Exception as error:
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error(
                "a receiver of %s failed: %s at\n%s",
                signal.name,
                type(error).__name__,
                where,
                extra={"event": "receiver_failed", "signal": signal.name},
            )
            roll_back(session)
