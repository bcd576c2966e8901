"""The shops that are raced: each kind of database, in each mode that matters.

A request goes to a random node of a cluster. The shop itself, through which a test arranges and
reads, is on the cluster's first node and waits for what the other nodes have committed.
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
from .cluster import Cluster
from .effort import LONG
from .shops import Shop, make_shop

# By the name of the variant: the server, and the isolation of the app's own connections.
SERVERS: dict[str, tuple[str, str | None]] = {
    "sqlite-wal": ("sqlite", None),
    "sqlite-journal": ("sqlite", None),
    "postgresql": ("postgresql", None),
    "mariadb-repeatable-read": ("mariadb", "REPEATABLE READ"),
    "mariadb-read-committed": ("mariadb", "READ COMMITTED"),
    "mysql-repeatable-read": ("mysql", "REPEATABLE READ"),
    "mysql-read-committed": ("mysql", "READ COMMITTED"),
}
VARIANTS = (*SERVERS, "galera")

# Connections: PostgreSQL and each node accept a hundred, and a test needs some itself.
POOL = 50 if LONG else 20
# Waiting for SQLite's one lock means polling: with too many waiters some never get it.
SQLITE_POOL = 10


@dataclass(kw_only=True)
class RacedShop(Shop):
    """A shop on one or several nodes."""

    variant: str
    nodes: list[Shop]
    settle: Callable[[], None]

    def any_node(self) -> Shop:
        return random.choice(self.nodes)

    def post(self, customer: Any, request: Any = None, **options: Any) -> TestResponse:
        return self.any_node().post(customer, request, **options)

    def race(self, *calls: Callable[[], Returned]) -> list[Returned]:
        """Run the calls concurrently, once every node has what was arranged."""
        self.settle()
        return run_concurrently(*calls)


class Tally:
    """Counts of what was seen in the rounds of one test."""

    def __init__(self, shop: RacedShop, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "flask_orders")
        self._shop = shop
        self._caplog = caplog
        self._rounds = 0
        self._conversions = 0
        self._seen = Counter[object]()
        self._lock = threading.Lock()

    def count(self, *seen: object) -> None:
        """Count what one of the threads has seen."""
        with self._lock:
            self._seen.update(seen)

    def note(self, ledger: Ledger, *at: object) -> None:
        """Check the invariants after a round that began with an empty shop, and count the round."""
        assert ledger.problems() == [], at
        self._rounds += 1
        self._conversions += len(self._shop.rows("orders"))

    def report(self) -> None:
        print(
            f"{self._shop.variant}: {self._rounds} rounds, {self._conversions} conversions, "
            f"conflicts retried {conflicts(self._caplog)}, {dict(self._seen)}, anomalies 0"
        )


def conflicts(caplog: pytest.LogCaptureFixture) -> dict[str, int]:
    """Count the conflicts that the library has logged, by name."""
    return dict(Counter(log[10:] for log in caplog.messages if log.startswith("conflict:")))


@contextmanager
def on_server(variant: str) -> Iterator[RacedShop]:
    """Yield a shop on its own database."""
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
    """Yield the same shop on each node, and once more on the first for the test itself."""
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
    """Return the options of a pool in which many threads wait for their turn."""
    return {"pool_size": size, "max_overflow": 0, "pool_timeout": 120}


def use_rollback_journal(connection: Any, _record: object) -> None:
    """Replace WAL, which the library has set, as a shop on a network drive would."""
    connection.execute("PRAGMA journal_mode=DELETE").close()


def fill_pool(shop: Shop) -> None:
    """Open all connections, one by one, before several threads wait for them.

    SQLite's journal mode can be changed only while no other connection uses the file.
    """
    with ExitStack() as stack:
        for _ in range(shop.app.config["SQLALCHEMY_ENGINE_OPTIONS"]["pool_size"]):
            stack.enter_context(shop.engine.connect())
