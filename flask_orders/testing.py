"""What proves a shop: invariants read from its rows, requests released at once, injected faults.

Called by tests, ours and a host's, against the host's own app and database.

    ledger = Ledger(app)
    answers = at_once(*[order_something] * 20)
    assert ledger.problems() == []
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, TypeVar

from flask import Flask
from sqlalchemy import Connection, Engine, event, func, select
from sqlalchemy.engine import RowMapping

from .models import table
from .pricing import ZERO
from .service import AMOUNTS, EXTENSION_KEY, OrderService

Returned = TypeVar("Returned")


class InjectedFault(Exception):
    """Raised in the place of a statement, by `fault`."""


class Ledger:
    """What there was when it was made, to be compared with what there is.

    Make it while nobody orders. What is put into carts or taken out of them by hand afterwards is
    noted by `put`.
    """

    def __init__(self, app: Flask) -> None:
        self._orders: OrderService = app.extensions[EXTENSION_KEY]
        with app.app_context():
            self._engine: Engine = app.extensions["sqlalchemy"].engine
        self._put = Counter[Any]()
        self._lock = threading.Lock()
        self._stock_and_sold = self._read(self._stock_plus_sold)
        self._units = self._read(self._in_carts_plus_sold)

    def put(self, product_id: Any, units: int) -> None:
        """Note that units were put into a cart, or, if negative, taken out of one."""
        with self._lock:
            self._put[product_id] += units

    def problems(self) -> list[str]:
        """Everything that does not add up, a sentence each: the invariants I1 to I5."""
        with self._engine.connect() as connection:
            return [
                *self._stock_problems(connection),
                *self._voucher_problems(connection),
                *self._unit_problems(connection),
                *self._order_problems(connection),
            ]

    def _read(self, read: Callable[[Connection], Returned]) -> Returned:
        with self._engine.connect() as connection:
            return read(connection)

    def _sold(self, connection: Connection) -> Counter[Any]:
        items = table(self._orders.models.OrderItem)
        units = func.sum(items.c.quantity)
        rows = connection.execute(select(items.c.product_id, units).group_by(items.c.product_id))
        return Counter({row[0]: int(row[1]) for row in rows})

    def _stock_plus_sold(self, connection: Connection) -> dict[Any, int]:
        columns, sold = self._orders.models.columns, self._sold(connection)
        if columns.product_stock is None:
            return {}
        rows = connection.execute(select(columns.product_key, columns.product_stock))
        return {key: stock + sold[key] for key, stock in rows if stock is not None}

    def _in_carts_plus_sold(self, connection: Connection) -> Counter[Any]:
        columns = self._orders.models.columns
        rows = connection.execute(
            select(columns.item_product, func.sum(columns.item_quantity)).group_by(
                columns.item_product
            )
        )
        return self._sold(connection) + Counter({row[0]: int(row[1]) for row in rows})

    def _stock_problems(self, connection: Connection) -> Iterator[str]:
        now = self._stock_plus_sold(connection)
        for key, before in self._stock_and_sold.items():
            if now.get(key, before) != before:
                yield f"I1: of product {key} there were {before} units, now {now[key]}"

    def _unit_problems(self, connection: Connection) -> Iterator[str]:
        now, expected = self._in_carts_plus_sold(connection), self._units + self._put
        for key in now.keys() | expected.keys():
            if now[key] != expected[key]:
                yield f"I3: of product {key}, {expected[key]} units were wanted, now {now[key]}"

    def _voucher_problems(self, connection: Connection) -> Iterator[str]:
        if self._orders.has_own_pricing:
            return
        orders, vouchers = table(self._orders.models.Order), table(self._orders.models.Voucher)
        carrying = Counter[Any]()
        customers = Counter[Any]()
        for row in connection.execute(
            select(orders.c.voucher_id, orders.c.customer_id).where(
                orders.c.voucher_id.is_not(None)
            )
        ):
            carrying[row.voucher_id] += 1
            customers[tuple(row)] += 1
        for voucher in connection.execute(select(vouchers)):
            uses = carrying[voucher.id]
            if voucher.times_used != uses:
                yield f"I2: voucher {voucher.id} is used {voucher.times_used}, carried by {uses}"
            limit = 1 if voucher.usage == "single" else voucher.usage_limit
            if limit is not None and uses > limit:
                yield f"I2: voucher {voucher.id} of limit {limit} is carried by {uses} orders"
            once = voucher.usage == "once_per_customer"
            twice = [who for (what, who), n in customers.items() if what == voucher.id and n > 1]
            if once and twice:
                yield f"I2: voucher {voucher.id} was used more than once by {len(twice)} customers"

    def _order_problems(self, connection: Connection) -> Iterator[str]:
        orders, items = table(self._orders.models.Order), table(self._orders.models.OrderItem)
        lines: dict[Any, list[RowMapping]] = {}
        for row in connection.execute(select(items)).mappings():
            lines.setdefault(row["order_id"], []).append(row)
        for order in connection.execute(select(orders)).mappings():
            found = lines.pop(order["id"], [])
            if not found:
                yield f"I4: order {order['id']} has no items"
            amounts = recomputed(found)
            wrong = [name for name in AMOUNTS if order[name] != amounts[name]]
            if wrong:
                yield f"I5: of order {order['id']} these do not follow: {', '.join(wrong)}"
        for order_id in lines:
            yield f"I4: items without their order {order_id}"


def recomputed(items: Sequence[RowMapping]) -> dict[str, Any]:
    """The amounts of an order by the formulas of the README's section "Money"."""

    def total(name: str) -> Decimal:
        return sum((item[name] for item in items), ZERO)

    subtotal = sum((item["unit_price"] * item["quantity"] for item in items), ZERO)
    savings = sum(
        ((item["list_price"] - item["unit_price"]) * item["quantity"] for item in items), ZERO
    )
    discount = total("voucher_discount")
    return {
        "items_count": sum(item["quantity"] for item in items),
        "subtotal": subtotal,
        "savings_on_items": savings,
        "discount_amount": discount,
        "amount_saved": savings + discount,
        "shipping": total("shipping"),
        "total_amount": subtotal + total("shipping") - discount,
    }


