"""A signal that is sent inside the transaction that it is about.

What its receivers write is part of that transaction. One that raises makes it fail, and none can
commit it or roll it back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from blinker import NamedSignal
from flask_sqlalchemy.session import Session as HostSession
from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction, scoped_session

from ..errors import ConfigurationError
from .after_commit import Content, this_app


def send_before_commit(
    session: scoped_session[HostSession], signal: NamedSignal, content: Content
) -> dict[str, Any] | None:
    """Send the signal in the session's innermost transaction, and flush what its receivers changed.

    Args:
        session: the session that the receivers use.
        signal: without receivers nothing is done.
        content: reads what the receivers get.

    Returns:
        What the receivers got; None if there are none.

    Raises:
        ConfigurationError: a receiver has ended the transaction.
        Exception: whatever a receiver raises; the remaining ones are not called.
    """
    app = this_app()
    receivers = list(signal.receivers_for(app))
    if not receivers:
        return None
    with _commit_refused(session(), signal) as transaction:
        given = content()
        for receiver in receivers:
            receiver(app, **given)
            if not transaction.is_active:
                raise _mistake(signal)
        session.flush()
    return given


@contextmanager
def _commit_refused(session: Session, signal: NamedSignal) -> Iterator[SessionTransaction]:
    """Refuse to commit the innermost transaction, which is yielded; savepoints in it may end."""
    transaction = _innermost(session)

    def refuse(committing: Session) -> None:
        if _innermost(committing) is transaction:
            raise _mistake(signal)

    event.listen(session, "before_commit", refuse)
    try:
        yield transaction
    finally:
        event.remove(session, "before_commit", refuse)


def _innermost(session: Session) -> SessionTransaction:
    # An order always has one: its savepoint.
    return session.get_nested_transaction() or session.get_transaction()  # type: ignore[return-value] # see above


def _mistake(signal: NamedSignal) -> ConfigurationError:
    return ConfigurationError(
        f"A receiver of {signal.name} has committed or rolled back db.session, in the middle of "
        "an order: leave out db.session.commit(), rollback() and remove(); what it writes is "
        "committed with the order. To refuse the order, raise an OrdersError."
    )
