"""Three nodes of MySQL Group Replication, of which one, the primary, takes orders.

Four clients send what they send to the primary, as by a router; it is killed, or cut off from the
others, under load; the clients follow to the next one by repeating their requests with their keys.
ORDERS_TEST_LONG=1 makes it 1,000 orders; `pytest -rP` shows the numbers.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest
import sqlalchemy as sa

from flask_orders.testing import Ledger

from .support.checks import check
from .support.clients import Clients
from .support.clustered import (
    assert_all_nodes_agree,
    assert_none_acknowledged,
    assert_nothing_lost_or_doubled,
    on_each_node,
    required_network,
    summary,
)
from .support.effort import LONG
from .support.group_replication import NODES, Group
from .support.network import Network
from .support.raced import settle_all
from .support.requests import SAVE
from .support.shops import Shop

ORDERS = 1000 if LONG else 150
WORKERS = 4


@pytest.fixture
def nodes(running_group: Group) -> Iterator[list[Shop]]:
    """The same shop three times, each on a node of its own."""
    running_group.repair()
    with on_each_node(running_group, first=running_group.primary()) as shops:
        yield shops


@pytest.fixture
def clients(running_group: Group, nodes: list[Shop]) -> Clients:
    """Clients that are led to the primary; what they did is read on a node that stays."""
    return Clients(
        lambda: nodes[running_group.believed_primary()],
        watched=nodes[(running_group.primary() + 1) % NODES],
        orders=ORDERS,
        settle=partial(settle_all, running_group),
    )


def test_a_secondary_takes_no_order(running_group: Group, nodes: list[Shop]) -> None:
    """A client without a router tries another node."""
    primary = running_group.primary()
    secondary = nodes[(primary + 1) % NODES]
    customer = nodes[primary].customer()
    nodes[primary].cart(customer, {nodes[primary].product(): 1})
    settle_all(running_group)
    answer = secondary.post(customer, SAVE, key="k-1")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert nodes[primary].post(customer, SAVE, key="k-1").status_code == 201


def test_without_a_majority_nothing_is_acknowledged(
    running_group: Group, nodes: list[Shop]
) -> None:
    """What became of an order is found out by its key: the others may have got its COMMIT."""
    primary = running_group.primary()
    shop = nodes[primary]
    customers = [shop.customer() for _ in range(2)]
    for customer in customers:
        shop.cart(customer, {shop.product(): 1})
    settle_all(running_group)
    ledger = Ledger(shop.app)

    with running_group.paused(*(node for node in range(NODES) if node != primary)):
        # The first finds the others gone at its COMMIT, the second from the start.
        answers = [shop.post(customer, SAVE, key="k-1") for customer in customers]
        assert not running_group.is_ready(primary)
    settle_all(running_group)

    for answer in answers:
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
    there = nodes[running_group.primary()]
    for customer in customers:
        assert there.post(customer, SAVE, key="k-1").status_code == 201
    assert [row["customer_id"] for row in there.rows("orders")] == customers
    assert ledger.problems() == []


def test_the_primary_is_killed(
    running_group: Group, nodes: list[Shop], clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "flask_orders")
    clients.run(WORKERS, lambda: running_group.kill(running_group.primary()))
    assert_nothing_lost_or_doubled(clients)
    print(summary(clients, caplog))


def test_multi_primary_is_refused(running_group: Group, nodes: list[Shop]) -> None:
    """Every write of an order is refused there, which a customer must not find out."""
    primary = running_group.primary()
    shop = nodes[primary]
    assert "Group Replication" not in check(shop.app)[1]
    running_group.ask(primary, "SELECT group_replication_switch_to_multi_primary_mode()")
    try:
        code, output = check(shop.app)
        with pytest.raises(sa.exc.DBAPIError) as refused:
            shop.cart(shop.customer(), {})
    finally:
        running_group.ask(primary, "SELECT group_replication_switch_to_single_primary_mode()")
    assert code == 1
    assert "Group Replication is in multi-primary mode" in output
    assert refused.value.orig is not None
    assert refused.value.orig.args[0] == 3098


@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_a_node_is_cut_off(
    running_group: Group,
    nodes: list[Shop],
    clients: Clients,
    hosts: Network | None,
    role: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The clients still reach it. It acknowledges no order until it is back."""
    caplog.set_level(logging.INFO, "flask_orders")
    network = required_network(hosts)
    primary = running_group.primary()
    # The one whose rows are watched stays.
    node = primary if role == "primary" else (primary + 2) % NODES
    statuses = Counter[int]()

    def cut_off() -> None:
        with network.cut_off(node):
            statuses.update(clients.post_to(nodes[node]))
            clients.wait_for_orders(20)
        running_group.repair()

    clients.run(WORKERS, cut_off)

    assert_none_acknowledged(statuses, clients)
    assert_all_nodes_agree(running_group, nodes)
    assert_nothing_lost_or_doubled(clients)
    print(summary(clients, caplog))
