"""What a conversion asks of its transaction: locks on rows alone, and bounded waits for them.

So no client can hold a connection of the pool for long, nor the gap in an index into which other
customers' carts are written. Set for the transactions that `transaction.py` marks, and for no
other: the host's own transactions and the server's settings stay as they are. Called by the
blueprint when it is registered. SQLite's bound is its busy timeout (`sqlite.py`).
"""

from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

# An execution option of the connection: its transaction is a conversion's.
MANAGED = "flask_orders_conversion"

# Seconds.
LOCK_WAIT = 5

# MariaDB is spoken to by either, as the host's URL has it.
MYSQL_DIALECTS = ("mysql", "mariadb")

_GALERA = "flask_orders_galera"

_WAITING = ("SELECT", "UPDATE", "DELETE", "INSERT")


def prepare_engine(engine: Engine) -> None:
    """Have an engine heed the mark; once is enough."""
    if engine.dialect.name == "postgresql" and not event.contains(engine, "begin", _on_postgresql):
        event.listen(engine, "begin", _on_postgresql)
    if engine.dialect.name in MYSQL_DIALECTS and not event.contains(engine, "begin", _on_mariadb):
        event.listen(engine, "connect", _ask_for_galera)
        event.listen(engine, "begin", _on_mariadb)
        event.listen(engine, "before_cursor_execute", _bound_statement, retval=True)


def is_managed(connection: Connection) -> bool:
    """Whether the connection's transaction is a conversion's."""
    return bool(connection.get_execution_options().get(MANAGED, False))


def _on_postgresql(connection: Connection) -> None:
    if is_managed(connection):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT}s'")


def _ask_for_galera(connection: Any, record: ConnectionPoolEntry) -> None:
    """Remember whether the server is a node of a Galera cluster."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW VARIABLES LIKE 'wsrep_on'")
        record.info[_GALERA] = cursor.fetchone() == ("wsrep_on", "ON")


def _on_mariadb(connection: Connection) -> None:
    if not is_managed(connection):
        return
    if connection.info.get(_GALERA):
        # What the other nodes have committed is applied a little later: wait for it. By a read of
        # its own, since for the INSERT that a transaction may begin with there is no waiting.
        connection.exec_driver_sql("SET STATEMENT wsrep_sync_wait=1 FOR SELECT 1").close()
    # In REPEATABLE READ, InnoDB locks the gaps between rows too, and a customer who puts something
    # into another cart becomes a deadlock's victim. It is for the next transaction only.
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
    if is_managed(connection) and not executemany and statement.startswith(_WAITING):
        statement = f"SET STATEMENT innodb_lock_wait_timeout={LOCK_WAIT} FOR {statement}"
    return statement, parameters
