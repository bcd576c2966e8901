"""Orders by the drivers with which the rest of the suite is not run, and by a user with a password.

What their errors look like is in `test_driver_errors.py`.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL

from flask_orders.testing import Ledger, run_concurrently

from .support import servers
from .support.checks import check
from .support.drivers import DRIVERS, RARER
from .support.requests import CHECKOUT
from .support.responses import body
from .support.shops import Shop, make_shop

pytestmark = pytest.mark.server

OPTIONS: dict[str, Any] = {"hide_parameters": True, "pool_size": 10}


@pytest.fixture(scope="module", params=RARER)
def url(request: pytest.FixtureRequest) -> Iterator[URL]:
    with ExitStack() as stack:
        server = stack.enter_context(servers.required(DRIVERS[request.param].url()))
        yield stack.enter_context(servers.fresh_database(server))


@pytest.fixture(scope="module")
def module_shop(url: URL) -> Iterator[Shop]:
    shop = make_shop(url, SQLALCHEMY_ENGINE_OPTIONS=OPTIONS, ORDERS_RETRIES=4)
    yield shop
    shop.close()


@pytest.fixture
def shop(module_shop: Shop) -> Shop:
    module_shop.clear()
    return module_shop


@pytest.fixture
def customer(shop: Shop) -> int:
    customer = shop.customer()
    shop.cart(customer, {shop.product(stock=3): 2}, shop.voucher("TEN", "10%"))
    return customer


def test_an_order_from_the_request_to_the_list(shop: Shop, customer: int) -> None:
    placed = shop.post(customer, CHECKOUT)
    assert placed.status_code == 303
    (order,) = body(shop.get(customer, "/api/v1/i/orders/"))["results"]
    assert order["url"] == placed.headers["Location"].replace("/pay/", "/api/v1/i/orders/")
    assert (order["total_amount"], order["amount_saved"]) == ("18.00", "2.00")
    assert shop.rows("products")[0]["stock"] == 1


def test_check_finds_nothing(shop: Shop) -> None:
    assert check(shop.app) == (0, "Everything is set up.\n")


def test_the_same_key_concurrently(shop: Shop, customer: int) -> None:
    ledger = Ledger(shop.app)
    headers = {**shop.token(customer), "Idempotency-Key": "abc"}
    answers = run_concurrently(*[lambda: shop.post(customer, headers=headers)] * 8)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert ledger.problems() == []


def test_a_held_lock_returns_503(shop: Shop, customer: int) -> None:
    with shop.session() as others:
        others.execute(sa.update(shop.models.Cart).values(customer_id=customer))
        answer = shop.post(customer)
    assert (answer.status_code, body(answer)["code"]) == (503, "try_again")


def test_an_unavailable_database_returns_503(shop: Shop, customer: int) -> None:
    def misdirect(dialect: Any, _record: Any, args: list[Any], options: dict[str, Any]) -> Any:
        return dialect.connect(*args, **{**options, "host": "127.0.0.1", "port": 1})

    shop.engine.dispose()
    event.listen(shop.engine, "do_connect", misdirect)
    answer = shop.post(customer)
    event.remove(shop.engine, "do_connect", misdirect)
    assert (answer.status_code, body(answer)["code"]) == (503, "try_again")


def test_a_constraint_of_the_shop(
    shop: Shop, customer: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The driver's message may have the whole row, with the customer's address."""
    with shop.engine.begin() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE orders ADD CONSTRAINT many_units CHECK (items_count > 2)"
        )
    answer = shop.post(customer)
    with shop.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE orders DROP CONSTRAINT many_units")
    assert answer.status_code == 500
    assert "A CHECK constraint (many_units) on your table 'orders'" in caplog.text
    assert "Main St" not in caplog.text


def test_pymysql_logs_in_by_password_where_nothing_is_encrypted() -> None:
    """MySQL's default way to do so needs RSA there, which the extra `mysql` installs."""
    with servers.required(DRIVERS["pymysql-mysql"].url()) as server:
        admin = sa.create_engine(server)
        user = f"shop_{os.getpid()}"
        with admin.begin() as connection:
            connection.exec_driver_sql(f"CREATE USER {user} IDENTIFIED BY 'secret'")
        url = server.set(username=user, password="secret")
        shop = sa.create_engine(url, connect_args={"ssl_disabled": True})
        try:
            with shop.connect() as connection:
                cipher = connection.exec_driver_sql("SHOW STATUS LIKE 'Ssl_cipher'").one()
        finally:
            with admin.begin() as connection:
                connection.exec_driver_sql(f"DROP USER {user}")
        assert cipher == ("Ssl_cipher", "")
