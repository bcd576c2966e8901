"""The drawer "What just happened": what it shows, and its five tricks, without JavaScript."""

import re
from collections.abc import Iterator
from html import unescape
from uuid import uuid4

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.engine import URL
from werkzeug.test import TestResponse

from example_app.models import Order, Product, Voucher, db
from example_app.show.memory import MOST, Newest

from .support.browsing import ENTERED, Browser, notices
from .support.example import example_shop

AS_WERE = "None: the cart, the stock and the vouchers are as they were."


@pytest.fixture(scope="module")
def app(server_url: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    with example_shop(server_url, tmp_path_factory.mktemp("instance")) as app:
        yield app


@pytest.fixture
def browser(app: Flask) -> Browser:
    """A customer with an item in the cart."""
    browser = Browser(app, app.test_client(), f"{uuid4()}@example.com")
    browser.register()
    browser.add("BOOK")
    return browser


def drawer(page: str) -> str:
    return unescape(page[page.index('<aside class="drawer"') :])


def changed(page: str) -> list[tuple[str, ...]]:
    """The rows that changed: what became of them, and their table."""
    return re.findall(r"<b>(\w+)</b> (\w+)", drawer(page))


def arm(browser: Browser, trick: str) -> str:
    answer = browser.post("/show/tricks/", trick=trick)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/shop/checkout/")
    page = browser.get("/shop/checkout/")
    assert re.search(rf'value="{trick}" class="quiet" aria-pressed="true"', page)
    assert "Armed: " in page
    return page


def order(browser: Browser) -> TestResponse:
    return browser.order(**browser.checkout(), **ENTERED, action="checkout")


def test_each_request_is_shown_with_its_response_and_its_rows(browser: Browser) -> None:
    page = browser.get("/shop/cart/")
    assert "-b cookies.txt" in drawer(page)
    assert "--data-urlencode sku=BOOK" in drawer(page)
    assert "csrf_token=" not in drawer(page)
    assert "HTTP/1.1 303 SEE OTHER" in drawer(page)
    assert changed(page) == [("inserted", "cart_items")]
    browser.post("/shop/cart/voucher/", code="WELCOME10")
    assert changed(browser.get("/shop/cart/")) == [("updated", "carts")]
    order(browser)
    page = browser.get("/shop/orders/")
    assert sorted(changed(page)) == [
        ("deleted", "cart_items"),
        ("inserted", "order_addresses"),
        ("inserted", "order_items"),
        ("inserted", "orders"),
        ("inserted", "voucher_redemptions"),
        ("updated", "carts"),
        ("updated", "products"),
        ("updated", "vouchers"),
    ]
    assert re.search(r"BOOK: stock: \d+ \u2192 \d+", drawer(page))
    assert "unit_price = 17.10" in drawer(page)


def test_a_request_of_the_api_is_shown_as_json(browser: Browser) -> None:
    cookie = browser.client.get_cookie("csrf_access_token")
    assert cookie is not None
    headers = {"X-CSRF-TOKEN": cookie.value, "Idempotency-Key": "it's mine"}
    answer = browser.client.post("/api/v1/i/orders/", json={"action": "save"}, headers=headers)
    assert answer.status_code == 400
    shown = drawer(browser.get("/shop/cart/"))
    assert 'curl -X POST http://localhost/api/v1/i/orders/ \\\n  -H "Authorization: Bearer' in shown
    assert """'Idempotency-Key: it'"'"'s mine'""" in shown
    assert '"action": "save"' in shown
    assert '"code": "invalid_request"' in shown
    assert AS_WERE in shown


def test_passwords_and_other_customers_are_not_shown(browser: Browser, app: Flask) -> None:
    other = Browser(app, app.test_client(), f"{uuid4()}@example.com")
    other.register()
    page = other.get("/shop/")
    assert "a long password" not in page
    assert "curl" not in page
    assert 'class="drawer"' in app.test_client().get("/shop/").text
    assert "curl" in browser.get("/shop/")


def test_a_price_is_raised(browser: Browser, app: Flask) -> None:
    arm(browser, "price")
    before = price(app)
    answer = order(browser)
    assert answer.status_code == 409
    assert "Do you agree to the new total?" in notices(answer)[0]
    assert "The price of \u201cA small book of tea\u201d was raised by 1.00" in drawer(answer.text)
    assert price(app) == before + 1
    assert browser.orders() == []
    # It happens once: the same form with the new total is an order.
    assert order(browser).status_code == 303


def price(app: Flask) -> float:
    with app.app_context():
        found = db.session.scalars(sa.select(Product.price).where(Product.sku == "BOOK")).one()
        return float(found)


def test_the_voucher_s_last_use_is_taken(browser: Browser, app: Flask) -> None:
    page = arm(browser, "voucher")
    code = re.findall(r"Voucher (LAST-ONE-\w+)", page)[0]
    answer = order(browser)
    assert answer.status_code == 409
    assert "it has been used up" in notices(answer)[0]
    assert f"{code}: times_used: 0 \u2192 1" in drawer(answer.text)
    assert browser.orders() == []
    with app.app_context():
        voucher = db.session.scalars(sa.select(Voucher).where(Voucher.code == code)).one()
        assert voucher.times_used == 1
        users = db.session.scalars(sa.select(Order).where(Order.voucher_code == code)).all()
        assert len(users) == 1


def test_two_clicks_make_one_order(browser: Browser) -> None:
    arm(browser, "double")
    answer = order(browser)
    [made] = browser.orders()
    assert answer.headers["Location"] == f"/pay/{made.id}/"
    shown = drawer(browser.get("/shop/orders/"))
    assert f"The second response: 303 SEE OTHER /pay/{made.id}/" in shown


def test_a_failed_commit_leaves_the_cart_whole(browser: Browser) -> None:
    arm(browser, "fault")
    answer = order(browser)
    assert answer.status_code == 500
    assert notices(answer) == ["The database failed. Nothing was ordered; the cart is as it was."]
    assert AS_WERE in drawer(answer.text)
    assert (browser.orders(), browser.addresses()) == ([], [])
    assert order(browser).status_code == 303


@pytest.mark.server
def test_the_order_of_a_killed_worker_is_found_by_its_key(browser: Browser) -> None:
    arm(browser, "kill")
    form = browser.checkout()
    answer = browser.order(**form, **ENTERED, action="checkout")
    assert answer.status_code == 502
    [made] = browser.orders()
    assert ("inserted", "orders") in changed(answer.text)
    again = browser.order(**form, **ENTERED, action="checkout")
    assert again.headers["Location"] == f"/pay/{made.id}/"
    assert len(browser.orders()) == 1
    assert AS_WERE in drawer(browser.get("/shop/orders/"))


@pytest.mark.server
def test_a_worker_that_orders_nothing_is_not_killed(browser: Browser) -> None:
    arm(browser, "kill")
    answer = browser.order(**browser.checkout(), **{**ENTERED, "city": ""}, action="checkout")
    assert answer.status_code == 400
    assert "killed" not in drawer(answer.text).split("Try to break it")[0]


@pytest.mark.parametrize("trick", ["price", "voucher"])
def test_an_empty_cart_is_refused_as_usual(browser: Browser, trick: str) -> None:
    form = browser.checkout()
    arm(browser, trick)
    item = re.findall(r"/shop/cart/items/(\d+)/", browser.get("/shop/cart/"))[0]
    browser.post(f"/shop/cart/items/{item}/", remove="yes")
    answer = browser.order(**form, **ENTERED, action="checkout")
    assert answer.status_code == 409
    assert browser.orders() == []


def test_a_trick_needs_a_customer_and_a_name(browser: Browser, app: Flask) -> None:
    assert browser.post("/show/tricks/", trick="else").status_code == 400
    assert browser.client.post("/show/tricks/", data={"trick": "kill"}).status_code == 401
    assert app.test_client().post("/show/tricks/", data={"trick": "kill"}).status_code == 401
    assert browser.client.get("/show/drawer/").status_code == 200


def test_the_customers_who_were_here_last_are_remembered() -> None:
    newest = Newest[str]()
    for customer_id in range(MOST):
        newest.put(customer_id, "here")
    newest.put(0, "again")
    newest.put(MOST, "new")
    assert (newest.get(0), newest.get(1), newest.get(MOST)) == ("again", None, "new")
    assert (newest.pop(0), newest.pop(0)) == ("again", None)
