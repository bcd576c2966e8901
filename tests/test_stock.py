"""Each way of counting stock: deducted once, restocked once, never below zero, in every race."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.orm import mapped_column

from flask_orders import Conflict, OrdersError, current_orders
from flask_orders.signals import order_cancelled
from flask_orders.testing import Ledger, fault, run_concurrently

from .support import servers
from .support.database import counted, nothing_changed
from .support.orders import age
from .support.requests import CHECKOUT, HOME, PREVIEW, SAVE
from .support.responses import body, order_id, outcomes, refused
from .support.stocks import (
    COUNTED,
    WAYS,
    RecordingStock,
    StockedShop,
    Warehouse,
    joined_shop,
    stocked_shop,
)

pytestmark = pytest.mark.usefixtures("each_writer")

# Where an order deducts: not where the shop does so when something is put into a cart.
DEDUCTING = [name for name in COUNTED if not WAYS[name].is_taken_in_cart]

ORDERS = 6


Opening = Callable[[str], AbstractContextManager[StockedShop]]


@pytest.fixture(scope="module")
def stocked(server_url: URL) -> Iterator[Opening]:
    """Open the shop of a way, emptied; each is made once, on each database."""
    with ExitStack() as stack:
        shops: dict[str, StockedShop] = {}

        @contextmanager
        def open_shop(way: str) -> Iterator[StockedShop]:
            if way not in shops:
                url = stack.enter_context(servers.fresh_database(server_url))
                shops[way] = stack.enter_context(stocked_shop(url, way))
            shops[way].clear()
            yield shops[way]

        yield open_shop


@pytest.fixture(params=COUNTED)
def counting(request: pytest.FixtureRequest, stocked: Opening) -> Iterator[StockedShop]:
    """A shop for each way; what is external is put back after the commit."""
    with stocked(request.param) as shop, order_cancelled.connected_to(put_back):
        yield shop


def put_back(app: Any, order: Any) -> None:
    """What a shop with an external warehouse does: `order_cancelled` puts the units back."""
    stock = app.extensions["orders"].models.shop.product.stock
    if hasattr(stock, "warehouse"):
        stock.warehouse.take_back(
            order.id, {item.product_id: item.quantity for item in order.items}
        )


def test_an_order_deducts_and_its_cancellation_restocks_once(counting: StockedShop) -> None:
    shop, customer = counting, counting.customer()
    for key, units in ((1, 9), (2, 5)):
        shop.stocked(key, units)
    ledger = Ledger(shop.app)
    shop.put_into_cart(customer, {1: 2, 2: 5})
    ledger.put(1, 2)
    ledger.put(2, 5)
    assert ledger.problems() == []

    made = shop.post(customer, SAVE)

    assert made.status_code == 201, made.text
    assert [shop.left(1), shop.left(2)] == [7, 0]
    assert ledger.problems() == []
    for _ in range(2):
        assert shop.send(customer, f"{made.headers['Location']}cancel/").status_code == 200
        assert [shop.left(1), shop.left(2)] == [9, 5]
    assert ledger.problems() == []


def test_orders_that_expire_together_are_restocked(counting: StockedShop) -> None:
    shop, customers = counting, [counting.customer() for _ in range(3)]
    for key in (1, 2):
        shop.stocked(key, 9)
    ledger = Ledger(shop.app)
    for number, customer in enumerate(customers):
        shop.put_into_cart(customer, {1: 1, 2: 2} if number else {2: 1})
    made = [shop.post(customer, CHECKOUT) for customer in customers]
    assert outcomes(made) == {303: 3}
    assert [shop.left(1), shop.left(2)] == [7, 4]

    age(shop, 99, *[row["id"].hex for row in shop.rows("orders")])
    with shop.service() as orders:
        assert orders.expire() == 3

    assert [shop.left(1), shop.left(2)] == [9, 9]
    assert [one for one in ledger.problems() if one.startswith("I1")] == []


@pytest.mark.parametrize("way", DEDUCTING)
def test_a_product_short_of_stock_is_refused(stocked: Opening, way: str) -> None:
    with stocked(way) as shop:
        customer = shop.customer()
        for key, units in ((1, 9), (2, 3)):
            shop.stocked(key, units)
        shop.put_into_cart(customer, {1: 2, 2: 4})
        with nothing_changed(shop):
            (previewed,) = body(shop.get(customer, PREVIEW))["unavailable"]
            (item,) = refused(shop.post(customer, SAVE), 409, "item_unavailable")["items"]
        assert item == previewed
        assert (item["reason"], item["available"]) == ("out_of_stock", 3)
        assert (shop.left(1), shop.left(2)) == (9, 3)


@pytest.mark.parametrize("way", DEDUCTING)
def test_the_last_units_are_sold_once(stocked: Opening, way: str) -> None:
    """Customers with the same products in opposite orders; no deadlock survives the retries."""
    with stocked(way) as shop:
        customers = [shop.customer() for _ in range(ORDERS)]
        for key in (1, 2, 3):
            shop.stocked(key, 4)
        for number, customer in enumerate(customers):
            keys = (1, 2, 3) if number % 2 else (3, 2, 1)
            shop.put_into_cart(customer, dict.fromkeys(keys, 1))
        ledger = Ledger(shop.app)

        answers = run_concurrently(*[lambda c=c: shop.post(c, SAVE) for c in customers])

        assert outcomes(answers) == {201: 4, "item_unavailable": ORDERS - 4}
        assert [shop.left(key) for key in (1, 2, 3)] == [0, 0, 0]
        assert ledger.problems() == []


def test_orders_cancellations_and_payments_that_race(counting: StockedShop) -> None:
    """Of a payment and a cancellation one wins; whatever wins, the stock adds up."""
    shop, customers = counting, [counting.customer() for _ in range(4)]
    for key in (1, 2):
        shop.stocked(key, 20)
    for number, customer in enumerate(customers):
        shop.put_into_cart(customer, {1: 1, 2: 2} if number % 2 else {2: 1, 1: 2})
    placed = [order_id(shop.post(customer, SAVE)) for customer in customers[:3]]
    ledger = Ledger(shop.app)

    def cancel(number: int) -> Any:
        url = f"/api/v1/i/orders/{placed[number]}/cancel/"
        return shop.send(customers[number], url).status_code

    def pay(number: int) -> Any:
        total = next(r["total_amount"] for r in shop.rows("orders") if r["id"].hex == hexed[number])
        with shop.app.app_context():
            for attempt in current_orders.retrying():
                with attempt, attempt.transaction():
                    current_orders.record_payment(placed[number], f"p{number}", total)

    hexed = [one.replace("-", "") for one in placed]
    run_concurrently(
        lambda: cancel(0),
        lambda: cancel(0),
        lambda: pay(1),
        lambda: cancel(1),
        lambda: cancel(2),
        lambda: shop.post(customers[3], SAVE),
    )

    statuses = {row["id"].hex: row["status"] for row in shop.rows("orders")}
    assert statuses[hexed[0]] == statuses[hexed[2]] == "cancelled"
    assert [one for one in ledger.problems() if one.startswith("I1")] == []


@pytest.mark.parametrize("way", COUNTED)
def test_an_order_that_fails_at_any_statement_deducts_nothing(way: str, tmp_path: Path) -> None:
    """COMMIT included; what was reserved elsewhere is released by the rollback."""
    with stocked_shop(URL.create("sqlite", database=str(tmp_path / "shop")), way) as shop:
        customer = shop.customer()
        shop.stocked(1, 9)
        shop.put_into_cart(customer, {1: 2})
        before = shop.left(1)
        for at in itertools.count(1):
            state = shop.everything()
            with fault(shop.engine, at) as sent:
                answer = shop.post(customer, SAVE)
            if len(sent) < at:
                break
            assert answer.status_code == 500
            assert shop.everything() == state
            assert shop.left(1) == before
        assert at > 10
        assert answer.status_code == 201
        assert shop.left(1) == 7
        if way == "external":
            assert shop.external.reservations == {}


@pytest.mark.parametrize("way", [name for name in COUNTED if name != "external"])
def test_a_cancellation_that_fails_at_any_statement_restocks_nothing(
    way: str, tmp_path: Path
) -> None:
    with stocked_shop(URL.create("sqlite", database=str(tmp_path / "shop")), way) as shop:
        customer = shop.customer()
        shop.stocked(1, 9)
        shop.put_into_cart(customer, {1: 2})
        made = shop.post(customer, SAVE)
        before = shop.left(1)
        for at in itertools.count(1):
            state = shop.everything()
            with fault(shop.engine, at) as sent:
                answer = shop.send(customer, f"{made.headers['Location']}cancel/")
            if len(sent) < at:
                break
            assert answer.status_code == 500
            assert shop.everything() == state
            assert shop.left(1) == before
        assert at > 5
        assert answer.status_code == 200
        assert shop.left(1) == 9


class TestNullCounts:
    """NULL is "not counted", and never comes out of the arithmetic where a count was."""

    @pytest.mark.parametrize("way", ["column", "reserved", "taken in cart"])
    def test_what_is_not_counted_is_sold_and_not_restocked(
        self, stocked: Opening, way: str
    ) -> None:
        with stocked(way) as shop:
            customer = shop.customer()
            shop.stocked(1, None)
            shop.add(shop.models.Cart(customer_id=customer))
            shop.fill(customer, {1: 1000})
            before = shop.rows("goods")
            made = shop.post(customer, SAVE)
            assert made.status_code == 201, made.text
            assert shop.rows("goods") == before
            assert [row["stock_deducted"] for row in shop.rows("order_items")] == [False]
            # Counted since then: what was sold before is no part of the count.
            column = WAYS[way].names[0]
            with shop.session() as session:
                session.execute(sa.update(shop.models.Product).values({column: 7}))
            before = shop.rows("goods")
            assert shop.send(customer, f"{made.headers['Location']}cancel/").status_code == 200
            assert shop.rows("goods") == before

    @pytest.mark.parametrize("way", ["column", "taken in cart"])
    def test_a_count_that_became_null_stays_so_and_the_audit_names_it(
        self, stocked: Opening, way: str
    ) -> None:
        with stocked(way) as shop:
            customer = shop.customer()
            shop.stocked(1, 9)
            shop.put_into_cart(customer, {1: 2})
            made = shop.post(customer, SAVE)
            with shop.session() as session:
                session.execute(sa.update(shop.models.Product).values(count=None))
            assert audited(shop) == [
                "I1: the stock of product 1 is NULL, and orders have taken units from it"
            ]
            assert shop.send(customer, f"{made.headers['Location']}cancel/").status_code == 200
            assert shop.row(1)["count"] is None

    def test_allocated_units_that_are_null_are_none(self, stocked: Opening) -> None:
        with stocked("reserved") as shop:
            customer = shop.customer()
            shop.add(shop.models.Product(id=1, price=Decimal(10), quantity=2, allocated=None))
            shop.put_into_cart(customer, {1: 2})
            made = shop.post(customer, SAVE)
            assert made.status_code == 201, made.text
            assert (shop.row(1)["quantity"], shop.row(1)["allocated"]) == (2, 2)
            assert audited(shop) == []
            with shop.session() as session:
                session.execute(sa.update(shop.models.Product).values(allocated=None))
            assert audited(shop) == ["I1: of product 1 0 units are allocated, unpaid orders hold 2"]
            assert shop.send(customer, f"{made.headers['Location']}cancel/").status_code == 200
            assert shop.row(1)["allocated"] == 0

    def test_a_quantity_that_is_no_longer_counted_is_released_all_the_same(
        self, stocked: Opening
    ) -> None:
        with stocked("reserved") as shop:
            customer = shop.customer()
            shop.stocked(1, 9)
            shop.put_into_cart(customer, {1: 2})
            made = shop.post(customer, SAVE)
            with shop.session() as session:
                session.execute(sa.update(shop.models.Product).values(quantity=None))
            assert shop.send(customer, f"{made.headers['Location']}cancel/").status_code == 200
            assert (shop.row(1)["quantity"], shop.row(1)["allocated"]) == (None, 3)


class TestReserved:
    def test_a_cancellation_leaves_at_least_nothing_allocated(self, stocked: Opening) -> None:
        """The shop has corrected its count by hand; the order can be cancelled all the same."""
        with stocked("reserved") as shop:
            customer = shop.customer()
            shop.stocked(1, 9)
            shop.put_into_cart(customer, {1: 4})
            made = shop.post(customer, SAVE)
            assert made.status_code == 201, made.text
            with shop.session() as session:
                session.execute(sa.update(shop.models.Product).values(allocated=1))
            assert shop.send(customer, f"{made.headers['Location']}cancel/").status_code == 200
            assert (shop.row(1)["quantity"], shop.row(1)["allocated"]) == (12, 0)

    def test_more_allocated_than_there_is(self, stocked: Opening) -> None:
        """Nothing can be sold, and the audit names it; unsigned columns can't hold a difference."""
        with stocked("reserved") as shop:
            customer = shop.customer()
            shop.add(shop.models.Product(id=1, price=Decimal(10), quantity=2, allocated=5))
            shop.put_into_cart(customer, {1: 1})
            with nothing_changed(shop):
                (item,) = refused(shop.post(customer, SAVE), 409, "item_unavailable")["items"]
            assert item["available"] == 0
            assert audited(shop) == ["I1: of product 1 there are 2 units, and 5 are allocated"]


