"""Record what is sent to the database: at the cursor, on the wire, and with which plan."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any, NamedTuple

import sqlalchemy as sa
from psycopg import Connection
from psycopg.pq import Trace
from sqlalchemy import event
from sqlalchemy.engine.interfaces import CacheStats

# How a SELECT that locks its rows ends.
LOCKS = ("UPDATE", "UPDATE OF products")

BOUNDS = ("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK")
EXPLAINED = ("SELECT", "UPDATE", "DELETE", "WITH")


class Sent(NamedTuple):
    """A statement at the cursor; a batch of rows is one statement."""

    statement: str
    parameters: Any
    is_batch: bool
    is_compiled: bool

    @property
    def is_bound(self) -> bool:
        """Whether it only begins, ends or nests a transaction."""
        return self.statement.startswith(BOUNDS)


@contextmanager
def at_cursor(engine: sa.Engine) -> Iterator[list[Sent]]:
    """Collect the statements that are sent meanwhile."""
    sent: list[Sent] = []

    def collect(
        _connection: Any,
        _cursor: Any,
        statement: str,
        parameters: Any,
        context: Any,
        executemany: bool,  # noqa: FBT001 - the signature of SQLAlchemy's event
    ) -> None:
        compiled = context is not None and context.cache_hit is CacheStats.CACHE_MISS
        sent.append(Sent(statement, parameters, executemany, compiled))

    event.listen(engine, "before_cursor_execute", collect)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", collect)


class Wire(NamedTuple):
    """What the server sees: a batch of rows is many statements and one round trip."""

    executed: int
    round_trips: int


@contextmanager
def on_the_wire(engine: sa.Engine) -> Iterator[list[Wire]]:
    """Record what the server sees meanwhile, from libpq's trace; the list is filled at the end."""
    seen: list[Wire] = []
    with tempfile.TemporaryFile() as file:

        def trace(connection: Connection[Any], *_rest: Any) -> None:
            connection.pgconn.trace(file.fileno())
            connection.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)

        def untrace(connection: Connection[Any] | None, *_rest: Any) -> None:
            if connection is not None:
                connection.pgconn.untrace()

        event.listen(engine, "checkout", trace)
        event.listen(engine, "checkin", untrace)
        try:
            yield seen
        finally:
            event.remove(engine, "checkout", trace)
            event.remove(engine, "checkin", untrace)
        file.seek(0)
        messages = [line.split()[2] for line in file if line.startswith(b"F\t")]
    executed = messages.count(b"Execute") + messages.count(b"Query")
    seen.append(Wire(executed, messages.count(b"Sync") + messages.count(b"Query")))


@contextmanager
def lock_times(engine: sa.Engine, session: Any, rows: str) -> Iterator[list[float]]:
    """Collect the seconds from the SELECT that locks rows of a table to the end of its COMMIT."""
    locked: list[float] = []
    seconds: list[float] = []

    def on_statement(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if f"FROM {rows}" in " ".join(statement.split()) and statement.endswith(LOCKS):
            locked[:] = [perf_counter()]

    def on_commit(_session: Any) -> None:
        seconds.extend(perf_counter() - since for since in locked)
        locked.clear()

    event.listen(engine, "after_cursor_execute", on_statement)
    event.listen(session, "after_commit", on_commit)
    try:
        yield seconds
    finally:
        event.remove(engine, "after_cursor_execute", on_statement)
        event.remove(session, "after_commit", on_commit)


def sequential_scans(engine: sa.Engine, sent: list[Sent]) -> set[str]:
    """Return the tables that PostgreSQL would scan sequentially for these statements."""
    found: set[str] = set()
    with engine.connect() as connection:
        for one in sent:
            if not one.is_batch and one.statement.startswith(EXPLAINED):
                explain = "EXPLAIN (FORMAT JSON) " + one.statement
                plan = connection.exec_driver_sql(explain, one.parameters).scalar_one()
                found.update(_scanned(plan[0]["Plan"]))
    return found


def _scanned(plan: Mapping[str, Any]) -> Iterator[str]:
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for inner in plan.get("Plans", ()):
        yield from _scanned(inner)


def scans_so_far(connection: Connection[Any]) -> dict[str, int]:
    """Return how often each table was scanned sequentially, foreign key checks included.

    A session's figures are added when it is closed.
    """
    rows = connection.execute("SELECT relname, seq_scan FROM pg_stat_user_tables").fetchall()
    return dict(rows)
