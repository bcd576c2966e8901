"""`flask orders audit` reports every inconsistency, and nothing else.

ORDERS_TEST_LONG audits more orders, and more often while they are made; otherwise it is short.
"""

import gc
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL

from flask_orders import current_orders
from flask_orders.audit import BATCH
from flask_orders.keys import new_key, new_number
from flask_orders.models.contract import table
from flask_orders.testing import run_concurrently

from .support import servers
from .support.database import server_of
from .support.effort import LONG
from .support.requests import SAVE
from .support.shops import Shop, make_shop, until_done

MANY = 20_000 if LONG else 2_000
ROUNDS = 200 if LONG else 10

Break = Callable[[sa.Connection, "Sold"], list[str]]


class Sold:
    """A shop in which two customers have ordered: one of them twice, with a voucher."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.product, other = shop.product("10.00", stock=100), shop.product("3.33", stock=100)
        self.voucher = shop.voucher("TEN", "10%", usage_limit=5)
        ann, ben = shop.customer(), shop.customer()
        shop.cart(ann, {self.product: 2, other: 3}, self.voucher)
        self.first = UUID(shop.order(ann)["id"])
        shop.fill(ann, {self.product: 1, other: 1}, self.voucher)
        self.second = UUID(shop.order(ann)["id"])
        shop.cart(ben, {other: 7})
        self.bens = UUID(shop.order(ben)["id"])

    def item(self, order_id: UUID) -> UUID:
        """The first item of an order."""
        items = [row for row in self.shop.rows("order_items") if row["order_id"] == order_id]
        return UUID(str(next(row["id"] for row in items if row["position"] == 1)))

    def set(self, connection: sa.Connection, name: str, key: Any, **values: Any) -> None:
        rows = self.table(name)
        connection.execute(sa.update(rows).where(rows.c.id == key).values(values))

    def table(self, name: str) -> sa.Table:
        return self.shop.db.metadata.tables[name]


@pytest.fixture(scope="module")
def module_shop(server_url: URL) -> Iterator[Shop]:
    with servers.fresh_database(server_url) as url:
        shop = make_shop(url)
        if server_of(shop.engine) in ("postgresql", "mysql"):
            drop_checks(shop)
        yield shop
        shop.close()


@pytest.fixture
def shop(module_shop: Shop) -> Shop:
    """A shop in which everything may be broken by hand, and nothing in it."""
    module_shop.clear()
    return module_shop


@pytest.fixture
def sold(shop: Shop) -> Sold:
    return Sold(shop)


def change_a_total(connection: sa.Connection, sold: Sold) -> list[str]:
    sold.set(connection, "orders", sold.first, total_amount=Decimal("1.00"))
    return [f"I5: of the order {sold.first} these do not follow: total_amount"]


def change_a_total_in_the_last_digit(connection: sa.Connection, sold: Sold) -> list[str]:
    order = next(row for row in sold.shop.rows("orders") if row["id"] == sold.bens)
    wrong = order["subtotal"] + Decimal("0.0001")
    sold.set(connection, "orders", sold.bens, subtotal=wrong)
    return [f"I5: of the order {sold.bens} these do not follow: subtotal"]


def change_the_number_of_units(connection: sa.Connection, sold: Sold) -> list[str]:
    sold.set(connection, "orders", sold.bens, items_count=8)
    return [f"I5: of the order {sold.bens} these do not follow: items_count"]


def change_an_item(connection: sa.Connection, sold: Sold) -> list[str]:
    item = sold.item(sold.second)
    sold.set(connection, "order_items", item, total_price=Decimal("9.99"))
    return [f"I5: of the item {item} these do not follow: total_price"]


def change_a_price(connection: sa.Connection, sold: Sold) -> list[str]:
    item = sold.item(sold.second)
    sold.set(connection, "order_items", item, unit_price=Decimal("9.00"))
    return [
        f"I5: of the item {item} these do not follow: total_price, discount_amount",
        f"I5: of the order {sold.second} these do not follow: "
        "subtotal, savings_on_items, amount_saved, total_amount",
    ]


def delete_an_item(connection: sa.Connection, sold: Sold) -> list[str]:
    items = sold.table("order_items")
    connection.execute(sa.delete(items).where(items.c.id == sold.item(sold.second)))
    return [
        f"I5: of the order {sold.second} these do not follow: "
        "items_count, subtotal, discount_amount, amount_saved, total_amount"
    ]


def delete_all_items(connection: sa.Connection, sold: Sold) -> list[str]:
    items = sold.table("order_items")
    connection.execute(sa.delete(items).where(items.c.order_id == sold.bens))
    return [
        f"I4: the order {sold.bens} has no items",
        f"I5: of the order {sold.bens} these do not follow: items_count, subtotal, total_amount",
    ]


def lose_an_order(connection: sa.Connection, sold: Sold) -> list[str]:
    orders, item = sold.table("orders"), sold.item(sold.bens)
    connection.execute(sa.delete(orders).where(orders.c.id == sold.bens))
    return [f"I4: the item {item} has no order"]


def miscount_a_voucher(connection: sa.Connection, sold: Sold) -> list[str]:
    sold.set(connection, "vouchers", sold.voucher, times_used=3)
    return [f"I2: voucher {sold.voucher} is used 3 times, and 2 orders carry it"]


def overuse_a_voucher(connection: sa.Connection, sold: Sold) -> list[str]:
    sold.set(connection, "vouchers", sold.voucher, usage_limit=1)
    return [f"I2: voucher {sold.voucher} of limit 1: 2 orders"]


def use_a_single_voucher_twice(connection: sa.Connection, sold: Sold) -> list[str]:
    sold.set(connection, "vouchers", sold.voucher, usage="single")
    return [f"I2: voucher {sold.voucher} of limit 1: 2 orders"]


def use_a_voucher_twice_by_one_customer(connection: sa.Connection, sold: Sold) -> list[str]:
    sold.set(connection, "vouchers", sold.voucher, usage="once_per_customer")
    return [f"I2: voucher {sold.voucher} is in 2 orders of one customer"]


def oversell(connection: sa.Connection, sold: Sold) -> list[str]:
    sold.set(connection, "products", sold.product, stock=-1)
    return [f"I1: of product {sold.product} there are -1 units"]


BREAKS: list[Break] = [
    change_a_total,
    change_a_total_in_the_last_digit,
    change_the_number_of_units,
    change_an_item,
    change_a_price,
    delete_an_item,
    delete_all_items,
    lose_an_order,
    miscount_a_voucher,
    overuse_a_voucher,
    use_a_single_voucher_twice,
    use_a_voucher_twice_by_one_customer,
    oversell,
]


def test_a_consistent_shop_has_no_problems(sold: Sold) -> None:
    with sold.shop.service() as orders:
        orders.cancel(sold.second)
    assert audit(sold.shop) == (0, [], "Orders examined: 3; problems: 0.")


@pytest.mark.parametrize("break_it", BREAKS, ids=lambda one: str(one.__name__))
def test_each_inconsistency_is_reported(sold: Sold, break_it: Break) -> None:
    with unguarded(sold.shop) as connection:
        expected = break_it(connection, sold)
    code, found, last = audit(sold.shop)
    assert found == expected
    count = len(sold.shop.rows("orders"))
    assert (code, last) == (1, f"Orders examined: {count}; problems: {len(expected)}.")


def test_one_problem_does_not_hide_another(sold: Sold) -> None:
    together = (
        *(oversell, miscount_a_voucher, use_a_voucher_twice_by_one_customer),
        *(change_a_total, change_an_item, delete_all_items),
    )
    with unguarded(sold.shop) as connection:
        expected = [problem for each in together for problem in each(connection, sold)]
    code, found, last = audit(sold.shop)
    assert (code, sorted(found)) == (1, sorted(expected))
    assert last == f"Orders examined: 3; problems: {len(expected)}."


def test_a_problem_beyond_the_first_batch_is_found(sold: Sold) -> None:
    copy_order(sold, BATCH + 1)
    last = max(row["id"] for row in sold.shop.rows("orders"))
    with unguarded(sold.shop) as connection:
        sold.set(connection, "orders", last, total_amount=Decimal("1.00"))
    problem = f"I5: of the order {last} these do not follow: total_amount"
    assert audit(sold.shop) == (1, [problem], f"Orders examined: {BATCH + 4}; problems: 1.")


def test_memory_does_not_grow_with_the_number_of_orders(sold: Sold) -> None:
    copy_order(sold, MANY // 8)
    audit(sold.shop)
    few = peak_of_an_audit(sold.shop)
    copy_order(sold, MANY - MANY // 8)
    many = peak_of_an_audit(sold.shop)
    assert many < 2 * few


def test_an_order_deleted_during_the_audit_is_no_problem(sold: Sold) -> None:
    """Between the reading of the orders and that of their items."""
    orders = sold.table("orders")
    deleted: list[UUID] = []

    def delete_one(_connection: sa.Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "FROM orders" in statement and "total_amount" in statement and not deleted:
            deleted.append(sold.bens)
            with sold.shop.engine.begin() as another:
                another.execute(sa.delete(orders).where(orders.c.id == sold.bens))

    event.listen(sold.shop.engine, "after_cursor_execute", delete_one)
    try:
        assert audit(sold.shop) == (0, [], "Orders examined: 3; problems: 0.")
    finally:
        event.remove(sold.shop.engine, "after_cursor_execute", delete_one)
    assert len(sold.shop.rows("orders")) == 2


NOT_AN_AMOUNT = {
    "sqlite": [
        "PRAGMA ignore_check_constraints=ON",
        "UPDATE order_items SET unit_price = 'ten' WHERE quantity = 2",
    ],
    "postgresql": [
        "ALTER TABLE order_items ALTER unit_price DROP NOT NULL",
        "UPDATE order_items SET unit_price = NULL WHERE quantity = 2",
    ],
    "mysql": [
        "ALTER TABLE order_items MODIFY unit_price NUMERIC(18, 4) NULL",
        "UPDATE order_items SET unit_price = NULL WHERE quantity = 2",
    ],
}
NOT_AN_AMOUNT["mariadb"] = NOT_AN_AMOUNT["mysql"]


def test_an_order_that_can_not_be_computed_does_not_stop_the_audit(
    database: URL, server: str
) -> None:
    shop = make_shop(database)
    sold = Sold(shop)
    with shop.engine.begin() as connection:
        for statement in NOT_AN_AMOUNT[server]:
            connection.exec_driver_sql(statement)
        change_the_number_of_units(connection, sold)
    code, problems, summary = audit(shop)
    shop.close()
    assert (code, summary) == (1, "Orders examined: 3; problems: 2.")
    assert sorted(problem.rpartition(": ")[0] for problem in problems) == sorted(
        [
            f"I5: the amounts of the order {sold.first} can't be computed",
            f"I5: of the order {sold.bens} these do not follow",
        ]
    )


def test_no_false_alarm_while_orders_are_placed_paid_and_cancelled(
    sold: Sold, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = sold.shop
    customers = [shop.customer() for _ in range(3)]
    voucher = shop.voucher("HOT", "1.00", usage="once_per_customer")
    working = threading.Semaphore(0)

    def live(customer: int) -> int:
        try:
            shop.cart(customer, {})
            for i in range(ROUNDS):
                until_done(partial(shop.fill, customer, {sold.product: 1}, voucher))
                order_id = place(shop, customer)
                if i % 2:
                    until_done(partial(pay, shop, order_id))
                until_done(partial(cancel, shop, order_id))
                if not i % 2:
                    until_done(partial(delete, sold, order_id))
            return ROUNDS
        finally:
            working.release()

    def look() -> int:
        audits, ended = 0, 0
        while ended < len(customers):
            ended += working.acquire(blocking=False)
            with shop.app.app_context():
                assert list(current_orders.audit()) == []
            audits += 1
        return audits

    *_, audits = run_concurrently(*[lambda c=c: live(c) for c in customers], look)
    with capsys.disabled():
        print(f"\n{shop.engine.dialect.name}: {audits} audits, {3 * ROUNDS} orders, 0 false alarms")


def place(shop: Shop, customer: int) -> UUID:
    answer = shop.post(customer, SAVE)
    assert answer.status_code == 201, answer.text
    return UUID(answer.headers["Location"].split("/")[-2])


def pay(shop: Shop, order_id: UUID) -> None:
    with shop.service() as orders:
        orders.record_payment(order_id, f"ref-{order_id}", Decimal("9.00"))


def cancel(shop: Shop, order_id: UUID) -> None:
    with shop.service() as orders:
        orders.cancel(order_id, by_shop=True)


def delete(sold: Sold, order_id: UUID) -> None:
    orders = sold.table("orders")
    with sold.shop.session() as session:
        session.execute(sa.delete(orders).where(orders.c.id == order_id))


def audit(shop: Shop) -> tuple[int, list[str], str]:
    """`flask orders audit`: its exit code, the problems, and its last line."""
    result = shop.app.test_cli_runner().invoke(args=["orders", "audit"])
    lines = [line for line in result.output.splitlines() if line]
    problems = [line.removeprefix("- ") for line in lines if line.startswith("- ")]
    return result.exit_code, problems, lines[-1]


def peak_of_an_audit(shop: Shop) -> int:
    """The largest amount of memory that it holds, in bytes."""
    thresholds = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    tracemalloc.start()
    try:
        code, problems, _ = audit(shop)
        assert (code, problems) == (0, [])
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.set_threshold(*thresholds)


def copy_order(sold: Sold, times: int) -> None:
    """Put copies of an order without a voucher into the tables."""
    models = sold.shop.models
    orders, items = table(models.Order), table(models.OrderItem)
    order = next(row for row in sold.shop.rows("orders") if row["id"] == sold.bens)
    lines = [row for row in sold.shop.rows("order_items") if row["order_id"] == sold.bens]
    used = len(sold.shop.rows("orders"))
    keys = [new_key() for _ in range(times)]
    with sold.shop.engine.begin() as connection:
        connection.execute(
            sa.insert(orders),
            [
                {**order, "id": key, "number": new_number(), "sequence": used + i}
                for i, key in enumerate(keys)
            ],
        )
        connection.execute(
            sa.insert(items),
            [{**line, "id": new_key(), "order_id": key} for key in keys for line in lines],
        )


@contextmanager
def unguarded(shop: Shop) -> Iterator[sa.Connection]:
    """A connection on which neither foreign keys nor checks hold."""
    engine = sa.create_engine(shop.app.config["SQLALCHEMY_DATABASE_URI"])
    statements = {
        "sqlite": ("PRAGMA ignore_check_constraints=ON",),
        "postgresql": ("SET session_replication_role = replica",),
        "mysql": ("SET foreign_key_checks = 0",),
        "mariadb": ("SET check_constraint_checks = 0", "SET foreign_key_checks = 0"),
    }
    with engine.begin() as connection:
        for statement in statements[server_of(engine)]:
            connection.exec_driver_sql(statement)
        yield connection
    engine.dispose()


def drop_checks(shop: Shop) -> None:
    """PostgreSQL's and MySQL's can't be switched off for a session."""
    with shop.engine.begin() as connection:
        inspector = sa.inspect(connection)
        for name in shop.db.metadata.tables:
            for check in inspector.get_check_constraints(name):
                connection.exec_driver_sql(f"ALTER TABLE {name} DROP CONSTRAINT {check['name']}")
