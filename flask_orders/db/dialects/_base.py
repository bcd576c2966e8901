"""What the library asks about a database; the defaults are those of an unsupported one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Connection, Dialect, Engine, Integer, Table
from sqlalchemy.types import TypeEngine

from ..managed import Listener, install

UNIQUE, FOREIGN_KEY, CHECK, NOT_NULL = "unique", "foreign key", "CHECK", "NOT NULL"

# Sentences of `flask orders check` that more than one database needs.
AUTOCOMMITS = (
    "every statement is committed by itself, so that an order can be half written: "
    "remove 'isolation_level' from SQLALCHEMY_ENGINE_OPTIONS"
)
READ_ONLY = (
    "the database takes no writes, since the server is a replica or its transactions are "
    "read-only by default: connect to the primary, with a role that may write"
)


@dataclass(frozen=True, slots=True)
class Violation:
    """A violated constraint, as far as the database identifies it.

    Attributes:
        kind: one of UNIQUE, FOREIGN_KEY, CHECK, NOT_NULL.
        table: the table that has the constraint; None if the driver does not name it.
        name: the constraint's name.
        columns: the constraint's columns, where the driver names them instead of the constraint.
        written: the table that the statement changes.
    """

    kind: str
    table: str | None = None
    name: str | None = None
    columns: frozenset[str] = frozenset()
    written: str | None = None

    @property
    def is_anonymous(self) -> bool:
        """Return whether it may be any foreign key: SQLite never names it."""
        return self.kind == FOREIGN_KEY and self.table is None


class DatabaseDialect:
    """The facts about one database and its drivers; a subclass and an instance for each.

    Attributes:
        titles: its names in sentences.
        names: SQLAlchemy's names for it.
        modules: the packages whose errors are its drivers'.
        conflicts: beginnings of the codes after which the whole transaction is retried.
        lock_timeouts: those of them that mean: the wait for a lock took too long.
        unavailable: beginnings of the codes of a database that can't be reached or takes no
            connection or no write.
        violations: the kind of constraint by the code that reports its violation.
        quoting: beginnings of the codes whose messages may quote a row's values.
        listeners: what its engines need for transactions, savepoints and bounded waits.
        write_probe: a query whose rows change if the transaction writes, and only then.
        counts_writes: whether `written` sends no statement.
        snapshot_isolation: the isolation level to set for one snapshot of several statements; None
            where every transaction has one.
        has_arrays: whether a parameter may be an array.
        has_modifying_ctes: whether one statement may change the rows of several tables.
        has_decimals: whether a NUMERIC is stored exactly.
        amounts_as_text: the types of amounts that a driver returns as text.
        has_time_zones: whether a timestamp is stored with its zone.
        row_number: the type of a key that the database numbers.
    """

    titles: ClassVar[tuple[str, ...]] = ()
    names: ClassVar[tuple[str, ...]] = ()
    modules: ClassVar[tuple[str, ...]] = ()
    conflicts: ClassVar[tuple[str, ...]] = ()
    lock_timeouts: ClassVar[tuple[str, ...]] = ()
    unavailable: ClassVar[tuple[str, ...]] = ()
    violations: ClassVar[Mapping[str, str]] = {}
    quoting: ClassVar[tuple[str, ...]] = ()
    listeners: ClassVar[tuple[Listener, ...]] = ()
    write_probe: ClassVar[str | None] = None
    counts_writes: ClassVar[bool] = False
    snapshot_isolation: ClassVar[str | None] = None
    has_arrays: ClassVar[bool] = False
    has_modifying_ctes: ClassVar[bool] = False
    has_decimals: ClassVar[bool] = True
    amounts_as_text: ClassVar[tuple[type[TypeEngine[Any]], ...]] = ()
    has_time_zones: ClassVar[bool] = False
    row_number: ClassVar[Integer] = BigInteger()

    def drivers(self, dialect: Dialect) -> tuple[str, ...]:
        """Return SQLAlchemy's names for the drivers with which the library is tested."""
        return ()

    def exact_collation(self, dialect: Dialect | None = None) -> str | None:
        """Return the collation by which texts are equal only if all their characters are.

        Args:
            dialect: SQLAlchemy's, of the server; None: what every server of this kind reads.
        """
        return None

    def code_of(self, original: BaseException) -> str:
        """Return the code of an error of one of this database's drivers; "" if it has none."""
        return ""

    def is_conflict(self, original: BaseException) -> bool:
        """Return whether a retry of the whole transaction may succeed."""
        return self.code_of(original).startswith(self.conflicts)

    def is_lock_timeout(self, original: BaseException) -> bool:
        """Return whether a statement waited too long for a lock."""
        return self.code_of(original).startswith(self.lock_timeouts)

    def is_unavailable(self, original: BaseException) -> bool:
        """Return whether the database can't be reached or takes no connection or no write."""
        return self.code_of(original).startswith(self.unavailable)

    def quotes_values(self, original: BaseException) -> bool:
        """Return whether the error's message may quote a row's values, which are a customer's."""
        return self.code_of(original).startswith(self.quoting)

    def rename(self, original: BaseException, name: str) -> None:
        """Have the driver's error say its name and nothing else."""
        original.args = (name,)

    def violation_of(self, original: BaseException, written: str | None) -> Violation | None:
        """Return the violation that a driver's error reports, or None.

        Args:
            original: the driver's error.
            written: the table that the statement changes, if it is known.
        """
        kind = self.violations.get(self.code_of(original))
        return None if kind is None else self.read_violation(kind, original, written)

    def read_violation(self, kind: str, original: Any, written: str | None) -> Violation:
        """Read table, constraint and columns from the driver's error, and none of its values."""
        return Violation(kind, written=written)

    def prepare_engine(self, engine: Engine) -> None:
        """Install the listeners on the engine (idempotent)."""
        install(self.listeners, engine)

    def written(self, connection: Connection) -> object:
        """Return how much the connection has written, to be compared with an earlier value."""
        if self.write_probe is None:
            return object()  # equal to nothing else: every statement may have written
        driver: Any = connection.connection.dbapi_connection
        # By the driver's own cursor: the shop's listeners must not see it.
        cursor = driver.cursor()
        try:
            cursor.execute(self.write_probe)
            return list(cursor.fetchall())
        finally:
            cursor.close()

    def integer_bits(self, type_: Integer) -> int:
        """Return the bits of the integers that a column of the type can be compared with."""
        return 64

    def problems(
        self, connection: Connection, library: Iterable[Table], shop: Iterable[Table]
    ) -> Iterator[str]:
        """Yield what is wrong with the server, its settings and its tables, each with a fix.

        Args:
            connection: a connection in a transaction, on which only reads are done.
            library: the library's tables, whether they exist or not.
            shop: the tables of the shop's mapped classes.
        """
        yield from ()
