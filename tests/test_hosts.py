"""Existing shops: their own endpoints, their carts that convert, their races."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL

from flask_orders import BillingAddress, current_orders
from flask_orders.testing import run_concurrently

from . import hosts
from .hosts.drivers import DRIVERS, Buyer, Driver, Factory, VoucherDriver, running
from .support import servers
from .support.database import nothing_changed
from .support.docs import page_text
from .support.effort import rounds
from .support.hosts import only
from .support.responses import body, outcomes

ROUNDS = 3
THREADS = 6

HOME = BillingAddress("123 Main St", "12345", "Anytown", "CA", "CA")

shops_with_vouchers = pytest.mark.parametrize(
    "module_host",
    [name for name in hosts.NAMES if issubclass(DRIVERS[name], VoucherDriver)],
    indirect=True,
)
# Where stock is deducted by the order; another shop's carts are refused what is sold out already.
shops_with_stock = pytest.mark.parametrize(
    "module_host",
    [name for name in hosts.NAMES if DRIVERS[name].TABLES.stock and name != "taken_in_cart"],
    indirect=True,
)


@pytest.fixture(scope="module", params=hosts.NAMES)
def module_host(request: pytest.FixtureRequest, server_url: URL) -> Iterator[Driver]:
    """Each shop in turn, with flask_orders installed."""
    with running(request.param, server_url) as host:
        yield host


@pytest.mark.parametrize("name", ["classic", "uuid_keys", "factory"])
def test_installing_costs_twenty_lines_at_most(name: str) -> None:
    assert hosts.added_lines(name) <= 20


def test_prices_addresses_and_columns_of_its_own_cost_what_they_are() -> None:
    """Its own pricing, address book and order class apart, the rich shop needs no more either."""
    own = hosts.added_lines("rich", within=("ShopPricing", "home", "WebOrder"))
    assert hosts.added_lines("rich") - own <= 20
    assert hosts.added_lines("rich") <= 45


@pytest.mark.parametrize("name", hosts.NAMES)
def test_installing_says_eight_parts_at_most_and_changes_no_class(name: str) -> None:
    assert hosts.parts(name) <= 8
    assert hosts.changed_classes(name) == set()


def test_the_example_of_the_docs_is_the_shop_that_is_tested() -> None:
    """Before: lines of the shop; after: all the lines that it added, and no other."""
    page = page_text("own-models")
    shop = Path(hosts.__file__).with_name("uuid_keys.py").read_text().splitlines()
    added = [line.removesuffix(hosts.MARK).strip() for line in shop if line.endswith(hosts.MARK)]
    own = {line.strip() for line in shop if not line.endswith(hosts.MARK)}
    before, after = (
        [
            line.strip()
            for line in page.split(f"```python {which}\n")[1].split("```")[0].splitlines()
        ]
        for which in ("before", "after")
    )
    assert set(before) <= own
    assert [line for line in after if line and not line.startswith("#")] == added


@pytest.mark.parametrize("name", hosts.NAMES)
def test_the_shop_works_as_it_did_before(database: URL, name: str) -> None:
    before = DRIVERS[name](database, installed=False)
    before.create_all()
    buyer = before.customer()
    before.put(buyer, before.product("12.00"), 2)
    assert "flask_orders" not in vars(before.module)
    assert "orders" not in before.app.blueprints
    assert "2" in before.request("GET", before.CART, buyer).text
    before.close()


def test_its_own_endpoints_still_work(host: Driver) -> None:
    buyer = host.customer()
    host.put(buyer, host.product("12.00"), 2)
    assert "12" in host.request("GET", host.LISTING, buyer).text
    assert "2" in host.request("GET", host.CART, buyer).text
    assert host.items_in_carts() == 1


@pytest.mark.parametrize("action", ["save_order", "checkout"])
def test_its_cart_becomes_an_order(host: Driver, action: str) -> None:
    buyer, other = host.customer(), host.customer()
    first, second = host.product("10.00"), host.product("3.00")
    host.put(buyer, first, 2)
    host.put(buyer, second, 3)
    host.put(other, first, 1)

    answer = host.order(buyer, action)

    assert answer.status_code == {"save_order": 201, "checkout": 303}[action], answer.text
    (order,) = host.rows(host.TABLES.orders)
    assert order["customer_id"] == buyer.key
    assert (order["subtotal"], order["total_amount"]) == (Decimal("29.00"), Decimal("29.00"))
    assert lines(host) == {first: (2, Decimal("10.00")), second: (3, Decimal("3.00"))}
    assert host.items_in_carts() == 1
    if host.TABLES.stock is not None:
        assert host.stock() == [8, 7]


def test_the_customer_sees_the_order_and_nobody_else_does(host: Driver) -> None:
    buyer, other = host.customer(), host.customer()
    host.put(buyer, host.product("10.00"), 2)
    url = host.order(buyer).headers["Location"]

    seen = host.call("GET", url, buyer)

    assert seen["customer"] == {"id": as_json(buyer.key)}
    assert (seen["total_amount"], seen["items_count"]) == ("20.00", 2)
    assert host.request("GET", url, other).status_code == 404
    assert host.request("GET", url).status_code == 401


def test_checkout_leads_to_the_shop_s_own_payment(host: Driver) -> None:
    buyer = host.customer()
    host.put(buyer, host.product())
    payment = host.order(buyer, "checkout").headers["Location"]
    (order,) = host.rows(host.TABLES.orders)
    assert host.call("GET", payment, buyer)["order"] == str(order["id"])


@only("uuid_keys")
def test_the_price_is_read_again_and_not_the_cart_s_copy(host: Driver) -> None:
    buyer, product = host.customer(), host.product("10.00")
    host.put(buyer, product)
    host.reprice(product, "12.00")
    assert host.order(buyer).status_code == 201
    assert host.rows("orders")[0]["total_amount"] == Decimal("12.00")


@only("classic")
@pytest.mark.parametrize(
    "typed", ["cafe\u0301", "\uff23\uff21\uff26\u00c9", " CAF\u200b\u00c9\u3164"]
)
def test_the_code_in_its_cart_is_matched_however_it_was_typed(host: Driver, typed: str) -> None:
    assert isinstance(host, VoucherDriver)
    buyer = host.customer()
    host.voucher("CAF\u00c9", limit=5)
    host.put(buyer, host.product("10.00"))
    host.apply(buyer, typed)
    assert host.order(buyer).status_code == 201
    assert host.rows("orders")[0]["voucher_code"] == "CAF\u00c9"


@shops_with_vouchers
def test_its_voucher_is_used_up_and_removed_from_the_cart(host: Driver) -> None:
    assert isinstance(host, VoucherDriver)
    buyer = host.customer()
    host.voucher("TEN", limit=5)
    host.put(buyer, host.product("10.00"), 3)
    host.apply(buyer, "TEN")

    assert host.order(buyer).status_code == 201

    (order,) = host.rows(host.TABLES.orders)
    assert (order["discount_amount"], order["total_amount"]) == (Decimal("3.00"), Decimal("27.00"))
    assert order["voucher_code"] == "TEN"
    assert host.uses_left() == [4]
    (cart,) = host.rows(host.TABLES.carts)
    assert cart[host.VOUCHER] is None


def test_an_empty_cart_is_refused(host: Driver) -> None:
    buyer = host.customer()
    with nothing_changed(host):
        assert body(host.order(buyer))["code"] == "empty_cart"


def test_without_an_address_nothing_happens(host: Driver) -> None:
    buyer = host.customer()
    host.put(buyer, host.product())
    with nothing_changed(host):
        answer = host.order(buyer, billing_address=None)
        assert body(answer)["code"] == "billing_address_required"


def test_a_higher_price_is_refused_where_a_lower_one_was_expected(host: Driver) -> None:
    buyer, product = host.customer(), host.product("10.00")
    host.put(buyer, product, 2)
    host.reprice(product, "11.00")
    with nothing_changed(host):
        answer = body(host.order(buyer, expected_total="20.00"))
        assert (answer["code"], answer["actual"]) == ("price_changed", "22.00")


def test_an_unavailable_item_is_refused(host: Driver) -> None:
    buyer, first, second = host.customer(), host.product(), host.product()
    host.put(buyer, first)
    host.put(buyer, second, 2)
    host.withdraw(second)
    with nothing_changed(host):
        answer = body(host.order(buyer))
        assert answer["code"] == "item_unavailable"
        assert [line["product"]["id"] for line in answer["items"]] == [second]


@shops_with_vouchers
def test_a_voucher_that_is_used_up_is_refused(host: Driver) -> None:
    assert isinstance(host, VoucherDriver)
    host.voucher("ONE", limit=1)
    first, second = with_voucher(host, "ONE"), with_voucher(host, "ONE")
    assert host.order(first).status_code == 201
    with nothing_changed(host):
        answer = body(host.order(second))
        assert (answer["code"], answer["reason"]) == ("voucher_not_applicable", "used_up")


@rounds(ROUNDS)
def test_one_cart_submitted_six_times_concurrently_is_one_order(host: Driver, round_: int) -> None:
    buyer = host.customer()
    host.put(buyer, host.product(), 2)

    answers = run_concurrently(*[lambda: host.order(buyer)] * THREADS)

    assert set(outcomes(answers)) <= {201, "empty_cart"}
    (order,) = host.rows(host.TABLES.orders)
    (item,) = host.rows(host.TABLES.order_items)
    assert (item["order_id"], item["quantity"]) == (order["id"], 2)
    assert host.items_in_carts() == 0
    if host.TABLES.stock is not None:
        assert host.stock() == [8]


@rounds(ROUNDS)
@shops_with_stock
def test_products_in_opposite_order_sell_out(host: Driver, round_: int) -> None:
    products = [host.product(stock=3) for _ in range(4)]
    buyers = [host.customer() for _ in range(THREADS)]
    for i, buyer in enumerate(buyers):
        for product in products if i % 2 else reversed(products):
            host.put(buyer, product)

    answers = run_concurrently(*[lambda b=buyer: host.order(b) for buyer in buyers])

    assert outcomes(answers) == {201: 3, "item_unavailable": THREADS - 3}
    assert host.stock() == [0] * 4
    assert len(host.rows(host.TABLES.order_items)) == 12


@rounds(ROUNDS)
@shops_with_vouchers
def test_a_voucher_of_limit_two_is_used_twice(host: Driver, round_: int) -> None:
    assert isinstance(host, VoucherDriver)
    host.voucher("TWO", limit=2)
    # A product for each, so that no lock but the voucher's keeps them apart.
    buyers = [with_voucher(host, "TWO") for _ in range(THREADS)]

    answers = run_concurrently(*[lambda b=buyer: host.order(b) for buyer in buyers])

    assert outcomes(answers) == {201: 2, "voucher_not_applicable": THREADS - 2}
    assert host.uses_left() == [0]
    assert [row["voucher_code"] for row in host.rows(host.TABLES.orders)] == ["TWO", "TWO"]


@only("rich")
class TestRich:
    """What only the rich shop has."""

    def test_agreed_prices_apply_to_their_customer(self, host: Driver) -> None:
        buyer, other, product = host.customer(), host.customer(), host.product("10.00")
        agreed = {"variant_id": product, "price": Decimal("7.50")}
        host.insert("agreed_prices", customer_id=buyer.key, **agreed)
        for customer in (buyer, other):
            host.put(customer, product, 2)
            assert host.order(customer).status_code == 201
        orders = {row["customer_id"]: row for row in host.rows("fo_orders")}
        assert orders[buyer.key]["total_amount"] == Decimal("15.00")
        assert orders[buyer.key]["savings_on_items"] == Decimal("5.00")
        assert orders[other.key]["total_amount"] == Decimal("20.00")

    def test_the_saved_address_is_the_shop_s(self, host: Driver) -> None:
        buyer = host.customer()
        address = {"line": "1 Rue Neuve", "zip": "75001", "town": "Paris", "country_code": "FR"}
        host.call("POST", "/shop/addresses", buyer, address)
        host.put(buyer, host.product())

        url = host.order(buyer, billing_address=None).headers["Location"]

        billing = host.call("GET", url, buyer)["billing_address"]
        assert (billing["street_address"], billing["country"]) == ("1 Rue Neuve", "France")
        assert len(host.rows("addresses")) == 1

    def test_its_order_class_keeps_its_columns_and_its_own_orders_are_untouched(
        self, host: Driver
    ) -> None:
        host.insert("orders", supplier="A mill", note="flour")
        buyer = host.customer()
        host.put(buyer, host.product())
        assert host.order(buyer).status_code == 201
        (order,) = host.rows("fo_orders")
        assert (order["channel"], order["gift_note"]) == ("web", None)
        assert [row["supplier"] for row in host.rows("orders")] == ["A mill"]

    def test_a_cookie_without_the_csrf_token_is_not_enough(self, host: Driver) -> None:
        buyer = host.customer()
        host.put(buyer, host.product())
        with nothing_changed(host):
            forged = Buyer(buyer.key, headers={}, cookies=buyer.cookies)
            assert host.order(forged).status_code == 401

    def test_the_parent_s_price_is_read_anew(self, host: Driver) -> None:
        """Also in a transaction of the shop's own whose session has seen the old one."""
        if host.engine.dialect.name == "sqlite":
            pytest.skip("on SQLite a reader can't write once another transaction has written")
        buyer, product = host.customer(), host.product("10.00")
        host.put(buyer, product)
        session = host.module.db.session
        with host.app.app_context():
            seen = session.get(host.module.Variant, product)
            assert seen.price == Decimal("10.00")
            host.reprice(product, "12.00")
            order = current_orders.convert(buyer.key, billing_address=HOME)
            assert order.total_amount == Decimal("12.00")
            session.rollback()
        assert host.rows("fo_orders") == []


