"""One whole transaction, and again while the database says "conflict".

Called by the blueprint, which owns the request's transaction. What an error means is decided
here, by the driver's own codes.
"""

import logging
import random
import re
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from flask_sqlalchemy.session import Session as HostSession
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, SessionTransaction, scoped_session

from .errors import ConfigurationError, Conflict, OrdersError, TryAgain
from .isolation import CONVERSION

log = logging.getLogger("flask_orders")

Known = TypeVar("Known")
Result = TypeVar("Result")

# Seconds. No attempt begins after the deadline: who waits for locks so long holds a connection.
FIRST_PAUSE = 0.01
LONGEST_PAUSE = 1.0
DEADLINE = 10.0

# PostgreSQL: serialization failure, deadlock, lock timeout, the host's own statement_timeout during
# a wait; unique and foreign key violation, by which a race is noticed that no lock could prevent.
SQLSTATES = frozenset({"40001", "40P01", "55P03", "57014", "23505", "23503"})
# InnoDB: lock wait timeout, deadlock or Galera certification, a savepoint that went with the
# rolled-back transaction, changed since the snapshot was taken, the host's own max_statement_time;
# duplicate key, missing or deleted parent row.
MYSQL_CODES = frozenset({1205, 1213, 1305, 1020, 1969, 1062, 1452, 1451})
SQLITE_NAMES = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_CONSTRAINT_UNIQUE",
    "SQLITE_CONSTRAINT_PRIMARYKEY",
    "SQLITE_CONSTRAINT_FOREIGNKEY",
)

# The database is away or takes no one in: PostgreSQL's classes 08 and 57P, too many connections, a
# primary that has become a standby and so read-only; MariaDB's connection errors, shutdown, Galera
# without a quorum (1047; 1180 at COMMIT).
AWAY_SQLSTATES = ("08", "57P", "53300", "25006")
AWAY_MYSQL_CODES = frozenset({1040, 1047, 1053, 1180, 2002, 2003, 2006, 2013})

_WRITES = re.compile(r"\s*(?:INSERT|UPDATE|DELETE|REPLACE|MERGE)\b", re.IGNORECASE)

_CHANGED = "flask_orders_changed"
_CONNECTIONS = "flask_orders_connections"


def in_transaction(
    session: scoped_session[HostSession],
    read: Callable[[], Known],
    work: Callable[[Known, Known], Result],
    *,
    mapper: type[Any],
    attempts: int,
) -> Result:
    """Run `work(first, latest)` in one transaction and commit it; on a conflict, all of it again.

    `read` runs before each attempt, in a transaction of its own, which is ended before `work`
    begins, so that `work` sees the database as it is now and not as it was when the request's
    user was looked up. `work` is given what the first and what the latest `read` has returned.

    Raises:
        ConfigurationError: the session holds changes of the host's, which a rollback would lose.
        TryAgain: conflicts went on through all attempts, or the database is away.
    """
    _refuse_pending_changes(session)
    reads: list[Known] = []
    where = ""
    deadline = time.monotonic() + DEADLINE
    for pause in _pauses(attempts):
        if time.monotonic() > deadline:
            break
        try:
            reads.append(read())
            session.rollback()
            session.connection(
                bind_arguments={"mapper": mapper}, execution_options={CONVERSION: True}
            )
            result = work(reads[0], reads[-1])
            session.commit()
        except Exception as error:
            roll_back(session)
            if not is_conflict(error):
                raise
            log.info("conflict: %s", error_name(error))
            where = f"{error_name(error)} at\n{''.join(traceback.format_tb(error.__traceback__))}"
            time.sleep(pause)
        else:
            return result
    # A constraint of the host's own that is always violated looks like a race that is never won.
    log.error("gave up after %d attempts; the last conflict: %s", len(reads), where)
    raise TryAgain


def roll_back(session: scoped_session[HostSession]) -> None:
    """Roll back; a connection that can't is thrown away, and what it had begun goes with it.

    Galera may answer ROLLBACK with the conflict that is the reason for it (1213), or, without a
    quorum, with 1047.
    """
    try:
        session.rollback()
    except DBAPIError:
        session().invalidate()


def watch_changes(session: scoped_session[HostSession], engines: Iterable[Engine]) -> None:
    """Have the session know whether it has sent changes that are not committed yet."""
    for engine in engines:
        if not event.contains(engine, "before_cursor_execute", _before_statement):
            event.listen(engine, "before_cursor_execute", _before_statement)
    if not event.contains(session, "after_begin", _after_begin):
        event.listen(session, "after_begin", _after_begin)
        event.listen(session, "after_transaction_end", _after_transaction_end)


