"""Open one of the host shops on a database of its own, for tests of what is special in it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy.engine import URL

from ..hosts.drivers import DRIVERS, Buyer, Driver
from . import servers
from .checks import check


@contextmanager
def opened(name: str, server_url: URL) -> Iterator[Driver]:
    """Yield the shop, with flask_orders installed and its tables created."""
    with servers.fresh_database(server_url) as url:
        host = DRIVERS[name](url)
        host.create_all()
        yield host
        host.close()


def only(name: str) -> pytest.MarkDecorator:
    """Run a test on one of its module's shops."""
    return pytest.mark.parametrize("module_host", [name], indirect=True)


def findings(host: Driver) -> list[str]:
    """Return what `flask orders check` finds wrong, the engine's options left out."""
    lines = check(host.app)[1].splitlines()
    return [line for line in lines if line.startswith("- ") and "hide_parameters" not in line]


def cancel(host: Driver, buyer: Buyer, url: str) -> int:
    """Cancel an order; return the status of the answer."""
    return host.request("POST", f"{url}cancel/", buyer).status_code
