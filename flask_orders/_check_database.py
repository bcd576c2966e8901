"""What `flask orders check` finds out about the engine, the server and the tables.

It reads the catalogue, and no row but on SQLite, where `PRAGMA foreign_key_check` reads every row
that has a foreign key once.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import SAWarning
from sqlalchemy.pool import StaticPool
from sqlalchemy.pool.base import ResetStyle

from .isolation import MYSQL_DIALECTS
from .models import Models
from .service import OrderService

SUPPORTED = "SQLite, PostgreSQL and MariaDB"

# Whose errors are known to be read right: a conflict is told from a bug by the driver's own codes.
DRIVERS = ("pysqlite", "psycopg", "psycopg2", "pymysql")

MIGRATE = "run `flask db migrate` and `flask db upgrade`"

LIBRARY = (
    *("Order", "OrderItem", "OrderPayment", "OrderEvent", "OutboxEvent", "Address"),
    "IdempotencyKey",
)

PROMOTIONS = ("Offer", "Voucher", "VoucherRedemption")

SHOP = ("Customer", "Product", "Cart", "CartItem")


def check_engine(engine: sa.Engine) -> Iterator[str]:
    """Look for the options of an engine that an order can't live with."""
    if not engine.hide_parameters:
        yield (
            "a database error would write customers' addresses into the log: "
            "set SQLALCHEMY_ENGINE_OPTIONS = {'hide_parameters': True}"
        )
    # SQLAlchemy 2.0.43 has brought it. It skips the ROLLBACK of a connection whose driver is in
    # autocommit mode, and that is how SQLite's driver looks once the library (like SQLAlchemy's own
    # recipe) has BEGIN sent by itself: a failed order would stay in its open transaction, and be
    # committed with the next one.
    skips = getattr(engine.dialect, "skip_autocommit_rollback", False)
    if skips and engine.dialect.name == "sqlite":
        yield (
            "nothing is ever rolled back on SQLite, so that a failed order is committed with the "
            "next one: remove 'skip_autocommit_rollback' from SQLALCHEMY_ENGINE_OPTIONS"
        )
    if engine.pool._reset_on_return is not ResetStyle.reset_rollback:
        yield (
            "a connection that is returned in the middle of a transaction is not rolled back, so "
            "that half of what it did is committed with somebody else's order: remove "
            "'pool_reset_on_return' from SQLALCHEMY_ENGINE_OPTIONS"
        )


def check_connection(connection: sa.Connection) -> Iterator[str]:
    """Look at the server, its driver, and the transactions that the engine begins."""
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
        return
    if _is_autocommitting(connection):
        yield (
            "every statement is committed by itself, so that an order can be half written: "
            "remove 'isolation_level' from SQLALCHEMY_ENGINE_OPTIONS"
        )
    if _is_read_only(connection):
        yield (
            "the database takes no writes, since the server is a replica or its transactions are "
            "read-only by default: connect to the primary, with a role that may write"
        )


def _is_autocommitting(connection: sa.Connection) -> bool:
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection.driver_connection
        return bool(driver.autocommit)
    return bool(connection.exec_driver_sql("SELECT @@autocommit").scalar())


def _is_read_only(connection: sa.Connection) -> bool:
    if connection.dialect.name == "postgresql":
        return connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"
    # MariaDB 11.1 has renamed the first one.
    found = connection.exec_driver_sql(
        "SHOW VARIABLES WHERE Variable_name IN "
        "('tx_read_only', 'transaction_read_only', 'read_only')"
    )
    return any(value not in ("OFF", "0") for _, value in found)


def _sqlite(connection: sa.Connection) -> Iterator[str]:
    files = {row.name: row.file for row in connection.exec_driver_sql("PRAGMA database_list")}
    driver: Any = connection.connection.driver_connection
    if not driver.in_transaction:
        yield (
            "SQLite's savepoints leak, since its engine was made after register_blueprint("
            "orders_bp), which sets the transaction mode: call db.init_app(app) before it"
        )
    if not files["main"] or isinstance(connection.engine.pool, StaticPool):
        yield (
            "SQLite is in memory or has one connection for all threads, so that one thread commits "
            "or rolls back another's order: that is good for tests of one thread; for anything "
            "else use a file, such as SQLALCHEMY_DATABASE_URI = 'sqlite:///shop.sqlite3'"
        )
    yield from _sqlite_foreign_keys(connection)


