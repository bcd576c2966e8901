"""The same shop on each node of a cluster, and what must hold when its clients are done."""

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from . import servers
from .clients import Clients
from .cluster import Cluster
from .database import everything_of
from .network import Network, network
from .raced import conflicts
from .responses import order_id
from .shops import Shop, make_shop

_numbers = itertools.count()


@contextmanager
def on_each_node(cluster: Cluster, first: int = 0, **engine_options: Any) -> Iterator[list[Shop]]:
    """Yield the same shop on every node, made on the first."""
    # It is not dropped: in the end another node may take the writes, and all go.
    name = f"shop_{next(_numbers)}"
    cluster.ask(first, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    with ExitStack() as stack:
        order = [first, *(node for node in range(len(cluster.urls)) if node != first)]
        shops: dict[int, Shop] = {}
        for node in order:
            cluster.catch_up(node)
            shops[node] = make_shop(
                cluster.urls[node].set(database=name),
                create_tables=node == first,
                SQLALCHEMY_ENGINE_OPTIONS=engine_options,
            )
            stack.callback(shops[node].close)
        yield [shops[node] for node in sorted(shops)]


def assert_none_acknowledged(statuses: Counter[int], clients: Clients) -> None:
    """Each was refused, for want of a majority (503), or before that could matter.

    409: the cart is locked by an order that waits for the majority. 400: it had just been ordered.
    """
    assert statuses.total() == len(clients.customers)
    assert statuses.keys() <= {400, 409, 503}, statuses
    assert statuses[503]


def assert_nothing_lost_or_doubled(clients: Clients) -> None:
    clients.record_unanswered_changes()
    assert clients.ledger.problems() == []
    assert_every_order_is_known(clients)
    assert_keys_are_answered_again(clients)


def summary(clients: Clients, caplog: pytest.LogCaptureFixture) -> str:
    """Say what was seen; called when everything was found right."""
    orders = len(clients.watched.rows("orders"))
    return (
        f"{orders} orders in {sum(clients.pauses):.1f} s, longest pause "
        f"{max(clients.pauses):.1f} s, conflicts {conflicts(caplog)}, "
        f"seen {dict(clients.seen)}, anomalies 0"
    )


def assert_every_order_is_known(clients: Clients) -> None:
    """Every acknowledged order exists; by its key each client has its order in the end."""
    orders = clients.watched.rows("orders")
    assert {str(order["id"]) for order in orders} == set(clients.received.values())
    for customer in clients.customers:
        numbers = sorted(row["sequence"] for row in orders if row["customer_id"] == customer)
        assert numbers == list(range(1, len(numbers) + 1))


def assert_keys_are_answered_again(clients: Clients) -> None:
    """By any server, since an order was made before the failure or after it."""
    for key, order in clients.received.items():
        answer = clients.ask(clients.owners[key], key)
        assert answer.headers["Idempotent-Replayed"] == "true"
        assert order_id(answer) == order


def assert_all_nodes_agree(cluster: Cluster, shops: list[Shop]) -> None:
    """Compare every row of every table."""
    contents = []
    for node, shop in enumerate(shops):
        cluster.catch_up(node)
        contents.append(everything_of(shop.engine, shop.db.metadata))
    assert contents[1:] == contents[:1] * (len(shops) - 1)


def required_network(hosts: Network | None) -> Network:
    """Return the network; the test is skipped where the cluster is on loopback for lack of one."""
    with ExitStack() as stack:
        return hosts or stack.enter_context(servers.required(network(3)))