def test_a_numeric_stock_is_sold_in_whole_units(database: URL) -> None:
    numeric = {"count": mapped_column(sa.Numeric(10, 2))}
    with stocked_shop(database, "column", columns=numeric) as shop:
        customer = shop.customer()
        shop.add(shop.models.Product(id=1, price=Decimal(10), count=Decimal("3.50")))
        shop.put_into_cart(customer, {1: 4})
        (item,) = refused(shop.post(customer, SAVE), 409, "item_unavailable")["items"]
        assert item["available"] == 3
        with shop.session() as session:
            session.execute(sa.update(shop.models.CartItem).values(quantity=3))
        made = shop.post(customer, SAVE)
        assert made.status_code == 201, made.text
        assert shop.row(1)["count"] == Decimal("0.50")
        assert shop.send(customer, f"{made.headers['Location']}cancel/").status_code == 200
        assert shop.row(1)["count"] == Decimal("3.50")


@pytest.mark.parametrize("way", ["column", "reserved", "taken in cart"])
def test_onupdate_columns_are_set_with_the_count(stocked: Opening, way: str) -> None:
    with stocked(way) as shop:
        customer = shop.customer()
        shop.stocked(1, 9)
        shop.stocked(2, 9)
        shop.add(shop.models.Cart(customer_id=customer))
        shop.fill(customer, {1: 1, 2: 1})
        made = shop.post(customer, SAVE)
        by_order = 0 if way == "taken in cart" else 1
        assert [row["changed"] for row in shop.rows("goods")] == [by_order] * 2
        assert shop.send(customer, f"{made.headers['Location']}cancel/").status_code == 200
        assert [row["changed"] for row in shop.rows("goods")] == [by_order + 1] * 2
        assert {row["changed_by"] for row in shop.rows("goods")} == {"order"}


