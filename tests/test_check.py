"""`flask orders check`: what it finds, and the cure it names."""

import re
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_jwt_extended import JWTManager
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import URL

from flask_orders import orders_bp, outbox_event, sqlite

WELL: dict[str, Any] = {
    "SQLALCHEMY_ENGINE_OPTIONS": {"hide_parameters": True},
    "JWT_SECRET_KEY": "s" * 32,
    "ORDERS_PAYMENT_ENDPOINT": "pay",
}


def make_app(url: URL | str, *, jwt: bool = True, **config: Any) -> tuple[Flask, SQLAlchemy]:
    app, db = Flask("checked"), SQLAlchemy()
    text = url if isinstance(url, str) else url.render_as_string(hide_password=False)
    app.config.update({**WELL, "SQLALCHEMY_DATABASE_URI": text, **config})
    db.init_app(app)
    if jwt:
        JWTManager(app)
    app.register_blueprint(orders_bp)
    app.add_url_rule("/pay/<uuid:order_id>", "pay", lambda order_id: "")
    app.add_url_rule("/pay", "pay_what", lambda: "")
    return app, db


def check(app: Flask) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["orders", "check"], catch_exceptions=False)
    with app.app_context():
        app.extensions["sqlalchemy"].engine.dispose()
    return result.exit_code, result.output


def create_tables(app: Flask, db: SQLAlchemy) -> None:
    with app.app_context():
        db.create_all()
        db.engine.dispose()


def test_a_shop_that_is_set_up(database: URL) -> None:
    app, db = make_app(database)
    create_tables(app, db)
    assert check(app) == (0, "Everything is set up.\n")


@pytest.mark.parametrize(
    ("config", "cure"),
    [
        ({"ORDERS_PAYMENT_ENDPOINT": None}, "set ORDERS_PAYMENT_ENDPOINT"),
        ({"ORDERS_PAYMENT_ENDPOINT": "nowhere"}, "`flask routes` lists yours"),
        ({"ORDERS_PAYMENT_ENDPOINT": "pay_what"}, "'/pay/<uuid:order_id>'"),
        ({"SQLALCHEMY_ENGINE_OPTIONS": {}}, "'hide_parameters': True"),
        ({"jwt": False}, "JWTManager(app)"),
        (
            {"JWT_TOKEN_LOCATION": ["cookies"], "JWT_COOKIE_CSRF_PROTECT": False},
            "JWT_COOKIE_CSRF_PROTECT = True",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_its_cure(config: dict[str, Any], cure: str) -> None:
    app, db = make_app("sqlite://", **config)
    with app.app_context():
        db.create_all()
        code, output = check(app)
    assert (code, output.count("\n")) == (1, 1), output
    assert cure in output


def test_tables_that_are_missing(database: URL) -> None:
    app, _ = make_app(database)
    code, output = check(app)
    assert code == 1
    assert "the table 'order_items' is missing: run `flask db migrate`" in output


@pytest.mark.parametrize("command", ["expire", "audit", "purge-keys", "relay"])
def test_a_command_that_misses_a_table_sends_you_here(database: URL, command: str) -> None:
    code, last = last_line(database, command)
    assert code == 1
    assert re.fullmatch("Error: .*order.* Run `flask orders check`: it says what to mend.", last)


@pytest.mark.parametrize("command", ["expire", "audit", "purge-keys"])
def test_a_command_that_finds_no_database_says_so(command: str) -> None:
    code, last = last_line("mysql+pymysql://root@127.0.0.1:1/none", command)
    assert code == 1
    assert last.startswith("Error: the database is away or too busy.")


def last_line(url: URL | str, command: str) -> tuple[int, str]:
    """The exit code of a command, and what it ends with."""
    app, db = make_app(url, ORDERS_OUTBOX=True)
    with outbox_event.connected_to(lambda _app, event: None):
        result = app.test_cli_runner().invoke(args=["orders", command])
    with app.app_context():
        db.engine.dispose()
    return result.exit_code, result.output.splitlines()[-1]


def test_a_column_that_is_missing(database: URL) -> None:
    app, db = make_app(database)
    create_tables(app, db)
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE orders DROP COLUMN voucher_code"))
    code, output = check(app)
    assert (code, output.count("\n")) == (1, 1), output
    assert "the table 'orders' lacks voucher_code: run `flask db migrate`" in output


def test_sqlite_in_a_mode_that_leaks() -> None:
    app, db = make_app("sqlite://")
    with app.app_context():
        # As another engine would be, which the blueprint has not seen.
        sa.event.remove(db.engine, "begin", sqlite.begin)
        sa.event.remove(db.engine, "connect", sqlite.prepare)
        db.create_all()
        code, output = check(app)
    assert code == 1
    assert "savepoints leak" in output


def test_autocommit(database: URL) -> None:
    options = {"hide_parameters": True, "isolation_level": "AUTOCOMMIT"}
    if database.get_backend_name() == "sqlite":
        pytest.skip("on SQLite the library sets the mode itself")
    app, db = make_app(database, SQLALCHEMY_ENGINE_OPTIONS=options)
    create_tables(app, db)
    code, output = check(app)
    assert code == 1
    assert "remove 'isolation_level'" in output


def test_a_database_that_is_away() -> None:
    app, _ = make_app("postgresql+psycopg://nobody@127.0.0.1:9/nothing")
    code, output = check(app)
    assert code == 1
    assert "check SQLALCHEMY_DATABASE_URI" in output


def test_a_driver_whose_errors_nobody_has_read(database: URL) -> None:
    app, db = make_app(database)
    create_tables(app, db)
    with app.app_context():
        db.engine.dialect.driver = "another"
    code, output = check(app)
    assert code == 1
    assert "the driver another is not supported" in output


def test_a_table_without_transactions(database: URL) -> None:
    if database.get_backend_name() != "mysql":
        pytest.skip("only MariaDB has tables without transactions")
    app, db = make_app(database)
    create_tables(app, db)
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE copy LIKE order_items"))
        connection.execute(sa.text("DROP TABLE order_items"))
        connection.execute(sa.text("ALTER TABLE copy ENGINE=Aria, RENAME TO order_items"))
    code, output = check(app)
    assert code == 1
    assert "ALTER TABLE order_items ENGINE=InnoDB" in output


def test_a_table_that_can_not_hold_every_name(database: URL) -> None:
    if database.get_backend_name() != "mysql":
        pytest.skip("only MariaDB has tables in an encoding of their own")
    app, db = make_app(database)
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(sa.text(f"ALTER DATABASE {database.database} CHARACTER SET latin1"))
    create_tables(app, db)
    code, output = check(app)
    assert code == 1
    assert "ALTER TABLE order_items CONVERT TO CHARACTER SET utf8mb4" in output
