"""What each database needs, in one file for each; nothing outside asks for a database's name.

To add a database, put a file here: a subclass of `DatabaseDialect` (see `_base.py` for what each
of its members means) and its instance under the name `DIALECT`; every module here that has no
underscore is found. Then add the server to the tests, in `tests/support/servers.py`.
"""

from importlib import import_module
from pkgutil import iter_modules

from sqlalchemy import Dialect

from ._base import CHECK, FOREIGN_KEY, NOT_NULL, READ_ONLY, UNIQUE, DatabaseDialect, Violation

__all__ = [
    "CHECK",
    "DIALECTS",
    "FOREIGN_KEY",
    "NOT_NULL",
    "READ_ONLY",
    "UNIQUE",
    "UNSUPPORTED",
    "DatabaseDialect",
    "Violation",
    "dialect_of",
    "dialect_of_error",
    "supported",
]

UNSUPPORTED = DatabaseDialect()


def _load() -> tuple[DatabaseDialect, ...]:
    names = [module.name for module in iter_modules(__path__) if not module.name.startswith("_")]
    return tuple(import_module(f"{__name__}.{name}").DIALECT for name in sorted(names))


DIALECTS = _load()

_BY_NAME = {name: dialect for dialect in DIALECTS for name in dialect.names}
_BY_MODULE = {module: dialect for dialect in DIALECTS for module in dialect.modules}


def dialect_of(dialect: Dialect) -> DatabaseDialect:
    """Return what is known about the database behind SQLAlchemy's dialect, or `UNSUPPORTED`."""
    return _BY_NAME.get(dialect.name, UNSUPPORTED)


def dialect_of_error(original: BaseException) -> DatabaseDialect:
    """Return what is known about the database whose driver has raised the error, or `UNSUPPORTED`.

    A code means something only beside the driver: PyMySQL's errors have an SQLSTATE too.
    """
    modules = (cls.__module__.partition(".")[0] for cls in type(original).__mro__)
    return next((_BY_MODULE[name] for name in modules if name in _BY_MODULE), UNSUPPORTED)


def supported() -> str:
    """Return the names of the supported databases, for a sentence."""
    *others, last = sorted(title for dialect in DIALECTS for title in dialect.titles)
    return f"{', '.join(others)} and {last}"
