"""What a shop has set for its sessions is as it was after an order, however the order ended."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.pool.base import ResetStyle

from flask_orders.testing import fault

from .support.requests import CHECKOUT
from .support.shops import Shop, make_shop

# Of the shop: what it sets on each new connection, what it asks, and what it hears.
SECONDS = 7
SETTINGS: dict[str, tuple[str, str, tuple[Any, ...]]] = {
    "sqlite": (f"PRAGMA busy_timeout = {SECONDS}000", "PRAGMA busy_timeout", (SECONDS * 1000,)),
    "postgresql": (
        f"SET lock_timeout = '{SECONDS}s'",
        "SELECT current_setting('lock_timeout'), current_setting('transaction_isolation')",
        (f"{SECONDS}s", "read committed"),
    ),
    "mysql": (
        f"SET SESSION innodb_lock_wait_timeout = {SECONDS}",
        "SELECT @@innodb_lock_wait_timeout, @@SESSION.transaction_isolation",
        (SECONDS, "REPEATABLE-READ"),
    ),
    "mariadb": (
        f"SET SESSION innodb_lock_wait_timeout = {SECONDS}",
        "SELECT @@innodb_lock_wait_timeout, @@SESSION.tx_isolation",
        (SECONDS, "REPEATABLE-READ"),
    ),
}


@pytest.fixture(params=["rollback", None], ids=["pool that resets", "pool that does not"])
def shop(database: URL, server: str, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """A shop with one connection, which it has set up itself."""
    options = {"pool_size": 1, "max_overflow": 0, "pool_reset_on_return": request.param}
    shop = make_shop(database, create_tables=False, SQLALCHEMY_ENGINE_OPTIONS=options)

    def set_up(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(SETTINGS[server][0])
        cursor.close()
        if server == "postgresql":
            connection.commit()

    event.listen(shop.engine, "connect", set_up)
    with shop.app.app_context():
        shop.db.create_all()
    yield shop
    shop.close()


def settings(shop: Shop, server: str) -> tuple[Any, ...]:
    with shop.engine.connect() as connection:
        return tuple(connection.execute(sa.text(SETTINGS[server][1])).one())


def test_after_an_order_and_after_a_refusal(shop: Shop, server: str) -> None:
    expected = SETTINGS[server][2]
    customer = shop.customer()
    shop.cart(customer, {shop.product(stock=1): 1})
    assert settings(shop, server) == expected
    assert shop.post(customer, CHECKOUT).status_code == 303
    assert settings(shop, server) == expected
    assert shop.post(customer, CHECKOUT).status_code == 400
    assert settings(shop, server) == expected


@pytest.mark.parametrize("cut", [False, True], ids=["error", "lost connection"])
def test_after_a_fault_at_any_statement(shop: Shop, server: str, cut: bool) -> None:
    """Also at the statements that set the wait and put it back."""
    if cut and server == "sqlite":
        pytest.skip("a file can't be cut off")
    expected = SETTINGS[server][2]
    shop.app.config["PROPAGATE_EXCEPTIONS"] = False
    at, reached = 0, True
    while reached:
        at += 1
        customer = shop.customer()
        shop.cart(customer, {shop.product(stock=1): 1})
        with fault(shop.engine, at, cut=cut) as sent:
            shop.post(customer, CHECKOUT)
        reached = len(sent) >= at
        if sent[-1] == "COMMIT" and shop.engine.pool._reset_on_return is ResetStyle.reset_none:
            # The transaction is still open in such a pool, which `flask orders check` refuses.
            shop.engine.dispose()
        assert settings(shop, server) == expected, sent[-1]
    assert at > 10
