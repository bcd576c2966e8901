"""A PostgreSQL primary is killed under load, and its standby promoted.

Four clients have both servers in their URL and find the one that takes writes; they repeat their
requests with their keys. ORDERS_TEST_LONG=1 makes it 1,000 orders; `pytest -rP` shows the numbers.
"""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flask_orders import current_orders
from flask_orders.testing import Ledger

from .support import servers
from .support.clients import Clients
from .support.cluster import wait_until
from .support.clustered import assert_nothing_lost_or_doubled, summary
from .support.effort import LONG
from .support.failover import PRIMARY, STANDBY, Pair, pair
from .support.requests import SAVE
from .support.responses import order_id
from .support.shops import Shop, make_shop

pytestmark = pytest.mark.server

ORDERS = 1000 if LONG else 150
WORKERS = 4
DATABASE = "shop"
# Seconds by which the asynchronous standby is behind when the primary dies.
BEHIND = 0.5


@contextmanager
def running_pair(*, synchronous: bool, driver: str = "psycopg") -> Iterator[tuple[Pair, Shop]]:
    with servers.required(pair(synchronous=synchronous)) as started:
        started.ask(PRIMARY, f"CREATE DATABASE {DATABASE}")
        shop = make_shop(started.url(DATABASE, driver))
        yield started, shop
        shop.close()


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_nothing_acknowledged_is_lost_with_a_synchronous_standby(
    driver: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "flask_orders")
    with running_pair(synchronous=True, driver=driver) as (started, shop):
        clients = Clients(lambda: shop, watched=shop, orders=ORDERS)

        def fail_over() -> None:
            started.kill(PRIMARY)
            # As long as a monitor takes at least.
            time.sleep(1)
            started.promote()

        clients.run(WORKERS, fail_over)

        assert_nothing_lost_or_doubled(clients)
        assert set(clients.seen) <= {"201", "400", "409", "503", "errors of the shop's own"}
        print(f"{driver}: {summary(clients, caplog)}")


def test_what_an_asynchronous_standby_loses(caplog: pytest.LogCaptureFixture) -> None:
    """Acknowledged orders, as many as it was behind; what is left is whole, and none is doubled."""
    caplog.set_level(logging.INFO, "flask_orders")
    with running_pair(synchronous=False) as (started, shop):
        clients = Clients(lambda: shop, watched=shop, orders=ORDERS)

        def fail_over() -> None:
            started.hold_back()
            time.sleep(BEHIND)
            started.kill(PRIMARY)
            started.promote()

        clients.run(WORKERS, fail_over)

        orders = {str(row["id"]) for row in shop.rows("orders")}
        received = set(clients.received.values())
        assert orders <= received
        with shop.app.app_context():
            assert list(current_orders.audit()) == []
        for key, order in clients.received.items():
            answer = clients.ask(clients.owners[key], key)
            # A lost order is a new request to the server, which may refuse it.
            assert answer.status_code == 201 or order not in orders
            assert order not in orders or order_id(answer) == order
        print(
            f"{BEHIND} s behind: {len(received - orders)} of {len(received)} acknowledged orders "
            f"lost; {summary(clients, caplog)}"
        )


def test_a_commit_whose_wait_for_the_standby_is_broken_off_is_one_order() -> None:
    """The order is committed on the primary then, and the retry finds it."""
    with running_pair(synchronous=True) as (started, shop):
        customer = shop.customer()
        shop.cart(customer, {shop.product(stock=3): 2})
        ledger = Ledger(shop.app)
        answers: list[int] = []

        def order() -> None:
            answers.append(shop.post(customer, SAVE, key="k-1").status_code)

        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        started.send(STANDBY, signal.SIGSTOP)
        thread = threading.Thread(target=order)
        thread.start()
        wait_until(lambda: bool(started.ask(PRIMARY, waiting)))
        started.ask(PRIMARY, f"SELECT pg_terminate_backend(pid) FROM ({waiting}) AS waiting")
        thread.join()
        started.send(STANDBY, signal.SIGCONT)

        assert answers == [201]
        assert len(shop.rows("orders")) == 1
        assert ledger.problems() == []
