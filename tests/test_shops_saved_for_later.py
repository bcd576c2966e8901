"""A shop without carts, whose customers save some of their items for later.

What is saved for later is neither read nor locked by an order, and stays where it is.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

from flask_orders.signals import order_placing
from flask_orders.testing import run_concurrently

from . import hosts
from .hosts.drivers import Buyer, running
from .hosts.driving.saved_for_later import SavedForLater
from .support.database import nothing_changed
from .support.effort import rounds
from .support.requests import PREVIEW
from .support.responses import outcomes, refused

ROUNDS = 3
THREADS = 6


@pytest.fixture(scope="module")
def module_host(server_url: URL) -> Iterator[Any]:
    with running("saved_for_later", server_url) as host:
        yield host


def test_installing_costs_twenty_lines_and_eight_parts_at_most() -> None:
    assert hosts.added_lines("saved_for_later") <= 20
    assert hosts.parts("saved_for_later") <= 8


def saved(host: SavedForLater, buyer: Buyer, product: int) -> None:
    """Put two units of the product into the cart, and save them for later."""
    host.put(buyer, product, 2)
    host.save(buyer, product)


def test_what_is_saved_for_later_stays(host: SavedForLater) -> None:
    buyer, later, now = host.customer(), host.product("10.00"), host.product("20.00")
    saved(host, buyer, later)
    kept = host.rows("wanted")
    host.put(buyer, now, 3)
    assert host.call("GET", PREVIEW, buyer)["total_amount"] == "60.00"
    assert host.order(buyer).status_code == 201
    assert host.rows("wanted") == kept
    (item,) = host.rows("order_items")
    assert (item["product_id"], item["quantity"]) == (now, 3)
    assert host.stock() == [10, 7]


def test_a_product_that_is_gone_may_be_saved_for_later(host: SavedForLater) -> None:
    """It keeps nobody from buying the rest, and no other customer from having the last one."""
    buyer, other, rare, now = (
        host.customer(),
        host.customer(),
        host.product(stock=2),
        host.product(),
    )
    saved(host, buyer, rare)
    host.put(other, rare, 2)
    assert host.order(other).status_code == 201
    host.put(buyer, now)
    assert host.order(buyer).status_code == 201


def test_a_customer_who_has_saved_everything_has_no_cart(host: SavedForLater) -> None:
    buyer = host.customer()
    saved(host, buyer, host.product())
    with nothing_changed(host):
        refused(host.order(buyer), 400, "empty_cart")


@rounds(ROUNDS)
def test_what_is_saved_meanwhile_is_ordered_or_saved(host: SavedForLater, round_: int) -> None:
    """By one UPDATE of the shop's own, which takes no other lock."""
    product, buyers = host.product(), [host.customer() for _ in range(THREADS)]
    for buyer in buyers:
        host.put(buyer, product)
    saving = host.tables["wanted"].update().values(saved_for_later=True)

    results: list[Any] = run_concurrently(
        lambda: host.change(saving), *[lambda b=buyer: host.order(b) for buyer in buyers]
    )

    found = outcomes(results[1:])
    assert set(found) <= {201, "empty_cart"}
    assert len(host.rows("orders")) == found[201]
    assert [row["saved_for_later"] for row in host.rows("wanted")] == [True] * found["empty_cart"]
    assert host.stock() == [10 - found[201]]


@rounds(ROUNDS)
def test_six_clicks_are_one_order(host: SavedForLater, round_: int) -> None:
    buyer, product = host.customer(), host.product()
    saved(host, buyer, product)
    kept = host.rows("wanted")
    host.put(buyer, product)
    answers = run_concurrently(*[lambda: host.order(buyer)] * THREADS)
    assert set(outcomes(answers)) <= {201, "empty_cart"}
    assert len(host.rows("orders")) == 1
    assert host.rows("wanted") == kept


def test_an_order_locks_nothing_that_is_saved(host: SavedForLater) -> None:
    if host.engine.dialect.name != "postgresql":
        pytest.skip("SQLite locks the database, MariaDB what the index of the customer finds")
    buyer, product = host.customer(), host.product()
    saved(host, buyer, product)
    (row,) = host.rows("wanted")
    table = host.tables["wanted"]
    locking = sa.select(table.c.id).where(table.c.id == row["id"]).with_for_update(nowait=True)
    host.put(buyer, product)

    def lock(_app: Any, **_given: Any) -> None:
        """Under the locks of the order."""
        with host.engine.begin() as connection:
            assert connection.execute(locking).all()

    with order_placing.connected_to(lock, host.app):
        assert host.order(buyer).status_code == 201
    with host.engine.begin() as connection:
        assert connection.execute(locking).all()
        host.put(buyer, product)
        assert host.order(buyer).status_code == 201


def test_check_has_no_complaints(host: SavedForLater) -> None:
    assert host.problems() == []