def _sqlite_foreign_keys(connection: sa.Connection) -> Iterator[str]:
    """Count the rows that the shop's foreign keys, which nobody enforced before, forbid."""
    violations: Counter[tuple[str, str]] = Counter()
    for table, _row, parent, _key in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        violations[table, parent] += 1
    for (table, parent), count in sorted(violations.items()):
        yield (
            f"in '{table}' {count} foreign key(s) refer to rows of '{parent}' that do not exist. "
            "The library has SQLite enforce foreign keys, so that the shop's own changes of such "
            "rows fail from now on: correct or delete them; `PRAGMA foreign_key_check` lists them"
        )


def check_tables(db: SQLAlchemy, orders: OrderService, incomplete: set[str]) -> Iterator[str]:
    """Compare the tables with what is declared; the names of those that lack something are added.

    A table of the library's must have its constraints too: by them it notices races.
    """
    library = {table.key for table in _library_tables(orders)}
    shop = {table.key for table in _shop_tables(orders.models)}
    with db.engine.connect() as connection:
        inspector = sa.inspect(connection)
        for table in db.metadata.tables.values():
            lacking = list(_lacking(inspector, table))
            if lacking:
                yield from lacking
                incomplete.add(table.key)
                continue
            if table.key in library:
                yield from _constraints(inspector, table)
            if table.key in shop:
                yield from _view(inspector, table)
            if connection.dialect.name in MYSQL_DIALECTS and table.key in library | shop:
                options = inspector.get_table_options(table.name, schema=table.schema)
                yield from _mariadb_table(
                    table, options, connection.dialect.name, ours=table.key in library
                )


def _library_tables(orders: OrderService) -> Iterator[sa.Table]:
    # Asking for the promotions would declare them.
    names = LIBRARY if orders.has_own_pricing else LIBRARY + PROMOTIONS
    yield from (getattr(orders.models, name).__table__ for name in names)


def _shop_tables(models: Models) -> Iterator[sa.Table]:
    """The tables of the shop's classes, whose rows an order locks, changes and points to."""
    for name in SHOP:
        cls = getattr(models, name)
        if cls is not None:
            yield from sa.inspect(cls).tables


def _lacking(inspector: sa.Inspector, table: sa.Table) -> Iterator[str]:
    if not inspector.has_table(table.name, schema=table.schema):
        yield f"the table '{table.fullname}' is missing: {MIGRATE}"
        return
    there = {column["name"] for column in inspector.get_columns(table.name, schema=table.schema)}
    missing = [column.name for column in table.columns if column.name not in there]
    if missing:
        yield f"the table '{table.fullname}' lacks {', '.join(missing)}: {MIGRATE}"


def _view(inspector: sa.Inspector, table: sa.Table) -> Iterator[str]:
    if table.name in inspector.get_view_names(schema=table.schema):
        yield (
            f"'{table.fullname}' is a view, whose rows an order can't lock and change: "
            "give declare_models the class of the table behind it"
        )


def _mariadb_table(
    table: sa.Table, options: Mapping[str, Any], prefix: str, *, ours: bool
) -> Iterator[str]:
    name = table.fullname
    engine = options.get(f"{prefix}_engine")
    if engine is not None and engine != "InnoDB":
        yield f"the table '{name}' has no transactions: run ALTER TABLE {name} ENGINE=InnoDB"
    charset = options.get(f"{prefix}_default charset")
    if ours and charset != "utf8mb4":
        yield (
            f"the table '{name}' is in {charset}, which can't hold every name and address: "
            f"run ALTER TABLE {name} CONVERT TO CHARACTER SET utf8mb4"
        )


