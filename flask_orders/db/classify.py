"""What a database error means: a conflict, a lock timeout, an unavailable database, a violation.

By the driver's own codes, which mean the same in every language.
"""

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ..errors import ConfigurationError, Conflict, OrdersError
from .drivers import chain, driver_errors, error_name, mysql_code, sqlite_name, sqlstate
from .violations import FOREIGN_KEY, UNIQUE, Violation, violation_of

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


def is_conflict(error: BaseException) -> bool:
    """Whether the same transaction may succeed when it is run again.

    By the error alone: a unique or foreign key constraint is taken for one by which a race is
    noticed. `in_transaction` knows which are.
    """
    if isinstance(error, OrdersError | ConfigurationError):
        # A refusal, whatever error of the database's it was made of.
        return False
    violation = constraint_violation(error)
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


def constraint_violation(error: BaseException) -> Violation | None:
    """The constraint for which the transaction has failed, if nothing temporary is the reason."""
    if isinstance(error, OrdersError | ConfigurationError) or _is_temporary(error):
        return None
    violations = map(violation_of, driver_errors(error))
    return next((violation for violation in violations if violation is not None), None)


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


def _is_away_of_driver(original: BaseException) -> bool:
    state = sqlstate(original)
    if state is None:  # psycopg could not connect: no server has given it a state
        return type(original).__name__ == "OperationalError"
    return state.startswith(AWAY_SQLSTATES) or mysql_code(original) in AWAY_MYSQL_CODES
