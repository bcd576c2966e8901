"""A Galera cluster of three nodes, on which FOR UPDATE locks nothing beyond its own node.

Four clients send what they send to any node; one node is killed, or cut off from the others, under
load; without a majority nothing is sold. ORDERS_TEST_LONG=1 makes it 1,000 orders; `pytest -rP`
shows the numbers.
"""

import logging
import random
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest
from sqlalchemy import text

from .support.clients import Clients
from .support.cluster import wait_until
from .support.clustered import (
    assert_all_nodes_agree,
    assert_none_acknowledged,
    assert_nothing_lost_or_doubled,
    on_each_node,
    required_network,
    summary,
)
from .support.effort import LONG
from .support.galera import Galera
from .support.network import Network
from .support.raced import settle_all
from .support.requests import SAVE
from .support.shops import Shop

ORDERS = 1000 if LONG else 150
WORKERS = 4
DISTURBED = 2


@pytest.fixture
def nodes(running: Galera) -> Iterator[list[Shop]]:
    """The same shop three times, each on a node of its own."""
    running.repair()
    with on_each_node(running) as shops:
        yield shops


@pytest.mark.parametrize("key", [None, "k-1"])
def test_items_added_on_another_node_are_ordered(
    running: Galera, nodes: list[Shop], key: str | None
) -> None:
    """The other node is a large import behind."""
    here, there = nodes[:2]
    customer, product = here.customer(), here.product()
    cart = here.cart(customer, {})
    running.catch_up(1)
    import_prices(here)
    here.add(here.models.CartItem(cart_id=cart, product_id=product, quantity=2))

    answer = there.post(customer, SAVE, key=key)

    assert answer.status_code == 201, answer.text
    (item,) = there.rows("order_items")
    assert item["quantity"] == 2


def import_prices(shop: Shop) -> None:
    with shop.session() as session:
        session.execute(
            text(
                "INSERT INTO products (sku, name, price, active) "
                "SELECT CONCAT('import-', seq), REPEAT('x', 200), 1, 1 FROM seq_1_to_40000"
            )
        )


def test_without_a_majority_nothing_is_sold(running: Galera, nodes: list[Shop]) -> None:
    shop = nodes[0]
    first, second = shop.customer(), shop.customer()
    for customer in (first, second):
        shop.cart(customer, {shop.product(): 1})
    before = shop.everything()
    for node in range(3):
        running.catch_up(node)

    with running.paused(1, 2):
        # The first finds the others gone at its COMMIT, the second from the start.
        answers = [shop.post(customer, SAVE, key="k-1") for customer in (first, second)]
        assert not running.is_ready(0)
    running.catch_up(0)

    for answer in answers:
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
    # What the first has sent may have reached the others, who go on with it; its key tells.
    assert shop.post(first, SAVE, key="k-1").status_code == 201
    after = shop.everything()
    assert [order["customer_id"] for order in after["orders"]] == [first]
    [left] = after["cart_items"]
    assert left in before["cart_items"]


@pytest.fixture
def there(nodes: list[Shop]) -> list[Shop]:
    """The nodes to which clients send."""
    return list(nodes)


@pytest.fixture
def clients(running: Galera, nodes: list[Shop], there: list[Shop]) -> Clients:
    return Clients(
        lambda: random.choice(there),
        watched=nodes[0],
        orders=ORDERS,
        settle=partial(settle_all, running),
    )


def test_orders_on_every_node_while_one_is_killed(
    running: Galera,
    nodes: list[Shop],
    there: list[Shop],
    clients: Clients,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "flask_orders")

    def kill() -> None:
        running.kill(DISTURBED)
        there.remove(nodes[DISTURBED])

    clients.run(WORKERS, kill)

    running.catch_up(0)
    assert_nothing_lost_or_doubled(clients)
    print(summary(clients, caplog))


def test_orders_on_every_node_while_one_is_cut_off(
    running: Galera,
    nodes: list[Shop],
    clients: Clients,
    hosts: Network | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The clients still reach it. It acknowledges no order until it is back."""
    caplog.set_level(logging.INFO, "flask_orders")
    network = required_network(hosts)
    statuses = Counter[int]()

    def cut_off() -> None:
        with network.cut_off(DISTURBED):
            wait_until(lambda: not running.is_ready(DISTURBED))
            statuses.update(clients.post_to(nodes[DISTURBED]))
            clients.wait_for_orders(20)
        running.repair()

    clients.run(WORKERS, cut_off)

    assert_none_acknowledged(statuses, clients)
    assert_all_nodes_agree(running, nodes)
    assert_nothing_lost_or_doubled(clients)
    print(summary(clients, caplog))
