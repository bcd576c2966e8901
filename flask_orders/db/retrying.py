"""One whole transaction, and again while the database says "conflict".

Called by the blueprint, which owns the request's transaction. What an error means is decided
here, by the driver's own codes.
"""

import logging
import random
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from flask_sqlalchemy.session import Session as HostSession
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import scoped_session

from ..errors import ConfigurationError, Conflict, OrdersError, TryAgain
from ..models.contract import table
from .drivers import chain, driver_errors, mysql_code, sqlite_name, sqlstate
from .managed import MANAGED
from .pending import refuse_pending_changes, watch_session
from .violations import (
    FOREIGN_KEY,
    UNIQUE,
    Violation,
    may_be_race,
    remember_tables,
    violation_of,
)

log = logging.getLogger("flask_orders")

Known = TypeVar("Known")
Result = TypeVar("Result")

# Seconds. No attempt begins after the deadline: who waits for locks so long holds a connection.
FIRST_PAUSE = 0.01
LONGEST_PAUSE = 1.0
DEADLINE = 10.0

# PostgreSQL: serialization failure, deadlock, lock timeout, the host's own statement_timeout during
# a wait.
SQLSTATES = frozenset({"40001", "40P01", "55P03", "57014"})
# InnoDB: lock wait timeout, deadlock or Galera certification, a savepoint that went with the
# rolled-back transaction, changed since the snapshot was taken, the host's own max_statement_time.
MYSQL_CODES = frozenset({1205, 1213, 1305, 1020, 1969})
SQLITE_NAMES = ("SQLITE_BUSY", "SQLITE_LOCKED")

# The database is away or takes no one in: PostgreSQL's classes 08 and 57P, too many connections, a
# primary that has become a standby and so read-only; MariaDB's connection errors, shutdown, Galera
# without a quorum (1047; 1180 at COMMIT).
AWAY_SQLSTATES = ("08", "57P", "53300", "25006")
AWAY_MYSQL_CODES = frozenset({1040, 1047, 1053, 1180, 2002, 2003, 2006, 2013})


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
        ConfigurationError: the session holds changes of the host's, which a rollback would lose,
            or a constraint is violated that a retry can't satisfy.
        TryAgain: conflicts went on through all attempts, or the database is away.
    """
    refuse_pending_changes(session)
    reads: list[Known] = []
    lost: list[Violation | None] = []
    where = ""
    deadline = time.monotonic() + DEADLINE
    for pause in _pauses(attempts):
        if time.monotonic() > deadline:
            break
        try:
            reads.append(read())
            session.rollback()
            session.connection(bind_arguments={"mapper": mapper}, execution_options={MANAGED: True})
            result = work(reads[0], reads[-1])
            session.commit()
        except Exception as error:
            roll_back(session)
            lost.append(_violation(error))
            _refuse_hopeless(session, mapper, lost)
            if not is_conflict(error):
                raise
            log.info("conflict: %s", error_name(error))
            where = f"{error_name(error)} at\n{''.join(traceback.format_tb(error.__traceback__))}"
            time.sleep(pause)
        else:
            return result
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
    """Have the session know what it has changed, and an error what it was about."""
    engines = list(engines)
    watch_session(session, engines)
    remember_tables(engines)


def is_conflict(error: BaseException) -> bool:
    """Whether the same transaction may succeed when it is run again.

    By the error alone: a unique or foreign key constraint is taken for one by which a race is
    noticed. `in_transaction` knows which are.
    """
    if isinstance(error, OrdersError | ConfigurationError):
        # A refusal, whatever error of the database's it was made of.
        return False
    violation = _violation(error)
    return _is_temporary(error) or (
        violation is not None and violation.kind in (UNIQUE, FOREIGN_KEY)
    )


def is_lock_timeout(error: BaseException) -> bool:
    """Whether a statement has waited for a lock for as long as it may."""
    return any(
        sqlstate(original) == "55P03" or mysql_code(original) == 1205
        for original in driver_errors(error)
    )


def is_unavailable(error: BaseException) -> bool:
    """Whether the database can't be reached or takes no one in."""
    if isinstance(error, PoolTimeout):
        return True
    return any(_is_away_of_driver(original) for original in driver_errors(error))


def hide_values(error: BaseException) -> None:
    """Leave of the drivers' messages their codes: `hide_parameters` does not reach into them.

    PostgreSQL adds the whole row that a constraint refuses; MariaDB quotes the value.
    """
    for link in chain(error):
        if isinstance(link, DataError | IntegrityError) and link.orig is not None:
            name = error_name(link)
            link.orig.args = link.args = (name,)


def _is_temporary(error: BaseException) -> bool:
    """Whether it was other transactions, or the connection, that made it fail."""
    if isinstance(error, Conflict):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        # Lost before COMMIT it has done nothing; lost at COMMIT, `work` finds what it has done.
        return True
    return any(
        sqlstate(original) in SQLSTATES
        or mysql_code(original) in MYSQL_CODES
        or sqlite_name(original).startswith(SQLITE_NAMES)
        for original in driver_errors(error)
    )


def _violation(error: BaseException) -> Violation | None:
    """The constraint for which the transaction has failed, if nothing temporary is the reason."""
    if isinstance(error, OrdersError | ConfigurationError) or _is_temporary(error):
        return None
    violations = map(violation_of, driver_errors(error))
    return next((violation for violation in violations if violation is not None), None)


def _refuse_hopeless(
    session: scoped_session[HostSession], mapper: type[Any], lost: list[Violation | None]
) -> None:
    """Refuse a violation that no retry can cure; `lost` has one for each attempt, the latest last.

    Raises:
        ConfigurationError: it is none by which a race is noticed.
    """
    violation = lost[-1]
    if violation is None:
        return
    # SQLite does not say which foreign key it was. Others can remove a row only between the read
    # and BEGIN IMMEDIATE, and the next read knows of that: twice running, it is no race.
    is_repeated = violation.is_anonymous and lost[-2:] == [violation] * 2
    bind = session.get_bind(mapper=mapper)
    if is_repeated or not may_be_race(violation, table(mapper).metadata, bind):
        raise ConfigurationError(violation.sentence()) from None


def _is_away_of_driver(original: BaseException) -> bool:
    state = sqlstate(original)
    if state is None:  # psycopg could not connect: no server has given it a state
        return type(original).__name__ == "OperationalError"
    return state.startswith(AWAY_SQLSTATES) or mysql_code(original) in AWAY_MYSQL_CODES


def error_name(error: BaseException) -> str:
    """The error's class and codes, without its text: a driver's may quote a customer's values."""
    codes = [
        str(mysql_code(original) or sqlstate(original) or sqlite_name(original))
        for original in driver_errors(error)
    ]
    return " ".join([type(error).__name__, *codes])


def _pauses(attempts: int) -> Iterator[float]:
    for attempt in range(attempts):
        longest = min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE)
        yield random.uniform(longest / 2, longest)  # noqa: S311 - it only spreads the load
