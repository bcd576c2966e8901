"""SIGKILL of the web worker under load, with clients that repeat requests by their key.

ORDERS_TEST_LONG kills a hundred times; otherwise it is ten.
"""

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import pytest
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from flask_orders.db.classify import is_conflict
from flask_orders.testing import Ledger

from .support.effort import LONG
from .support.requests import ORDERS, SAVE
from .support.shops import Shop, make_shop

pytestmark = pytest.mark.server

KILLS = 100 if LONG else 10
CLIENTS = 4
TEXT = json.dumps(SAVE)


class Clients:
    """Customers who order again and again, until they are stopped."""

    def __init__(self, shop: Shop, port: int) -> None:
        self._shop = shop
        self._port = port
        self._stop = threading.Event()
        self._product = shop.product(stock=1_000_000)
        self._customers = [shop.customer() for _ in range(CLIENTS)]
        for customer in self._customers:
            shop.cart(customer, {})
        self.ledger = Ledger(shop.app)
        self.acknowledged: list[str] = []
        self.seen = Counter[str]()
        self._threads = [
            threading.Thread(target=self._order, args=(customer,)) for customer in self._customers
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_an_answer(self) -> None:
        """The worker that there is now is up, and busy."""
        before, deadline = len(self.acknowledged), time.monotonic() + 30
        while len(self.acknowledged) == before:
            assert time.monotonic() < deadline, "no worker answers"
            time.sleep(0.01)

    def _order(self, customer: int) -> None:
        while not self._stop.is_set():
            self._fill_cart(customer)
            self.acknowledged.append(self._ask_until_answered(customer))

    def _fill_cart(self, customer: int) -> None:
        """As a shop does on MariaDB, where an INSERT may be a deadlock's victim now and then.

        A line that is put back right after it was ordered meets the deleted one in the unique
        index, and InnoDB locks that line's neighbour, which is another customer's.
        """
        while True:
            try:
                self._shop.fill(customer, {self._product: 2})
            except DBAPIError as error:
                if not is_conflict(error):
                    raise
                self.seen["cart filled again"] += 1
            else:
                self.ledger.put(self._product, 2)
                return

    def _ask_until_answered(self, customer: int) -> str:
        headers = {
            **self._shop.token(customer),
            "Content-Type": "application/json",
            "Idempotency-Key": str(uuid4()),
        }
        while True:
            try:
                status, found = self._ask(headers)
            except (OSError, HTTPException):
                self.seen["broken off"] += 1
                continue
            self.seen[str(status)] += 1
            self.seen["replayed"] += "Idempotent-Replayed" in found
            if status == 201:
                return str(found["Location"])
            assert status == 503, status

    def _ask(self, headers: dict[str, str]) -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("POST", ORDERS, TEXT, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.headers
        finally:
            connection.close()


@contextmanager
def server(url: URL, writer: str) -> Iterator[tuple[int, IO[str], IO[str]]]:
    """The port of a server, and the pipes to it."""
    where = url.render_as_string(hide_password=False)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.worker", where, writer],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        yield int(process.stdout.readline()), process.stdin, process.stdout


def test_a_killed_worker_neither_loses_nor_duplicates_orders(
    database: URL, each_writer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = make_shop(database)
    with server(database, each_writer) as (port, to_server, from_server):
        clients = Clients(shop, port)
        clients.start()
        for _ in range(KILLS):
            clients.wait_for_an_answer()
            time.sleep(random.uniform(0, 0.3))
            to_server.write("kill\n")
            to_server.flush()
            from_server.readline()
        clients.stop()
        to_server.close()

    orders = {f"{ORDERS}{order['id']}/" for order in shop.rows("orders")}
    with capsys.disabled():
        print(
            f"\n{shop.engine.dialect.name}: {KILLS} kills, {len(orders)} orders,",
            dict(clients.seen),
        )
    assert clients.ledger.problems() == []
    assert len(clients.acknowledged) == len(set(clients.acknowledged))
    assert orders == set(clients.acknowledged)
    assert clients.seen["broken off"] > 0
    shop.close()
