"""The example shop's pages, without JavaScript: HTTP in, pages and rows out."""

import re
from collections.abc import Iterator
from html import unescape
from uuid import UUID, uuid4
from xml.etree import ElementTree

import pytest
from flask import Flask
from sqlalchemy.engine import URL
from werkzeug.test import TestResponse

from example_app.catalogue import PRODUCTS
from example_app.pages.orders import ON_PAGE
from flask_orders.countries import country_code, country_names

from .support.browsing import ENTERED, Browser, notices
from .support.example import change_product, example_shop


@pytest.fixture(scope="module")
def app(server_url: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    with example_shop(server_url, tmp_path_factory.mktemp("instance")) as app:
        yield app


@pytest.fixture
def visitor(app: Flask) -> Browser:
    return Browser(app, app.test_client(), f"{uuid4()}@example.com")


@pytest.fixture
def browser(visitor: Browser) -> Browser:
    visitor.register()
    return visitor


def errors(answer: TestResponse) -> dict[str, str]:
    """The messages beside the fields, each of which names its own by aria-describedby."""
    found = dict(re.findall(r'class="error" id="(\w+)-error">([^<]*)<', answer.text))
    described = re.findall(r'aria-invalid="true" aria-describedby="(\w+)-error"', answer.text)
    assert sorted(described) == sorted(found)
    return {name: unescape(text) for name, text in found.items()}


def test_a_browser_is_sent_to_the_catalogue(visitor: Browser) -> None:
    answer = visitor.client.get("/", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/shop/")
    page = visitor.get("/shop/")
    assert page.count('<button name="quantity"') == len(PRODUCTS) - 1
    # A kettle of 79.99 with 10.00 off, which is more than the welcome offer's 5 %.
    assert "79.99 CAD" in page
    assert "69.99 CAD" in page
    assert "10.00 off every kettle" in page


@pytest.mark.parametrize("sku", [*(row[0] for row in PRODUCTS), "SOMETHING-NEW", "<b>"])
def test_every_product_has_a_picture(app: Flask, sku: str) -> None:
    answer = app.test_client().get(f"/shop/pictures/{sku}.svg")
    assert answer.mimetype == "image/svg+xml"
    assert ElementTree.fromstring(answer.text).tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize("path", ["cart/", "checkout/", "orders/"])
def test_a_visitor_signs_in_and_comes_back(visitor: Browser, path: str) -> None:
    answer = visitor.client.get(f"/shop/{path}")
    assert answer.status_code == 303
    form = {"email": visitor.email, "password": "a long password", "new": "yes"}
    back = visitor.post(answer.headers["Location"], **form)
    assert back.headers["Location"].startswith(f"/shop/{path}")
    visitor.get(f"/shop/{path}")


@pytest.mark.parametrize("back", ["https://example.org/", "//example.org/", "/shop/\\..", ""])
def test_nobody_is_sent_to_another_site(visitor: Browser, back: str) -> None:
    form = {"email": visitor.email, "password": "a long password", "new": "yes"}
    answer = visitor.client.post("/shop/sign-in/", query_string={"back": back}, data=form)
    assert answer.headers["Location"] == "/shop/"


def test_sign_in_says_what_is_wrong(visitor: Browser) -> None:
    answer = visitor.post("/shop/sign-in/", email="x", password="short", new="yes")
    assert answer.status_code == 400
    assert errors(answer).keys() == {"email", "password"}
    visitor.register()
    answer = visitor.post("/shop/sign-in/", email=visitor.email, password="another")
    assert (answer.status_code, notices(answer)) == (
        401,
        ["The e-mail address or password is incorrect."],
    )


def test_an_order_is_bought_with_a_voucher(browser: Browser) -> None:
    browser.add("TEA-ASSAM", 2)
    browser.add("BOOK")
    browser.post("/shop/cart/voucher/", code="welcome10")
    cart = browser.get("/shop/cart/")
    for amount in ("33.26 CAD", "2.90 CAD", "\u22123.33 CAD", "32.83 CAD", "7.07 CAD"):
        assert amount in cart
    answer = browser.order(**browser.checkout(), **ENTERED, action="checkout")
    assert answer.status_code == 303
    [order] = browser.orders()
    assert answer.headers["Location"] == f"/pay/{order.id}/"
    assert (str(order.total_amount.normalize()), order.voucher_code) == ("32.83", "WELCOME10")
    assert "Your cart is empty" in browser.get("/shop/cart/")
    page = browser.get(f"/shop/orders/{order.id}/")
    for text in (
        order.number,
        "2 \u00d7 Assam, 250 g",
        "awaiting payment",
        "123 Main St",
        "Canada",
    ):
        assert text in page
    browser.client.post(f"/pay/{order.id}/", data={"way": "once"})
    page = browser.get(f"/shop/orders/{order.id}/")
    assert "Cancel the order" not in page
    assert order.number in browser.get("/shop/orders/")


def test_a_saved_order_is_paid_later_or_cancelled(browser: Browser) -> None:
    browser.add("POT-IRON", 2)
    answer = browser.order(**browser.checkout(), **ENTERED, action="save_order")
    [order] = browser.orders()
    path = f"/shop/orders/{order.id}/"
    assert answer.headers["Location"] == path
    assert f'href="/pay/{order.id}/"' in browser.get(path)
    assert browser.post(f"{path}cancel/").headers["Location"] == path
    page = browser.get(path)
    assert "cancelled" in page
    assert "/pay/" not in page


def test_a_form_that_is_sent_twice_makes_one_order(browser: Browser) -> None:
    browser.add("BOOK")
    form = {**browser.checkout(), **ENTERED, "action": "save_order"}
    answers = [browser.order(**form) for _ in range(2)]
    [order] = browser.orders()
    assert {answer.headers["Location"] for answer in answers} == {f"/shop/orders/{order.id}/"}


def test_a_refused_address_has_its_message_beside_the_field(browser: Browser) -> None:
    browser.add("BOOK")
    form = browser.checkout()
    wrong = {**ENTERED, "street_address": " ", "country": "CA"}
    answer = browser.order(**form, **wrong, action="checkout")
    assert answer.status_code == 400
    assert errors(answer) == {
        "street_address": "Give at least one visible character.",
        "country": "Give the country's full name. Did you mean 'Canada'?",
    }
    # What was entered is still there, and so is the key: nothing was ordered with it.
    assert 'value="Ottawa"' in answer.text
    assert f'value="{form["key"]}"' in answer.text
    assert browser.orders() == []
    assert browser.order(**form, **ENTERED, action="checkout").status_code == 303


def test_a_price_that_has_gone_up_is_shown_before_it_is_charged(browser: Browser) -> None:
    browser.add("TIMER")
    form = browser.checkout()
    change_product(browser.app, "TIMER", price="20.00")
    try:
        answer = browser.order(**form, **ENTERED, action="checkout")
        assert answer.status_code == 409
        [notice] = notices(answer)
        assert "the total is now 21.90, not 17.15" in notice
        assert browser.orders() == []
        # The new page has the new total.
        assert 'name="expected_total" value="21.90' in answer.text
        form["expected_total"] = "21.90"
        assert browser.order(**form, **ENTERED, action="checkout").status_code == 303
    finally:
        change_product(browser.app, "TIMER", price="15.00")


def test_an_unavailable_item_is_named_in_the_cart_and_can_be_changed(browser: Browser) -> None:
    """Of one there are fewer units than the cart asks for, the other is no longer sold."""
    browser.add("POT-GLASS", 3)
    browser.add("POT-IRON")
    form = browser.checkout()
    change_product(browser.app, "POT-GLASS", stock=2)
    change_product(browser.app, "POT-IRON", active=False)
    try:
        refused = browser.order(**form, **ENTERED, action="checkout")
        assert (refused.status_code, refused.headers["Location"]) == (303, "/shop/cart/")
        page = browser.get("/shop/cart/")
        assert "an item in your cart is not available as ordered" in page
        assert re.findall(r"<h2>(.*)</h2>\s*<p role=\"alert\" class=\"error\">(.*?)\.", page) == [
            ("Glass teapot, 1 l", "Only 2 left"),
            ("Cast iron teapot", "Not available any more"),
        ]
        assert "Check out" not in page
        glass, iron = re.findall(r"/shop/cart/items/\d+/", page)
        browser.post(glass, quantity="2")
        browser.post(iron, remove="yes")
        ordered = browser.order(**browser.checkout(), **ENTERED, action="save_order")
        assert ordered.status_code == 303
        assert [order.items_count for order in browser.orders()] == [2]
    finally:
        change_product(browser.app, "POT-GLASS", stock=20)
        change_product(browser.app, "POT-IRON", active=True)


def test_a_saved_address_is_offered_and_used(browser: Browser) -> None:
    browser.add("BOOK")
    browser.order(**browser.checkout(), **ENTERED, action="save_order")
    [address] = browser.addresses()
    browser.add("BOOK")
    page = browser.get("/shop/checkout/")
    assert re.search(rf'value="{address.id}" data-address="[^>]*" checked', page)
    form = {**browser.checkout(), "use": str(address.id), "action": "save_order"}
    assert browser.order(**form).status_code == 303
    assert [order.billing_address_id for order in browser.orders()] == [address.id] * 2


def test_another_customer_s_address_is_not_used(browser: Browser, app: Flask) -> None:
    browser.add("BOOK")
    browser.order(**browser.checkout(), **ENTERED, action="save_order")
    [theirs] = browser.addresses()
    other = Browser(app, app.test_client(), f"{uuid4()}@example.com")
    other.register()
    other.add("BOOK")
    answer = other.order(**other.checkout(), use=str(theirs.id), action="save_order")
    assert answer.status_code == 400
    assert other.orders() == []


def test_quantities_are_changed_and_items_removed(browser: Browser) -> None:
    browser.add("BOOK", 2)
    path = re.search(r"/shop/cart/items/\d+/", browser.get("/shop/cart/"))
    assert path is not None
    browser.post(path[0], quantity="3")
    assert 'value="3"' in browser.get("/shop/cart/")
    for wrong in ("0", "100", "x", ""):
        browser.post(path[0], quantity=wrong)
        page = browser.get("/shop/cart/")
        assert 'class="notice"' in page
        assert 'value="3"' in page
    browser.post(path[0], quantity="3", remove="yes")
    assert "Your cart is empty" in browser.get("/shop/cart/")


def test_a_voucher_that_is_unknown_says_so(browser: Browser) -> None:
    browser.add("BOOK")
    browser.post("/shop/cart/voucher/", code="nothing")
    assert "There is no voucher NOTHING." in browser.get("/shop/cart/")
    browser.post("/shop/cart/voucher/", code="WELCOME10")
    assert "Voucher <strong>WELCOME10" in browser.get("/shop/cart/")
    browser.post("/shop/cart/voucher/", remove="yes")
    assert "WELCOME10" not in browser.get("/shop/cart/")


def test_a_form_of_another_site_is_refused(browser: Browser) -> None:
    answer = browser.client.post("/shop/cart/", data={"sku": "BOOK", "quantity": "1"})
    assert answer.status_code == 400
    assert "another site" in answer.text
    assert "Your cart is empty" in browser.get("/shop/cart/")


def test_another_customer_s_order_is_not_found(browser: Browser, app: Flask) -> None:
    browser.add("BOOK")
    browser.order(**browser.checkout(), **ENTERED, action="save_order")
    [order] = browser.orders()
    other = Browser(app, app.test_client(), f"{uuid4()}@example.com")
    other.register()
    path = f"/shop/orders/{order.id}/"
    other.get(path, 404)
    assert other.post(f"{path}cancel/").status_code == 404
    other.get(f"/shop/orders/{UUID(int=0)}/", 404)
    assert browser.orders()[0].status == "awaiting_payment"


def test_signing_out_forgets_the_customer(browser: Browser) -> None:
    assert browser.post("/shop/sign-out/").status_code == 303
    assert browser.client.get("/shop/cart/").status_code == 303


def test_an_expired_cookie_is_forgotten(browser: Browser) -> None:
    browser.client.set_cookie("access_token_cookie", "nonsense")
    answer = browser.client.get("/shop/")
    assert answer.headers["Location"] == "/shop/sign-in/"
    assert browser.client.get("/shop/").status_code == 200


def test_every_country_of_the_list_is_accepted() -> None:
    names = country_names()
    assert len(names) == len(set(names)) > 240
    assert [name for name in names if country_code(name) is None] == []
    assert names.index("Åland Islands") < names.index("Albania")


def test_older_orders_are_on_a_page_of_their_own(browser: Browser) -> None:
    for _ in range(ON_PAGE + 1):
        browser.add("GIFT-CARD")
        browser.order(**browser.checkout(), **ENTERED, action="save_order")
    oldest, *newer = [str(order.number) for order in browser.orders()]
    page = browser.get("/shop/orders/")
    assert re.findall(r">(\w{5}-\w{5})</a>", page) == newer[::-1]
    link = re.findall(r'href="(/shop/orders/\?before=\d+)"', page)[0]
    older = browser.get(link)
    assert re.findall(r">(\w{5}-\w{5})</a>", older) == [oldest]
    assert "Older orders" not in older
