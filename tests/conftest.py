"""The fixtures: a shop on each database, emptied before each test."""

import gc
import logging
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

from .hosts.drivers import Driver
from .support import effort, raced, servers
from .support.galera import Galera, galera
from .support.group_replication import Group, group
from .support.network import Network, network
from .support.shops import Shop, make_shop
from .support.writers import stepwise

# Every shop's mapped classes refer to each other: to look for garbage as often as Python does by
# default takes a quarter of the tests' time. Within a test it is looked for if it piles up.
gc.set_threshold(1_000_000, 10, 10)
GARBAGE = 200_000

# The fixtures whose parameter is the database that a test runs on.
DATABASES = ("server_url", "raced_session_shop")
# The writer of PostgreSQL that the others have too.
STEPWISE = "stepwise"
# The tests of what an order is: refusals, amounts, faults, keys, transitions, and whole shops.
CORE = (
    *("addresses", "bad_input", "checkout", "declare", "definitions", "faults", "hosts"),
    *("idempotency", "lifecycle", "mapping", "money", "placing", "plan", "pricing"),
    *("refusals", "setup", "status", "stock", "transaction"),
)
# The fixtures that start servers.
CLUSTERS = {"running", "running_group"}


def pytest_configure(config: pytest.Config) -> None:
    """Try less in the quick runs."""
    if config.option.markexpr.endswith("not server"):
        effort.be_quick()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server, so that `-m "not server"` is the run on SQLite alone, and the core.

    Only PostgreSQL has two writers.
    """
    items[:] = [item for item in items if _has_writer(item)]
    core = {f"test_{name}" for name in CORE}
    for item in items:
        if item.path.stem in core:
            item.add_marker(pytest.mark.core)
        if _needs_server(item):
            item.add_marker(pytest.mark.server)


def _has_writer(item: pytest.Item) -> bool:
    is_other = _parameters(item).get("each_writer") == STEPWISE
    return not is_other or any(name.startswith("postgresql") for name in _databases(item))


def _needs_server(item: pytest.Item) -> bool:
    on_server = any(not name.startswith("sqlite") for name in _databases(item))
    return on_server or not CLUSTERS.isdisjoint(getattr(item, "fixturenames", ()))


def _databases(item: pytest.Item) -> list[str]:
    parameters = _parameters(item)
    return [parameters[name] for name in DATABASES if name in parameters]


def _parameters(item: pytest.Item) -> dict[str, Any]:
    found = getattr(item, "callspec", None)
    return {} if found is None else dict(found.params)


def pytest_collection_finish() -> None:
    """Never look for garbage among what has been imported."""
    gc.collect()
    gc.freeze()


def pytest_runtest_logfinish() -> None:
    """Look for garbage between the tests: in the middle of one, SQLAlchemy may hold every `db`."""
    if gc.get_count()[0] > GARBAGE:
        gc.collect(1)


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter") -> None:
    """Print each reason for skipping once, not for every test."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in reasons.items():
        terminalreporter.write_line(f"SKIPPED [{count}] {reason}")


@pytest.fixture(scope="session", params=servers.NAMES)
def server_url(request: pytest.FixtureRequest) -> Iterator[URL]:
    """Each kind of database in turn."""
    with servers.required(servers.server(request.param)) as url:
        yield url


@pytest.fixture
def host(module_host: Driver) -> Driver:
    """The host shop of the module, with nothing in it."""
    module_host.clear()
    return module_host


@pytest.fixture(params=["one_write", STEPWISE])
def each_writer(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both ways in which PostgreSQL writes an order."""
    with ExitStack() as stack:
        if request.param == STEPWISE:
            stack.enter_context(stepwise())
        yield request.param


@pytest.fixture
def server(request: pytest.FixtureRequest, server_url: URL) -> str:
    """The name of the server, which MySQL and MariaDB do not share as they do a driver's."""
    name: str = request.node.callspec.params["server_url"]
    return name


@pytest.fixture(scope="session")
def session_shop(server_url: URL) -> Iterator[Shop]:
    with servers.fresh_database(server_url) as url:
        shop = make_shop(url)
        yield shop
        shop.close()


@pytest.fixture
def shop(session_shop: Shop) -> Shop:
    """The shop, with nothing in it."""
    session_shop.clear()
    return session_shop


@pytest.fixture(scope="session")
def hosts() -> Iterator[Network | None]:
    """Three hosts, of which one can be cut off; None where they can't be made."""
    with ExitStack() as stack:
        try:
            yield stack.enter_context(network(3))
        except servers.Missing:
            yield None


@pytest.fixture(scope="session")
def running(hosts: Network | None) -> Iterator[Galera]:
    """A Galera cluster of three nodes; a test may have killed one of them."""
    with servers.required(galera(hosts)) as started:
        yield started


@pytest.fixture(scope="session")
def running_group(hosts: Network | None) -> Iterator[Group]:
    """Three nodes of MySQL Group Replication; a test may have killed one of them."""
    with servers.required(group(hosts)) as started:
        yield started


@pytest.fixture(scope="session", params=raced.VARIANTS)
def raced_session_shop(request: pytest.FixtureRequest) -> Iterator[raced.RacedShop]:
    """Each kind of database, in each mode in which it is raced."""
    if request.param == "galera":
        making = raced.on_cluster(request.getfixturevalue("running"))
    else:
        making = raced.on_server(request.param)
    with servers.required(making) as shop:
        yield shop


@pytest.fixture
def raced_shop(raced_session_shop: raced.RacedShop) -> raced.RacedShop:
    """The shop, with nothing in it."""
    raced_session_shop.clear()
    return raced_session_shop


@pytest.fixture
def tally(raced_shop: raced.RacedShop, caplog: pytest.LogCaptureFixture) -> raced.Tally:
    """The counts of the shop's rounds."""
    return raced.Tally(raced_shop, caplog)


@pytest.fixture
def database(server_url: URL) -> Iterator[URL]:
    """An empty database, for a test that makes its own shop."""
    with servers.fresh_database(server_url) as url:
        yield url


@pytest.fixture
def sqlite_file(tmp_path: Path) -> URL:
    """An empty database in a file, for a test that makes its own shop and is about no database."""
    return URL.create("sqlite", database=str(tmp_path / "shop.sqlite3"))


@sa.event.listens_for(sa.Engine, "connect")
def do_not_wait_for_the_disk(connection: Any, _record: object) -> None:
    """Let SQLite commit without fsync: no test cuts the power."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF").close()


@pytest.fixture(autouse=True)
def level_put_back() -> Iterator[None]:
    """Put the level of the library's log back, which the example app sets for its process."""
    log = logging.getLogger("flask_orders")
    before = log.level
    yield
    log.setLevel(before)


# The engines that have connected to a database and still exist.
CONNECTED: WeakSet[sa.Engine] = WeakSet()


@sa.event.listens_for(sa.Engine, "engine_connect")
def remember_engine(connection: sa.Connection) -> None:
    """Record the engine of every connection."""
    CONNECTED.add(connection.engine)


@pytest.fixture(autouse=True)
def disposed_engines() -> Iterator[None]:
    """Dispose of the engines that the test has made: Python 3.13 reports what is left open."""
    before = set(CONNECTED)
    yield
    for engine in set(CONNECTED) - before:
        engine.dispose()
