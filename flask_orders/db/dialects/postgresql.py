"""PostgreSQL, by psycopg or psycopg2."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Connection, Dialect, Integer, SmallInteger, Table
from sqlalchemy.dialects.postgresql import MONEY
from sqlalchemy.types import TypeEngine

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

# The SQLSTATE of "unable to establish a connection".
_NOT_CONNECTED = "08001"

_BITS: tuple[tuple[type[Integer], int], ...] = ((SmallInteger, 16), (BigInteger, 64), (Integer, 32))


def bound_wait(connection: Connection) -> None:
    """Bound the waits for locks of a managed transaction, and of no other."""
    if is_managed(connection):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT}s'")


class PostgreSQL(DatabaseDialect):
    """Codes are SQLSTATEs."""

    titles: ClassVar[tuple[str, ...]] = ("PostgreSQL",)
    names: ClassVar[tuple[str, ...]] = ("postgresql",)
    modules: ClassVar[tuple[str, ...]] = ("psycopg", "psycopg2")
    listeners: ClassVar[tuple[Listener, ...]] = (Listener("begin", bound_wait),)

    # Serialization failure, deadlock, lock timeout, the shop's own statement_timeout during a wait.
    conflicts: ClassVar[tuple[str, ...]] = ("40001", "40P01", "55P03", "57014")
    lock_timeouts: ClassVar[tuple[str, ...]] = ("55P03",)
    # Connection errors, shutdown, too many connections, a primary that has become a standby and so
    # read-only.
    unavailable: ClassVar[tuple[str, ...]] = ("08", "57P", "53300", "25006")
    # A trigger of the shop's that raises a code of its own (P0001) reports no violation.
    violations: ClassVar[Mapping[str, str]] = {
        "23001": FOREIGN_KEY,
        "23502": NOT_NULL,
        "23503": FOREIGN_KEY,
        "23505": UNIQUE,
        "23514": CHECK,
        "23P01": UNIQUE,
    }
    # Values of the wrong form, and violated constraints, with the whole row in the DETAIL.
    quoting: ClassVar[tuple[str, ...]] = ("22", "23")

    write_probe: ClassVar[str | None] = "SELECT txid_current_if_assigned()"
    # By default each statement has a snapshot of its own: an order that the shop deletes between
    # two statements would have no items.
    snapshot_isolation: ClassVar[str | None] = "REPEATABLE READ"
    # One statement for any number of values: it is prepared once, and has one parameter.
    has_arrays = True
    has_modifying_ctes = True
    # psycopg returns MONEY as text, with the currency's sign.
    amounts_as_text: ClassVar[tuple[type[TypeEngine[Any]], ...]] = (MONEY,)
    has_time_zones = True

    def drivers(self, dialect: Dialect) -> tuple[str, ...]:
        return ("psycopg", "psycopg2")

    def code_of(self, original: BaseException) -> str:
        # psycopg's name for it, or psycopg2's.
        state: str | None = getattr(original, "sqlstate", getattr(original, "pgcode", ""))
        if state is not None:
            return state
        # No server has sent a code, since none was reached or the connection was cut: psycopg says
        # so by the class alone, or its base (ConnectionTimeout). Others without a code are misuse.
        bases = (base.__name__ for base in type(original).__mro__)
        return _NOT_CONNECTED if "OperationalError" in bases else ""

    def read_violation(self, kind: str, original: Any, written: str | None) -> Violation:
        found = original.diag
        columns = frozenset([found.column_name] if found.column_name else [])
        return Violation(kind, found.table_name, found.constraint_name, columns, written)

    def integer_bits(self, type_: Integer) -> int:
        # A number that the column can't hold is an error even where it is only compared.
        return next(bits for kind, bits in _BITS if isinstance(type_, kind))

    def problems(
        self, connection: Connection, library: Iterable[Table], shop: Iterable[Table]
    ) -> Iterator[str]:
        driver: Any = connection.connection.driver_connection
        if driver.autocommit:
            yield AUTOCOMMITS
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
        if encoding != "UTF8":
            yield (
                f"the database is in {encoding}, which can't hold every name and address: move it "
                "to one that CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0 has made"
            )
        if connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on":
            yield READ_ONLY


DIALECT = PostgreSQL()
