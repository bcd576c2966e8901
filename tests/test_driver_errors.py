"""What each driver's errors mean, each provoked on a real server: the codes tell, not the classes.

The same code is an OperationalError to one driver, an InternalError or a DatabaseError to another.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from flask_orders.db import classify
from flask_orders.db.dialects import CHECK, FOREIGN_KEY, NOT_NULL, UNIQUE
from flask_orders.db.drivers import error_name

from .support import servers
from .support.drivers import DRIVERS
from .support.shops import Shop, make_shop

pytestmark = pytest.mark.server

# A customer's value, which no message may repeat.
STREET = "Main St"

CONFLICT, LOCK_TIMEOUT, LOST, UNAVAILABLE = "conflict", "lock timeout", "lost", "unavailable"


@dataclass(frozen=True)
class Driven:
    """A server with two rows that refer to each other, reached by one driver."""

    driver: str
    shop: Shop

    @property
    def engine(self) -> sa.Engine:
        return self.shop.engine

    @property
    def server(self) -> str:
        return DRIVERS[self.driver].server

    def run(self, *statements: str, **parameters: object) -> None:
        """Run the statements in a transaction of their own."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement), parameters)

    def wait_for_row(self, connection: sa.Connection, row: int = 1) -> None:
        connection.execute(sa.text(f"SELECT * FROM parents WHERE id = {row} FOR UPDATE")).all()

    def setting(self, postgresql: str, mysql: str, mariadb: str | None = None) -> str:
        """Choose the statement of this server; MariaDB's is MySQL's unless it has its own."""
        by_server = {"postgresql": postgresql, "mysql": mysql, "mariadb": mariadb or mysql}
        return by_server[self.server]

    @contextmanager
    def connection(self, *statements: str) -> Iterator[sa.Connection]:
        """Yield a connection that is closed, and not used again, afterwards."""
        with self.engine.connect() as connection:
            try:
                for statement in statements:
                    connection.exec_driver_sql(statement)
                yield connection
            finally:
                connection.invalidate()

    @contextmanager
    def other(self, **parts: Any) -> Iterator[sa.Engine]:
        """Yield an engine with another URL, which has the library's listeners too."""
        shop = open_shop(self.engine.url.set(**parts))
        yield shop.engine
        shop.close()


def open_shop(url: URL) -> Shop:
    options = {"hide_parameters": True}
    return make_shop(url, create_tables=False, SQLALCHEMY_ENGINE_OPTIONS=options)


@pytest.fixture(scope="module", params=DRIVERS)
def driven(request: pytest.FixtureRequest) -> Iterator[Driven]:
    with ExitStack() as stack:
        server = stack.enter_context(servers.required(DRIVERS[request.param].url()))
        url = stack.enter_context(servers.fresh_database(server))
        shop = open_shop(url)
        stack.callback(shop.close)
        driven = Driven(request.param, shop)
        driven.run(
            "CREATE TABLE parents (id INTEGER PRIMARY KEY, street VARCHAR(20) NOT NULL, "
            "number INTEGER, CONSTRAINT one_street UNIQUE (street), "
            "CONSTRAINT low_number CHECK (number < 10))",
            "CREATE TABLE children (id INTEGER PRIMARY KEY, parent_id INTEGER, "
            "CONSTRAINT to_parent FOREIGN KEY (parent_id) REFERENCES parents (id))",
            "INSERT INTO parents VALUES (1, 'Main St 1', 1), (2, 'Main St 2', 2)",
            "INSERT INTO children VALUES (1, 1)",
        )
        yield driven


def wait_too_long(driven: Driven) -> None:
    bound = driven.setting("SET lock_timeout = '200ms'", "SET SESSION innodb_lock_wait_timeout = 1")
    with driven.connection() as holder, driven.connection(bound) as waiter:
        driven.wait_for_row(holder)
        driven.wait_for_row(waiter)


def lock_crosswise(driven: Driven) -> None:
    failed: list[Exception] = []
    both_hold = threading.Barrier(2)

    def lock(first: int, second: int) -> None:
        try:
            with driven.connection() as connection:
                driven.wait_for_row(connection, first)
                both_hold.wait()
                driven.wait_for_row(connection, second)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=lock, args=rows) for rows in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (error,) = failed
    raise error


def write_what_has_changed(driven: Driven) -> None:
    """Only PostgreSQL refuses it; InnoDB's UPDATE reads the latest row."""
    with driven.connection() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ")
        connection.exec_driver_sql("SELECT * FROM parents")
        driven.run("UPDATE parents SET number = number WHERE id = 1")
        connection.exec_driver_sql("UPDATE parents SET number = number WHERE id = 1")


def take_too_long(driven: Driven) -> None:
    bound = driven.setting(
        "SET statement_timeout = '200ms'",
        "SET SESSION max_execution_time = 200",
        "SET SESSION max_statement_time = 0.2",
    )
    with driven.connection() as holder, driven.connection(bound) as waiter:
        driven.wait_for_row(holder)
        driven.wait_for_row(waiter)


