"""Behind PgBouncer in transaction mode: the races, and what one client leaves to the next."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import literal, select, text

from flask_orders.testing import run_concurrently

from .support import scenarios, servers
from .support.effort import rounds
from .support.pgbouncer import POOL, pgbouncer
from .support.responses import body
from .support.shops import Shop, make_shop

pytestmark = pytest.mark.server

ROUNDS = 5

# What a shop sets: a statement that psycopg has prepared is known to one connection of the server
# only, and the next transaction may be on another.
ENGINE_OPTIONS: dict[str, Any] = {"connect_args": {"prepare_threshold": None}}


@pytest.fixture(scope="module")
def bounced() -> Iterator[Shop]:
    with ExitStack() as stack:
        server = stack.enter_context(servers.required(servers.server("postgresql")))
        bouncer = stack.enter_context(servers.required(pgbouncer(server)))
        database = stack.enter_context(servers.fresh_database(server)).database
        made = make_shop(bouncer.set(database=database), SQLALCHEMY_ENGINE_OPTIONS=ENGINE_OPTIONS)
        stack.callback(made.close)
        yield made


@pytest.fixture
def shop(bounced: Shop) -> Shop:
    """Instead of the shop on each database."""
    bounced.clear()
    return bounced


@rounds(ROUNDS)
def test_one_cart_becomes_one_order(shop: Shop, round_: int) -> None:
    scenarios.one_cart_becomes_one_order(shop)


@rounds(ROUNDS)
def test_a_voucher_of_limit_two_is_used_twice(shop: Shop, round_: int) -> None:
    scenarios.a_voucher_of_limit_two_is_used_twice(shop)


def test_more_customers_than_connections_get_their_orders(shop: Shop) -> None:
    product = shop.product(stock=1000)
    customers = [shop.customer() for _ in range(2 * POOL)]
    for customer in customers:
        shop.cart(customer, {product: 1})

    def order_and_fill_again(customer: int) -> None:
        for _ in range(8):
            assert shop.post(customer).status_code == 201
            shop.fill(customer, {product: 1})

    run_concurrently(*[lambda c=c: order_and_fill_again(c) for c in customers])

    assert len(shop.rows("orders")) == 8 * len(customers)


def test_no_prepared_statement_is_left_on_a_server_connection(shop: Shop) -> None:
    """psycopg prepares what it has sent five times, under names that other clients use too."""
    with shop.engine.connect() as connection:
        for number in range(10):
            connection.execute(select(literal(number)))
        prepared = text("SELECT count(*) FROM pg_prepared_statements")
        assert connection.execute(prepared).scalar_one() == 0


def test_the_bound_on_lock_waits_ends_with_its_transaction(shop: Shop) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product(stock=1): 1})
    assert shop.post(customer).status_code == 201
    refused = shop.post(customer)
    assert body(refused)["code"] == "empty_cart"

    # Transactions that are open simultaneously: every connection of the server.
    with ExitStack() as stack:
        connections = [stack.enter_context(shop.engine.connect()) for _ in range(POOL)]
        bounds = [one.exec_driver_sql("SHOW lock_timeout").scalar_one() for one in connections]
        servers_seen = {
            one.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() for one in connections
        }

    assert bounds == ["0"] * POOL
    assert len(servers_seen) == POOL