class TestJoinedInheritance:
    """The stock is in the subclass's table, the version in its parent's: both are changed."""

    @pytest.mark.parametrize(
        ("generator", "table"),
        [(None, "goods"), (lambda version: (version or 0) + 10, "goods"), (None, "things")],
    )
    def test_an_order_and_its_cancellation_count_the_version_up(
        self, database: URL, generator: Any, table: str
    ) -> None:
        with joined_shop(database, generator, count_in_parent=table == "things") as shop:
            customer = shop.customer()
            for key in (7, 8):
                shop.stocked(key, 9)
            ledger = Ledger(shop.app)
            shop.put_into_cart(customer, {7: 2, 8: 3})
            ledger.put(7, 2)
            ledger.put(8, 3)

            with counted(shop.engine) as statements:
                made = shop.post(customer, SAVE)

            assert made.status_code == 201, made.text
            first = 1 if generator is None else 10
            assert [row["row_version"] for row in shop.rows("things")] == [2 * first] * 2
            assert [row["count"] for row in shop.rows(table)] == [7, 6]
            for name in {table, "things"}:
                assert sum(f"UPDATE {name}" in one for one in statements) == 1
            assert ledger.problems() == []
            assert audited(shop) == []
            assert shop.send(customer, f"{made.headers['Location']}cancel/").status_code == 200
            assert [row["row_version"] for row in shop.rows("things")] == [3 * first] * 2
            assert [row["count"] for row in shop.rows(table)] == [9, 9]

    def test_the_last_units_are_sold_once(self, database: URL) -> None:
        with joined_shop(database) as shop:
            customers = [shop.customer() for _ in range(ORDERS)]
            for key in (7, 8):
                shop.stocked(key, 3)
            for number, customer in enumerate(customers):
                keys = (7, 8) if number % 2 else (8, 7)
                shop.put_into_cart(customer, dict.fromkeys(keys, 1))
            answers = run_concurrently(*[lambda c=c: shop.post(c, SAVE) for c in customers])
            assert outcomes(answers) == {201: 3, "item_unavailable": ORDERS - 3}
            assert [row["row_version"] for row in shop.rows("things")] == [4, 4]


