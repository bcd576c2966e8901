"""Observe and disturb a database: unchanged rows, counted statements, locks, cut connections."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from flask_orders.db.classify import is_conflict
from flask_orders.db.managed import is_managed

# What bounds transactions costs no work of its own.
UNCOUNTED = ("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK")

_ALL_ROWS = "tests_all_rows"

Rows = dict[str, list[dict[str, Any]]]


def server_of(engine: sa.Engine) -> str:
    """Return the name of the server: SQLAlchemy calls MariaDB "mysql" too."""
    with engine.connect() as connection:
        is_mariadb = getattr(connection.dialect, "is_mariadb", False)
    return "mariadb" if is_mariadb else engine.dialect.name


class HasDatabase(Protocol):
    """A shop of the tests, or the driver of a host shop."""

    @property
    def engine(self) -> sa.Engine: ...

    def everything(self) -> Rows: ...


def rows_of(connection: sa.Connection | Session, table: sa.Table) -> list[dict[str, Any]]:
    """Return a table's rows, in the order of their keys."""
    # Made once: the tests read whole databases thousands of times.
    query = table.info.get(_ALL_ROWS)
    if query is None:
        query = table.info[_ALL_ROWS] = sa.select(table).order_by(*table.primary_key.columns)
    return [dict(row) for row in connection.execute(query).mappings()]


def everything_of(engine: sa.Engine, metadata: sa.MetaData) -> Rows:
    """Return every table's rows, read by one connection."""
    with engine.connect() as connection:
        filled = _filled(connection, metadata)
        return {
            name: rows_of(connection, table) if name in filled else []
            for name, table in metadata.tables.items()
        }


def clear(engine: sa.Engine, metadata: sa.MetaData) -> None:
    """Delete every table's rows."""
    # In a transaction of its own: on SQLite one that has read may not write after somebody else.
    with engine.connect() as connection:
        filled = _filled(connection, metadata)
    if not filled:
        return
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            if table.key in filled:
                connection.execute(table.delete())


def _filled(connection: sa.Connection, metadata: sa.MetaData) -> set[str]:
    """Return the keys of the tables that have rows: most have none, and asking each takes long."""
    name_of = connection.dialect.identifier_preparer.format_table
    tables = metadata.tables
    asked = [f"EXISTS (SELECT 1 FROM {name_of(table)})" for table in tables.values()]
    found = connection.exec_driver_sql(f"SELECT {', '.join(asked)}").one()
    return {key for key, has_rows in zip(tables, found, strict=True) if has_rows}


@contextmanager
def nothing_changed(shop: HasDatabase) -> Iterator[None]:
    """Assert that every row of every table is the same afterwards."""
    before = shop.everything()
    yield
    assert shop.everything() == before


@contextmanager
def counted(engine: sa.Engine) -> Iterator[list[str]]:
    """Collect the statements that are sent meanwhile, except those that bound transactions."""
    statements: list[str] = []

    def collect(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith(UNCOUNTED):
            statements.append(statement)

    event.listen(engine, "before_cursor_execute", collect)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", collect)


@contextmanager
def connection_cut_at_commit(shop: HasDatabase, *, after: bool) -> Iterator[None]:
    """Cut the first connection that commits a write, before or after the server has done so."""
    cut = threading.Event()

    def commit(connection: sa.Connection) -> None:
        if cut.is_set() or not is_managed(connection):
            return
        cut.set()
        driver: Any = connection.connection.dbapi_connection
        if after:
            driver.commit()
        driver.close()

    event.listen(shop.engine, "commit", commit)
    try:
        yield
    finally:
        event.remove(shop.engine, "commit", commit)
    assert cut.is_set()


def wait_for_lock_wait(shop: HasDatabase) -> None:
    """Return when a transaction of this database waits for a lock."""
    waiting = {
        "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
        "mariadb": "SELECT count(*) FROM information_schema.innodb_lock_waits",
        "mysql": "SELECT count(*) FROM performance_schema.data_lock_waits",
    }[server_of(shop.engine)]
    for _ in range(50):
        with shop.engine.connect() as connection:
            if connection.execute(sa.text(waiting)).scalar_one():
                return
        time.sleep(0.2)  # InnoDB repeats its last answer to a query within 0.1 s.
    raise AssertionError("no transaction waits for a lock")


@contextmanager
def refused_old_snapshot(engine: sa.Engine) -> Iterator[None]:
    """Expect a conflict on a server that refuses to lock rows which its snapshot has not seen.

    That is MariaDB from 11.6.2 on (1020), in the shop's own transaction in REPEATABLE READ.
    """
    is_refused = False
    if server_of(engine) == "mariadb":
        with engine.connect() as connection:
            asked = connection.exec_driver_sql("SHOW VARIABLES LIKE 'innodb_snapshot_isolation'")
            is_refused = [row[1] for row in asked] == ["ON"]
    if not is_refused:
        yield
        return
    with pytest.raises(DBAPIError) as raised:
        yield
    assert is_conflict(raised.value)
