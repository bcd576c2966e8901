"""What can be wrong with a host's set-up, and how to mend it: `flask orders check`.

Called by the CLI, in an app context. Every check yields what is wrong, with its cure.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from flask import Flask, url_for
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BuildError

from .errors import ConfigurationError
from .isolation import MYSQL_DIALECTS
from .models.column_types import AMOUNTS, has_whole_amounts
from .service import OrderService

SUPPORTED = "SQLite, PostgreSQL and MariaDB"

# Whose errors are known to be read right: a conflict is told from a bug by the driver's own codes.
DRIVERS = ("pysqlite", "psycopg", "psycopg2", "pymysql")

COLUMNS = (
    *("product_stock", "cart_customer", "cart_voucher"),
    *("item_cart", "item_product", "item_quantity"),
)

MIGRATE = "run `flask db migrate` and `flask db upgrade`"


def problems(app: Flask, db: SQLAlchemy, orders: OrderService) -> Iterator[str]:
    """Everything that is wrong, each with its cure."""
    yield from _payment(app, orders.settings.payment_endpoint)
    yield from _jwt(app)
    yield from _classes(orders)
    yield from orders.carts.dependents.problems
    yield from _whole_amounts(orders.models.Product)
    yield from _pricing(orders)
    engine = db.engine
    if not engine.hide_parameters:
        yield (
            "a database error would write customers' addresses into the log: "
            "set SQLALCHEMY_ENGINE_OPTIONS = {'hide_parameters': True}"
        )
    try:
        with engine.connect() as connection:
            yield from _database(connection)
            yield from _tables(connection, db)
    except SQLAlchemyError as error:
        yield f"the database can't be read ({type(error).__name__}): check SQLALCHEMY_DATABASE_URI"


def _payment(app: Flask, endpoint: str | None) -> Iterator[str]:
    if endpoint is None:
        yield (
            "checkout has nowhere to redirect to: set ORDERS_PAYMENT_ENDPOINT to the name of your "
            "payment endpoint, such as 'payments.pay'"
        )
        return
    order_id = UUID(int=7 << 76 | 2 << 62)
    try:
        with app.test_request_context():
            url = url_for(endpoint, order_id=order_id)
            path, _, _query = url.partition("?")
            found, values = app.url_map.bind("localhost").match(path)
    except (BuildError, HTTPException):
        yield f"ORDERS_PAYMENT_ENDPOINT {endpoint!r} is no endpoint: `flask routes` lists yours"
        return
    if found != endpoint or str(values.get("order_id")) != str(order_id):
        yield (
            f"the payment endpoint {endpoint!r} does not take order_id: "
            "give it a route such as '/pay/<uuid:order_id>'"
        )


def _jwt(app: Flask) -> Iterator[str]:
    if "flask-jwt-extended" not in app.extensions:
        yield "nobody can sign in: call JWTManager(app), of Flask-JWT-Extended"
        return
    locations = app.config["JWT_TOKEN_LOCATION"]
    if "cookies" in locations and not app.config["JWT_COOKIE_CSRF_PROTECT"]:
        yield (
            "a foreign page can order in a customer's name, since the JWT is in a cookie: "
            "set JWT_COOKIE_CSRF_PROTECT = True"
        )


def _classes(orders: OrderService) -> Iterator[str]:
    """The columns that an order locks and changes: they are looked for when the first comes."""
    for name in COLUMNS:
        try:
            getattr(orders.models.columns, name)
        except ConfigurationError as error:
            yield str(error).rstrip(".")


def _whole_amounts(product: type[Any]) -> Iterator[str]:
    for name in AMOUNTS:
        if has_whole_amounts(product, name):
            yield (
                f"{product.__name__}.{name} is an integer, which is read as whole units of "
                "ORDERS_CURRENCY: if it holds hundredths, customers pay a hundredfold; give the "
                "column a TypeDecorator that returns a Decimal of whole units"
            )


def _pricing(orders: OrderService) -> Iterator[str]:
    try:
        voucher = orders.models.columns.cart_voucher
    except ConfigurationError:
        return
    if orders.has_own_pricing or voucher is None:
        return
    ours = orders.models.Voucher.__tablename__
    for key in voucher.foreign_keys:
        if key.column.table.name != ours:
            yield (
                f"your carts' vouchers are rows of '{key.column.table.name}', which the default "
                "pricing does not know: pass register_blueprint(orders_bp, pricing=...)"
            )


def _database(connection: sa.Connection) -> Iterator[str]:
    dialect = connection.dialect
    mysql_itself = dialect.name == "mysql" and not getattr(dialect, "is_mariadb", False)
    if dialect.name not in ("sqlite", "postgresql", *MYSQL_DIALECTS) or mysql_itself:
        yield f"{dialect.name} is not supported: flask_orders is tested on {SUPPORTED}"
        return
    if dialect.driver not in DRIVERS:
        yield (
            f"the driver {dialect.driver} is not supported: flask_orders is tested with "
            f"{', '.join(DRIVERS)}"
        )
    if dialect.name == "sqlite":
        yield from _sqlite(connection)
    elif _is_autocommitting(connection):
        yield (
            "every statement is committed by itself, so that an order can be half written: "
            "remove 'isolation_level' from SQLALCHEMY_ENGINE_OPTIONS"
        )


def _is_autocommitting(connection: sa.Connection) -> bool:
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection.driver_connection
        return bool(driver.autocommit)
    return bool(connection.exec_driver_sql("SELECT @@autocommit").scalar())


def _sqlite(connection: sa.Connection) -> Iterator[str]:
    connection.exec_driver_sql("SELECT 1")
    driver: Any = connection.connection.driver_connection
    if not driver.in_transaction:
        yield (
            "SQLite's savepoints leak, since its engine was made after register_blueprint("
            "orders_bp), which sets the transaction mode: call db.init_app(app) before it"
        )


def _tables(connection: sa.Connection, db: SQLAlchemy) -> Iterator[str]:
    inspector = sa.inspect(connection)
    for rows in db.metadata.sorted_tables:
        if not inspector.has_table(rows.name, schema=rows.schema):
            yield f"the table '{rows.name}' is missing: {MIGRATE}"
            continue
        there = {column["name"] for column in inspector.get_columns(rows.name, schema=rows.schema)}
        missing = [column.name for column in rows.columns if column.name not in there]
        if missing:
            yield f"the table '{rows.name}' lacks {', '.join(missing)}: {MIGRATE}"
        if connection.dialect.name in MYSQL_DIALECTS:
            options = inspector.get_table_options(rows.name, schema=rows.schema)
            yield from _mariadb_table(rows.name, options, connection.dialect.name)


def _mariadb_table(name: str, options: Mapping[str, Any], prefix: str) -> Iterator[str]:
    if options[f"{prefix}_engine"] != "InnoDB":
        yield f"the table '{name}' has no transactions: run ALTER TABLE {name} ENGINE=InnoDB"
    charset = options[f"{prefix}_default charset"]
    if charset != "utf8mb4":
        yield (
            f"the table '{name}' is in {charset}, which can't hold every name and address: "
            f"run ALTER TABLE {name} CONVERT TO CHARACTER SET utf8mb4"
        )
