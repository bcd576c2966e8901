"""`flask orders check`: what it finds, and the fix it names."""

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_jwt_extended import JWTManager
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import URL

from flask_orders import orders_bp
from flask_orders.db.dialects import sqlite
from flask_orders.signals import outbox_event

from .support import servers
from .support.checks import check, check_with_mapping

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


def create_tables(app: Flask, db: SQLAlchemy) -> None:
    with app.app_context():
        db.create_all()
        db.engine.dispose()


def test_a_complete_setup_has_no_problems(database: URL) -> None:
    app, db = make_app(database)
    create_tables(app, db)
    assert check_with_mapping(app) == (0, [], "Everything is set up.\n")


@pytest.mark.parametrize(
    ("config", "fix"),
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
def test_a_wrong_setting_is_named_with_its_fix(
    tmp_path: Path, config: dict[str, Any], fix: str
) -> None:
    app, db = make_app(f"sqlite:///{tmp_path}/shop.sqlite3", **config)
    create_tables(app, db)
    code, output = check(app)
    assert (code, output.count("\n")) == (1, 1), output
    assert fix in output


def test_tables_that_are_missing(database: URL) -> None:
    app, _ = make_app(database)
    code, output = check(app)
    assert code == 1
    assert "the table 'order_items' is missing: run `flask db migrate`" in output


@pytest.mark.parametrize("command", ["expire", "audit", "purge-keys", "relay"])
def test_a_command_without_its_table_refers_to_check(database: URL, command: str) -> None:
    code, last = last_line(database, command)
    assert code == 1
    assert re.fullmatch("Error: .*order.* Run `flask orders check`: it says what to fix.", last)


@pytest.mark.parametrize("command", ["expire", "audit", "purge-keys"])
def test_a_command_without_a_database_says_so(command: str) -> None:
    code, last = last_line("mysql+pymysql://root@127.0.0.1:1/none", command)
    assert code == 1
    assert last.startswith("Error: the database is unavailable or too busy.")


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


def test_sqlite_in_a_mode_without_real_savepoints() -> None:
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


def test_an_unavailable_database_is_named() -> None:
    app, _ = make_app("postgresql+psycopg://nobody@127.0.0.1:9/nothing")
    code, output = check(app)
    assert code == 1
    assert "check SQLALCHEMY_DATABASE_URI" in output


FIX = "let SQLALCHEMY_DATABASE_URI begin with"
# The beginnings of the URLs that each server's drivers have.
WAYS = {
    "sqlite": "sqlite+pysqlite://",
    "postgresql": "postgresql+psycopg:// or postgresql+psycopg2://",
    "mysql": "mysql+pymysql:// or mysql+mysqldb:// or mysql+mysqlconnector://",
    "mariadb": "mysql+pymysql:// or mysql+mysqldb://",
}


def test_an_unknown_driver_is_named_with_the_known_ones(database: URL, server: str) -> None:
    app, db = make_app(database)
    create_tables(app, db)
    with app.app_context():
        db.engine.dialect.driver = "another"
    code, output = check(app)
    assert code == 1
    assert f"the driver another is not supported here: {FIX} {WAYS[server]}\n" in output


@pytest.mark.server
@pytest.mark.parametrize("scheme", ["mysql", "mariadb"])
def test_mysql_connector_is_refused_on_mariadb(scheme: str) -> None:
    """It can't convert MariaDB's UUIDs."""
    with (
        servers.required(servers.server("mariadb")) as server,
        servers.fresh_database(server) as url,
    ):
        app, db = make_app(url.set(drivername=f"{scheme}+mysqlconnector"))
        create_tables(app, db)
        code, output = check(app)
    assert code == 1
    ways = f"{scheme}+pymysql:// or {scheme}+mysqldb://"
    assert f"the driver mysqlconnector is not supported here: {FIX} {ways}\n" in output


def test_an_unsupported_database_is_named_with_the_supported_ones(database: URL) -> None:
    app, db = make_app(database)
    create_tables(app, db)
    with app.app_context():
        dialect: Any = db.engine.dialect
        dialect.name = "oracle"
    code, output = check(app)
    assert code == 1
    supported = "MariaDB, MySQL, PostgreSQL and SQLite"
    assert f"oracle is not supported: flask_orders is tested on {supported}\n" in output


OLD = {
    "mysql": (
        (8, 0, 16),
        "MySQL 8.0.16 is not supported: upgrade the server to MySQL 8.0.17",
    ),
    "mariadb": (
        (10, 5, 29),
        "MariaDB 10.5.29 is not supported: upgrade the server to MariaDB 10.6",
    ),
}


def test_percona_xtradb_cluster_is_refused(database: URL, server: str) -> None:
    """A MySQL that says it is a node of Galera."""
    if server != "mysql":
        pytest.skip("it is a kind of MySQL")

    def pretend(_connection: object, record: Any) -> None:
        record.info["flask_orders_galera"] = True

    app, db = make_app(database)
    create_tables(app, db)
    with app.app_context():
        db.engine.dispose()
        sa.event.listen(db.engine, "connect", pretend)
    code, output = check(app)
    assert code == 1
    assert "Percona XtraDB Cluster is not supported" in output


def test_an_old_version_of_the_server(database: URL, server: str) -> None:
    if server not in OLD:
        pytest.skip("any version of this server will do")
    version, said = OLD[server]
    app, db = make_app(database)
    create_tables(app, db)
    with app.app_context():
        dialect: Any = db.engine.dialect
        dialect.server_version_info = version
    code, output = check(app)
    assert code == 1
    assert f"{said} or newer\n" in output


def test_a_table_without_transactions(database: URL) -> None:
    if database.get_backend_name() != "mysql":
        pytest.skip("only MySQL and MariaDB have tables without transactions")
    app, db = make_app(database)
    create_tables(app, db)
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE copy LIKE order_items"))
        connection.execute(sa.text("DROP TABLE order_items"))
        connection.execute(sa.text("ALTER TABLE copy ENGINE=MyISAM, RENAME TO order_items"))
    code, output = check(app)
    assert code == 1
    assert "ALTER TABLE order_items ENGINE=InnoDB" in output


def test_a_table_that_can_not_hold_every_name(database: URL) -> None:
    if database.get_backend_name() != "mysql":
        pytest.skip("only MySQL and MariaDB have tables in an encoding of their own")
    app, db = make_app(database)
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(sa.text(f"ALTER DATABASE {database.database} CHARACTER SET latin1"))
    create_tables(app, db)
    code, output = check(app)
    assert code == 1
    assert "ALTER TABLE order_items CONVERT TO CHARACTER SET utf8mb4" in output


MEMORY = "use a file, such as SQLALCHEMY_DATABASE_URI"


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("sqlite://", {}),
        ("sqlite:///:memory:", {}),
        ("sqlite:///file:shop?mode=memory&cache=shared&uri=true", {"poolclass": sa.pool.QueuePool}),
        ("sqlite:///{folder}/shop.sqlite3", {"poolclass": sa.pool.StaticPool}),
    ],
)
def test_sqlite_that_threads_can_not_share_is_named(
    tmp_path: Path, url: str, options: dict[str, Any]
) -> None:
    """Where threads share a connection, one commits or rolls back another's half of an order."""
    engine_options = {"hide_parameters": True, **options}
    app, db = make_app(url.format(folder=tmp_path), SQLALCHEMY_ENGINE_OPTIONS=engine_options)
    with app.app_context():
        db.create_all()
        code, output = check(app)
    assert code == 1
    assert MEMORY in output


