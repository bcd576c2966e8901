"""A cluster of three nodes, on which FOR UPDATE locks nothing beyond its own node.

Four clients send what they send to any node; one node is killed under load; without a majority
nothing is sold. ORDERS_TEST_LONG=1 makes it 1,000 orders; `pytest -rP` shows the numbers.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import text

from .support import servers
from .support.effort import LONG
from .support.galera import Cluster
from .support.galera_clients import Clients
from .support.raced import conflicts
from .support.requests import SAVE
from .support.responses import order_id
from .support.shops import Shop, make_shop

ORDERS = 1000 if LONG else 150
WORKERS = 4
KILLED = 2


@pytest.fixture
def nodes(running: Cluster) -> Iterator[list[Shop]]:
    """The same shop three times, each on a node of its own."""
    running.repair()
    with servers.fresh_database(running.urls[0]) as url, ExitStack() as stack:
        shops = []
        for node, server in enumerate(running.urls):
            running.catch_up(node)
            shops.append(make_shop(server.set(database=url.database)))
            stack.callback(shops[-1].close)
        yield shops


@pytest.mark.parametrize("key", [None, "k-1"])
def test_items_added_on_another_node_are_ordered(
    running: Cluster, nodes: list[Shop], key: str | None
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


def test_without_a_majority_nothing_is_sold(running: Cluster, nodes: list[Shop]) -> None:
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
    assert shop.everything() == before
    assert shop.post(first, SAVE, key="k-1").status_code == 201


def test_orders_on_every_node_while_one_is_killed(
    running: Cluster, nodes: list[Shop], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "flask_orders")
    clients = Clients(nodes, ORDERS, seed=1)
    for node in range(3):
        running.catch_up(node)
    threads = [threading.Thread(target=clients.work) for _ in range(WORKERS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    clients.half.wait()
    running.kill(KILLED)
    clients.nodes = [shop for node, shop in enumerate(nodes) if node != KILLED]
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - began

    assert clients.failures == []
    running.catch_up(0)
    clients.record_unanswered_changes()
    assert clients.ledger.problems() == []
    assert_every_order_is_known(clients)
    assert_keys_are_answered_again(clients)
    assert stock(nodes[0], clients.hot) >= 0
    print(
        f"{len(nodes[0].rows('orders'))} orders in {seconds:.1f} s, "
        f"conflicts {conflicts(caplog)}, answers {dict(clients.seen)}, anomalies 0"
    )


def assert_every_order_is_known(clients: Clients) -> None:
    """Every acknowledged order exists; by its key each client has its order in the end."""
    orders = clients.nodes[0].rows("orders")
    assert {str(order["id"]) for order in orders} == set(clients.received.values())
    for customer in clients.customers:
        numbers = sorted(row["sequence"] for row in orders if row["customer_id"] == customer)
        assert numbers == list(range(1, len(numbers) + 1))


def assert_keys_are_answered_again(clients: Clients) -> None:
    owners = {str(order["id"]): order["customer_id"] for order in clients.nodes[0].rows("orders")}
    for key, order in list(clients.received.items())[-50:]:
        answer = clients.nodes[1].post(owners[order], SAVE, key=key)
        assert answer.headers["Idempotent-Replayed"] == "true"
        assert order_id(answer) == order


def stock(shop: Shop, product: int) -> int:
    return next(int(row["stock"]) for row in shop.rows("products") if row["id"] == product)
