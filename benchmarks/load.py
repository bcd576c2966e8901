"""Measure two gunicorn workers under eight clients, with and without contention."""

import json
import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from time import perf_counter
from typing import NamedTuple

from sqlalchemy.engine import URL

from tests.support.requests import ORDERS

from .contenders import Spread
from .report import Part, Ratio, Sizes, new_table
from .stage import DATABASE, Purchase, Stage, staged

CLIENTS = 8
ITEMS = 5

# As many threads as clients: all eight requests reach the database concurrently.
GUNICORN = (
    *("-m", "gunicorn", "--log-level", "warning"),
    *("--workers", "2", "--worker-class", "gthread", "--threads", "4"),
)

HOT_VOUCHER, HOT_PRODUCT = 1, 1

# What is left of the orders per second if all want one voucher, or one product.
GOALS = (0.95, 0.85)


class Request(NamedTuple):
    headers: dict[str, str]
    body: str


class Round(NamedTuple):
    """The seconds of each response, the elapsed time, and the errors of one round."""

    seconds: list[float]
    elapsed: float
    errors: list[str]


def measure(server: URL, sizes: Sizes) -> Part:
    """Measure concurrent orders of different products, with one voucher, and of one product."""
    with staged(server, sizes.history) as stage, _served(stage) as port:
        wanted: dict[str, Callable[[], Purchase]] = {
            "different products": lambda: stage.purchase(stage.products(ITEMS)),
            "the same voucher": lambda: stage.purchase(stage.products(ITEMS), HOT_VOUCHER),
            "the same product": lambda: stage.purchase([HOT_PRODUCT, *stage.products(ITEMS - 1)]),
        }
        _round(port, _requests(wanted["different products"], sizes.load // 4))
        rounds: dict[str, list[Round]] = {name: [] for name in wanted}
        for _ in range(sizes.load_rounds):
            for name, purchase in wanted.items():
                rounds[name].append(_round(port, _requests(purchase, sizes.load)))
    table = new_table(
        "gunicorn, 2 workers, 8 clients, orders of 5 items",
        "",
        "orders/s",
        "p50 ms",
        "p99",
        "errors",
    )
    rates, errors = {}, []
    for name, found in rounds.items():
        seconds = [one for round_ in found for one in round_.seconds]
        rates[name] = len(seconds) / sum(round_.elapsed for round_ in found)
        errors += [error for round_ in found for error in round_.errors]
        table.add_row(
            f"all want {name}",
            f"{rates[name]:.0f}",
            f"{Spread.of(seconds).median:.0f}",
            f"{1000 * sorted(seconds)[int(len(seconds) * 0.99)]:.0f}",
            str(sum(len(round_.errors) for round_ in found)),
        )
    for error in sorted(set(errors)):
        table.add_row(error)
    uncontended = rates.pop("different products")
    ratios = [
        Ratio(f"orders/s, all want {name} / different products", rate / uncontended, at_least=goal)
        for (name, rate), goal in zip(rates.items(), GOALS, strict=True)
    ]
    return Part([*ratios, Ratio("errors seen by clients", len(errors), at_most=0)], [table])


@contextmanager
def _served(stage: Stage) -> Iterator[int]:
    """Run gunicorn with the stage's shop; yield its port."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        named = {DATABASE: stage.url.render_as_string(hide_password=False)}
        process = subprocess.Popen(
            [
                sys.executable,
                *GUNICORN,
                "--bind",
                f"fd://{listening.fileno()}",
                f"{__package__}.served:app",
            ],
            env={**os.environ, **named},
            pass_fds=[listening.fileno()],
        )
        try:
            yield listening.getsockname()[1]
        finally:
            process.terminate()
            process.wait()


def _requests(purchase: Callable[[], Purchase], count: int) -> queue.SimpleQueue[Request]:
    """Fill carts and return the requests that will order them."""
    requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
    for _ in range(count):
        wanted = purchase()
        headers = {**wanted.headers, "Content-Type": "application/json"}
        body = {"action": "checkout", "billing_address": wanted.address}
        requests.put(Request(headers, json.dumps(body)))
    return requests


def _round(port: int, requests: queue.SimpleQueue[Request]) -> Round:
    done = Round([], 0, [])
    clients = [
        threading.Thread(target=_client, args=(port, requests, done)) for _ in range(CLIENTS)
    ]
    started = perf_counter()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return done._replace(elapsed=perf_counter() - started)


def _client(port: int, requests: queue.SimpleQueue[Request], done: Round) -> None:
    """Send requests one after another, on a persistent connection."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    while True:
        try:
            request = requests.get_nowait()
        except queue.Empty:
            break
        started = perf_counter()
        try:
            connection.request("POST", ORDERS, request.body, request.headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, HTTPException) as error:
            done.errors.append(type(error).__name__)
            connection.close()
            continue
        done.seconds.append(perf_counter() - started)
        if answer.status != 303:
            done.errors.append(str(answer.status))
    connection.close()