class TestOwnStock:
    """What a `Stock` returns and raises."""

    def test_a_product_that_it_leaves_out_has_no_units(self, stocked: Opening) -> None:
        with own_stock(stocked, available=lambda products: {}) as (shop, customer, stock):
            with nothing_changed(shop):
                items = refused(shop.post(customer, SAVE), 409, "item_unavailable")["items"]
            found = [(item["reason"], item["available"]) for item in items]
            assert found == [("out_of_stock", 0)] * 2
            assert stock.deducted == []

    def test_fewer_than_none_are_none(self, stocked: Opening) -> None:
        with own_stock(stocked, available=lambda products: {1: -3, 2: 5}) as (shop, customer, _):
            (item,) = refused(shop.post(customer, SAVE), 409, "item_unavailable")["items"]
            assert item["available"] == 0

    def test_it_is_asked_once_for_a_cart_and_gets_the_shop_s_objects(
        self, stocked: Opening
    ) -> None:
        asked = []

        def available(products: Any) -> Any:
            asked.append({key: type(product).__name__ for key, product in products.items()})
            return {1: Decimal(5), 2: 5}

        with own_stock(stocked, available=available) as (shop, customer, stock):
            made = shop.post(customer, SAVE)
            assert made.status_code == 201, made.text
            assert asked == [{1: "Product", 2: "Product"}]
            assert stock.deducted == [{1: 2, 2: 1}]

    def test_what_it_does_not_count_is_neither_deducted_nor_restocked(
        self, stocked: Opening
    ) -> None:
        with own_stock(stocked, available=lambda _: {1: None, 2: 5}) as (shop, customer, stock):
            made = shop.post(customer, SAVE)
            assert stock.deducted == [{2: 1}]
            shop.send(customer, f"{made.headers['Location']}cancel/")
            assert stock.restocked == [{2: 1}]

    @pytest.mark.parametrize("units", [2.0, "5", True])
    def test_what_is_no_number_of_units_is_a_misconfiguration(
        self, stocked: Opening, units: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        with own_stock(stocked, available=lambda _: {1: units, 2: 5}) as (shop, customer, _):
            with nothing_changed(shop):
                refused(shop.post(customer, SAVE), 500, "misconfigured")
            assert f"RecordingStock.available() returns {units!r} for product 1" in caplog.text

    def test_a_conflict_that_lasts_is_503(self, stocked: Opening) -> None:
        with (
            own_stock(stocked, raises=Conflict()) as (shop, customer, stock),
            nothing_changed(shop),
        ):
            shop.app.config["ORDERS_RETRIES"] = 2
            refused(shop.post(customer, SAVE), 503, "try_again")
            assert len(stock.deducted) == 2

    def test_it_may_refuse_an_order_with_a_reason_of_the_shop_s_own(self, stocked: Opening) -> None:
        with (
            own_stock(stocked, raises=NotShippable("Not to this country.")) as (shop, customer, _),
            nothing_changed(shop),
        ):
            answer = shop.post(customer, SAVE)
            assert (answer.status_code, body(answer)["code"]) == (409, "not_shippable")

    def test_any_other_failure_undoes_the_order(self, stocked: Opening) -> None:
        with (
            own_stock(stocked, raises=RuntimeError("the warehouse is down")) as (shop, c, _),
            nothing_changed(shop),
        ):
            answer = shop.post(c, SAVE)
            assert answer.status_code == 500
            assert "warehouse" not in answer.text

    def test_a_failing_restock_undoes_the_cancellation(self, stocked: Opening) -> None:
        with own_stock(stocked) as (shop, customer, stock):
            made = shop.post(customer, SAVE)
            stock.raises = RuntimeError("the warehouse is down")
            with nothing_changed(shop):
                url = f"{made.headers['Location']}cancel/"
                assert shop.send(customer, url).status_code == 500
            stock.raises = None
            assert shop.send(customer, url).status_code == 200
            assert stock.restocked[-1] == {1: 2, 2: 1}

    def test_the_products_are_locked_before_it_is_told(self, stocked: Opening) -> None:
        """In the order of their keys, by orders and cancellations alike: so none deadlocks."""
        with stocked("warehouses") as shop:
            customer = shop.customer()
            for key in (1, 2):
                shop.stocked(key, 9)
            shop.put_into_cart(customer, {2: 1, 1: 2})
            with counted(shop.engine) as of_order:
                made = shop.post(customer, SAVE)
            with counted(shop.engine) as of_cancellation:
                shop.send(customer, f"{made.headers['Location']}cancel/")
            for statements in (of_order, of_cancellation):
                locks, changes = (
                    [i for i, one in enumerate(statements) if text in one]
                    for text in ("ORDER BY goods.id", "UPDATE stock_levels")
                )
                assert locks[0] < changes[0]
                locking = statements[locks[0]]
                assert "FOR " in locking or shop.engine.dialect.name == "sqlite"

    def test_a_deleted_product_is_not_restocked(self, stocked: Opening) -> None:
        with own_stock(stocked) as (shop, customer, stock):
            made = shop.post(customer, SAVE)
            with shop.session() as session:
                session.delete(session.get_one(shop.models.Product, 1))
            assert shop.send(customer, f"{made.headers['Location']}cancel/").status_code == 200
            assert stock.restocked == [{2: 1}]

    def test_the_ledger_asks_it(self, stocked: Opening) -> None:
        left = {1: 5, 2: 5}
        with own_stock(stocked, available=lambda _: left) as (shop, customer, _):
            ledger = Ledger(shop.app)
            assert shop.post(customer, SAVE).status_code == 201
            # Its deduct was called, and did nothing.
            assert ledger.problems() == [
                "I1: of product 1 there were 5 units, now 7",
                "I1: of product 2 there were 5 units, now 6",
            ]


def test_a_reservation_that_was_never_confirmed_expires() -> None:
    """The process has died between the deduction and the commit."""
    warehouse = Warehouse()
    warehouse.units[1] = 5
    warehouse.reserve({1: 2}, seconds=0)
    assert warehouse.available() == {1: 5}


def test_an_order_of_the_shop_s_own_transaction_is_released_with_its_savepoint(
    stocked: Opening,
) -> None:
    """`convert` in a savepoint that the shop rolls back, and then goes on with its transaction."""
    with stocked("external") as shop:
        customer = shop.customer()
        shop.stocked(1, 9)
        shop.put_into_cart(customer, {1: 2})
        with shop.service() as orders:
            savepoint = shop.db.session.begin_nested()
            orders.convert(customer, billing_address=HOME)
            assert shop.left(1) == 7
            savepoint.rollback()
            assert shop.left(1) == 9
        assert shop.rows("orders") == []
        assert shop.external.reservations == {}


class NotShippable(OrdersError):
    code = "not_shippable"
    status = 409
    title = "Not shippable"


@contextmanager
def own_stock(
    stocked: Opening, available: Any = None, raises: Exception | None = None
) -> Iterator[tuple[StockedShop, int, RecordingStock]]:
    """A shop with an own stock, and a customer whose cart has 2 units of product 1 and one of 2."""
    with stocked("own") as shop:
        stock = shop.models.shop.product.stock
        assert isinstance(stock, RecordingStock)
        stock.begin(available or (lambda products: dict.fromkeys(products, 5)), raises)
        customer = shop.customer()
        for key in (1, 2):
            shop.add(shop.models.Product(id=key, price=Decimal(10)))
        shop.put_into_cart(customer, {1: 2, 2: 1})
        yield shop, customer, stock


def audited(shop: StockedShop) -> list[str]:
    with shop.service() as orders:
        return list(orders.audit())
