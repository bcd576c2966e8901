"""The fixtures: one shop on each database, emptied before each test."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy.engine import URL

from . import servers
from .shops import Shop, make_shop


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter") -> None:
    """Say once, and not for every test, why tests were skipped."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in reasons.items():
        terminalreporter.write_line(f"SKIPPED [{count}] {reason}")


@pytest.fixture(scope="session", params=servers.NAMES)
def server_url(request: pytest.FixtureRequest) -> Iterator[URL]:
    """Each kind of database in turn."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(servers.server(request.param))
        except servers.Missing as missing:
            if os.environ.get("ORDERS_TEST_REQUIRE_ALL"):
                pytest.fail(str(missing))
            pytest.skip(str(missing))
        yield url


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


@pytest.fixture
def database(server_url: URL) -> Iterator[URL]:
    """An empty database, for a test that makes its own shop."""
    with servers.fresh_database(server_url) as url:
        yield url
