"""Retries: a transaction is committed as a whole, or run again after a conflict, or not at all.

What an error means is decided by `classify.py`.
"""

import logging
import random
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from uuid import UUID

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
from .pending import pending_changes, refuse_pending_changes, watch_session
from .violations import may_be_race, refusal_sentence, remember_tables

log: logging.Logger = logging.getLogger("flask_orders")

WRITE_WITH_ATTEMPT = (
    "the attempt was not entered: write `for attempt in retrying(...):`, below it `with attempt:`, "
    "and inside that `with attempt.transaction():`."
)

# Seconds. No attempt begins after the deadline: a request that waits for locks holds a connection.
FIRST_PAUSE = 0.01
LONGEST_PAUSE = 1.0
DEADLINE = 10.0


class Attempt:
    """One attempt at a transaction; see `retrying`.

    Attributes:
        number: counts from 1.
        succeeded: whether the body of `with attempt:` ran to its end without an error.
        conflict: what made the attempt fail, or None: the error's name and where it was raised.
    """

    def __init__(
        self,
        session: scoped_session[HostSession],
        mapper: type[Any],
        number: int,
        earlier_violation: Violation | None,
        order_id: UUID | None,
    ) -> None:
        self.number = number
        self.succeeded: bool = False
        self.conflict: str | None = None
        self.violation: Violation | None = None
        self._session = session
        self._mapper = mapper
        self._earlier_violation = earlier_violation
        self._order_id = order_id
        self._is_entered = False
        self._has_begun = False
        self._is_committed = False

    def __enter__(self) -> Self:
        self._is_entered = True
        return self

    def __exit__(
        self,
        _class: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        if error is None:
            self._refuse_uncommitted_changes()
            if not self._has_begun:
                end_read(self._session)
            self.succeeded = True
            return False
        roll_back(self._session)
        if self._is_committed or not isinstance(error, Exception):
            # What is committed is never repeated.
            return False
        self.violation = constraint_violation(error)
        self._refuse_hopeless()
        if not is_conflict(error):
            return False
        self._record_conflict(error)
        return True

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """End the read transaction, begin a managed one, and commit it at the end of the block.

        The block sees the database as it is now, not as it was when the request's user was looked
        up. An error in it, or at COMMIT, reaches `with attempt:`, which rolls back.

        Raises:
            RuntimeError: the call is not inside `with attempt:`, is the attempt's second, or
                follows changes that it would lose.
        """
        if not self._is_entered:
            raise RuntimeError(WRITE_WITH_ATTEMPT)
        if self._has_begun:
            raise RuntimeError(
                "`attempt.transaction()` was entered twice in one attempt: a conflict in the "
                "second would repeat the first, which is committed. Write two loops."
            )
        self._refuse_uncommitted_changes()
        self._has_begun = True
        self._session.commit()
        self._session.connection(
            bind_arguments={"mapper": self._mapper}, execution_options={MANAGED: True}
        )
        yield
        self._session.commit()
        self._is_committed = True

    def require_entered(self) -> None:
        """Refuse a loop that ignores its attempt.

        Raises:
            RuntimeError: `with attempt:` was not entered.
        """
        if not self._is_entered:
            raise RuntimeError(WRITE_WITH_ATTEMPT)

    def described(self, event: str, **more: str) -> dict[str, Any]:
        """Return what a log record about this attempt has as its `extra`."""
        order_id = None if self._order_id is None else str(self._order_id)
        return {"event": event, "attempt": self.number, "order_id": order_id, **more}

    def _refuse_uncommitted_changes(self) -> None:
        changed = pending_changes(self._session)
        if changed is not None:
            roll_back(self._session)
            raise RuntimeError(
                f"`with attempt:` changed something outside its transaction ({changed}), which "
                "would be lost: write inside `with attempt.transaction():`."
            )

    def _refuse_hopeless(self) -> None:
        """Refuse a violation that no retry can correct.

        Raises:
            ConfigurationError: the constraint is not one by which a race is noticed.
        """
        violation = self.violation
        if violation is None:
            return
        # SQLite does not say which foreign key it was. Another transaction can remove a row only
        # between the read and BEGIN IMMEDIATE, and the next read knows of that: the same violation
        # twice running is no race.
        is_repeated = violation.is_anonymous and violation == self._earlier_violation
        bind = self._session.get_bind(mapper=self._mapper)
        if is_repeated or not may_be_race(violation, table(self._mapper).metadata, bind):
            raise ConfigurationError(refusal_sentence(violation)) from None

    def _record_conflict(self, error: BaseException) -> None:
        name = error_name(error)
        if self.violation is not None and self.violation.name is not None:
            # One statement may write to several tables.
            name = f"{name} ({self.violation.name})"
        log.info("conflict: %s", name, extra=self.described("conflict", conflict=name))
        self.conflict = f"{name} at\n{''.join(traceback.format_tb(error.__traceback__))}"


def retrying(
    session: scoped_session[HostSession],
    *,
    mapper: type[Any],
    limit: int,
    order_id: UUID | None = None,
) -> Iterator[Attempt]:
    """Yield attempts at one transaction until one succeeds; the next one follows a conflict.

        for attempt in retrying(session, mapper=Order, limit=settings.retries):
            with attempt:
                state = ...                     # read, in a transaction of its own
                with attempt.transaction():     # ends the read, begins, commits
                    result = ...
        return result

    There are two blocks so that no value leaves them before COMMIT has succeeded: `return result`
    inside `with attempt:`, below `with attempt.transaction():`, is safe too, and even a `return`
    inside both is overridden by a COMMIT that fails. An error inside `with attempt:` rolls back;
    one that is no conflict is raised. Between attempts there is a jittered pause, and none after
    the last.

    Args:
        session: the scoped session in which everything is read and written.
        mapper: a mapped class; its bind is the database of the transaction.
        limit: the largest number of attempts, 1 or more. None begins after DEADLINE.
        order_id: the order that the transaction is about, for the log.

    Raises:
        ConfigurationError: the session holds changes of the shop's, which a rollback would lose,
            or a constraint is violated that a retry can't satisfy.
        RuntimeError: the loop is not written as above; the message says what to write.
        TryAgain: the last attempt ended in a conflict.
    """
    refuse_pending_changes(session)
    deadline = time.monotonic() + DEADLINE
    violation: Violation | None = None
    for number, pause in enumerate(_pauses(limit), start=1):
        attempt = Attempt(session, mapper, number, violation, order_id)
        yield attempt
        attempt.require_entered()
        if attempt.succeeded:
            return
        if number == limit or time.monotonic() + pause > deadline:
            log.error(
                "gave up after %d attempts; the last conflict: %s",
                number,
                attempt.conflict,
                extra=attempt.described("gave_up"),
            )
            raise TryAgain
        violation = attempt.violation
        time.sleep(pause)


def roll_back(session: scoped_session[HostSession]) -> None:
    """Roll back. A connection that can't is closed, which undoes what it had begun.

    Galera may answer ROLLBACK with the conflict that is the reason for it (1213), or, without a
    quorum, with 1047.
    """
    try:
        session.rollback()
    except DBAPIError:
        session().invalidate()


def end_read(session: scoped_session[HostSession]) -> None:
    """End the transaction of a session that has changed nothing, whose result is known by now.

    By COMMIT: psycopg forgets all prepared statements of a connection at any ROLLBACK.
    """
    try:
        session.commit()
    except DBAPIError:
        roll_back(session)


def watch_changes(session: scoped_session[HostSession], engines: Iterable[Engine]) -> None:
    """Have the session record its uncommitted changes, and errors their table (idempotent)."""
    engines = list(engines)
    watch_session(session, engines)
    remember_tables(engines)


def _pauses(attempts: int) -> Iterator[float]:
    for attempt in range(attempts):
        longest = min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE)
        yield random.uniform(longest / 2, longest)  # noqa: S311 - it only spreads the load
