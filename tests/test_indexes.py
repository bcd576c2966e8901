"""Every query finds its rows by an index: what a call costs does not grow with the tables.

It is also what keeps customers apart: InnoDB locks whatever an UPDATE or a FOR UPDATE has to read.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL

from flask_orders.signals import outbox_event

from .support import servers
from .support.database import server_of
from .support.orders import age
from .support.requests import ADDRESS
from .support.shops import Shop, make_shop

# Enough for MariaDB, which reads a table of a few rows from end to end whatever its indexes are.
FILLING = 60

SENT = re.compile(r"(SET STATEMENT \S+ FOR )?(?P<query>(SELECT|UPDATE|DELETE|WITH)\b.*)", re.DOTALL)

Query = tuple[str, Any]


@pytest.fixture(scope="module")
def filled_shop(server_url: URL) -> Iterator[Shop]:
    """A shop with rows enough that an index is worth while."""
    with servers.fresh_database(server_url) as url:
        shop = make_shop(url, ORDERS_OUTBOX=True)
        fill(shop)
        yield shop
        shop.close()


def fill(shop: Shop) -> None:
    for _ in range(FILLING):
        customer = shop.customer()
        product = shop.product()
        voucher = shop.voucher(f"V{customer}", "5%", usage="once_per_customer")
        shop.offer("5%", product, active=customer % 10 == 0)
        shop.cart(customer, {product: 1}, voucher)
        shop.order(customer)
        shop.fill(customer, {product: 1})
    # The database must be asked to analyse how large the tables are.
    with shop.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.dialect.name == "mysql":
            tables = ", ".join(shop.db.metadata.tables)
            connection.exec_driver_sql(f"ANALYZE TABLE {tables}").close()
        else:
            connection.exec_driver_sql("ANALYZE")


@contextmanager
def queries(shop: Shop) -> Iterator[list[Query]]:
    """What is sent meanwhile, but for INSERTs, and for batches of rows."""
    sent: list[Query] = []

    def note(
        _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool
    ) -> None:
        found = SENT.fullmatch(statement)
        if found is not None and not many:
            sent.append((found["query"], parameters))

    event.listen(shop.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(shop.engine, "before_cursor_execute", note)


def order_with_everything(shop: Shop) -> None:
    customer = shop.customer()
    products = [shop.product() for _ in range(5)]
    voucher = shop.voucher(f"W{customer}", "10%", usage="once_per_customer", usage_limit=3)
    shop.offer("20%", *products)
    shop.cart(customer, dict.fromkeys(products, 1), voucher)
    for _ in range(2):
        answer = shop.post(customer, headers={**shop.token(customer), "Idempotency-Key": "k"})
        assert answer.status_code == 201
    shop.fill(customer, {products[0]: 1})
    assert shop.post(customer, {"action": "checkout"}).status_code == 303
    assert shop.post(customer).status_code == 400


def look(shop: Shop) -> None:
    customer, order = ordered(shop)
    for path in ("", "?status=paid&limit=5&offset=1&until=3", "?before=9", "?after=0", "preview/"):
        assert shop.get(customer, f"/api/v1/i/orders/{path}").status_code == 200
    assert shop.get(customer, order["url"]).status_code == 200


def live(shop: Shop) -> None:
    customer, order = ordered(shop)
    assert shop.send(customer, f"{order['url']}checkout/").status_code == 303
    for reference in ("one", "one", "two"):
        with shop.service() as orders:
            orders.record_payment(UUID(order["id"]), reference, Decimal(order["total_amount"]))
    with shop.service() as orders:
        orders.deliver(UUID(order["id"]))
    customer, order = ordered(shop)
    assert shop.send(customer, f"{order['url']}cancel/").status_code == 200


def expire(shop: Shop) -> None:
    _, order = ordered(shop)
    age(shop, 73, order["id"])
    run(shop, "expire")


def relay(shop: Shop) -> None:
    def receive(_app: object, event: Mapping[str, Any]) -> None:
        if event["subject"] == order["id"]:
            raise ValueError("not this one")

    _, order = ordered(shop)
    with outbox_event.connected_to(receive):
        run(shop, "relay", "--once", exit_code=1)


def purge(shop: Shop) -> None:
    run(shop, "purge-keys")


def ordered(shop: Shop) -> tuple[int, dict[str, Any]]:
    customer = shop.customer()
    voucher = shop.voucher(f"X{customer}", "1.00")
    shop.cart(customer, {shop.product(): 1}, voucher)
    order = shop.order(customer, billing_address=ADDRESS)
    shop.fill(customer, {shop.product(): 1}, voucher)
    return customer, order


def run(shop: Shop, *command: str, exit_code: int = 0) -> None:
    result = shop.app.test_cli_runner().invoke(args=["orders", *command])
    assert result.exit_code == exit_code, result.output


@pytest.mark.parametrize("call", [order_with_everything, look, live, expire, relay, purge])
def test_no_table_is_scanned_sequentially(filled_shop: Shop, call: Callable[[Shop], None]) -> None:
    with queries(filled_shop) as sent:
        call(filled_shop)
    assert sent
    read = {
        f"{name}: {' '.join(query.split())}"
        for query, parameters in sent
        for name in read_from_end_to_end(filled_shop, query, parameters)
    }
    assert read == set()


def test_the_saved_address_is_found_without_sorting_the_address_book(filled_shop: Shop) -> None:
    """Else a customer with ten thousand orders holds SQLite's write lock for twenty seconds."""
    shop, customer = filled_shop, filled_shop.customer()
    shop.cart(customer, {})
    for number in range(30):
        shop.fill(customer, {shop.product(): 1})
        shop.order(customer, billing_address={**ADDRESS, "city": f"City {number}"})
    shop.fill(customer, {shop.product(): 1})
    with queries(shop) as sent:
        assert shop.post(customer, {"action": "save_order"}).status_code == 201
    asked = [(query, values) for query, values in sent if "order_addresses.city" in query]
    assert len(asked) == 1, sent
    assert not is_sorted(shop, *asked[0])


