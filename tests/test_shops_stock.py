"""Shops whose stock is no single column: reserved, taken in the cart, in several warehouses."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from sqlalchemy.engine import URL

from flask_orders.testing import Ledger, run_concurrently

from .hosts.drivers import Driver
from .hosts.driving.taken_in_cart import TakenInCart
from .hosts.driving.warehouses import Warehouses
from .support.database import nothing_changed
from .support.hosts import cancel, findings, only, opened
from .support.responses import body, outcomes

THREADS = 6


@pytest.fixture(scope="module")
def module_host(request: pytest.FixtureRequest, server_url: URL) -> Iterator[Driver]:
    with opened(request.param, server_url) as host:
        yield host


@only("reserved_stock")
class TestReserved:
    """`quantity - allocated`, beside orders of the shop's own."""

    def test_an_order_allocates_and_its_cancellation_releases_once(self, host: Driver) -> None:
        buyer, product = host.customer(), host.product(stock=5)
        host.put(buyer, product, 3)
        ledger = Ledger(host.app)
        url = host.order(buyer).headers["Location"]
        (row,) = host.rows("products")
        assert (row["on_hand"], row["allocated"]) == (5, 3)

        answers = run_concurrently(*[lambda: cancel(host, buyer, url)] * THREADS)

        assert set(answers) == {200}
        (row,) = host.rows("products")
        assert (row["on_hand"], row["allocated"]) == (5, 0)
        assert ledger.problems() == []

    def test_what_telephone_orders_hold_is_not_sold(self, host: Driver) -> None:
        buyer, product = host.customer(), host.product(stock=5)
        host.update("products", product, allocated=4)
        host.put(buyer, product, 2)
        with nothing_changed(host):
            (item,) = body(host.order(buyer))["items"]
            assert (item["reason"], item["available"]) == ("out_of_stock", 1)

    def test_the_shop_s_own_orders_live_on(self, host: Driver) -> None:
        buyer = host.customer()
        host.put(buyer, host.product("10.00"))
        old = {"taken_by": "Ann", "total": "19.90"}
        host.call("POST", "/orders", buyer, old)
        assert host.order(buyer).status_code == 201
        host.call("POST", "/orders", buyer, old)
        found = host.call("GET", "/orders", buyer)
        assert [order["total"] for order in found] == ["19.90", "19.90"]
        assert [row["total_amount"] for row in host.rows("fo_orders")] == [Decimal(10)]

    def test_a_column_that_the_base_gives_every_table_is_filled(self, host: Driver) -> None:
        buyer = host.customer()
        host.put(buyer, host.product())
        assert host.order(buyer).status_code == 201
        for table in ("fo_orders", "fo_order_items", "fo_order_addresses"):
            assert [row["branch"] for row in host.rows(table)] == ["main"]

    def test_its_factory_declares_the_models_any_number_of_times(self, host: Driver) -> None:
        for count in (1, 2, 3):
            host.close()
            host.app = host.module.create_app(host.url)
            buyer = host.customer()
            host.put(buyer, host.product())
            assert host.order(buyer).status_code == 201
            assert len(host.rows("fo_orders")) == count

    def test_check_finds_nothing(self, host: Driver) -> None:
        assert findings(host) == []


@only("taken_in_cart")
class TestTakenInCart:
    def test_the_last_units_are_the_cart_s_own(self, host: TakenInCart) -> None:
        """Nothing is left for anybody else, and the order takes nothing more."""
        buyer, other, product = host.customer(), host.customer(), host.product(stock=2)
        host.put(buyer, product, 2)
        assert [row["left"] for row in host.rows("tickets")] == [0]
        form = {"product_id": product, "quantity": 1}
        assert host.request("POST", "/cart/items", other, form).status_code == 409

        preview = host.call("GET", "/api/v1/i/orders/preview/", buyer)
        assert host.order(buyer).status_code == 201

        assert preview["unavailable"] == []
        assert [row["left"] for row in host.rows("tickets")] == [0]

    def test_a_cancellation_gives_the_units_back_once(self, host: TakenInCart) -> None:
        buyer, product = host.customer(), host.product(stock=5)
        host.put(buyer, product, 2)
        ledger = Ledger(host.app)
        url = host.order(buyer).headers["Location"]
        answers = run_concurrently(*[lambda: cancel(host, buyer, url)] * THREADS)
        assert set(answers) == {200}
        assert [row["left"] for row in host.rows("tickets")] == [5]
        assert len(ledger.problems()) == 0

    def test_what_was_removed_from_the_cart_is_neither_ordered_nor_lost(
        self, host: TakenInCart
    ) -> None:
        buyer, first, second = host.customer(), host.product(stock=5), host.product(stock=5)
        host.put(buyer, first, 2)
        host.put(buyer, second, 3)
        host.remove(buyer, first)
        assert host.order(buyer).status_code == 201
        assert [row["left"] for row in host.rows("tickets")] == [5, 2]

    def test_carts_that_hold_the_stock_are_all_ordered(self, host: TakenInCart) -> None:
        product = host.product(stock=THREADS)
        buyers = [host.customer() for _ in range(THREADS)]
        for buyer in buyers:
            host.put(buyer, product)
        answers = run_concurrently(*[lambda b=buyer: host.order(b) for buyer in buyers])
        assert outcomes(answers) == {201: THREADS}
        assert [row["left"] for row in host.rows("tickets")] == [0]

    def test_check_finds_nothing(self, host: TakenInCart) -> None:
        assert findings(host) == []


@only("warehouses")
class TestWarehouses:
    def test_an_order_takes_from_one_warehouse_and_then_from_the_next(
        self, host: Warehouses
    ) -> None:
        buyer, product = host.customer(), host.product(stock=10)
        host.put(buyer, product, 7)
        assert host.order(buyer).status_code == 201
        assert [row["units"] for row in host.rows("stock_levels")] == [0, 3]

    def test_a_cancellation_puts_back_once(self, host: Warehouses) -> None:
        buyer, product = host.customer(), host.product(stock=10)
        host.put(buyer, product, 7)
        url = host.order(buyer).headers["Location"]
        answers = run_concurrently(*[lambda: cancel(host, buyer, url)] * THREADS)
        assert set(answers) == {200}
        assert host.left(product) == 10

    def test_all_warehouses_together_are_what_is_available(self, host: Warehouses) -> None:
        buyer, product = host.customer(), host.product(stock=10)
        host.put(buyer, product, 11)
        with nothing_changed(host):
            (item,) = body(host.order(buyer))["items"]
            assert (item["reason"], item["available"]) == ("out_of_stock", 10)

    def test_the_last_units_are_sold_once(self, host: Warehouses) -> None:
        product, buyers = host.product(stock=4), [host.customer() for _ in range(THREADS)]
        for buyer in buyers:
            host.put(buyer, product, 2)
        answers = run_concurrently(*[lambda b=buyer: host.order(b) for buyer in buyers])
        assert outcomes(answers) == {201: 2, "item_unavailable": THREADS - 2}
        assert host.left(product) == 0

    def test_check_finds_nothing(self, host: Warehouses) -> None:
        assert findings(host) == []
