"""Ninety-six concurrent clicks on eight threads: most wait, and all get the same order."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from .support.requests import ORDERS, SAVE
from .support.shops import Shop, make_shop

pytest.importorskip("gunicorn")
pytestmark = pytest.mark.server

CLICKS, ROUNDS = 96, 2


@contextmanager
def gunicorn(url: URL) -> Iterator[int]:
    """Two workers of four threads each; their port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--workers=2", "--threads=4"),
            *(f"--bind=127.0.0.1:{port}", "--log-level=error", "--no-control-socket"),
            "tests.support.crowded:app",
        ],
        env={**os.environ, "ORDERS_TEST_CROWDED": url.render_as_string(hide_password=False)},
        cwd=Path(__file__).parents[1],
    )
    try:
        wait_until_it_listens(port)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def wait_until_it_listens(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            assert time.monotonic() < deadline, "gunicorn does not listen"
            time.sleep(0.1)


def click(port: int, headers: dict[str, str]) -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", ORDERS, json.dumps(SAVE), headers)
        answer = connection.getresponse()
        answer.read()
        return answer.headers.get("Location") or str(answer.status)
    finally:
        connection.close()


def start() -> dict[str, str]:
    """What a proxy adds to a request that reaches it now."""
    return {"X-Request-Start": f"t={time.time():.3f}"}


def clicks(shop: Shop, port: int) -> Counter[str]:
    """What ninety-six simultaneous clicks of a new customer get."""
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    released: list[dict[str, str]] = []
    barrier = threading.Barrier(CLICKS, lambda: released.append(start()))
    headers = {**shop.token(customer), "Content-Type": "application/json"}

    def one(_number: int) -> str:
        barrier.wait()
        return click(port, {**headers, **released[0]})

    with ThreadPoolExecutor(CLICKS) as pool:
        seen = Counter(pool.map(one, range(CLICKS)))
    assert click(port, {**headers, **start()}) == "400"
    assert click(port, headers) == "400"
    return seen


def test_all_clicks_under_way_get_the_same_order(database: URL) -> None:
    if database.get_backend_name() == "sqlite":
        pytest.skip("its one write lock is waited for, and 96 clicks wait too long")
    shop = make_shop(database)
    with gunicorn(database) as port:
        for number in range(1, ROUNDS + 1):
            seen = clicks(shop, port)
            (url,) = seen
            assert url.startswith(ORDERS)
            assert len(shop.rows("orders")) == number
    shop.close()