def is_sorted(shop: Shop, query: str, parameters: Any) -> bool:
    """Whether the database would sort rows, as its EXPLAIN says."""
    with shop.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", parameters)
            return any("TEMP B-TREE" in row.detail for row in rows)
        if connection.dialect.name == "postgresql":
            for way in ("seqscan", "bitmapscan", "sort"):
                connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
            rows = connection.exec_driver_sql(f"EXPLAIN {query}", parameters)
            return any("Sort" in row[0] for row in rows)
        plan = json.dumps(plan_of_mysql(connection, query, parameters))
        return bool(re.search('"filesort"|"using_filesort": true|temporary_table": (true|{)', plan))


def read_from_end_to_end(shop: Shop, query: str, parameters: Any) -> set[str]:
    """The tables that the database would read so, as its EXPLAIN says."""
    with shop.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", parameters)
            found = {row.detail.split()[1] for row in rows if row.detail.startswith("SCAN")}
        elif connection.dialect.name == "postgresql":
            # For a table of a few pages no index is worth while: does it have one at all?
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            explain = f"EXPLAIN (FORMAT JSON) {query}"
            (plan,) = connection.exec_driver_sql(explain, parameters).scalar_one()
            found = set(scanned_by_postgresql(plan["Plan"]))
        else:
            found = set(scanned_by_mysql(plan_of_mysql(connection, query, parameters)))
    return found & shop.db.metadata.tables.keys()


def plan_of_mysql(connection: sa.Connection, query: str, parameters: Any) -> Any:
    """The plan of MySQL or MariaDB, in the form that both have."""
    if server_of(connection.engine) == "mysql":
        connection.exec_driver_sql("SET SESSION explain_json_format_version = 1")
    explain = f"EXPLAIN FORMAT=JSON {query}"
    return json.loads(connection.exec_driver_sql(explain, parameters).scalar_one())


def scanned_by_postgresql(plan: Mapping[str, Any]) -> Iterator[str]:
    is_whole_index = plan["Node Type"] in ("Index Scan", "Index Only Scan") and (
        "Index Cond" not in plan
    )
    if plan["Node Type"] == "Seq Scan" or is_whole_index:
        yield plan["Relation Name"]
    for inner in plan.get("Plans", ()):
        yield from scanned_by_postgresql(inner)


def scanned_by_mysql(plan: Any) -> Iterator[str]:
    """ALL reads the rows in the order of their keys, index in that of another index."""
    if isinstance(plan, dict):
        if plan.get("access_type") in ("ALL", "index"):
            yield plan["table_name"]
        plan = list(plan.values())
    if isinstance(plan, list):
        for inner in plan:
            yield from scanned_by_mysql(inner)


def test_every_foreign_key_has_an_index(filled_shop: Shop) -> None:
    """Deleting a product or a customer does not read all orders."""
    for table in filled_shop.db.metadata.sorted_tables:
        indexes = [list(index.columns) for index in table.indexes]
        indexes += [
            list(one.columns)
            for one in table.constraints
            if isinstance(one, sa.UniqueConstraint | sa.PrimaryKeyConstraint)
        ]
        for key in table.foreign_key_constraints:
            columns = list(key.columns)
            assert any(index[: len(columns)] == columns for index in indexes), f"{table}: {key}"
