"""Tell what a database error means: a conflict, a lock timeout, an outage or a violation.

Errors are identified by the drivers' codes, never by their classes or texts; the meaning of each
code is in `db/dialects/`.
"""

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ..errors import ConfigurationError, Conflict, OrdersError
from .dialects import DIALECTS, FOREIGN_KEY, UNIQUE, Violation
from .drivers import chain, driver_errors, error_name
from .violations import violation_of


def is_conflict(error: BaseException) -> bool:
    """Return whether the same transaction may succeed when it is run again.

    By the error alone, any unique or foreign key constraint is taken for one by which the library
    notices a race; `violations.may_be_race` tells which are.
    """
    if isinstance(error, OrdersError | ConfigurationError):
        # A refusal, whatever database error it was made of.
        return False
    violation = constraint_violation(error)
    return _is_temporary(error) or (
        violation is not None and violation.kind in (UNIQUE, FOREIGN_KEY)
    )


def is_lock_timeout(error: BaseException) -> bool:
    """Return whether a statement waited too long for a lock."""
    return any(
        dialect.is_lock_timeout(original)
        for original in driver_errors(error)
        for dialect in DIALECTS
    )


def is_unavailable(error: BaseException) -> bool:
    """Return whether the database can't be reached or takes no connection or no write."""
    if isinstance(error, PoolTimeout):
        return True
    return any(
        dialect.is_unavailable(original)
        for original in driver_errors(error)
        for dialect in DIALECTS
    )


def constraint_violation(error: BaseException) -> Violation | None:
    """Return the constraint that failed the transaction, unless the reason is a temporary one."""
    if isinstance(error, OrdersError | ConfigurationError) or _is_temporary(error):
        return None
    violations = map(violation_of, driver_errors(error))
    return next((violation for violation in violations if violation is not None), None)


def hide_values(error: BaseException) -> None:
    """Reduce the drivers' messages to their codes, where `hide_parameters` does not reach.

    PostgreSQL adds the whole row that a constraint refuses; MySQL and MariaDB quote the value.
    """
    for link in chain(error):
        if isinstance(link, DBAPIError) and link.orig is not None and _quotes_values(link.orig):
            name = error_name(link)
            link.orig.args = link.args = (name,)


def _quotes_values(original: BaseException) -> bool:
    return any(dialect.quotes_values(original) for dialect in DIALECTS)


def _is_temporary(error: BaseException) -> bool:
    """Return whether other transactions, or the connection, made it fail."""
    if isinstance(error, Conflict):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        # Lost before COMMIT it has done nothing; lost at COMMIT, the retry finds what it has done.
        return True
    return any(
        dialect.is_conflict(original) for original in driver_errors(error) for dialect in DIALECTS
    )