def is_conflict(error: BaseException) -> bool:
    """Whether the same transaction may succeed when it is run again."""
    if isinstance(error, Conflict):
        return True
    if isinstance(error, OrdersError):
        # A refusal, whatever error of the database's it was made of.
        return False
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        # Lost before COMMIT it has done nothing; lost at COMMIT, `work` finds what it has done.
        return True
    return any(_is_conflict_of_driver(original) for original in _driver_errors(error))


def is_lock_timeout(error: BaseException) -> bool:
    """Whether a statement has waited for a lock for as long as it may."""
    return any(
        _sqlstate(original) == "55P03" or _mysql_code(original) == 1205
        for original in _driver_errors(error)
    )


def is_away(error: BaseException) -> bool:
    """Whether the database can't be reached or takes no one in."""
    if isinstance(error, PoolTimeout):
        return True
    return any(_is_away_of_driver(original) for original in _driver_errors(error))


def hide_values(error: BaseException) -> None:
    """Leave of the drivers' messages their codes: `hide_parameters` does not reach into them.

    PostgreSQL adds the whole row that a constraint refuses; MariaDB quotes the value.
    """
    for link in _chain(error):
        if isinstance(link, DataError | IntegrityError) and link.orig is not None:
            name = error_name(link)
            link.orig.args = link.args = (name,)


def _is_conflict_of_driver(original: BaseException) -> bool:
    return (
        _sqlstate(original) in SQLSTATES
        or _mysql_code(original) in MYSQL_CODES
        or _sqlite_name(original).startswith(SQLITE_NAMES)
    )


def _is_away_of_driver(original: BaseException) -> bool:
    sqlstate = _sqlstate(original)
    if sqlstate is None:  # psycopg could not connect: no server has given it a state
        return type(original).__name__ == "OperationalError"
    return sqlstate.startswith(AWAY_SQLSTATES) or _mysql_code(original) in AWAY_MYSQL_CODES


def _sqlstate(original: BaseException) -> str | None:
    """By psycopg's or psycopg2's name for it; empty if the driver knows of none."""
    state: str | None = getattr(original, "sqlstate", getattr(original, "pgcode", ""))
    return state


def _mysql_code(original: BaseException) -> int | None:
    code = original.args[0] if original.args else None
    return code if isinstance(code, int) else None


def _sqlite_name(original: BaseException) -> str:
    return str(getattr(original, "sqlite_errorname", ""))


def _driver_errors(error: BaseException) -> Iterator[BaseException]:
    """The drivers' errors in the chain: InnoDB's deadlock hides behind "no such SAVEPOINT"."""
    for link in _chain(error):
        if isinstance(link, DBAPIError) and link.orig is not None:
            yield link.orig


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was raised from or while handling."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def error_name(error: BaseException) -> str:
    """The error's class and codes, without its text: a driver's may quote a customer's values."""
    codes = [
        str(_mysql_code(original) or _sqlstate(original) or _sqlite_name(original))
        for original in _driver_errors(error)
    ]
    return " ".join([type(error).__name__, *codes])


def _pauses(attempts: int) -> Iterator[float]:
    for attempt in range(attempts):
        longest = min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE)
        yield random.uniform(longest / 2, longest)  # noqa: S311 - it only spreads the load


def _refuse_pending_changes(session: scoped_session[HostSession]) -> None:
    pending = [*session.new, *session.deleted, *filter(session.is_modified, session.dirty)]
    begun: list[Connection] = session().info.get(_CONNECTIONS, [])
    if pending or any(connection.info.get(_CHANGED) for connection in begun):
        names = ", ".join(sorted({type(one).__name__ for one in pending})) or "already flushed"
        raise ConfigurationError(
            f"db.session holds changes that nobody has committed ({names}), and the order needs a "
            "transaction of its own: commit or roll back what your before_request functions and "
            "your JWT user lookup change, or call current_orders.convert(...) in a view of yours."
        )


def _before_statement(connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
    # Not by the session's own events: text and bulk_save_objects() pass them by.
    if _WRITES.match(statement):
        connection.info[_CHANGED] = True


def _after_begin(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    if transaction.parent is None:
        # In a test of the host's that is one transaction, what came before is as good as committed.
        connection.info.pop(_CHANGED, None)
        session.info.setdefault(_CONNECTIONS, []).append(connection)


def _after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_CONNECTIONS, None)
