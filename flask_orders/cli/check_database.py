"""Check the engine, the driver and the server, for `flask orders check`.

It reads settings, and no row, except on SQLite: there each row that has a foreign key is read once.
"""

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.pool.base import ResetStyle

from ..db.dialects import UNSUPPORTED, dialect_of, supported
from ..service import OrderService
from .check_tables import library_tables, shop_tables


def check_engine(engine: sa.Engine) -> Iterator[str]:
    """Look for options of the engine with which an order is not safe on any database."""
    if not engine.hide_parameters:
        yield (
            "a database error would write customers' addresses into the log: "
            "set SQLALCHEMY_ENGINE_OPTIONS = {'hide_parameters': True}"
        )
    if engine.pool._reset_on_return is not ResetStyle.reset_rollback:
        yield (
            "a connection that is returned in the middle of a transaction is not rolled back, so "
            "that half of what it did is committed with somebody else's order: remove "
            "'pool_reset_on_return' from SQLALCHEMY_ENGINE_OPTIONS"
        )


def check_connection(connection: sa.Connection, orders: OrderService) -> Iterator[str]:
    """Look at the server, its driver, its tables and the transactions that the engine begins."""
    dialect = connection.dialect
    database = dialect_of(dialect)
    if database is UNSUPPORTED:
        yield f"{dialect.name} is not supported: flask_orders is tested on {supported()}"
        return
    drivers = database.drivers(dialect)
    if dialect.driver not in drivers:
        ways = " or ".join(f"{dialect.name}+{driver}://" for driver in drivers)
        yield (
            f"the driver {dialect.driver} is not supported here: let SQLALCHEMY_DATABASE_URI begin "
            f"with {ways}"
        )
    yield from database.problems(connection, library_tables(orders), shop_tables(orders.models))
