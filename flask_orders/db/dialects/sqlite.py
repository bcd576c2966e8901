"""SQLite in a transaction mode in which a savepoint is one.

In Python's legacy mode the driver begins a transaction at the first INSERT, and a SAVEPOINT before
that is committed as soon as it is released: an outer rollback does not undo it. So the driver is
told to leave transactions alone, and SQLAlchemy's own BEGIN is made a real one. The cure is the
one of SQLAlchemy's documentation of SQLite ("Serializable isolation / Savepoints"); it works on
every Python. Called by the blueprint when it is registered.
"""

import sqlite3
import sys
from typing import Any

from sqlalchemy import Connection, Engine, event

from ..managed import LOCK_WAIT, is_managed

# Milliseconds: what an SQLite connection waited before we first changed it.
_HOST_WAIT = "flask_orders_host_wait"


def use_real_transactions(engine: Engine) -> None:
    """Make BEGIN, SAVEPOINT and foreign keys work on an SQLite engine; others are left alone."""
    if engine.dialect.name != "sqlite" or event.contains(engine, "begin", begin):
        return
    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)


def prepare(connection: sqlite3.Connection, _record: object = None) -> None:
    """Set a driver's connection up."""
    connection.isolation_level = None
    for pragma in ("foreign_keys=ON", "journal_mode=WAL"):
        connection.execute(f"PRAGMA {pragma}").close()


def begin(connection: Connection) -> None:
    """Begin a transaction that is one."""
    driver: Any = connection.connection.dbapi_connection
    if driver.isolation_level is not None:
        # It was opened before the blueprint was registered.
        prepare(driver)
    if driver.in_transaction:
        # The host follows the same recipe, and its BEGIN came first.
        return
    # Alembic changes a table by copying it and dropping the old one; with foreign keys on, that
    # would delete or empty the rows that point to it.
    driver.execute(f"PRAGMA foreign_keys={'OFF' if _is_migrating() else 'ON'}").close()
    _bound_wait(connection, driver)
    # A transaction that reads first and writes later has to take the write lock at once: waiting
    # for it in the middle fails with SQLITE_BUSY, whatever the timeout.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_managed(connection) else "BEGIN")


def _bound_wait(connection: Connection, driver: sqlite3.Connection) -> None:
    """A conversion waits for its turn for LOCK_WAIT; the host's own transactions as it has set."""
    if _HOST_WAIT not in connection.info:
        (connection.info[_HOST_WAIT],) = driver.execute("PRAGMA busy_timeout").fetchone()
    of_host, ours = connection.info[_HOST_WAIT], LOCK_WAIT * 1000
    if of_host != ours:
        wait = ours if is_managed(connection) else of_host
        driver.execute(f"PRAGMA busy_timeout={wait}").close()


def _is_migrating() -> bool:
    """Whether Alembic, if the host uses it, is running an env.py now."""
    alembic: Any = sys.modules.get("alembic.context")
    if alembic is None:
        return False
    try:
        alembic.is_offline_mode()
    except (NameError, AttributeError):  # none has run yet; one has, and is over
        return False
    return True
