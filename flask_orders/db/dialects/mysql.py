"""MySQL and MariaDB, with Group Replication and Galera, by PyMySQL, mysqlclient or mysql-connector.

A server answers in the same codes to every driver, but the drivers raise them as different classes,
so that only `args[0]` tells what an error is.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any, ClassVar

from sqlalchemy import Connection, Dialect, ExceptionContext, Table, text
from sqlalchemy.pool import ConnectionPoolEntry

from ..managed import LOCK_WAIT, Listener, is_managed
from ._base import (
    AUTOCOMMITS,
    CHECK,
    FOREIGN_KEY,
    NOT_NULL,
    READ_ONLY,
    UNIQUE,
    DatabaseDialect,
    Violation,
)

_GALERA = "flask_orders_galera"
_WAIT_IS_SET = "flask_orders_wait_is_set"

# The first versions with CHECK and the collation below, and with SKIP LOCKED.
_OLDEST = {"MySQL": (8, 0, 17), "MariaDB": (10, 6)}

_WAITING = ("SELECT", "UPDATE", "DELETE", "INSERT")

# One collation under two names. Each server reads the comment that is meant for it, so that a
# migration that was written on one of them runs on the other.
_EXACT = "/*M!100600 utf8mb4_nopad_bin */ /*!80017 utf8mb4_0900_bin */"

# mysql-connector's, for an error of its own that is none of the client library's.
_NO_CODE = -1

_MULTI_PRIMARY = (
    "Group Replication is in multi-primary mode, in which the server refuses every write of a "
    "table with ON DELETE CASCADE or SET NULL (3098), such as orders: run SELECT "
    "group_replication_switch_to_single_primary_mode(), and lead all orders to the primary"
)
_PXC = (
    "Percona XtraDB Cluster is not supported, since an order does not wait there for what the "
    "other nodes have committed: use Galera with MariaDB, or MySQL's Group Replication"
)

_PUT_BACK_WAIT = "SET SESSION innodb_lock_wait_timeout = @flask_orders_wait"

_IDENTIFIER = re.compile(r"`((?:[^`]|``)*)`")
_QUOTED = re.compile(r"'([^']*)'")

_TABLE = text(
    "SELECT engine, table_collation FROM information_schema.tables"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :name"
    " AND table_type = 'BASE TABLE'"
)


def find_galera(connection: Any, record: ConnectionPoolEntry) -> None:
    """Record whether the server is a node of a Galera cluster."""
    with closing(connection.cursor()) as cursor:
        cursor.execute("SHOW VARIABLES LIKE 'wsrep_on'")
        record.info[_GALERA] = cursor.fetchone() == ("wsrep_on", "ON")


def begin(connection: Connection) -> None:
    """Begin a managed transaction on the latest rows, without locks on gaps between them."""
    if not is_managed(connection):
        return
    # In REPEATABLE READ, InnoDB locks the gaps between rows too, and a customer who puts something
    # into another cart becomes a deadlock's victim. It is for the next transaction only.
    if not _is_mariadb(connection.dialect):
        # The wait is the session's, and put back. One statement, of which all or nothing is done.
        connection.exec_driver_sql(
            "SET @flask_orders_wait = @@SESSION.innodb_lock_wait_timeout, "
            "@@transaction_isolation = 'READ-COMMITTED', "
            f"SESSION innodb_lock_wait_timeout = {LOCK_WAIT}"
        ).close()
        connection.info[_WAIT_IS_SET] = True
        return
    if connection.info.get(_GALERA):
        # What the other nodes have committed is applied a little later: wait for it. By a read of
        # its own, since an INSERT, which a transaction may begin with, does not wait.
        connection.exec_driver_sql("SET STATEMENT wsrep_sync_wait=1 FOR SELECT 1").close()
    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED").close()


def put_back_wait(connection: Connection) -> None:
    """Put back the session's own wait before COMMIT, which waits for no row."""
    if not connection.info.pop(_WAIT_IS_SET, False):
        return
    try:
        connection.exec_driver_sql(_PUT_BACK_WAIT).close()
    except BaseException:
        # SQLAlchemy announces no ROLLBACK after a COMMIT that has failed.
        connection.invalidate()
        raise