def at_once(*calls: Callable[[], Returned]) -> list[Returned]:
    """Run the calls in threads of their own, released together; what they return, in that order.

    Raises:
        ExceptionGroup: what the calls raised.
    """
    barrier = threading.Barrier(len(calls))
    returned: dict[int, Returned] = {}
    raised: list[Exception] = []

    def run(i: int) -> None:
        barrier.wait()
        try:
            returned[i] = calls[i]()
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise ExceptionGroup("calls that were released at once", raised)
    return [returned[i] for i in range(len(calls))]


@contextmanager
def fault(engine: Engine, at: int, *, cut: bool = False) -> Iterator[list[str]]:
    """Put a fault in the place of the `at`-th statement, COMMIT included, counted from 1.

    Args:
        engine: the database's.
        at: which statement; the ones after it are not touched.
        cut: close the connection, instead of raising `InjectedFault`.

    Yields:
        The statements that were sent; shorter than `at` if the fault never came.
    """
    sent: list[str] = []

    def strike(connection: Connection, statement: str) -> None:
        sent.append(statement)
        if len(sent) != at:
            return
        if not cut:
            raise InjectedFault(statement)
        driver: Any = connection.connection.dbapi_connection
        driver.close()

    def on_statement(connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        strike(connection, statement)

    def on_commit(connection: Connection) -> None:
        strike(connection, "COMMIT")

    event.listen(engine, "before_cursor_execute", on_statement)
    event.listen(engine, "commit", on_commit)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", on_statement)
        event.remove(engine, "commit", on_commit)
