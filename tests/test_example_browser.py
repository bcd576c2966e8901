"""The example shop in a real browser: Debian's Chromium, driven by Playwright."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Browser, Page, ViewportSize, expect
from sqlalchemy import select

from example_app import create_app
from example_app.models import Order, db
from flask_orders.models import OrderMixin

from .support.chromium import chromium
from .support.example import change_product
from .support.servers import required
from .support.serving import served

pytestmark = pytest.mark.server

DESKTOP = ViewportSize(width=1280, height=800)
PHONE = ViewportSize(width=390, height=844)

# Bytes: a reader of the README loads three.
LARGEST_PICTURE = 150_000

ADDRESS = {
    "Street address": "123 Main St",
    "Postal code": "K1A 0B1",
    "City": "Ottawa",
    "State, province or region": "ON",
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("DATABASE_URL", raising=False)
        app = create_app(str(tmp_path_factory.mktemp("instance")))
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture(scope="module")
def url(app: Flask) -> Iterator[str]:
    with served(app) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with required(chromium("sqlite")) as browser:
        yield browser


@pytest.fixture(params=[(DESKTOP, True), (PHONE, True), (DESKTOP, False)], ids=str)
def page(request: pytest.FixtureRequest, browser: Browser, url: str) -> Iterator[Page]:
    """The catalogue as a visitor sees it: wide, on a phone, and without JavaScript."""
    viewport, has_javascript = request.param
    context = browser.new_context(viewport=viewport, java_script_enabled=has_javascript)
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.goto(url)
    yield page
    context.close()


@pytest.fixture
def wide(browser: Browser, url: str) -> Iterator[Page]:
    """The catalogue in one wide window, for what does not depend on the width."""
    context = browser.new_context(viewport=DESKTOP)
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.goto(url)
    yield page
    context.close()


def register(page: Page, email: str) -> None:
    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="I am new here: register").click()


def add(page: Page, *names: str) -> None:
    for name in names:
        page.get_by_role("link", name="Leaf & Kettle").click()
        page.get_by_role("button", name=f"Add to cart: {name}").click()


def fill_address(page: Page) -> None:
    for label, text in ADDRESS.items():
        page.get_by_label(label).fill(text)
    page.get_by_label("Country").select_option("Canada")


def fill_checkout(page: Page, email: str, *names: str) -> None:
    """Register, add products to the cart, and fill the checkout's form."""
    register(page, email)
    add(page, *names)
    page.get_by_role("link", name="Check out").click()
    fill_address(page)


def a_customer(request: pytest.FixtureRequest) -> str:
    """An e-mail address of this test's own."""
    return f"{abs(hash(request.node.name))}@example.com"


def order_of(app: Flask, page: Page) -> OrderMixin:
    number = page.get_by_role("heading", name="Order ").inner_text().removeprefix("Order ")
    with app.app_context():
        order: OrderMixin = db.session.scalars(select(Order).where(Order.number == number)).one()
        return order


def fits(page: Page) -> None:
    """Nothing is wider than the window. Without JavaScript it can't be asked."""
    size = page.viewport_size
    assert size is not None
    box = page.locator("main").bounding_box()
    assert box is not None
    assert box["width"] <= size["width"]


