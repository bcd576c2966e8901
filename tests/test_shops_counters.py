"""A shop whose carts have counters, and whose customers collect points: `order_placing`."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.engine import URL

from flask_orders.testing import Ledger, run_concurrently

from . import hosts
from .hosts.drivers import Buyer, running
from .hosts.driving.counters import Counters
from .support.database import nothing_changed
from .support.effort import rounds
from .support.requests import PREVIEW
from .support.responses import outcomes, refused

THREADS = 6

# The shop's cart, as it is and with a version.
LINE = 'items: Mapped[list["CartItem"]] = relationship(back_populates="cart")\n'
VERSIONED = f"""{LINE}
    version: Mapped[int] = mapped_column(default=1)
    __mapper_args__ = {{"version_id_col": version}}
"""


@pytest.fixture(scope="module", params=[{}, {LINE: VERSIONED}], ids=["plain", "versioned"])
def module_host(server_url: URL, request: pytest.FixtureRequest) -> Iterator[Any]:
    with running("counters", server_url, replacing=request.param) as host:
        yield host


def test_installing_costs_twenty_lines_and_eight_parts_at_most() -> None:
    assert hosts.added_lines("counters") <= 20
    assert hosts.parts("counters") <= 8


def test_nothing_is_wrong_with_it(host: Counters) -> None:
    host.put(host.customer(), host.product())
    assert host.problems() == []


def cart_of(host: Counters, buyer: Buyer) -> tuple[int, Decimal]:
    (cart,) = (row for row in host.rows("carts") if row["user_id"] == buyer.key)
    return cart["total_items"], cart["final_price"]


def points_of(host: Counters, buyer: Buyer) -> int:
    (points,) = (row["points"] for row in host.rows("users") if row["id"] == buyer.key)
    return int(points)


def test_the_counters_are_set_back_and_the_points_are_counted(host: Counters) -> None:
    buyer, other, product = host.customer(), host.customer(), host.product("12.50")
    for customer in (buyer, other):
        host.put(customer, product, 2)
    assert host.order(buyer).status_code == 201
    assert (cart_of(host, buyer), points_of(host, buyer)) == ((0, Decimal(0)), 25)
    assert (cart_of(host, other), points_of(host, other)) == ((2, Decimal(25)), 0)
    host.put(buyer, product)
    assert host.order(buyer).status_code == 201
    assert (cart_of(host, buyer), points_of(host, buyer)) == ((0, Decimal(0)), 37)


def test_the_shop_s_own_refusal_reaches_the_client_and_nothing_is_written(host: Counters) -> None:
    buyer = host.customer()
    host.put(buyer, host.product("2.00"), 2)
    with nothing_changed(host):
        problem = refused(host.order(buyer), 409, "minimum_not_reached")
    assert (problem["title"], problem["detail"]) == (
        "The order is too small",
        "We deliver goods for 5.00 or more.",
    )
    host.put(buyer, host.product("1.00"))
    assert host.order(buyer).status_code == 201


def test_a_preview_calls_no_receiver(host: Counters) -> None:
    buyer = host.customer()
    host.put(buyer, host.product("10.00"), 2)
    with nothing_changed(host):
        assert host.call("GET", PREVIEW, buyer)["total_amount"] == "20.00"


@rounds(3)
def test_simultaneous_clicks_count_once(host: Counters, round_: int) -> None:
    buyer = host.customer()
    host.put(buyer, host.product("10.00"), 2)
    answers = run_concurrently(*[lambda: host.order(buyer)] * THREADS)
    assert set(outcomes(answers)) <= {201, "empty_cart"}
    assert (cart_of(host, buyer), points_of(host, buyer)) == ((0, Decimal(0)), 20)


@rounds(3)
def test_the_stock_sells_out_and_only_buyers_get_points(host: Counters, round_: int) -> None:
    product = host.product("10.00", stock=3)
    buyers = [host.customer() for _ in range(THREADS)]
    for buyer in buyers:
        host.put(buyer, product)
    ledger = Ledger(host.app)
    answers = run_concurrently(*[lambda b=buyer: host.order(b) for buyer in buyers])
    assert outcomes(answers) == {201: 3, "item_unavailable": THREADS - 3}
    bought = [10 if answer.status_code == 201 else 0 for answer in answers]
    assert [points_of(host, buyer) for buyer in buyers] == bought
    assert ledger.problems() == []
