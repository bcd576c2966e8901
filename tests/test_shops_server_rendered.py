"""A shop of HTML forms without carts: a view of its own of ten lines, by `current_orders.place`."""

import re
import struct
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from functools import partial

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL
from werkzeug.test import TestResponse

from flask_orders.testing import Ledger, run_concurrently

from . import hosts
from .hosts.drivers import Buyer, running
from .hosts.driving._browsers import submit, token_in
from .hosts.driving.server_rendered import ServerRendered
from .support.database import nothing_changed
from .support.requests import ORDERS, SAVE
from .support.responses import body

FORM = {
    "street_address": "123 Main St",
    "postal_code": "12345",
    "city": "Anytown",
    "state": "CA",
    "country": "Canada",
}


@pytest.fixture(scope="module")
def module_host(server_url: URL) -> Iterator[ServerRendered]:
    with running("server_rendered", server_url) as host:
        assert isinstance(host, ServerRendered)
        yield host


def key_in(page: str) -> str:
    found = re.search(r'name="key" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def form_of(host: ServerRendered, buyer: Buyer, **fields: str) -> dict[str, str]:
    """Fill in the order form, as the customer's browser shows it."""
    page = host.browser(buyer).get("/checkout").text
    return {"key": key_in(page), "csrf_token": token_in(page), **FORM, **fields}


def click(host: ServerRendered, buyer: Buyer, form: dict[str, str]) -> TestResponse:
    return host.browser(buyer).post("/checkout", data=form)


def with_picks(host: ServerRendered, price: str = "10.00") -> Buyer:
    """A customer who has picked three units of a poster."""
    buyer = host.customer()
    host.put(buyer, host.product(price), 3)
    return buyer


def test_its_view_is_ten_lines() -> None:
    assert hosts.added_lines("server_rendered", within=("buy",)) <= 10
    assert hosts.added_lines("server_rendered") <= 20


def test_nothing_is_left_for_check_to_say(host: ServerRendered) -> None:
    assert host.problems() == []


def test_the_form_makes_an_order_and_leads_to_the_payment(host: ServerRendered) -> None:
    """Three rows of one unit each are one item."""
    buyer, other = with_picks(host, "19.99"), with_picks(host)

    answer = click(host, buyer, form_of(host, buyer, country="canada", state=""))

    (order,) = host.rows("orders")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/pay/{order['id']}")
    assert (order["customer_id"], order["total_amount"]) == (buyer.key, Decimal("59.97"))
    assert (order["billing_country"], order["billing_state"]) == ("CA", "")
    (item,) = host.rows("order_items")
    assert (item["quantity"], item["unit_price"], item["sku"]) == (3, Decimal("19.99"), None)
    assert {row["user_id"] for row in host.rows("pick")} == {other.key}
    assert body(host.browser(buyer).get(answer.headers["Location"]))["order"] == str(order["id"])


def test_errors_are_shown_beside_their_fields(host: ServerRendered) -> None:
    buyer = with_picks(host)
    form = form_of(host, buyer, country="CA", city=" ", street_address="9 <High> St")
    with nothing_changed(host):
        answer = click(host, buyer, form)
    assert answer.status_code == 400
    labels = re.findall(r"<label>(\w+) <input[^>]*></label>(.*?)(?=<label>|<button>)", answer.text)
    errors = {name: re.findall("<em>(.*?)</em>", rest) for name, rest in labels}
    assert [name for name, found in errors.items() if found] == ["city", "country"]
    assert errors["country"] == ["Give the country&#39;s full name. Did you mean &#39;Canada&#39;?"]
    # What was typed is still there, and so is the key.
    assert 'value="9 &lt;High&gt; St"' in answer.text
    assert key_in(answer.text) == form["key"]
    again = {**form, **FORM, "csrf_token": token_in(answer.text)}
    assert click(host, buyer, again).status_code == 303


def test_a_refusal_is_shown_and_the_same_form_may_be_sent_again(host: ServerRendered) -> None:
    buyer, poster = host.customer(), host.product()
    host.put(buyer, poster)
    form = form_of(host, buyer)
    host.withdraw(poster)
    with nothing_changed(host):
        answer = click(host, buyer, form)
        assert (answer.status_code, key_in(answer.text)) == (409, form["key"])
        assert "Nothing was ordered." in answer.text
    host.update("poster", poster, active=True)
    assert click(host, buyer, form).status_code == 303
    with nothing_changed(host):
        empty = click(host, buyer, form_of(host, buyer))
        assert (empty.status_code, "empty" in empty.text) == (400, True)


def test_the_key_in_the_form_makes_the_button_safe(host: ServerRendered) -> None:
    """The next picks are not ordered by a form that was sent before, however late it comes."""
    buyer = with_picks(host)
    form = form_of(host, buyer)
    first = click(host, buyer, form)
    host.put(buyer, host.product("5.00"))
    with nothing_changed(host):
        again = click(host, buyer, form)
        assert again.headers["Location"] == first.headers["Location"]
        # Back, another address, and the button once more.
        assert click(host, buyer, {**form, "city": "Elsewhere"}).status_code == 422
    assert click(host, buyer, form_of(host, buyer)).status_code == 303
    assert [row["total_amount"] for row in host.rows("orders")] == [Decimal(30), Decimal(5)]


@pytest.mark.parametrize("keys", ["one form", "six forms"])
def test_six_simultaneous_clicks_are_one_order(host: ServerRendered, keys: str) -> None:
    buyer = with_picks(host)
    forms = [form_of(host, buyer) for _ in range(6)]
    if keys == "one form":
        forms = forms[:1] * 6
    answers = run_concurrently(*(partial(click, host, buyer, form) for form in forms))
    (order,) = host.rows("orders")
    made = [answer for answer in answers if answer.status_code == 303]
    assert {answer.headers["Location"] for answer in made} == {f"/pay/{order['id']}"}
    assert {answer.status_code for answer in answers} <= {303, 400, 409}
    if keys == "one form":
        assert len(made) == 6
    assert host.rows("pick") == []


def test_eight_simultaneous_customers_have_eight_orders(host: ServerRendered) -> None:
    """Whatever the request's session has read before: here, every table."""
    db = host.module.db

    def read_everything() -> None:
        for mapper in db.Model.registry.mappers:
            db.session.scalars(sa.select(mapper.class_)).all()

    functions = host.app.before_request_funcs.setdefault(None, [])
    functions.append(read_everything)
    try:
        ledger = Ledger(host.app)
        poster = host.product("12.50")
        buyers = [host.customer() for _ in range(8)]
        for buyer in buyers:
            host.put(buyer, poster, 2)
            ledger.put(poster, 2)
        forms = [form_of(host, buyer) for buyer in buyers]
        answers = run_concurrently(
            *(partial(click, host, *each) for each in zip(buyers, forms, strict=True))
        )
    finally:
        functions.remove(read_everything)
    assert Counter(answer.status_code for answer in answers) == {303: 8}
    assert {row["customer_id"] for row in host.rows("orders")} == {one.key for one in buyers}
    assert [row["total_amount"] for row in host.rows("orders")] == [Decimal(25)] * 8
    assert ledger.problems() == []


def test_another_site_s_form_and_another_type_are_refused(host: ServerRendered) -> None:
    buyer = with_picks(host)
    form = form_of(host, buyer)
    browser = host.browser(buyer)
    token = {"X-CSRFToken": form["csrf_token"]}
    with nothing_changed(host):
        assert click(host, buyer, {**form, "csrf_token": ""}).status_code == 400
        assert browser.post(ORDERS, json=SAVE).status_code == 400
        assert browser.post(ORDERS, data=form, headers=token).status_code == 415
        assert host.app.test_client().post("/checkout", data=form).status_code == 400
    assert browser.post(ORDERS, json=SAVE, headers=token).status_code == 201


def as_float32(number: float) -> float:
    found: float = struct.unpack("f", struct.pack("f", number))[0]
    return found


@pytest.mark.parametrize(
    ("price", "unit_price"),
    [
        (19.99, "19.99"),
        (0.1 + 0.2, "0.30"),
        (1.1 * 3, "3.30"),
        (sum([0.1] * 10), "1.00"),
        (as_float32(19.99), "19.99"),
        (as_float32(0.07), "0.07"),
        (9999.95, "9999.95"),
        (1.005, None),
        (0.0057, None),
        (19.994, None),
        (-1.0, None),
    ],
)
def test_a_float_is_the_price_that_it_means_or_none(
    host: ServerRendered, price: float, unit_price: str | None
) -> None:
    buyer = host.customer()
    poster = host.insert("poster", name="Lighthouse", price=price, active=True)
    host.put(buyer, poster, 3)
    form = form_of(host, buyer)
    if unit_price is None:
        with nothing_changed(host):
            assert click(host, buyer, form).status_code == 409
            refused = body(host.order(buyer))
            assert [item["reason"] for item in refused["items"]] == ["no_price"]
        return
    assert click(host, buyer, form).status_code == 303
    (item,) = host.rows("order_items")
    assert item["unit_price"] == Decimal(unit_price)
    assert item["total_price"] == 3 * Decimal(unit_price)


def test_the_shop_prints_its_form_as_before(host: ServerRendered) -> None:
    buyer = with_picks(host)
    with nothing_changed(host):
        browser = host.browser(buyer)
        page = submit(browser, "/checkout/print", {**FORM, "city": ""}, page="/checkout")
        assert "Please fill this in." in page.text
