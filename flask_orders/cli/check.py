"""Find what is wrong with a shop's set-up, each with a fix: `flask orders check`.

Each check is a generator of sentences "problem: fix". No check writes anything, and one that can't
run says so and does not hide the others. `notes` are facts that a shop must know and can't fix.
"""

from collections.abc import Iterator
from contextlib import suppress

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import SQLAlchemyError

from ..db.classify import is_conflict, is_unavailable
from ..db.dialects import READ_ONLY
from ..dependents import Dependents
from ..errors import ConfigurationError
from ..service import OrderService
from .check_database import check_connection, check_engine
from .check_functions import check_functions
from .check_left_out import check_left_out
from .check_mapping import check_conditions, check_mapping, check_statements
from .check_own_fields import check_own_fields
from .check_requests import (
    check_csrf,
    check_customers,
    check_payment,
    check_routes,
    csrf_notes,
)
from .check_rows import check_shop_rows, closed_by_null
from .check_shop import check_shop_columns, skipped_by_core
from .check_tables import check_tables, shop_tables
from .mapping_text import resolved
from .reasons import reason_of


def mapping(orders: OrderService) -> Iterator[str]:
    """Yield the mapping as it was resolved, a line for each class that the shop has passed."""
    if not any(orders.models.merged_tables()):
        yield from _guarded("the mapping", resolved(orders.models))


def problems(app: Flask, db: SQLAlchemy, orders: OrderService) -> Iterator[str]:
    """Yield everything that is wrong, each with a fix."""
    yield from _request_problems(app, orders)
    merged = list(orders.models.merged_tables())
    yield from merged
    if merged:
        return
    dependents = Dependents(orders.session, orders.models)
    yield from _guarded("what hangs on cart items", iter(dependents.problems))
    yield from _guarded("the mapping", check_mapping(orders))
    yield from _guarded("what the mapping leaves out", check_left_out(db, orders))
    yield from _guarded("the engine", check_engine(db.engine))
    yield from _database_problems(db, orders)


def notes(app: Flask, db: SQLAlchemy, orders: OrderService) -> Iterator[str]:
    """Yield what works and may surprise the shop."""
    yield from _guarded("CSRFProtect", csrf_notes(app, orders))
    yield from _guarded("the classes' listeners", skipped_by_core(orders.models))
    # Without the tables there are no rows to speak of, which `problems` has said.
    with suppress(SQLAlchemyError, ConfigurationError):
        yield from closed_by_null(db, orders.models)


def _request_problems(app: Flask, orders: OrderService) -> Iterator[str]:
    endpoint = orders.settings.payment_endpoint
    yield from _guarded("the payment endpoint", check_payment(app, endpoint))
    yield from _guarded("the routes", check_routes(app))
    yield from _guarded("CSRFProtect", check_csrf(app, orders))
    yield from _guarded("the order's own columns", check_own_fields(app, orders))
    yield from _guarded("the customers", check_customers(app, orders))


def _database_problems(db: SQLAlchemy, orders: OrderService) -> Iterator[str]:
    try:
        # Meanwhile the pool, which may be a live shop's, has one connection less.
        with db.engine.connect() as connection:
            found = list(_guarded("the connection", check_connection(connection, orders)))
    except SQLAlchemyError as error:
        yield f"the database can't be read ({type(error).__name__}): check SQLALCHEMY_DATABASE_URI"
        return
    yield from found
    incomplete: set[str] = set()
    yield from _guarded("the tables", check_tables(db, orders, incomplete))
    is_complete = not {table.key for table in shop_tables(orders.models)} & incomplete
    if is_complete:
        yield from _guarded("the conditions", check_conditions(db, orders))
    # Where nothing can be written, no statement that locks can be sent.
    if is_complete and READ_ONLY not in found:
        yield from _guarded("the conversion's statements", check_statements(db, orders))
        yield from _guarded("the mapping's functions", check_functions(db, orders))
    yield from _guarded("the carts' indexes", check_shop_columns(db, orders.models, incomplete))
    for what, check in check_shop_rows(db, orders, incomplete):
        yield from _guarded(what, check)


def _guarded(what: str, check: Iterator[str]) -> Iterator[str]:
    """Pass a check's sentences on; if it fails, say so instead of ending all checks."""
    try:
        yield from check
    # The shop's own code runs in them: its types, its URL defaults, its loader criteria.
    except Exception as error:
        busy = ", or run it again" if is_conflict(error) or is_unavailable(error) else ""
        reason = f"{type(error).__name__}: {reason_of(error)}"
        yield f"{what} could not be checked ({reason}): fix that{busy}"
