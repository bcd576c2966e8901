"""What `flask orders check` finds out about the engine and the server.

It reads settings, and no row but on SQLite, where `PRAGMA foreign_key_check` reads every row that
has a foreign key once.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool
from sqlalchemy.pool.base import ResetStyle

from ..db.managed import MYSQL_DIALECTS

SUPPORTED = "SQLite, PostgreSQL and MariaDB"

# Whose errors are known to be read right: a conflict is told from a bug by the driver's own codes.
DRIVERS = ("pysqlite", "psycopg", "psycopg2", "pymysql")


def check_engine(engine: sa.Engine) -> Iterator[str]:
    """Look for the options of an engine that an order can't live with."""
    if not engine.hide_parameters:
        yield (
            "a database error would write customers' addresses into the log: "
            "set SQLALCHEMY_ENGINE_OPTIONS = {'hide_parameters': True}"
        )
    # SQLAlchemy 2.0.43 has brought it. It skips the ROLLBACK of a connection whose driver is in
    # autocommit mode, and that is how SQLite's driver looks once the library (like SQLAlchemy's own
    # recipe) has BEGIN sent by itself: a failed order would stay in its open transaction, and be
    # committed with the next one.
    skips = getattr(engine.dialect, "skip_autocommit_rollback", False)
    if skips and engine.dialect.name == "sqlite":
        yield (
            "nothing is ever rolled back on SQLite, so that a failed order is committed with the "
            "next one: remove 'skip_autocommit_rollback' from SQLALCHEMY_ENGINE_OPTIONS"
        )
    if engine.pool._reset_on_return is not ResetStyle.reset_rollback:
        yield (
            "a connection that is returned in the middle of a transaction is not rolled back, so "
            "that half of what it did is committed with somebody else's order: remove "
            "'pool_reset_on_return' from SQLALCHEMY_ENGINE_OPTIONS"
        )


def check_connection(connection: sa.Connection) -> Iterator[str]:
    """Look at the server, its driver, and the transactions that the engine begins."""
    dialect = connection.dialect
    mysql_itself = dialect.name == "mysql" and not getattr(dialect, "is_mariadb", False)
    if dialect.name not in ("sqlite", "postgresql", *MYSQL_DIALECTS) or mysql_itself:
        yield f"{dialect.name} is not supported: flask_orders is tested on {SUPPORTED}"
        return
    if dialect.driver not in DRIVERS:
        yield (
            f"the driver {dialect.driver} is not supported: flask_orders is tested with "
            f"{', '.join(DRIVERS)}"
        )
    if dialect.name == "sqlite":
        yield from _sqlite(connection)
        return
    if _is_autocommitting(connection):
        yield (
            "every statement is committed by itself, so that an order can be half written: "
            "remove 'isolation_level' from SQLALCHEMY_ENGINE_OPTIONS"
        )
    encoding = _encoding(connection)
    if encoding != "UTF8":
        yield (
            f"the database is in {encoding}, which can't hold every name and address: move it to "
            "one that CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0 has made"
        )
    if _is_read_only(connection):
        yield (
            "the database takes no writes, since the server is a replica or its transactions are "
            "read-only by default: connect to the primary, with a role that may write"
        )


def _is_autocommitting(connection: sa.Connection) -> bool:
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection.driver_connection
        return bool(driver.autocommit)
    return bool(connection.exec_driver_sql("SELECT @@autocommit").scalar())


def _encoding(connection: sa.Connection) -> str:
    if connection.dialect.name != "postgresql":
        return "UTF8"  # on MariaDB it is a matter of each table
    return str(connection.exec_driver_sql("SHOW server_encoding").scalar())


def _is_read_only(connection: sa.Connection) -> bool:
    if connection.dialect.name == "postgresql":
        return connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"
    # MariaDB 11.1 has renamed the first one.
    found = connection.exec_driver_sql(
        "SHOW VARIABLES WHERE Variable_name IN "
        "('tx_read_only', 'transaction_read_only', 'read_only')"
    )
    return any(value not in ("OFF", "0") for _, value in found)


def _sqlite(connection: sa.Connection) -> Iterator[str]:
    files = {row.name: row.file for row in connection.exec_driver_sql("PRAGMA database_list")}
    driver: Any = connection.connection.driver_connection
    if not driver.in_transaction:
        yield (
            "SQLite's savepoints leak, since its engine was made after register_blueprint("
            "orders_bp), which sets the transaction mode: call db.init_app(app) before it"
        )
    if not files["main"] or isinstance(connection.engine.pool, StaticPool):
        yield (
            "SQLite is in memory or has one connection for all threads, so that one thread commits "
            "or rolls back another's order: that is good for tests of one thread; for anything "
            "else use a file, such as SQLALCHEMY_DATABASE_URI = 'sqlite:///shop.sqlite3'"
        )
    yield from _sqlite_foreign_keys(connection)


def _sqlite_foreign_keys(connection: sa.Connection) -> Iterator[str]:
    """Count the rows that the shop's foreign keys, which nobody enforced before, forbid."""
    violations: Counter[tuple[str, str]] = Counter()
    for table, _row, parent, _key in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        violations[table, parent] += 1
    for (table, parent), count in sorted(violations.items()):
        yield (
            f"in '{table}' {count} foreign key(s) refer to rows of '{parent}' that do not exist. "
            "The library has SQLite enforce foreign keys, so that the shop's own changes of such "
            "rows fail from now on: correct or delete them; `PRAGMA foreign_key_check` lists them"
        )