def test_buy_with_a_voucher(app: Flask, page: Page, request: pytest.FixtureRequest) -> None:
    register(page, a_customer(request))
    add(page, "Assam, 250 g", "Gooseneck kettle")
    page.get_by_label("Voucher").fill("welcome10")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator(".totals")).to_contain_text("You save")
    fits(page)
    page.get_by_role("link", name="Check out").click()
    fill_address(page)
    page.get_by_role("button", name="Order and pay").click()
    page.get_by_role("button", name="Pay", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("204")
    page.goto(page.url.split("/pay/")[0] + "/shop/orders/")
    fits(page)
    page.locator("tbody a").first.click()
    expect(page.locator(".status")).to_have_text("paid")
    order = order_of(app, page)
    assert (order.status, order.voucher_code, order.items_count) == ("paid", "WELCOME10", 2)


def test_save_and_pay_later_or_cancel(
    app: Flask, page: Page, request: pytest.FixtureRequest
) -> None:
    fill_checkout(page, a_customer(request), "Blue cup")
    page.get_by_role("button", name="Save the order").click()
    page.get_by_role("heading", name="Order ").wait_for()
    fits(page)
    page.get_by_role("link", name="Pay").click()
    page.get_by_role("button", name="Pay", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("paid")
    page.go_back()
    page.go_back()
    add(page, "Blue cup")
    page.get_by_role("link", name="Check out").click()
    # The saved address is offered.
    assert page.get_by_label("123 Main St, K1A 0B1 Ottawa").is_checked()
    page.get_by_role("button", name="Save the order").click()
    page.get_by_role("button", name="Cancel the order").click()
    expect(page.locator(".status")).to_have_text("cancelled")
    assert order_of(app, page).status == "cancelled"


def test_a_refused_address_is_named_beside_its_field(
    page: Page, request: pytest.FixtureRequest
) -> None:
    fill_checkout(page, a_customer(request), "Tea timer")
    page.get_by_label("Postal code").fill("\u00ad")
    page.get_by_role("button", name="Order and pay").click()
    field = page.get_by_label("Postal code")
    expect(field).to_have_attribute("aria-invalid", "true")
    described = field.get_attribute("aria-describedby")
    expect(page.locator(f"#{described}")).to_contain_text("Canada")
    # The rest is as it was entered.
    assert page.get_by_label("Country").input_value() == "Canada"
    field.fill("K1A 0B1")
    page.get_by_role("button", name="Order and pay").click()
    page.wait_for_url("**/pay/**")


def test_a_price_that_has_gone_up_is_asked_about(
    app: Flask, page: Page, request: pytest.FixtureRequest
) -> None:
    fill_checkout(page, a_customer(request), "Steel strainer")
    change_product(app, "STRAINER", price="18.95")
    try:
        page.get_by_role("button", name="Order and pay").click()
        expect(page.get_by_role("alert")).to_contain_text("the total is now 20.90, not 11.40")
        page.get_by_role("button", name="Order and pay 20.90 CAD").click()
        page.wait_for_url("**/pay/**")
    finally:
        change_product(app, "STRAINER", price="8.95")


def test_an_item_that_sold_out_meanwhile_is_named_in_the_cart(
    app: Flask, page: Page, request: pytest.FixtureRequest
) -> None:
    fill_checkout(page, a_customer(request), "Tea timer")
    change_product(app, "TIMER", active=False)
    try:
        page.get_by_role("button", name="Order and pay").click()
        page.wait_for_url("**/cart/")
        item = page.locator("li").filter(has_text="Tea timer")
        expect(item.get_by_role("alert")).to_contain_text("Not available any more.")
        item.get_by_role("button", name="Remove Tea timer").click()
        expect(page.get_by_text("Your cart is empty.")).to_be_visible()
    finally:
        change_product(app, "TIMER", active=True)


def test_a_double_click_makes_one_order(
    app: Flask, wide: Page, request: pytest.FixtureRequest
) -> None:
    fill_checkout(wide, a_customer(request), "A small book of tea")
    wide.get_by_role("button", name="Save the order").dblclick()
    wide.get_by_role("heading", name="Order ").wait_for()
    wide.get_by_role("link", name="My orders").click()
    expect(wide.locator("tbody tr")).to_have_count(1)


def test_all_by_keyboard(wide: Page, request: pytest.FixtureRequest) -> None:
    keyboard = wide.keyboard

    def go_to(role: str, name: str) -> None:
        """Press Tab until the control has the focus, which has to be visible."""
        wanted = wide.get_by_role(role, name=name, exact=True).first  # type: ignore[arg-type] # a literal
        for _ in range(60):
            keyboard.press("Tab")
            if wanted.evaluate("element => element === document.activeElement"):
                assert (
                    wanted.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
                )
                return
        raise AssertionError(f"{name} can't be reached")

    go_to("link", "Sign in")
    keyboard.press("Enter")
    go_to("textbox", "E-mail address")
    keyboard.type(a_customer(request))
    go_to("textbox", "Password")
    keyboard.type("a long password")
    go_to("button", "I am new here: register")
    keyboard.press("Enter")
    go_to("button", "Add to cart: Masala chai, 250 g")
    keyboard.press("Enter")
    go_to("link", "Check out")
    keyboard.press("Enter")
    for label, text in ADDRESS.items():
        go_to("textbox", label)
        keyboard.type(text)
    go_to("combobox", "Country")
    keyboard.type("Canada")
    go_to("button", "Save the order, and pay later")
    keyboard.press("Enter")
    wide.get_by_role("heading", name="Order ").wait_for()
    expect(wide.locator("address")).to_contain_text("Canada")


def test_axe_finds_no_violation(app: Flask, wide: Page, request: pytest.FixtureRequest) -> None:
    axe = Axe()

    def check() -> None:
        found = axe.run(wide)
        assert found.violations_count == 0, found.generate_report()

    check()
    wide.get_by_role("link", name="Sign in").click()
    check()
    wide.go_back()
    register(wide, a_customer(request))
    add(wide, "Blue cup")
    check()
    change_product(app, "CUP-BLUE", stock=0)
    try:
        wide.reload()
        expect(wide.get_by_role("alert")).to_be_visible()
        check()
    finally:
        change_product(app, "CUP-BLUE", stock=75)
    wide.reload()
    wide.get_by_role("link", name="Check out").click()
    check()
    wide.get_by_role("button", name="Order and pay").click()
    expect(wide.get_by_label("City")).to_have_attribute("aria-invalid", "true")
    check()
    wide.set_viewport_size(PHONE)
    check()
    wide.set_viewport_size(DESKTOP)
    fill_address(wide)
    wide.get_by_role("button", name="Order and pay").click()
    wide.wait_for_url("**/pay/**")
    check()
    wide.get_by_role("button", name="Pay", exact=True).click()
    check()
    wide.get_by_role("link", name="My orders").click()
    check()


def test_the_addresses_of_pictures_are_the_shop_s_own(wide: Page, url: str) -> None:
    """Everything works offline: no request leaves this machine."""
    sent: list[str] = []
    wide.on("request", lambda request: sent.append(request.url))
    wide.reload()
    wide.wait_for_load_state("networkidle")
    assert len(sent) > 2
    assert [address for address in sent if not address.startswith(url)] == []


@pytest.mark.parametrize("trick", ["price", "kill"])
def test_a_trick_is_played_without_leaving_the_page(
    wide: Page, request: pytest.FixtureRequest, trick: str
) -> None:
    """What was entered stays, and ordering again succeeds."""
    fill_checkout(wide, a_customer(request), "Blue cup")
    wide.locator(f".drawer button[value={trick}]").click()
    expect(wide.locator(".drawer [role=status]")).to_contain_text("Armed")
    wide.get_by_role("button", name="Order and pay").click()
    # A new process has to start before it is killed.
    expect(wide.get_by_role("alert")).to_contain_text("rder", timeout=60_000)
    expect(wide.locator(".drawer pre").first).to_contain_text("/api/v1/i/orders/")
    expect(wide.locator(".drawer")).to_contain_text("price" if trick == "price" else "killed")
    expect(wide.get_by_label("City")).to_have_value("Ottawa")
    wide.get_by_role("button", name="Order and pay").click()
    wide.wait_for_url("**/pay/**")
    wide.get_by_role("link", name="My orders").click()
    expect(wide.locator("tbody tr")).to_have_count(1)


def test_the_last_use_of_a_voucher_is_taken(wide: Page, request: pytest.FixtureRequest) -> None:
    fill_checkout(wide, a_customer(request), "Tea timer")
    wide.locator(".drawer button[value=voucher]").click()
    expect(wide.locator(".totals")).to_contain_text("Voucher LAST-ONE-")
    fill_address(wide)
    wide.get_by_role("button", name="Order and pay").click()
    expect(wide.get_by_role("alert")).to_contain_text("it has been used up")
    wide.get_by_role("link", name="Change the cart").click()
    wide.get_by_role("button", name="Remove the voucher").click()
    wide.get_by_role("link", name="Check out").click()
    fill_address(wide)
    wide.get_by_role("button", name="Order and pay").click()
    wide.wait_for_url("**/pay/**")


def test_the_pictures_of_the_readme(
    wide: Page, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """ORDERS_SCREENSHOTS=docs/images stores them for the README."""
    folder = Path(os.environ.get("ORDERS_SCREENSHOTS", tmp_path))

    def take(name: str) -> None:
        wide.wait_for_load_state("networkidle")
        path = folder / f"{name}.png"
        wide.screenshot(path=path)
        assert path.stat().st_size < LARGEST_PICTURE

    take("shop")
    fill_checkout(wide, "ann@example.com", "Gooseneck kettle")
    wide.locator(".drawer button[value=price]").click()
    expect(wide.locator(".drawer [role=status]")).to_contain_text("Armed")
    wide.get_by_role("button", name="Order and pay").click()
    expect(wide.get_by_role("alert")).to_contain_text("Do you agree")
    wide.evaluate("scrollTo(0, 0)")
    take("price-changed")
    wide.get_by_role("button", name="Save the order").click()
    wide.get_by_role("heading", name="Order ").wait_for()
    take("order")