def put_back_wait_after_error(connection: Connection) -> None:
    """Put back the session's own wait before ROLLBACK, or discard the connection."""
    if connection.invalidated or not connection.info.pop(_WAIT_IS_SET, False):
        return
    driver: Any = connection.connection.dbapi_connection
    # By the driver's own cursor: SQLAlchemy refuses a statement after one that has failed.
    try:
        with closing(driver.cursor()) as cursor:
            cursor.execute(_PUT_BACK_WAIT)
    except Exception as error:
        connection.invalidate(error)


def find_lost_connection(context: ExceptionContext) -> None:
    """Have a connection discarded that mysql-connector has lost: it says so without a code."""
    connection, error = context.connection, context.original_exception
    if error.args[:1] != (_NO_CODE,) or connection is None or connection.invalidated:
        return
    driver: Any = connection.connection.dbapi_connection
    context.is_disconnect = not driver.is_connected()


def bound_wait(
    connection: Connection,
    _cursor: Any,
    statement: str,
    parameters: Any,
    _context: Any,
    executemany: bool,  # noqa: FBT001 - SQLAlchemy's event passes it so
) -> tuple[str, Any]:
    """Bound a statement's wait for locks in a managed transaction on MariaDB, and in no other."""
    # A wait can be bounded for a session or, on MariaDB alone and like this, for a statement.
    # Not for many rows: the driver sends them as one statement only if that begins with INSERT.
    if (
        is_managed(connection)
        and not executemany
        and statement.startswith(_WAITING)
        and _is_mariadb(connection.dialect)
    ):
        statement = f"SET STATEMENT innodb_lock_wait_timeout={LOCK_WAIT} FOR {statement}"
    return statement, parameters


