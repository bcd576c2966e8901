"""SQLite, by Python's own driver, in a transaction mode in which a savepoint can be undone.

In the driver's legacy mode it begins a transaction at the first INSERT, and a SAVEPOINT before that
is committed as soon as it is released: an outer rollback does not undo it. So the driver is set to
leave transactions alone, and SQLAlchemy's "begin" emits a real BEGIN. This is the recipe of
SQLAlchemy's documentation ("Serializable isolation / Savepoints"); it works on every Python.
"""

import sqlite3
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from sqlalchemy import Connection, Dialect, Integer, Table
from sqlalchemy.pool import StaticPool

from ..managed import LOCK_WAIT, Listener, is_managed
from ._base import CHECK, FOREIGN_KEY, NOT_NULL, UNIQUE, DatabaseDialect, Violation

_SAVEPOINTS_LEAK = (
    "SQLite's savepoints leak, since its engine was made after register_blueprint(orders_bp), "
    "which sets the transaction mode: call db.init_app(app) before it"
)
# SQLAlchemy 2.0.43 has introduced it. It skips the ROLLBACK of a connection whose driver is in
# autocommit mode, as the driver looks when SQLAlchemy emits BEGIN: a failed order would stay in its
# open transaction, and be committed with the next one.
_ROLLBACK_SKIPPED = (
    "nothing is ever rolled back on SQLite, so that a failed order is committed with the next one: "
    "remove 'skip_autocommit_rollback' from SQLALCHEMY_ENGINE_OPTIONS"
)
_CONNECTION_SHARED = (
    "SQLite is in memory or has one connection for all threads, so that one thread commits or "
    "rolls back another's order: that is good for tests of one thread; for anything else use a "
    "file, such as SQLALCHEMY_DATABASE_URI = 'sqlite:///shop.sqlite3'"
)

# Milliseconds: how long a connection waited before the library changed that.
_SHOP_WAIT = "flask_orders_shop_wait"


def prepare(connection: sqlite3.Connection, _record: object = None) -> None:
    """Set up a driver's connection."""
    connection.isolation_level = None
    for pragma in ("foreign_keys=ON", "journal_mode=WAL"):
        connection.execute(f"PRAGMA {pragma}").close()


def begin(connection: Connection) -> None:
    """Emit a real BEGIN."""
    driver: Any = connection.connection.dbapi_connection
    if driver.isolation_level is not None:
        # It was opened before the blueprint was registered.
        prepare(driver)
    if driver.in_transaction:
        # The shop follows the same recipe, and its BEGIN came first.
        return
    # Alembic changes a table by copying it and dropping the old one; with foreign keys on, that
    # would delete or empty the rows that point to it.
    driver.execute(f"PRAGMA foreign_keys={'OFF' if _is_migrating() else 'ON'}").close()
    _bound_wait(connection, driver)
    # A transaction that reads first and writes later has to take the write lock immediately:
    # waiting for it in the middle fails with SQLITE_BUSY, whatever the timeout.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_managed(connection) else "BEGIN")


def _bound_wait(connection: Connection, driver: sqlite3.Connection) -> None:
    """Set the wait of a managed transaction to LOCK_WAIT, of another one to what the shop set."""
    if _SHOP_WAIT not in connection.info:
        (connection.info[_SHOP_WAIT],) = driver.execute("PRAGMA busy_timeout").fetchone()
    of_shop, of_library = connection.info[_SHOP_WAIT], LOCK_WAIT * 1000
    if of_shop != of_library:
        wait = of_library if is_managed(connection) else of_shop
        driver.execute(f"PRAGMA busy_timeout={wait}").close()


def _is_migrating() -> bool:
    """Return whether Alembic, if the shop uses it, is running an env.py now."""
    alembic: Any = sys.modules.get("alembic.context")
    if alembic is None:
        return False
    try:
        alembic.is_offline_mode()
    except (NameError, AttributeError):  # none has run yet; one has, and is over
        return False
    return True


class SQLite(DatabaseDialect):
    """Codes are the names of SQLite's extended result codes."""

    titles: ClassVar[tuple[str, ...]] = ("SQLite",)
    names: ClassVar[tuple[str, ...]] = ("sqlite",)
    modules: ClassVar[tuple[str, ...]] = ("sqlite3",)
    listeners: ClassVar[tuple[Listener, ...]] = (
        Listener("connect", prepare),
        Listener("begin", begin),
    )

    conflicts: ClassVar[tuple[str, ...]] = ("SQLITE_BUSY", "SQLITE_LOCKED")
    violations: ClassVar[Mapping[str, str]] = {
        "SQLITE_CONSTRAINT_CHECK": CHECK,
        "SQLITE_CONSTRAINT_FOREIGNKEY": FOREIGN_KEY,
        "SQLITE_CONSTRAINT_NOTNULL": NOT_NULL,
        "SQLITE_CONSTRAINT_PRIMARYKEY": UNIQUE,
        "SQLITE_CONSTRAINT_UNIQUE": UNIQUE,
    }

    # So statements that bypass SQLAlchemy are counted too.
    counts_writes = True
    has_decimals = False
    # It numbers the rows of an INTEGER primary key only, not those of a BIGINT one.
    row_number: ClassVar[Integer] = Integer()

    def drivers(self, dialect: Dialect) -> tuple[str, ...]:
        return ("pysqlite",)

    def code_of(self, original: BaseException) -> str:
        return str(getattr(original, "sqlite_errorname", ""))

    def read_violation(self, kind: str, original: Any, written: str | None) -> Violation:
        _, _, named = str(original).partition(": ")
        if kind == CHECK:
            return Violation(kind, written, named, written=written)
        columns = [column.rpartition(".") for column in named.split(", ")]
        table, names = columns[0][0], frozenset(name for _, _, name in columns)
        return Violation(kind, table or None, None, names - {""}, written)

    def written(self, connection: Connection) -> object:
        driver: Any = connection.connection.dbapi_connection
        return driver.total_changes

    def problems(
        self, connection: Connection, library: Iterable[Table], shop: Iterable[Table]
    ) -> Iterator[str]:
        # The first statement, with which SQLAlchemy begins a transaction.
        files = {row.name: row.file for row in connection.exec_driver_sql("PRAGMA database_list")}
        driver: Any = connection.connection.driver_connection
        if not driver.in_transaction:
            yield _SAVEPOINTS_LEAK
        if getattr(connection.dialect, "skip_autocommit_rollback", False):
            yield _ROLLBACK_SKIPPED
        if not files["main"] or isinstance(connection.engine.pool, StaticPool):
            yield _CONNECTION_SHARED
        yield from _broken_foreign_keys(connection)


def _broken_foreign_keys(connection: Connection) -> Iterator[str]:
    """Count the rows that the shop's foreign keys, which were not enforced before, forbid."""
    violations: Counter[tuple[str, str]] = Counter()
    for table, _row, parent, _key in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        violations[table, parent] += 1
    for (table, parent), count in sorted(violations.items()):
        yield (
            f"in '{table}' {count} foreign key(s) refer to rows of '{parent}' that do not exist. "
            "The library has SQLite enforce foreign keys, so that the shop's own changes of such "
            "rows fail from now on: correct or delete them; `PRAGMA foreign_key_check` lists them"
        )


DIALECT = SQLite()
