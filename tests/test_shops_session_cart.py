"""A shop whose basket is in the session: one cookie is one order, however often it is sent."""

from collections.abc import Iterator
from decimal import Decimal
from functools import partial

import pytest
from sqlalchemy.engine import URL

from flask_orders.testing import run_concurrently

from . import hosts
from .hosts.drivers import Buyer, running
from .hosts.driving.session_cart import SessionCart
from .support.database import nothing_changed
from .support.requests import ADDRESS
from .support.responses import body, order_id, outcomes


@pytest.fixture(scope="module")
def module_host(server_url: URL) -> Iterator[SessionCart]:
    with running("session_cart", server_url) as host:
        assert isinstance(host, SessionCart)
        yield host


def copied(buyer: Buyer) -> Buyer:
    """The customer with the cookies of now, as in a tab whose request is under way."""
    return Buyer(buyer.key, buyer.headers, dict(buyer.cookies))


def test_it_costs_twenty_lines() -> None:
    assert hosts.added_lines("session_cart") <= 20


def test_nothing_is_left_for_check_to_say(host: SessionCart) -> None:
    assert host.problems() == []


def test_two_clicks_with_one_cookie_are_one_order(host: SessionCart) -> None:
    """One after the other: the second has the cookie of before the first one's answer."""
    buyer, tea = host.customer(), host.product("4.50")
    host.put(buyer, tea, 2)
    before = copied(buyer)
    first, again = host.order(buyer), host.order(copied(before))
    assert (first.status_code, again.status_code) == (201, 201)
    assert order_id(first) == order_id(again)
    (order,) = host.rows("orders")
    assert (order["total_amount"], host.stock()) == (Decimal(9), [8])
    # A click with the cookie of the answer finds an empty basket.
    with nothing_changed(host):
        assert body(host.order(buyer))["code"] == "empty_cart"


def test_six_simultaneous_clicks_with_one_cookie_are_one_order(host: SessionCart) -> None:
    for left in (8, 6, 4):
        buyer = host.customer()
        tea = host.product(stock=10) if left == 8 else host.rows("teas")[0]["id"]
        host.put(buyer, tea, 2)
        clicks = [copied(buyer) for _ in range(6)]
        answers = run_concurrently(*(partial(host.order, each) for each in clicks))
        assert set(outcomes(answers)) <= {201, "idempotency_key_in_use"}
        assert len({order_id(one) for one in answers if one.status_code == 201}) == 1
        assert host.stock() == [left]
    assert len(host.rows("orders")) == 3


def test_after_a_refusal_the_same_basket_may_be_ordered(host: SessionCart) -> None:
    buyer, tea = host.customer(), host.product(stock=1)
    host.put(buyer, tea, 2)
    with nothing_changed(host):
        (item,) = body(host.order(buyer))["items"]
        assert (item["reason"], item["available"]) == ("out_of_stock", 1)
    host.update("teas", tea, tins=5)
    assert host.order(buyer).status_code == 201
    assert host.stock() == [3]


def test_a_tab_of_before_the_order_does_not_order_another_basket(host: SessionCart) -> None:
    """It would be a second basket with the first one's key."""
    buyer, tea, other = host.customer(), host.product(), host.product()
    host.put(buyer, tea)
    tab = copied(buyer)
    assert host.order(buyer).status_code == 201
    host.put(tab, other)
    with nothing_changed(host):
        assert body(host.order(tab))["code"] == "idempotency_key_reused"
    # A new basket has a key of its own.
    host.put(buyer, other)
    assert host.session(buyer)["basket_id"] != host.session(tab)["basket_id"]
    assert host.order(buyer).status_code == 201


def test_a_key_belongs_to_its_customer(host: SessionCart) -> None:
    """On a shared computer, the next member orders the same basket for themselves."""
    buyer, other, tea = host.customer(), host.customer(), host.product()
    host.put(buyer, tea)
    key = host.session(buyer)["basket_id"]
    host.change_session(other, basket={str(tea): 1}, basket_id=key)
    assert [host.order(one).status_code for one in (buyer, other)] == [201, 201]
    assert [row["customer_id"] for row in host.rows("orders")] == [buyer.key, other.key]


def test_a_visitor_s_basket_becomes_the_member_s(host: SessionCart) -> None:
    """The basket is filled first, and the visitor signs in to order it."""
    tea, browser = host.product(), host.app.test_client()
    assert browser.post(f"/basket/{tea}", json={"tins": 1}).status_code == 204
    with nothing_changed(host):
        assert browser.post("/checkout", json={"action": "save_order"}).status_code == 401
    form = {"email": "new@example.com", "password": "a pass phrase"}
    for path in ("/register", "/sign-in"):
        assert browser.post(path, json=form).status_code < 300
    fields = {"action": "checkout", "billing_address": ADDRESS}
    assert browser.post("/checkout", json=fields).status_code == 303
    assert len(host.rows("orders")) == 1


def test_what_is_no_basket_orders_nothing(host: SessionCart) -> None:
    """A cookie of an older release, or one that other code has written."""
    buyer, tea = host.customer(), host.product()
    for basket in ({"x": 1}, {str(tea): "1"}, {str(tea): 0}, {"None": 1}, {str(tea): [1]}):
        host.change_session(buyer, basket=basket, basket_id="b1")
        with nothing_changed(host):
            assert body(host.order(buyer))["code"] == "item_unavailable"
