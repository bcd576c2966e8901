"""Whether the host's session holds changes that a rollback would lose.

What is not known to be a read is taken for a write, unless the database itself says that its
transaction has written nothing.
"""

from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

from flask_sqlalchemy.session import Session as HostSession
from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session, SessionTransaction, scoped_session
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.elements import TextClause
from sqlalchemy.sql.functions import Function
from sqlalchemy.sql.selectable import TextualSelect
from sqlalchemy.sql.visitors import iterate

from ..errors import ConfigurationError
from .managed import is_managed

_CHANGED = "flask_orders_changed"
_WRITTEN_BEFORE = "flask_orders_written_before"
_KNOWN_READS = "flask_orders_known_reads"
_CONNECTIONS = "flask_orders_connections"

# What changes when the transaction writes, and with nothing else. InnoDB's own list of
# transactions needs a privilege; the counters are the session's.
_PROBES = {
    "postgresql": "SELECT txid_current_if_assigned()",
    "mysql": "SHOW SESSION STATUS WHERE Variable_name IN "
    "('Handler_write', 'Handler_update', 'Handler_delete')",
}
_PROBES["mariadb"] = _PROBES["mysql"]


def watch_session(session: scoped_session[HostSession], engines: Iterable[Engine]) -> None:
    """Have the session know whether it has sent changes that are not committed yet."""
    for engine in engines:
        if not event.contains(engine, "before_cursor_execute", _before_statement):
            event.listen(engine, "before_cursor_execute", _before_statement)
    if not event.contains(session, "after_begin", _after_begin):
        event.listen(session, "after_begin", _after_begin)
        event.listen(session, "after_transaction_end", _after_transaction_end)


def refuse_pending_changes(session: scoped_session[HostSession]) -> None:
    """Refuse a session with changes that are not committed.

    Raises:
        ConfigurationError: it has some, flushed or not.
    """
    names = pending_changes(session)
    if names is not None:
        raise ConfigurationError(
            f"db.session holds changes that nobody has committed ({names}), and the order needs a "
            "transaction of its own: commit or roll back what your before_request functions and "
            "your JWT user lookup change, or call current_orders.convert(...) in a view of yours."
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
    return _WRITTEN_BEFORE in info and _written(connection) != info[_WRITTEN_BEFORE]


def _before_statement(
    connection: Connection,
    _cursor: Any,
    _statement: str,
    _parameters: Any,
    context: Any,
    _many: Any,
) -> None:
    # Not by the session's own events: text and bulk_save_objects() bypass them.
    info = connection.info
    if info.get(_CHANGED) or is_managed(connection):
        return
    if context.compiled is not None and isinstance(context.compiled.statement, UpdateBase):
        info[_CHANGED] = True
    elif _WRITTEN_BEFORE not in info and not _is_known_read(info, context.compiled):
        info[_WRITTEN_BEFORE] = _written(connection)


def _is_known_read(info: dict[str, Any], compiled: Any) -> bool:
    """Whether it can't write; remembered, since to look takes as long as a short query."""
    if compiled is None:
        return False
    known: WeakSet[Any] = info.setdefault(_KNOWN_READS, WeakSet())
    if compiled in known:
        return True
    is_read = _is_read(compiled.statement)
    if is_read:
        known.add(compiled)
    return is_read


def _is_read(statement: Any) -> bool:
    """Whether there is no text in it, no function that SQLAlchemy does not know, and no DML."""
    return not any(
        isinstance(part, UpdateBase | TextClause | TextualSelect) or type(part) is Function
        for part in iterate(statement)
    )


def _written(connection: Connection) -> object:
    """How much the connection has written, as a value to be compared with an earlier one."""
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        return driver.total_changes
    probe = _PROBES.get(connection.dialect.name)
    if probe is None:
        # Equal to nothing else.
        return object()
    # By the driver's own cursor: it is no statement of the host's.
    cursor = driver.cursor()
    try:
        cursor.execute(probe)
        return list(cursor.fetchall())
    finally:
        cursor.close()


def _after_begin(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    if transaction.parent is None:
        # In a test of the host's that is one transaction, what came before is as good as committed.
        connection.info.pop(_CHANGED, None)
        connection.info.pop(_WRITTEN_BEFORE, None)
        if connection.dialect.name == "sqlite":
            # It costs nothing, and has what bypasses SQLAlchemy.
            connection.info[_WRITTEN_BEFORE] = _written(connection)
        session.info.setdefault(_CONNECTIONS, []).append(connection)


def _after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_CONNECTIONS, None)