def _stopped(driven: Driven, how: str, work: Callable[[sa.Connection], object]) -> None:
    """Do the work by a connection that another one stops meanwhile."""
    failed: list[Exception] = []

    def run() -> None:
        try:
            work(victim)
        except Exception as error:
            failed.append(error)

    number = driven.setting("SELECT pg_backend_pid()", "SELECT CONNECTION_ID()")
    with driven.connection() as holder, driven.connection() as victim:
        driven.wait_for_row(holder)
        how = how.format(victim.exec_driver_sql(number).scalar_one())
        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(0.3)
        holder.exec_driver_sql(how)
        thread.join()
    (error,) = failed
    raise error


def stop_statement(driven: Driven) -> None:
    how = driven.setting("SELECT pg_cancel_backend({})", "KILL QUERY {}")
    _stopped(driven, how, driven.wait_for_row)


def stop_connection(driven: Driven) -> None:
    how = driven.setting("SELECT pg_terminate_backend({})", "KILL CONNECTION {}")
    _stopped(driven, how, driven.wait_for_row)


def stop_idle_connection(driven: Driven) -> None:
    def look_later(connection: sa.Connection) -> None:
        time.sleep(0.6)
        connection.exec_driver_sql("SELECT 1")

    how = driven.setting("SELECT pg_terminate_backend({})", "KILL CONNECTION {}")
    _stopped(driven, how, look_later)


def close_by_client(driven: Driven) -> None:
    with driven.connection() as connection:
        driver: Any = connection.connection.dbapi_connection
        driver.close()
        connection.exec_driver_sql("SELECT 1")


def connect_to_closed_port(driven: Driven) -> None:
    with driven.other(port=1) as engine:
        engine.connect().close()


def connect_to_unknown_host(driven: Driven) -> None:
    with driven.other(host="nowhere.invalid", query={}) as engine:
        engine.connect().close()


def connect_once_too_often(driven: Driven) -> None:
    with limited_user(driven, 1) as engine, engine.connect(), engine.connect():
        pass


def write_to_read_only_server(driven: Driven) -> None:
    with limited_user(driven) as engine, engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        with _server_set(driven, "read_only"):
            connection.exec_driver_sql("UPDATE parents SET number = 3")


def connect_to_offline_server(driven: Driven) -> None:
    with limited_user(driven) as engine, _server_set(driven, "offline_mode"):
        engine.connect().close()


def write_in_read_only_transaction(driven: Driven) -> None:
    with driven.connection("SET TRANSACTION READ ONLY") as connection:
        connection.exec_driver_sql("UPDATE parents SET number = 3")


@contextmanager
def limited_user(driven: Driven, connections: int = 10) -> Iterator[sa.Engine]:
    """Yield an engine of a user that may do no more than a shop's."""
    name = f"limited_{os.getpid()}"
    user, limit = driven.setting(name, f"{name}@'%'"), "MAX_USER_CONNECTIONS"
    driven.run(
        *driven.setting(
            f"CREATE ROLE {user} LOGIN PASSWORD 'pw' CONNECTION LIMIT {connections};"
            f"GRANT ALL ON parents TO {user}",
            f"CREATE USER {user} IDENTIFIED BY 'pw' WITH {limit} {connections};"
            f"GRANT ALL ON {driven.engine.url.database}.* TO {user}",
        ).split(";")
    )
    try:
        with driven.other(username=name, password="pw") as engine:
            yield engine
    finally:
        drop = driven.setting(f"DROP OWNED BY {user};DROP ROLE {user}", f"DROP USER {user}")
        driven.run(*drop.split(";"))


@contextmanager
def _server_set(driven: Driven, variable: str) -> Iterator[None]:
    """Set a variable of the whole server, one test at a time; it does not bind its root."""
    with driven.connection("SELECT GET_LOCK('flask_orders_server', 60)") as connection:
        connection.exec_driver_sql(f"SET GLOBAL {variable} = 1")
        try:
            yield
        finally:
            connection.exec_driver_sql(f"SET GLOBAL {variable} = 0")


def insert(**values: object) -> Callable[[Driven], None]:
    """Return what inserts a row into the parents."""

    def insert(driven: Driven) -> None:
        with driven.engine.begin() as connection:
            table = sa.table("parents", *map(sa.column, values))
            connection.execute(table.insert().values(**values))

    return insert


def refer_to_nothing(driven: Driven) -> None:
    driven.run("INSERT INTO children VALUES (2, 77)")


def delete_what_is_referred_to(driven: Driven) -> None:
    driven.run("DELETE FROM parents WHERE id = 1")


