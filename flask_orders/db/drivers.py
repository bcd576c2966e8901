"""What a driver's error says of itself: its codes, which mean the same in every language."""

from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError


def driver_errors(error: BaseException) -> Iterator[BaseException]:
    """The drivers' errors in the chain: InnoDB's deadlock hides behind "no such SAVEPOINT"."""
    for link in chain(error):
        if isinstance(link, DBAPIError) and link.orig is not None:
            yield link.orig


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was raised from or while handling."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def sqlstate(original: BaseException) -> str | None:
    """By psycopg's or psycopg2's name for it; empty if the driver knows of none."""
    state: str | None = getattr(original, "sqlstate", getattr(original, "pgcode", ""))
    return state


def mysql_code(original: BaseException) -> int | None:
    code = original.args[0] if original.args else None
    return code if isinstance(code, int) else None


def sqlite_name(original: BaseException) -> str:
    return str(getattr(original, "sqlite_errorname", ""))


def error_name(error: BaseException) -> str:
    """The error's class and codes, without its text: a driver's may quote a customer's values."""
    codes = [
        str(mysql_code(original) or sqlstate(original) or sqlite_name(original))
        for original in driver_errors(error)
    ]
    return " ".join([type(error).__name__, *codes])
