"""What a conversion asks of its transaction: locks on rows alone, and bounded waits for them.

So no client can hold a connection of the pool for long, nor the gap in an index into which other
customers' carts are written. Set for the transactions that `transaction.py` marks, and for no
other: the host's own transactions and the server's settings stay as they are. Called by the
blueprint when it is registered. SQLite's bound is its busy timeout (`sqlite.py`).
"""

from typing import Any

from sqlalchemy import Connection, Engine, event

# An execution option of the connection: its transaction is a conversion's.
CONVERSION = "flask_orders_conversion"

# Seconds.
LOCK_WAIT = 5

# MariaDB is spoken to by either, as the host's URL has it.
MYSQL_DIALECTS = ("mysql", "mariadb")

_WAITING = ("SELECT", "UPDATE", "DELETE", "INSERT")


def prepare_engine(engine: Engine) -> None:
    """Have an engine heed the mark; once is enough."""
    if engine.dialect.name == "postgresql" and not event.contains(engine, "begin", _on_postgresql):
        event.listen(engine, "begin", _on_postgresql)
    if engine.dialect.name in MYSQL_DIALECTS and not event.contains(engine, "begin", _on_mariadb):
        event.listen(engine, "begin", _on_mariadb)
        event.listen(engine, "before_cursor_execute", _bound_statement, retval=True)


def is_conversion(connection: Connection) -> bool:
    """Whether the connection's transaction is a conversion's."""
    return bool(connection.get_execution_options().get(CONVERSION, False))


def _on_postgresql(connection: Connection) -> None:
    if is_conversion(connection):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT}s'")


def _on_mariadb(connection: Connection) -> None:
    # In REPEATABLE READ, InnoDB locks the gaps between rows too, and a customer who puts something
    # into another cart becomes a deadlock's victim. It is for the next transaction only.
    if is_conversion(connection):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")


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
