"""How long a conversion waits for a lock: bounded, so that no client can hold the pool for long.

Set for the transactions that `transaction.py` marks, and for no other: the host's own transactions
and the server's settings stay as they are. Called by the blueprint when it is registered. SQLite's
bound is its busy timeout (`sqlite.py`).
"""

from typing import Any

from sqlalchemy import Connection, Engine, event

# An execution option of the connection: its transaction is a conversion's.
CONVERSION = "flask_orders_conversion"

# Seconds.
LOCK_WAIT = 5

_WAITING = ("SELECT", "UPDATE", "DELETE", "INSERT")


def bound(engine: Engine) -> None:
    """Have an engine bound the waits of the transactions that are marked; once is enough."""
    name = engine.dialect.name
    if name == "postgresql" and not event.contains(engine, "begin", _bound_transaction):
        event.listen(engine, "begin", _bound_transaction)
    elif name in ("mysql", "mariadb") and not event.contains(
        engine, "before_cursor_execute", _bound_statement
    ):
        event.listen(engine, "before_cursor_execute", _bound_statement, retval=True)


def is_conversion(connection: Connection) -> bool:
    """Whether the connection's transaction is a conversion's."""
    return bool(connection.get_execution_options().get(CONVERSION, False))


def _bound_transaction(connection: Connection) -> None:
    if is_conversion(connection):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT}s'")


def _bound_statement(
    connection: Connection,
    _cursor: Any,
    statement: str,
    parameters: Any,
    _context: Any,
    executemany: bool,  # noqa: FBT001 - SQLAlchemy's event passes it so
) -> tuple[str, Any]:
    # MariaDB has no bound for a transaction, only for a session or, like this, for a statement.
    # Not for many rows at once: the driver sends them as one only if it sees the INSERT first.
    if is_conversion(connection) and not executemany and statement.startswith(_WAITING):
        statement = f"SET STATEMENT innodb_lock_wait_timeout={LOCK_WAIT} FOR {statement}"
    return statement, parameters
