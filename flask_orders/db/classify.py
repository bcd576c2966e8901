"""Tell what a database error means: a conflict, a lock timeout, an outage or a violation.

Errors are identified by the drivers' codes, never by their classes or texts; the meaning of each
code is in `db/dialects/`.
"""

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ..errors import ConfigurationError, Conflict, OrdersError
from .dialects import FOREIGN_KEY, UNIQUE, Violation, dialect_of_error
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
        dialect_of_error(original).is_lock_timeout(original) for original in driver_errors(error)
    )


def is_unavailable(error: BaseException) -> bool:
    """Return whether the database can't be reached or takes no connection or no write."""
    if isinstance(error, PoolTimeout) or _is_lost(error):
        return True
    return any(
        dialect_of_error(original).is_unavailable(original) for original in driver_errors(error)
    )


def constraint_violation(error: BaseException) -> Violation | None:
    """Return the constraint that failed the transaction, unless the reason is a temporary one."""
    if isinstance(error, OrdersError | ConfigurationError) or _is_temporary(error):
        return None
    violations = map(violation_of, driver_errors(error))
    return next((violation for violation in violations if violation is not None), None)


def is_duplicate(error: BaseException) -> bool:
    """Return whether a row with the same unique key is there already."""
    violation = constraint_violation(error)
    return violation is not None and violation.kind == UNIQUE


def hide_values(error: BaseException) -> None:
    """Reduce the drivers' messages to their codes, where `hide_parameters` does not reach.

    PostgreSQL adds the whole row that a constraint refuses; MySQL and MariaDB quote the value.
    """
    for link in chain(error):
        if not isinstance(link, DBAPIError) or link.orig is None:
            continue
        dialect, name = dialect_of_error(link.orig), error_name(link)
        if dialect.quotes_values(link.orig):
            dialect.rename(link.orig, name)
            link.args = (name,)


def _is_temporary(error: BaseException) -> bool:
    """Return whether other transactions, or the connection, made it fail."""
    # A connection lost before COMMIT has done nothing; lost at COMMIT, the retry finds what it did.
    return (
        isinstance(error, Conflict)
        or _is_lost(error)
        or any(
            dialect_of_error(original).is_conflict(original) for original in driver_errors(error)
        )
    )


def _is_lost(error: BaseException) -> bool:
    """Return whether the connection was lost."""
    return isinstance(error, DBAPIError) and error.connection_invalidated
