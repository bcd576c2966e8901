"""Refuse to begin an order while the shop's session holds changes that a rollback would lose.

A statement that is not known to be a read counts as a write, unless the database itself says that
its transaction has written nothing.
"""

from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from flask_sqlalchemy.session import Session as HostSession
from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session, SessionTransaction, scoped_session
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.elements import TextClause
from sqlalchemy.sql.functions import Function
from sqlalchemy.sql.selectable import TextualSelect
from sqlalchemy.sql.visitors import iterate

from ..errors import ConfigurationError
from .dialects import dialect_of
from .managed import is_managed

_CHANGED = "flask_orders_changed"
_WRITTEN_BEFORE = "flask_orders_written_before"
_KNOWN = "flask_orders_known_statements"
_CONNECTIONS = "flask_orders_connections"

# Of a connection that can't say how much it has written.
_LOST = "lost"


def watch_session(session: scoped_session[HostSession], engines: Iterable[Engine]) -> None:
    """Have the session record whether it has sent changes that are not committed yet."""
    for engine in engines:
        if not event.contains(engine, "before_cursor_execute", _before_statement):
            event.listen(engine, "before_cursor_execute", _before_statement)
    if not event.contains(session, "after_begin", _after_begin):
        event.listen(session, "after_begin", _after_begin)
        event.listen(session, "after_transaction_end", _after_transaction_end)


def refuse_pending_changes(session: scoped_session[HostSession]) -> None:
    """Refuse a session with changes that are not committed.

    Raises:
        ConfigurationError: the session has uncommitted changes, flushed or not.
    """
    names = pending_changes(session)
    if names is not None:
        raise ConfigurationError(
            f"db.session holds uncommitted changes ({names}), and the order needs a transaction of "
            "its own: commit or roll back the changes of your before_request functions and of your "
            "JWT user lookup, or call current_orders.convert(...) in a view of your own."
        )


def pending_changes(session: scoped_session[HostSession]) -> str | None:
    """Return the names of the classes with changes that are not committed, or None.

    Changes that are flushed already, or were sent past the ORM, are "already flushed".
    """
    pending = [*session.new, *session.deleted, *filter(session.is_modified, session.dirty)]
    if pending:
        return ", ".join(sorted({type(row).__name__ for row in pending}))
    begun: list[Connection] = session().info.get(_CONNECTIONS, [])
    return "already flushed" if any(_has_written(connection) for connection in begun) else None


def _has_written(connection: Connection) -> bool:
    info = connection.info
    if info.get(_CHANGED):
        return True
    if _WRITTEN_BEFORE not in info:
        return False
    return _written(connection) not in (_LOST, info[_WRITTEN_BEFORE])


def _before_statement(
    connection: Connection,
    _cursor: Any,
    _statement: str,
    _parameters: Any,
    context: Any,
    _many: Any,
) -> None:
    # The session's own events don't suffice: text and bulk_save_objects() bypass them.
    info = connection.info
    if info.get(_CHANGED) or (context.compiled is None and is_managed(connection)):
        # Such as the wait for locks, which the library sets itself.
        return
    writes = None if context.compiled is None else _writes(info, context.compiled)
    if writes:
        info[_CHANGED] = True
    elif writes is None and _WRITTEN_BEFORE not in info:
        info[_WRITTEN_BEFORE] = _written(connection)


def _writes(info: dict[str, Any], compiled: Any) -> bool | None:
    """Return whether a statement writes; None: who knows.

    It is remembered, since finding out takes as long as a query.
    """
    known: WeakKeyDictionary[Any, bool | None] = info.setdefault(_KNOWN, WeakKeyDictionary())
    if compiled not in known:
        known[compiled] = _has_dml(compiled.statement)
    return known[compiled]


def _has_dml(statement: Any) -> bool | None:
    """Return whether it has DML; None if text, or a function that SQLAlchemy does not know, may."""
    parts = list(iterate(statement))
    if any(isinstance(part, UpdateBase) for part in parts):
        return True
    is_unknown = any(
        isinstance(part, TextClause | TextualSelect) or type(part) is Function for part in parts
    )
    return None if is_unknown else False


def _written(connection: Connection) -> object:
    """Return how much the connection has written, to be compared with an earlier value."""
    try:
        return dialect_of(connection.dialect).written(connection)
    except connection.dialect.loaded_dbapi.Error:
        # What it had written is undone. The next statement fails, by an error of SQLAlchemy's.
        return _LOST


def _after_begin(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    if transaction.parent is None:
        # A shop's test may be one transaction: what came before then counts as committed.
        connection.info.pop(_CHANGED, None)
        connection.info.pop(_WRITTEN_BEFORE, None)
        if dialect_of(connection.dialect).counts_writes:
            connection.info[_WRITTEN_BEFORE] = _written(connection)
        session.info.setdefault(_CONNECTIONS, []).append(connection)


def _after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_CONNECTIONS, None)