# The codes of PostgreSQL, MySQL and MariaDB, and what they mean; None: there is no such error. Of
# two it depends on the driver's version which it is.
Case = tuple[Callable[[Driven], None], tuple[str | None, str | None, str | None], set[str]]
CASES: dict[str, Case] = {
    "lock timeout": (wait_too_long, ("55P03", "1205", "1205"), {CONFLICT, LOCK_TIMEOUT}),
    "deadlock": (lock_crosswise, ("40P01", "1213", "1213"), {CONFLICT}),
    "serialization failure": (write_what_has_changed, ("40001", None, None), {CONFLICT}),
    "time limit": (take_too_long, ("57014", "3024", "1969"), {CONFLICT}),
    "stopped statement": (stop_statement, ("57014", "1317", "1317"), {CONFLICT}),
    "stopped connection": (
        stop_connection,
        ("57P01|08001", "2013", "2013"),
        {CONFLICT, LOST, UNAVAILABLE},
    ),
    "stopped idle connection": (
        stop_idle_connection,
        ("57P01|08001", "2013", "2013"),
        {CONFLICT, LOST, UNAVAILABLE},
    ),
    "closed connection": (
        close_by_client,
        ("08001", "0", "0"),
        {CONFLICT, LOST, UNAVAILABLE},
    ),
    "closed port": (connect_to_closed_port, ("08001", "2003", "2003"), {UNAVAILABLE}),
    "unknown host": (connect_to_unknown_host, ("08001", "2003|2005", "2003"), {UNAVAILABLE}),
    "too many connections": (connect_once_too_often, ("08001", "1226", "1226"), {UNAVAILABLE}),
    "read-only server": (write_to_read_only_server, (None, "1290", "1290"), {UNAVAILABLE}),
    "offline server": (connect_to_offline_server, (None, "3032", None), {UNAVAILABLE}),
    "read-only transaction": (
        write_in_read_only_transaction,
        ("25006", "1792", "1792"),
        {UNAVAILABLE},
    ),
    "duplicate": (
        insert(id=3, street="Main St 1"),
        ("23505", "1062", "1062"),
        {CONFLICT, UNIQUE, "one_street"},
    ),
    "missing row": (
        refer_to_nothing,
        ("23503", "1452", "1452"),
        {CONFLICT, FOREIGN_KEY, "to_parent"},
    ),
    "row that is referred to": (
        delete_what_is_referred_to,
        ("23503", "1451", "1451"),
        {CONFLICT, FOREIGN_KEY, "to_parent"},
    ),
    "CHECK": (
        insert(id=3, street="Main St 3", number=11),
        ("23514", "3819", "4025"),
        {CHECK, "low_number"},
    ),
    "NULL": (insert(id=3, street=None), ("23502", "1048", "1048"), {NOT_NULL, "street"}),
    "no default": (insert(id=3, number=3), ("23502", "1364", "1364"), {NOT_NULL, "street"}),
    "wrong value": (
        insert(id=3, street="Main St 3", number="Main St"),
        ("22P02", "1366", "1366"),
        set(),
    ),
    "too long": (insert(id=3, street="Main St" * 5), ("22001", "1406", "1406"), set()),
}

# Errors of the client's, which each client has a code of its own for.
CLIENTS = {
    ("closed port", "mysqlclient"): "2002",
    ("unknown host", "mysqlclient"): "2005",
    ("closed connection", "mysqlclient"): "2006",
    ("closed connection", "mysql-connector"): "-1",
    ("stopped idle connection", "mysql-connector"): "-1",
    ("closed connection", "psycopg2"): "InterfaceError",
}


@pytest.mark.parametrize("name", CASES)
def test_an_error_means_the_same_by_every_driver(driven: Driven, name: str) -> None:
    provoke, codes, meanings = CASES[name]
    by_server: dict[str, Any] = dict(zip(("postgresql", "mysql", "mariadb"), codes, strict=True))
    code = by_server[driven.server]
    if code is None:
        pytest.skip("this server has no such error")
    client = driven.driver.removesuffix("-mysql").removesuffix("-mariadb")
    code = CLIENTS.get((name, client), str(code))

    with pytest.raises(DBAPIError) as caught:
        provoke(driven)

    error = caught.value
    assert set(code.split("|")) & set(error_name(error).split()), error
    assert set(meanings_of(error)) == meanings, error
    classify.hide_values(error)
    assert STREET not in f"{error} {error.orig}"


def meanings_of(error: DBAPIError) -> Iterator[str]:
    """Say what the library takes an error for."""
    if classify.is_conflict(error):
        yield CONFLICT
    if classify.is_lock_timeout(error):
        yield LOCK_TIMEOUT
    if classify.is_unavailable(error):
        yield UNAVAILABLE
    if error.connection_invalidated:
        yield LOST
    violation = classify.constraint_violation(error)
    if violation is not None:
        yield violation.kind
        yield violation.name or min(violation.columns)
