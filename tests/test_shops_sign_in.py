"""Shops that sign their customers in by themselves: a token, a gateway, logins in another table."""

from collections.abc import Iterator
from typing import Any

import pytest
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy.engine import URL

from flask_orders.testing import run_concurrently

from . import hosts
from .hosts.drivers import Buyer, Driver, running
from .hosts.driving.two_tables import TwoTables
from .support.database import nothing_changed
from .support.hosts import only
from .support.requests import CALLS, SAVE
from .support.responses import body, outcomes, refused

# The shop, the most lines that it may add.
NAMES = {"bare_table": 25, "gateway": 25, "two_tables": 20}


@pytest.fixture(scope="module", params=NAMES)
def module_host(request: pytest.FixtureRequest, server_url: URL) -> Iterator[Driver]:
    with running(request.param, server_url) as host:
        yield host


def assert_nobody(host: Driver, buyer: Buyer) -> None:
    """Every call answers that nobody is signed in, and nothing changes."""
    with nothing_changed(host):
        for method, url in CALLS:
            refused(host.request(method, url, buyer, SAVE), 401, "unauthorized")


@pytest.mark.parametrize("name", NAMES)
def test_installing_costs_few_lines(name: str) -> None:
    assert hosts.added_lines(name) <= NAMES[name]


def test_nothing_is_left_for_check_to_say(host: Driver) -> None:
    assert host.problems() == []


def test_a_visitor_is_nobody(host: Driver) -> None:
    buyer = host.customer()
    host.put(buyer, host.product())
    assert_nobody(host, Buyer(None, {}))
    assert host.order(buyer).status_code == 201


@only("bare_table")
def test_a_token_that_is_no_token_of_the_shop_s_is_nobody(host: Driver) -> None:
    buyer = host.customer()
    host.put(buyer, host.product())
    token = buyer.headers["Authorization"].removeprefix("Bearer ")
    serializer = URLSafeTimedSerializer(host.app.config["SECRET_KEY"], salt="another purpose")
    for header in (
        f"Bearer {token}x",
        f"Basic {token}",
        token,
        "Bearer",
        f"Bearer {serializer.dumps({'id': buyer.key})}",
    ):
        assert_nobody(host, Buyer(None, {"Authorization": header}))
    host.change(host.tables["basket_seed"].delete())
    host.change(host.tables["basket"].delete())
    host.change(host.tables["gardener"].delete())
    assert_nobody(host, buyer)


@only("gateway")
def test_the_gateway_s_key_is_the_customer(host: Driver) -> None:
    """There is no class of customers: two spellings are two customers."""
    buyer, other = (
        host.customer(),
        Buyer("x", {"X-Customer": "acct_\u00e9".encode().decode("latin1")}),
    )
    wine = host.product()
    for one in (buyer, other):
        host.put(one, wine)
    assert host.order(buyer).status_code == 201
    (order,) = host.rows("orders")
    assert order["customer_id"] == buyer.key
    assert body(host.order(Buyer("", {"X-Customer": buyer.key.upper()})))["code"] == "empty_cart"
    assert_nobody(host, Buyer("", {"X-Customer": ""}))
    assert host.order(other).status_code == 201


@only("two_tables")
def test_the_company_orders_and_not_the_login(host: Driver) -> None:
    """The login's key is that of another company, which has a basket too."""
    assert isinstance(host, TwoTables)
    buyer, tool = host.customer(), host.product()
    (login,) = [row["id"] for row in host.rows("logins") if row["company_id"] == buyer.key]
    host.insert("companies", id=login, name="Another company")
    basket = host.insert("baskets", company_id=login)
    host.insert("lines", basket_id=basket, tool_id=tool, quantity=1)
    host.put(buyer, tool, 2)
    assert_nobody(host, host.login(company=None))
    assert host.order(buyer).status_code == 201
    assert [row["customer_id"] for row in host.rows("orders")] == [buyer.key]
    assert [row["basket_id"] for row in host.rows("lines")] == [basket]


@only("two_tables")
def test_two_people_of_one_company_share_its_basket_and_its_orders(host: Driver) -> None:
    assert isinstance(host, TwoTables)
    first, second = host.customer(), host.login(company=None)
    (login,) = [row["id"] for row in host.rows("logins") if row["company_id"] is None][-1:]
    host.update("logins", login, company_id=first.key)
    host.put(first, host.product(), 2)

    answers = run_concurrently(*[lambda b=buyer: host.order(b) for buyer in (first, second) * 3])

    assert set(outcomes(answers)) <= {201, "empty_cart"}
    (order,) = host.rows("orders")
    assert order["customer_id"] == first.key
    for buyer in (first, second):
        found: Any = host.call("GET", "/api/v1/i/orders/", buyer)
        assert [one["id"] for one in found["results"]] == [str(order["id"])]
