"""One whole transaction, and again while the database says "conflict".

Called by the blueprint, which owns the request's transaction. What an error means is decided by
`classify.py`.
"""

import logging
import random
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from flask_sqlalchemy.session import Session as HostSession
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import scoped_session

from ..errors import ConfigurationError, TryAgain
from ..models.contract import table
from .classify import constraint_violation, is_conflict
from .dialects import Violation
from .drivers import error_name
from .managed import MANAGED
from .pending import refuse_pending_changes, watch_session
from .violations import may_be_race, refusal_sentence, remember_tables

log = logging.getLogger("flask_orders")

Known = TypeVar("Known")
Result = TypeVar("Result")

# Seconds. No attempt begins after the deadline: who waits for locks so long holds a connection.
FIRST_PAUSE = 0.01
LONGEST_PAUSE = 1.0
DEADLINE = 10.0


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
            lost.append(constraint_violation(error))
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
        raise ConfigurationError(refusal_sentence(violation)) from None


def _pauses(attempts: int) -> Iterator[float]:
    for attempt in range(attempts):
        longest = min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE)
        yield random.uniform(longest / 2, longest)  # noqa: S311 - it only spreads the load
