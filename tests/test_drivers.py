"""psycopg2, the driver of `postgresql://` in SQLAlchemy 2.0: its errors have other attributes."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL

from flask_orders.testing import Ledger, run_concurrently

from .support.responses import body
from .support.shops import Shop, make_shop

OPTIONS: dict[str, Any] = {"hide_parameters": True, "pool_size": 10}


@pytest.fixture
def shop(database: URL) -> Iterator[Shop]:
    if database.get_backend_name() != "postgresql":
        pytest.skip("psycopg2 is a driver of PostgreSQL only")
    url = database.set(drivername="postgresql+psycopg2")
    shop = make_shop(url, SQLALCHEMY_ENGINE_OPTIONS=OPTIONS, ORDERS_RETRIES=4)
    yield shop
    shop.close()


@pytest.fixture
def customer(shop: Shop) -> int:
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    return customer


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
    """The driver's message has the whole row, with the customer's address."""
    with shop.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE orders ADD CHECK (items_count > 1)")
    assert shop.post(customer).status_code == 500
    assert "A CHECK constraint (orders_items_count_check) on your table 'orders'" in caplog.text
    assert "Main St" not in caplog.text