def _constraints(inspector: sa.Inspector, table: sa.Table) -> Iterator[str]:
    """Look for what a migration that was written by hand may have left out."""
    missing = [
        *(f"UNIQUE ({', '.join(names)})" for names in _missing_uniques(inspector, table)),
        *_missing_foreign_keys(inspector, table),
    ]
    if missing:
        yield (
            f"the table '{table.fullname}' lacks {', '.join(missing)}, on which the library "
            f"relies when requests race: {MIGRATE}"
        )
    for name, condition in _missing_checks(inspector, table):
        yield (
            f"the table '{table.fullname}' lacks CHECK ({condition}): add it in a migration, by "
            f"op.create_check_constraint('{name}', ...), since Alembic does not notice"
        )


def _missing_uniques(inspector: sa.Inspector, table: sa.Table) -> list[tuple[str, ...]]:
    found = {frozenset(names) for names, unique in indexes(inspector, table) if unique}
    declared = [
        tuple(column.name for column in constraint.columns)
        for constraint in table.constraints
        if isinstance(constraint, sa.UniqueConstraint)
    ]
    return sorted(names for names in declared if frozenset(names) not in found)


def _missing_foreign_keys(inspector: sa.Inspector, table: sa.Table) -> list[str]:
    found = {
        (tuple(key["constrained_columns"]), key["referred_table"].lower()): _action(
            key.get("options", {}).get("ondelete")
        )
        for key in inspector.get_foreign_keys(table.name, schema=table.schema)
    }
    missing = []
    for key in table.foreign_key_constraints:
        names, parent = tuple(key.column_keys), key.referred_table.name
        if found.get((names, parent.lower())) != _action(key.ondelete):
            action = f" ON DELETE {key.ondelete}" if key.ondelete else ""
            missing.append(f"FOREIGN KEY ({', '.join(names)}) REFERENCES {parent}{action}")
    return sorted(missing)


def _action(ondelete: str | None) -> str:
    # Databases leave out what is their default.
    action = (ondelete or "NO ACTION").upper()
    return "NO ACTION" if action == "RESTRICT" else action


def _missing_checks(inspector: sa.Inspector, table: sa.Table) -> Iterator[tuple[str, str]]:
    found = inspector.get_check_constraints(table.name, schema=table.schema)
    declared = [check for check in table.constraints if isinstance(check, sa.CheckConstraint)]
    # A migration may have given them other names.
    if len(found) >= len(declared):
        return
    names = {check["name"] for check in found}
    preparer = inspector.dialect.identifier_preparer
    for check in sorted(declared, key=lambda check: str(check.sqltext)):
        # As the shop's naming_convention and the database's longest name have it.
        name = (preparer.format_constraint(check) or "").strip('"`')
        if name not in names:
            yield name, str(check.sqltext)


def indexes(inspector: sa.Inspector, table: sa.Table) -> list[tuple[tuple[str, ...], bool]]:
    """Return the columns of every key and index of a table, and whether they are unique.

    An index of a part of the rows is left out, unless only the rows with NULL are not in it.
    """
    where = {"schema": table.schema}
    with warnings.catch_warnings():
        # Of an index of an expression, which is none that is looked for.
        warnings.simplefilter("ignore", SAWarning)
        found = inspector.get_indexes(table.name, include_auto_indexes=True, **where)
        uniques = inspector.get_unique_constraints(table.name, **where)
        key = inspector.get_pk_constraint(table.name, **where)["constrained_columns"]
    keys = [(tuple(key), True), *((tuple(unique["column_names"]), True) for unique in uniques)]
    return keys + [
        (tuple(name or "" for name in index["column_names"]), bool(index["unique"]))
        for index in found
        if not _is_partial(index)
    ]


def _is_partial(index: Any) -> bool:
    options = index.get("dialect_options", {})
    # A clause, whose truth can't be asked, or a text.
    condition = str(options.get("sqlite_where", options.get("postgresql_where", "")))
    words = condition.replace('"', "").strip("()").upper().split()
    return bool(words) and words[1:] != ["IS", "NOT", "NULL"]