def test_create_app_runs_any_number_of_times(database: URL) -> None:
    host = Factory(database)
    host.create_all()
    for made in range(3):
        host.close()
        host.app = host.module.create_app(host.url)
        buyer = host.customer()
        host.put(buyer, host.product())
        assert host.order(buyer).status_code == 201
        assert len(host.rows("orders")) == made + 1
    host.close()


def test_two_dbs_in_one_process_are_separate(server_url: URL, database: URL) -> None:
    with servers.fresh_database(server_url) as url:
        hosts_ = [Factory(database), Factory(url)]
        for host in hosts_:
            host.create_all()
        first, second = hosts_
        buyers = [host.customer() for host in hosts_]
        for host, buyer in zip(hosts_, buyers, strict=True):
            host.put(buyer, host.product(), 2)
        assert first.order(buyers[0]).status_code == 201
        assert (len(first.rows("orders")), len(second.rows("orders"))) == (1, 0)
        assert (first.stock(), second.stock()) == ([8], [10])
        assert second.order(buyers[1]).status_code == 201
        assert (len(first.rows("orders")), len(second.rows("orders"))) == (1, 1)
        for host in hosts_:
            host.close()


@contextmanager
def rolled_back(host: Driver) -> Iterator[Any]:
    """The shop's own test fixture: whatever is committed in it is undone; its session."""
    db = host.module.db
    with host.app.app_context():
        engine = db.engine
        db.session.configure(join_transaction_mode="create_savepoint")
        with engine.connect() as connection:
            outer = connection.begin()
            db.engines[None] = connection
            try:
                yield db.session
            finally:
                db.session.remove()
                db.engines[None] = engine
                outer.rollback()
        db.session.configure(join_transaction_mode="conditional_savepoint")


