"""The shops that crowds are let loose on: each kind of database, in each mode that matters.

Called by conftest.py. A request goes to any of a cluster's nodes. The shop itself, through which a
test arranges and looks, is on a cluster's first node, and waits for what the others have committed.
"""

import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event
from werkzeug.test import TestResponse

from flask_orders.testing import Ledger, Returned, run_concurrently

from . import servers
from .effort import LONG
from .galera import Cluster
from .shops import Shop, make_shop

# What a server is, by the name of the variant: the server, and the isolation of the app's own
# connections.
SERVERS: dict[str, tuple[str, str | None]] = {
    "sqlite-wal": ("sqlite", None),
    "sqlite-journal": ("sqlite", None),
    "postgresql": ("postgresql", None),
    "mariadb-repeatable-read": ("mariadb", "REPEATABLE READ"),
    "mariadb-read-committed": ("mariadb", "READ COMMITTED"),
}
VARIANTS = (*SERVERS, "galera")

# Connections: PostgreSQL and each node take a hundred, of which a test's own need some.
POOL = 50 if LONG else 20
# Who waits for SQLite's one lock asks again and again, and with too many others is never lucky.
SQLITE_POOL = 10


@dataclass(kw_only=True)
class RacedShop(Shop):
    """A shop that answers on one or several nodes."""

    variant: str
    nodes: list[Shop]
    settle: Callable[[], None]

    def any_node(self) -> Shop:
        return random.choice(self.nodes)

    def post(self, customer: Any, request: Any = None, **options: Any) -> TestResponse:
        return self.any_node().post(customer, request, **options)

    def race(self, *calls: Callable[[], Returned]) -> list[Returned]:
        """Release the calls at once, when every node has what was arranged."""
        self.settle()
        return run_concurrently(*calls)


class Tally:
    """What was seen in the rounds of one test."""

    def __init__(self, shop: RacedShop, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "flask_orders")
        self._shop = shop
        self._caplog = caplog
        self._rounds = 0
        self._conversions = 0
        self._seen = Counter[object]()
        self._lock = threading.Lock()

    def count(self, *seen: object) -> None:
        """Something was seen, by any of the crowd's threads."""
        with self._lock:
            self._seen.update(seen)

    def note(self, ledger: Ledger, *at: object) -> None:
        """A round is over, in a shop that was empty at its beginning: does everything add up?"""
        assert ledger.problems() == [], at
        self._rounds += 1
        self._conversions += len(self._shop.rows("orders"))

    def report(self) -> None:
        print(
            f"{self._shop.variant}: {self._rounds} rounds, {self._conversions} conversions, "
            f"conflicts retried {conflicts(self._caplog)}, {dict(self._seen)}, anomalies 0"
        )


def conflicts(caplog: pytest.LogCaptureFixture) -> dict[str, int]:
    """How many conflicts the library has met, by their names."""
    return dict(Counter(log[10:] for log in caplog.messages if log.startswith("conflict:")))


@contextmanager
def on_server(variant: str) -> Iterator[RacedShop]:
    """A shop on a database of its own."""
    name, isolation = SERVERS[variant]
    options = pool(SQLITE_POOL if name == "sqlite" else POOL)
    if isolation is not None:
        options["isolation_level"] = isolation
    with servers.server(name) as server, servers.fresh_database(server) as url:
        shop = make_shop(url, create_tables=False, SQLALCHEMY_ENGINE_OPTIONS=options)
        if variant == "sqlite-journal":
            event.listen(shop.engine, "connect", use_rollback_journal)
        fill_pool(shop)
        with shop.app.app_context():
            shop.db.create_all()
        yield RacedShop(
            shop.app, shop.db, shop.models, variant=variant, nodes=[shop], settle=lambda: None
        )
        shop.close()


@contextmanager
def on_cluster(running: Cluster) -> Iterator[RacedShop]:
    """The same shop on each node, and once more on the first, for who looks at it."""
    running.repair()
    with servers.fresh_database(running.urls[0]) as url, ExitStack() as stack:
        catch_up = {"init_command": "SET SESSION wsrep_sync_wait=7"}
        looker = make_shop(url, SQLALCHEMY_ENGINE_OPTIONS={"connect_args": catch_up})
        stack.callback(looker.close)
        settle = partial(settle_all, running)
        settle()
        nodes = []
        for server in running.urls:
            on_node = server.set(database=url.database)
            options = pool(POOL)
            nodes.append(make_shop(on_node, create_tables=False, SQLALCHEMY_ENGINE_OPTIONS=options))
            stack.callback(nodes[-1].close)
            fill_pool(nodes[-1])
        yield RacedShop(
            looker.app, looker.db, looker.models, variant="galera", nodes=nodes, settle=settle
        )


def settle_all(running: Cluster) -> None:
    for node in range(len(running.urls)):
        running.catch_up(node)


def pool(size: int) -> dict[str, Any]:
    """A pool in which a crowd waits for its turn."""
    return {"pool_size": size, "max_overflow": 0, "pool_timeout": 120}


def use_rollback_journal(connection: Any, _record: object) -> None:
    """As a host does that can't have WAL, on a network's disk; the library has asked for it."""
    connection.execute("PRAGMA journal_mode=DELETE").close()


def fill_pool(shop: Shop) -> None:
    """Open all connections, one by one, before there is a crowd that waits for them.

    SQLite's journal can be changed only while nobody else is at the file.
    """
    with ExitStack() as stack:
        for _ in range(shop.app.config["SQLALCHEMY_ENGINE_OPTIONS"]["pool_size"]):
            stack.enter_context(shop.engine.connect())
