"""Read the drivers' errors behind SQLAlchemy's: their codes mean the same in every language."""

from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError

from .dialects import dialect_of_error


def driver_errors(error: BaseException) -> Iterator[BaseException]:
    """Yield the drivers' errors in the chain: a deadlock may hide behind "no such SAVEPOINT"."""
    for link in chain(error):
        if isinstance(link, DBAPIError) and link.orig is not None:
            yield link.orig


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, and each error that it was raised from or while handling."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def error_name(error: BaseException) -> str:
    """Return the error's class and codes, without its text, which may quote a customer's values."""
    codes = [dialect_of_error(original).code_of(original) for original in driver_errors(error)]
    return " ".join([type(error).__name__, *filter(None, codes)])
