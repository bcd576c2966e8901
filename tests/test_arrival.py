"""A request is under way since its arrival; a slow body holds no connection."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection

import pytest
from flask import Flask
from sqlalchemy.engine import URL

from flask_orders.http.requests import arrived

from .support.database import nothing_changed
from .support.requests import ORDERS, SAVE
from .support.responses import refused
from .support.serving import served
from .support.shops import Shop, make_shop

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
SECONDS = int(NOW.timestamp())


@contextmanager
def serving(app: Flask) -> Iterator[int]:
    """A web server with a thread for each request; its port."""
    with served(app) as url:
        yield int(url.rsplit(":", 1)[1])


def ask(port: int, headers: dict[str, str]) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = {**headers, "Content-Type": "application/json"}
        connection.request("POST", ORDERS, json.dumps(SAVE), headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Location") or answer.read().decode()
    finally:
        connection.close()


def test_a_slow_body_holds_no_connection(database: URL) -> None:
    """Two clients that stop in the middle of their bodies, in a shop of two connections."""
    options = {"pool_size": 2, "max_overflow": 0, "pool_timeout": 2}
    if database.get_backend_name() == "sqlite":
        options = {}
    shop = make_shop(database, SQLALCHEMY_ENGINE_OPTIONS=options)
    product = shop.product()
    customers = [shop.customer() for _ in range(4)]
    for customer in customers:
        shop.cart(customer, {product: 1})
    text = json.dumps(SAVE).encode()
    with serving(shop.app) as port:
        slow = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(2)]
        for connection, customer in zip(slow, customers, strict=False):
            (token,) = shop.token(customer).values()
            head = (
                f"POST {ORDERS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
            )
            connection.sendall(head.encode() + text[:20])
        time.sleep(0.3)
        assert shop.engine.pool.checkedout() == 0  # type: ignore[attr-defined] # a QueuePool
        for customer in customers[2:]:
            assert ask(port, shop.token(customer))[0] == 201
        for connection in slow:
            connection.sendall(text[20:])
            assert connection.recv(100).startswith(b"HTTP/1.1 201")
            connection.close()
    assert len(shop.rows("orders")) == 4
    shop.close()


@pytest.mark.parametrize(
    ("bad", "options"),
    [
        ("too large", {"data": b"x" * 20_000, "content_type": "application/json"}),
        ("no JSON", {"data": b"{", "content_type": "application/json"}),
        ("a form", {"data": {"action": "checkout"}}),
    ],
)
def test_a_bad_body_without_a_token_is_401(
    shop: Shop, bad: str, options: dict[str, object]
) -> None:
    with nothing_changed(shop):
        assert shop.app.test_client().post(ORDERS, **options).status_code == 401


@pytest.mark.parametrize(
    ("header", "waited"),
    [
        (f"t={SECONDS - 2}.500", 1.5),
        (f"{SECONDS - 2}", 2),
        (f"{SECONDS - 2}.25", 1.75),
        (f"{(SECONDS - 2) * 1000}", 2),
        (f"t={(SECONDS - 2) * 1_000_000} D=123", 2),
        (f"{(SECONDS - 2) * 1_000_000_000}", 2),
        (f"t={SECONDS - 3}.000, t={SECONDS - 1}.000", 3),
        (f"t={SECONDS - 3600}", 60),
        (f"t={SECONDS + 5}", 0),
        ("", 0),
        ("soon", 0),
        ("t=", 0),
        ("5", 0),
        ("-1700000000", 0),
        ("9" * 400, 0),
        ("\uff11\uff17\uff10\uff10\uff10\uff10\uff10\uff10\uff10\uff10", 0),
    ],
)
def test_the_arrival_is_read_from_the_proxy_s_header(header: str, waited: float) -> None:
    """Whatever the unit; at most a minute back, and never later than the app was entered."""
    sent = header.encode().decode("latin-1")
    environ = {"flask_orders.arrived": NOW}
    with Flask("x").test_request_context(
        headers={"X-Request-Start": sent}, environ_overrides=environ
    ):
        assert abs((NOW - arrived()).total_seconds() - waited) < 0.001


def started(ago: float) -> dict[str, str]:
    moment = datetime.now(UTC) - timedelta(seconds=ago)
    return {"X-Request-Start": f"t={moment.timestamp():.3f}"}


def test_a_request_that_was_under_way_when_the_order_was_made_returns_it(shop: Shop) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    queued = {**shop.token(customer), **started(1)}
    made = shop.post(customer, SAVE)
    again = shop.post(customer, SAVE, headers=queued)
    assert (again.status_code, again.headers["Location"]) == (201, made.headers["Location"])
    assert len(shop.rows("orders")) == 1


def test_a_request_that_arrives_after_the_order_finds_the_cart_empty(shop: Shop) -> None:
    """Also within the same second, with the header and without."""
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    assert shop.post(customer, SAVE).status_code == 201
    # What a proxy sends has milliseconds.
    time.sleep(0.002)
    later = {**shop.token(customer), **started(0)}
    with nothing_changed(shop):
        refused(shop.post(customer, SAVE), 400, "empty_cart")
        refused(shop.post(customer, SAVE, headers=later), 400, "empty_cart")


def test_another_customer_s_order_is_never_returned(shop: Shop) -> None:
    customer, other = shop.customer(), shop.customer()
    shop.cart(customer, {shop.product(): 1})
    assert shop.post(customer, SAVE).status_code == 201
    with nothing_changed(shop):
        headers = {**shop.token(other), **started(30)}
        refused(shop.post(other, SAVE, headers=headers), 400, "empty_cart")


def test_a_request_still_sending_its_body_was_under_way(database: URL) -> None:
    """Without a proxy's header, the app was entered before the order was made."""
    shop = make_shop(database)
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    text = json.dumps(SAVE).encode()
    (token,) = shop.token(customer).values()
    with serving(shop.app) as port, socket.create_connection(("127.0.0.1", port), 30) as second:
        head = (
            f"POST {ORDERS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        )
        second.sendall(head.encode())
        time.sleep(0.3)
        status, url = ask(port, shop.token(customer))
        assert status == 201
        second.sendall(text)
        answer = second.recv(1000).decode()
    assert answer.startswith("HTTP/1.1 201")
    assert url in answer
    shop.close()
