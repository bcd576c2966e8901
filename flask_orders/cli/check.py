"""Find what is wrong with a shop's set-up, each with a fix: `flask orders check`.

Each check is a generator of sentences "problem: fix". No check writes anything, and one that can't
run says so and does not hide the others. `notes` are facts that a shop must know and can't fix.
"""

from collections.abc import Iterator
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from ..dependents import Dependents
from ..errors import ConfigurationError
from ..models.column_types import PRODUCT_AMOUNTS, has_whole_amounts
from ..service import OrderService
from .check_database import check_connection, check_engine
from .check_own_fields import check_own_fields
from .check_requests import check_csrf, check_payment, check_routes
from .check_shop import check_shop_columns, check_shop_rows, skipped_by_core
from .check_tables import check_tables

COLUMNS = (
    *("product_stock", "cart_customer", "cart_voucher"),
    *("item_cart", "item_product", "item_quantity"),
)


def problems(app: Flask, db: SQLAlchemy, orders: OrderService) -> Iterator[str]:
    """Yield everything that is wrong, each with a fix."""
    yield from _request_problems(app, orders)
    wrong_classes = list(_classes(orders))
    yield from wrong_classes
    dependents = Dependents(orders.session, orders.models)
    yield from _guarded("what hangs on cart items", iter(dependents.problems))
    yield from _guarded("the prices' types", _whole_amounts(orders.models.Product))
    yield from _guarded("the carts' vouchers", _pricing(orders))
    yield from _guarded("the engine", check_engine(db.engine))
    yield from _database_problems(db, orders, are_classes_right=not wrong_classes)


def notes(orders: OrderService) -> Iterator[str]:
    """Yield what works and may surprise the shop."""
    yield from _guarded("the classes' listeners", skipped_by_core(orders.models))


def _request_problems(app: Flask, orders: OrderService) -> Iterator[str]:
    endpoint = orders.settings.payment_endpoint
    yield from _guarded("the payment endpoint", check_payment(app, endpoint))
    yield from _guarded("the routes", check_routes(app))
    yield from _guarded("CSRFProtect", check_csrf(app))
    yield from _guarded("the order's own columns", check_own_fields(app, orders))
    yield from _jwt(app)


def _database_problems(
    db: SQLAlchemy, orders: OrderService, *, are_classes_right: bool
) -> Iterator[str]:
    try:
        # Meanwhile the pool, which may be a live shop's, has one connection less.
        with db.engine.connect() as connection:
            yield from _guarded("the connection", check_connection(connection, orders))
    except SQLAlchemyError as error:
        yield f"the database can't be read ({type(error).__name__}): check SQLALCHEMY_DATABASE_URI"
        return
    incomplete: set[str] = set()
    yield from _guarded("the tables", check_tables(db, orders, incomplete))
    if not are_classes_right:
        return
    yield from _guarded("the carts' indexes", check_shop_columns(db, orders.models, incomplete))
    for what, check in check_shop_rows(db, orders, incomplete):
        yield from _guarded(what, check)


def _guarded(what: str, check: Iterator[str]) -> Iterator[str]:
    """Pass a check's sentences on; if it fails, say so instead of ending all checks."""
    try:
        yield from check
    # The shop's own code runs in them: its types, its URL defaults, its loader criteria.
    except Exception as error:
        reason, *_ = str(getattr(error, "orig", error)).splitlines() or [""]
        busy = ", or run it again" if isinstance(error, OperationalError) else ""
        yield f"{what} could not be checked ({type(error).__name__}: {reason}): fix that{busy}"


def _jwt(app: Flask) -> Iterator[str]:
    if "flask-jwt-extended" not in app.extensions:
        yield "no customer can sign in: call JWTManager(app), of Flask-JWT-Extended"
        return
    locations = app.config["JWT_TOKEN_LOCATION"]
    if "cookies" in locations and not app.config["JWT_COOKIE_CSRF_PROTECT"]:
        yield (
            "another site's page can order in a customer's name, since the JWT is in a cookie: "
            "set JWT_COOKIE_CSRF_PROTECT = True"
        )


def _classes(orders: OrderService) -> Iterator[str]:
    """Look for the columns that an order locks and changes, as the first order does."""
    for name in COLUMNS:
        try:
            getattr(orders.models.columns, name)
        except ConfigurationError as error:
            yield str(error).rstrip(".")


def _whole_amounts(product: type[Any]) -> Iterator[str]:
    for name in PRODUCT_AMOUNTS:
        if has_whole_amounts(product, name):
            yield (
                f"{product.__name__}.{name} is an integer, which is read as whole units of "
                "ORDERS_CURRENCY: if it holds hundredths, customers pay a hundredfold; give the "
                "column a TypeDecorator that returns a Decimal of whole units"
            )


def _pricing(orders: OrderService) -> Iterator[str]:
    voucher = _cart_voucher(orders)
    if orders.has_own_pricing or voucher is None:
        return
    of_library = orders.models.Voucher.__tablename__
    for key in voucher.foreign_keys:
        if key.column.table.name != of_library:
            yield (
                f"your carts' vouchers are rows of '{key.column.table.name}', which the default "
                "pricing does not know: pass register_blueprint(orders_bp, pricing=...)"
            )


def _cart_voucher(orders: OrderService) -> Any:
    try:
        return orders.models.columns.cart_voucher
    except ConfigurationError:  # `_classes` has named it
        return None