@pytest.mark.parametrize(
    "options", [{"pool_reset_on_return": None}, {"pool_reset_on_return": "commit"}]
)
def test_connections_that_are_not_rolled_back_are_named(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    options = {"hide_parameters": True, **options}
    app, db = make_app(f"sqlite:///{tmp_path}/shop.sqlite3", SQLALCHEMY_ENGINE_OPTIONS=options)
    create_tables(app, db)
    code, output = check(app)
    assert (code, output.count("\n")) == (1, 1), output
    assert "remove 'pool_reset_on_return'" in output


def test_an_engine_that_rolls_nothing_back_on_sqlite_is_named(database: URL) -> None:
    """The driver looks as if it were in autocommit mode; elsewhere it is not, and all is well."""
    options = {"hide_parameters": True, "skip_autocommit_rollback": True}
    try:
        app, db = make_app(database, SQLALCHEMY_ENGINE_OPTIONS=options)
    except TypeError:
        pytest.skip("SQLAlchemy before 2.0.43 has no skip_autocommit_rollback")
    create_tables(app, db)
    code, output = check(app)
    is_sqlite = database.get_backend_name() == "sqlite"
    assert ("remove 'skip_autocommit_rollback'" in output) == is_sqlite
    assert code == int(is_sqlite), output


def test_a_database_that_takes_no_writes_is_named(database: URL) -> None:
    app, db = make_app(database)
    if database.get_backend_name() == "sqlite":
        pytest.skip("SQLite has no read-only mode of a database, only of its file")
    create_tables(app, db)
    with app.app_context():
        read_only = {
            "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "mysql": "SET SESSION TRANSACTION READ ONLY",
        }[database.get_backend_name()]

        @sa.event.listens_for(db.engine, "connect")
        def set_up(connection: Any, _record: object) -> None:
            with connection.cursor() as cursor:
                cursor.execute(read_only)
            connection.commit()

    code, output = check(app)
    assert (code, output.count("\n")) == (1, 1), output
    assert "connect to the primary" in output


def test_unenforced_sqlite_foreign_keys_are_counted(tmp_path: Path) -> None:
    """They are from now on, so that the shop's own changes of such rows fail."""
    app, db = make_app(f"sqlite:///{tmp_path}/shop.sqlite3")
    with app.app_context():
        db.create_all()
        with db.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE reader (id INTEGER PRIMARY KEY)")
            connection.exec_driver_sql("CREATE TABLE review (reader REFERENCES reader (id))")
        raw = sqlite3.connect(tmp_path / "shop.sqlite3")
        raw.execute("INSERT INTO review VALUES (1), (2), (NULL)")
        raw.commit()
        raw.close()
        db.engine.dispose()
    code, output = check(app)
    assert (code, output.count("\n")) == (1, 1), output
    assert "in 'review' 2 foreign key(s) refer to rows of 'reader' that do not exist" in output
    assert "PRAGMA foreign_key_check" in output


def test_a_broken_foreign_key_does_not_hide_the_other_problems(tmp_path: Path) -> None:
    app, db = make_app(f"sqlite:///{tmp_path}/shop.sqlite3", ORDERS_PAYMENT_ENDPOINT=None)
    with app.app_context():
        db.create_all()
        with db.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE reader (id INTEGER)")
            connection.exec_driver_sql("CREATE TABLE review (reader REFERENCES reader (id))")
            connection.exec_driver_sql("DROP TABLE order_outbox")
        db.engine.dispose()
    code, output = check(app)
    assert (code, output.count("\n")) == (1, 3), output
    assert "set ORDERS_PAYMENT_ENDPOINT" in output
    assert "could not be checked (OperationalError: foreign key mismatch" in output
    assert "'order_outbox' is missing" in output


def test_a_migration_without_the_constraints_is_named(database: URL) -> None:
    """By them the library notices races: without them there would be double orders."""
    app, db = make_app(database)
    with app.app_context():
        bare = sa.MetaData()
        for table in db.metadata.sorted_tables:
            columns = [
                sa.Column(column.name, column.type, primary_key=column.primary_key)
                for column in table.columns
            ]
            sa.Table(table.name, bare, *columns)
        bare.create_all(db.engine)
        db.engine.dispose()
    code, output = check(app)
    assert code == 1
    for missing in (
        "UNIQUE (customer_id, sequence)",
        "UNIQUE (customer_id, fingerprint)",
        "UNIQUE (customer_id, key)",
        "UNIQUE (reference)",
        "UNIQUE (number)",
        "FOREIGN KEY (order_id) REFERENCES orders ON DELETE CASCADE",
        "FOREIGN KEY (product_id) REFERENCES products ON DELETE SET NULL",
        "CHECK (times_used <= usage_limit)",
        "CHECK (quantity > 0)",
    ):
        assert missing in output, output


def test_constraints_with_other_names_are_accepted(database: URL) -> None:
    app, db = make_app(database)
    with app.app_context():
        for table in db.metadata.sorted_tables:
            # Any of them may have been named by hand.
            for number, constraint in enumerate(sorted(table.constraints, key=str)):
                if isinstance(constraint, sa.CheckConstraint):
                    constraint.name = f"{table.name}_check_{number}"
        db.create_all()
        db.engine.dispose()
    other, _ = make_app(database)
    assert check(other) == (0, "Everything is set up.\n")


def test_a_database_that_can_not_hold_every_name_is_named(database: URL) -> None:
    if database.get_backend_name() != "postgresql":
        pytest.skip("only PostgreSQL has databases in an encoding of their own")
    admin = sa.create_engine(database, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    name = f"{database.database}_latin"
    with admin.connect() as connection:
        connection.exec_driver_sql(
            f"CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' "
            "TEMPLATE template0"
        )
    try:
        app, db = make_app(database.set(database=name))
        create_tables(app, db)
        code, output = check(app)
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    assert (code, output.count("\n")) == (1, 1), output
    assert "the database is in LATIN1" in output