@only("factory")
class TestWrappedInAnOuterTransaction:
    """A shop's own test, in which everything goes through one connection."""

    def test_an_order_is_made_and_afterwards_there_is_nothing(self, host: Driver) -> None:
        shop = host.module
        with rolled_back(host) as session:
            buyer = host.customer()
            article = shop.Article(sku="A", name="A", price=Decimal(10), left=5)
            session.add(article)
            session.commit()
            host.put(buyer, article.number, 2)

            answer = host.order(buyer)
            again = host.order(buyer)

            assert (answer.status_code, body(again)["code"]) == (201, "empty_cart")
            assert article.left == 3
            (order,) = session.scalars(select(current_orders.models.Order))
            assert order.total_amount == Decimal(20)
            assert host.call("GET", answer.headers["Location"], buyer)["items_count"] == 2
        assert not any(host.everything().values())

    def test_a_refusal_leaves_what_the_test_has_committed(self, host: Driver) -> None:
        shop = host.module
        with rolled_back(host) as session:
            buyer = host.customer()
            article = shop.Article(sku="A", name="A", price=Decimal(10), left=1)
            session.add(article)
            session.commit()
            host.put(buyer, article.number, 2)

            assert body(host.order(buyer))["code"] == "item_unavailable"

            assert session.scalars(select(shop.Line.quantity)).all() == [2]
            assert article.left == 1
        assert not any(host.everything().values())


def with_voucher(host: VoucherDriver, code: str) -> Buyer:
    """A customer with a product of their own in the cart, and the voucher."""
    buyer = host.customer()
    host.put(buyer, host.product())
    host.apply(buyer, code)
    return buyer


def lines(host: Driver) -> dict[Any, tuple[int, Decimal]]:
    """Quantity and price of each product in the only order."""
    return {
        row["product_id"]: (row["quantity"], row["unit_price"])
        for row in host.rows(host.TABLES.order_items)
    }


def as_json(key: Any) -> Any:
    return key if isinstance(key, int) else str(key)
