"""Prove a shop's integration: check invariants, run calls concurrently, inject faults.

For the library's tests and a shop's own, against the shop's own app and database:

    ledger = Ledger(app)
    responses = run_concurrently(*[order_something] * 20)
    assert ledger.problems() == []
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from flask import Flask
from sqlalchemy import ColumnElement, Connection, Engine, event, func, literal, select

from .audit import problems
from .cart_queries import quantity_of
from .models.contract import key_in, spelled_as, table
from .product_stock import ResolvedStock
from .service import EXTENSION_KEY, OrderService, components_of
from .status import RELEASED
from .stock_columns import CountingColumns, StockTakenInCart

__all__ = ["InjectedFault", "Ledger", "fault", "run_concurrently"]

Returned = TypeVar("Returned")


class InjectedFault(Exception):
    """Raised by `fault` in place of a statement."""


class Ledger:
    """Records stock, carts and orders when it is created, and finds what does not add up later.

    Create it while no request is running. Report units that are put into carts, or removed from
    them, afterwards with `put`. A `Stock` of the shop's own is asked what is available; a stock
    that is not a row of the shop's database has to have settled by then.

    Args:
        app: the shop's app, with `orders_bp` registered.
    """

    def __init__(self, app: Flask) -> None:
        self._orders: OrderService = app.extensions[EXTENSION_KEY]
        self._app = app
        with app.app_context():
            self._engine: Engine = app.extensions["sqlalchemy"].engine
        self._put = Counter[Any]()
        self._lock = threading.Lock()
        self._units_before = self._read(self._all_units)
        self._units = self._read(self._in_carts_plus_sold)

    def put(self, product_id: Any, units: int) -> None:
        """Report that units were put into a cart, or, if negative, removed from it."""
        with self._lock:
            self._put[product_id] += units

    def problems(self) -> list[str]:
        """Return a sentence for each violated invariant.

        I1 is about stock, I2 vouchers, I3 units in carts and orders, I4 orders and items without
        each other, I5 amounts, I9 payments and refunds.
        """
        with self._engine.connect() as connection:
            models, has_own_pricing = (
                self._orders.models,
                components_of(self._orders).has_own_pricing,
            )
            return [
                *self._stock_problems(connection),
                *self._unit_problems(connection),
                *problems(connection, models, has_own_pricing=has_own_pricing),
            ]

    def _read(self, read: Callable[[Connection], Returned]) -> Returned:
        with self._engine.connect() as connection:
            return read(connection)

    def _sold(self, connection: Connection, *conditions: ColumnElement[bool]) -> Counter[Any]:
        items, orders = table(self._orders.models.OrderItem), table(self._orders.models.Order)
        rows = connection.execute(
            select(items.c.product_id, func.sum(items.c.quantity))
            .join(orders, orders.c.id == items.c.order_id)
            .where(*conditions)
            .group_by(items.c.product_id)
        )
        return Counter({row[0]: int(row[1]) for row in rows})

    def _all_units(self, connection: Connection) -> dict[Any, int | None]:
        """Return the units of each product, in the stock and taken from it; None: not counted."""
        models = self._orders.models
        is_held = table(models.Order).c.status.not_in(RELEASED)
        taken = self._sold(connection, is_held, table(models.OrderItem).c.stock_deducted)
        if isinstance(models.shop.product.stock, StockTakenInCart):
            taken += self._in_carts(connection)
        stock = self._stock(connection)
        return {k: None if units is None else units + taken[k] for k, units in stock.items()}

    def _stock(self, connection: Connection) -> dict[Any, int | None]:
        product = self._orders.models.shop.product
        source, key, kind = product.source, product.key, product.stock
        if kind is None:
            return {}
        if isinstance(kind, CountingColumns):
            rows = connection.execute(
                select(key_in(kind.changed.table, source.given, key), *kind.columns)
            )
            return {row[0]: kind.units(*row[1:]) for row in rows}
        with self._app.app_context():
            session = self._orders.session
            found = session.execute(select(source.attribute(key), source.given)).all()
            stock = ResolvedStock(session, self._orders.models)
            levels = stock.levels(dict(map(tuple, found)))
            return {key: level.available for key, level in levels.items()}

    def _in_carts(self, connection: Connection) -> Counter[Any]:
        shop = self._orders.models.shop
        product = spelled_as(shop.product.key, shop.cart_item.product.column, self._referred)
        units = literal(1) if shop.cart_item.is_unit else quantity_of(shop.cart_item)
        # MySQL does not group by a subquery that it selects too.
        items = (
            select(product.label("product"), units.label("units"))
            .select_from(shop.cart_item.source.given)
            .subquery()
        )
        rows = connection.execute(
            select(items.c.product, func.sum(items.c.units)).group_by(items.c.product)
        )
        return Counter({row[0]: int(row[1]) for row in rows})

    def _in_carts_plus_sold(self, connection: Connection) -> Counter[Any]:
        return self._sold(connection) + self._in_carts(connection)

    @property
    def _referred(self) -> Any:
        """The product's column to which items refer; None if that is its key."""
        shop = self._orders.models.shop
        target = shop.cart_item.product.target
        return None if target is shop.product.key else target

    def _stock_problems(self, connection: Connection) -> Iterator[str]:
        now = self._all_units(connection)
        for key, before in self._units_before.items():
            if before is not None and now.get(key, before) != before:
                yield f"I1: of product {key} there were {before} units, now {now[key]}"

    def _unit_problems(self, connection: Connection) -> Iterator[str]:
        now, expected = self._in_carts_plus_sold(connection), self._units + self._put
        for key in now.keys() | expected.keys():
            if now[key] != expected[key]:
                yield f"I3: of product {key}, {expected[key]} units were wanted, now {now[key]}"


def run_concurrently(*calls: Callable[[], Returned]) -> list[Returned]:
    """Run each call in a thread of its own, and start all of them simultaneously.

    Returns:
        What the calls returned, in their order.

    Raises:
        ExceptionGroup: the exceptions of the calls, after all calls have ended.
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
        raise ExceptionGroup("calls that ran concurrently", raised)
    return [returned[i] for i in range(len(calls))]


@contextmanager
def fault(engine: Engine, at: int, *, cut: bool = False) -> Iterator[list[str]]:
    """Inject one fault in place of a statement.

    Args:
        engine: the engine of the shop's database.
        at: the number of the statement, counted from 1, COMMIT included; later statements run.
        cut: close the connection instead of raising `InjectedFault`.

    Yields:
        The statements that were sent; fewer than `at` if the fault was not reached.
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
