"""Cut connections and held locks: the response and the database agree."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

from flask_orders.idempotency import IdempotentRequest
from flask_orders.signals import order_cancelled, order_paid, order_placed

from .support.database import connection_cut_at_commit
from .support.requests import ORDERS, SAVE
from .support.responses import body
from .support.shops import Shop, make_shop

pytestmark = pytest.mark.usefixtures("each_writer")

KEY = {"Idempotency-Key": "abc"}


@pytest.fixture
def customer(shop: Shop) -> int:
    customer = shop.customer()
    shop.cart(customer, {shop.product(stock=5): 2})
    return customer


@pytest.mark.parametrize("headers", [{}, KEY])
@pytest.mark.parametrize("after", [False, True])
def test_a_connection_cut_at_commit(
    shop: Shop, customer: int, after: bool, headers: dict[str, str]
) -> None:
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("a file can't be cut off")
    received = []
    headers = {**shop.token(customer), **headers}

    def receive(_app: object, order: Any) -> None:
        received.append(order.id)

    with connection_cut_at_commit(shop, after=after), order_placed.connected_to(receive):
        answer = shop.post(customer, SAVE, headers=headers)

    (order,) = shop.rows("orders")
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"{ORDERS}{order['id']}/"
    assert "Idempotent-Replayed" not in answer.headers
    assert received == [order["id"]]
    assert shop.rows("products")[0]["stock"] == 3


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("call", "signal", "price"),
    [("cancel", order_cancelled, "10.00"), ("checkout", order_paid, "0.00")],
)
def test_a_transition_whose_connection_is_cut_at_commit_is_announced_once(
    shop: Shop, call: str, signal: Any, price: str, after: bool
) -> None:
    """Whether or not the COMMIT came through before the connection was cut."""
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("a file can't be cut off")
    customer = shop.customer()
    shop.cart(customer, {shop.product(price): 1})
    url = shop.order(customer)["url"]
    received = []

    def receive(_app: object, order: Any) -> None:
        received.append(order.id)

    with connection_cut_at_commit(shop, after=after), signal.connected_to(receive):
        assert shop.send(customer, f"{url}{call}/").status_code in (200, 303)
    assert received == [shop.rows("orders")[0]["id"]]
    assert len(shop.rows("order_events")) == 1


def test_a_lock_held_for_long_is_503_and_changes_nothing(shop: Shop, customer: int) -> None:
    before = shop.everything()
    settings = lock_settings(shop)
    with shop.session() as others:
        others.execute(sa.update(shop.models.Cart).values(customer_id=customer))
        started = datetime.now(UTC)
        answer = shop.post(customer, SAVE)
        waited = (datetime.now(UTC) - started).total_seconds()

    assert (answer.status_code, body(answer)["code"]) == (503, "try_again")
    assert answer.headers["Retry-After"] == "1"
    assert 5 <= waited < 20
    assert shop.everything() == before
    assert lock_settings(shop) == settings


def lock_settings(shop: Shop) -> object:
    """What the shop's own transactions wait, on each connection of its pool."""
    query = {
        "sqlite": "PRAGMA busy_timeout",
        "postgresql": "SHOW lock_timeout",
        "mysql": "SELECT @@innodb_lock_wait_timeout",
    }[shop.engine.dialect.name]
    with shop.engine.connect() as connection:
        return connection.execute(sa.text(query)).scalar()


def test_a_key_whose_first_request_is_still_running(shop: Shop, customer: int) -> None:
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer, and can't tell which transaction it is")
    keyed = IdempotentRequest.of(
        "abc", customer, ("POST", ORDERS.rstrip("/")), SAVE, checkout=False, extra={}
    )
    before = shop.everything()
    with shop.engine.connect() as running:
        running.execute(
            sa.insert(shop.models.IdempotencyKey).values(
                customer_id=customer,
                key=keyed.key,
                fingerprint=keyed.fingerprint,
                checkout=False,
                order_id=uuid4(),
                payable=True,
                created=datetime.now(UTC),
            )
        )
        answer = shop.post(customer, SAVE, headers={**shop.token(customer), **KEY})
        running.rollback()
    assert (answer.status_code, body(answer)["code"]) == (409, "idempotency_key_in_use")
    assert shop.everything() == before
    again = shop.post(customer, SAVE, headers={**shop.token(customer), **KEY})
    assert again.status_code == 201


def test_a_statement_timeout_of_the_shop_during_a_lock_wait(database: URL, server: str) -> None:
    limits = {
        "postgresql": {"options": "-c statement_timeout=200"},
        "mysql": {"init_command": "SET SESSION max_execution_time=200"},
        "mariadb": {"init_command": "SET SESSION max_statement_time=0.2"},
    }
    limit = limits.get(server)
    if limit is None:
        pytest.skip("SQLite has no time limit for a statement")
    shop = make_shop(database, SQLALCHEMY_ENGINE_OPTIONS={"connect_args": limit}, ORDERS_RETRIES=2)
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    with shop.session() as others:
        others.execute(sa.update(shop.models.Cart).values(customer_id=customer))
        answer = shop.post(customer, SAVE)
    assert (answer.status_code, body(answer)["code"]) == (503, "try_again")
    assert shop.post(customer, SAVE).status_code == 201
    shop.close()


def test_a_server_that_has_become_read_only(database: URL) -> None:
    """As a primary does when another one has taken its place."""
    if database.get_backend_name() != "postgresql":
        pytest.skip("read-only for one database of its server is PostgreSQL's alone")
    shop = make_shop(database)
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    before = shop.everything()
    change = f"ALTER DATABASE {database.database} SET default_transaction_read_only = on"
    with shop.engine.begin() as connection:
        connection.execute(sa.text(change))
    shop.engine.dispose()

    answer = shop.post(customer, SAVE)

    assert (answer.status_code, body(answer)["code"]) == (503, "try_again")
    assert shop.everything() == before
    shop.close()