class MySQL(DatabaseDialect):
    """Codes are the server's and the client's error numbers."""

    titles: ClassVar[tuple[str, ...]] = ("MySQL", "MariaDB")
    # MariaDB is reached under either name, as the shop's URL has it.
    names: ClassVar[tuple[str, ...]] = ("mysql", "mariadb")
    modules: ClassVar[tuple[str, ...]] = ("pymysql", "MySQLdb", "mysql")
    listeners: ClassVar[tuple[Listener, ...]] = (
        Listener("connect", find_galera),
        Listener("begin", begin),
        Listener("before_cursor_execute", bound_wait, {"retval": True}),
        Listener("commit", put_back_wait),
        Listener("rollback", put_back_wait_after_error),
        Listener("handle_error", find_lost_connection),
    )

    # Lock wait timeout, deadlock or Galera certification, a savepoint that went with the
    # rolled-back transaction, changed since the snapshot was taken, a statement that was killed or
    # took longer than the shop's own max_statement_time or max_execution_time, certification by
    # Group Replication.
    conflicts: ClassVar[tuple[str, ...]] = (
        "1205",
        "1213",
        "1305",
        "1020",
        "1317",
        "1969",
        "3024",
        "3101",
    )
    lock_timeouts: ClassVar[tuple[str, ...]] = ("1205",)
    # Too many connections, in all or of this user (1203, 1226); Galera without a quorum (1047; 1180
    # at COMMIT); shutdown; a server (1290, 1836) or transaction (1792) that is read-only; offline;
    # Group Replication without a majority, at COMMIT (3100). Then what the clients say of a
    # connection that fails or is lost.
    unavailable: ClassVar[tuple[str, ...]] = (
        *("1040", "1203", "1226", "1047", "1180", "1053", "1290", "1836", "1792", "3032", "3100"),
        *("1927", "2002", "2003", "2005", "2006", "2013", "2055", "4031"),
    )
    # A trigger of the shop's that raises a code of its own (1644) reports no violation.
    violations: ClassVar[Mapping[str, str]] = {
        "1048": NOT_NULL,
        "1062": UNIQUE,
        "1216": FOREIGN_KEY,
        "1217": FOREIGN_KEY,
        "1364": NOT_NULL,
        "1451": FOREIGN_KEY,
        "1452": FOREIGN_KEY,
        "1586": UNIQUE,
        "3819": CHECK,
        "4025": CHECK,
    }
    # Duplicate keys, and values that do not fit their column: their text begins with the value.
    quoting: ClassVar[tuple[str, ...]] = ("1062", "1292", "1366", "1411", "1586")

    # Counters of the session; InnoDB's own list of transactions needs a privilege.
    write_probe: ClassVar[str | None] = (
        "SHOW SESSION STATUS WHERE Variable_name IN "
        "('Handler_write', 'Handler_update', 'Handler_delete')"
    )
    snapshot_isolation: ClassVar[str | None] = "REPEATABLE READ"

    def drivers(self, dialect: Dialect) -> tuple[str, ...]:
        # mysql-connector can't convert MariaDB's UUIDs.
        is_mariadb = _is_mariadb(dialect)
        return ("pymysql", "mysqldb") if is_mariadb else ("pymysql", "mysqldb", "mysqlconnector")

    def exact_collation(self, dialect: Dialect | None = None) -> str | None:
        # By the default collations "Ann" and "ann " are "ann": three customers, one cart.
        if dialect is None:
            return _EXACT
        return "utf8mb4_nopad_bin" if _is_mariadb(dialect) else "utf8mb4_0900_bin"

    def code_of(self, original: BaseException) -> str:
        code = original.args[0] if original.args else None
        return str(code) if isinstance(code, int) else ""

    def rename(self, original: Any, name: str) -> None:
        super().rename(original, name)
        # mysql-connector's errors don't say their `args`.
        original.msg = original._full_msg = name

    def read_violation(self, kind: str, original: Any, written: str | None) -> Violation:
        # The names that the server quotes; the value, which comes first, is a customer's.
        message = str(original.args[1])
        names = [name.replace("``", "`") for name in _IDENTIFIER.findall(message)]
        quoted = _QUOTED.findall(message)
        if kind == FOREIGN_KEY and len(names) > 2:
            return Violation(kind, names[1], names[2], written=written)
        if kind == CHECK and len(names) > 2:
            return Violation(kind, names[2], names[0], written=written)
        if kind == CHECK and quoted:
            return Violation(kind, written, quoted[-1], written=written)
        if kind == UNIQUE and quoted:
            # MySQL says 'table.key', MariaDB 'key'.
            return Violation(kind, written, quoted[-1].rpartition(".")[2], written=written)
        if kind == NOT_NULL and quoted:
            return Violation(kind, written, columns=frozenset(quoted[:1]), written=written)
        return Violation(kind, written=written)

    def problems(
        self, connection: Connection, library: Iterable[Table], shop: Iterable[Table]
    ) -> Iterator[str]:
        yield from _server_problems(connection)
        if connection.exec_driver_sql("SELECT @@autocommit").scalar():
            yield AUTOCOMMITS
        # MySQL 8.0 and MariaDB 11.1 have renamed the first one.
        variables = connection.exec_driver_sql(
            "SHOW VARIABLES WHERE Variable_name IN ('tx_read_only', 'transaction_read_only', "
            "'read_only', 'group_replication_single_primary_mode')"
        )
        found: dict[str, str] = dict(map(tuple, variables))
        if found.pop("group_replication_single_primary_mode", "ON") == "OFF":
            yield _MULTI_PRIMARY
        if any(value not in ("OFF", "0") for value in found.values()):
            yield READ_ONLY
        of_library = list(library)
        for table in dict.fromkeys([*of_library, *shop]):
            yield from _table_problems(connection, table, is_library=table in of_library)


def _is_mariadb(dialect: Any) -> bool:
    """Return whether the server is MariaDB; known once the engine has connected."""
    return bool(dialect.is_mariadb)


def _server_problems(connection: Connection) -> Iterator[str]:
    dialect: Any = connection.dialect
    title = "MariaDB" if _is_mariadb(dialect) else "MySQL"
    if title == "MySQL" and connection.info.get(_GALERA):
        yield _PXC
    if dialect.server_version_info < _OLDEST[title]:
        found, oldest = (
            ".".join(map(str, version)) for version in (dialect.server_version_info, _OLDEST[title])
        )
        yield f"{title} {found} is not supported: upgrade the server to {title} {oldest} or newer"


def _table_problems(connection: Connection, table: Table, *, is_library: bool) -> Iterator[str]:
    where, name = {"schema": table.schema, "name": table.name}, table.fullname
    for engine, collation in connection.execute(_TABLE, where):
        if engine != "InnoDB":
            yield f"the table '{name}' has no transactions: run ALTER TABLE {name} ENGINE=InnoDB"
        charset = collation.partition("_")[0]
        if is_library and charset != "utf8mb4":
            yield (
                f"the table '{name}' is in {charset}, which can't hold every name and address: "
                f"run ALTER TABLE {name} CONVERT TO CHARACTER SET utf8mb4"
            )


DIALECT = MySQL()
