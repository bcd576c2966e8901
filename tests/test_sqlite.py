"""SQLite's transaction mode: savepoints are real, and readers that write later take turns."""

import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask_jwt_extended import JWTManager
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event, text

from flask_orders import ConfigurationError, current_orders, orders_bp
from flask_orders.db.managed import MANAGED


def make_app(path: Path, *, with_orders: bool = True) -> tuple[Flask, SQLAlchemy]:
    app, db = Flask("sqlite"), SQLAlchemy()
    app.config.update(SQLALCHEMY_DATABASE_URI=f"sqlite:///{path}", JWT_SECRET_KEY="s" * 32)
    JWTManager(app)
    db.init_app(app)
    if with_orders:
        app.register_blueprint(orders_bp)
    return app, db


def leak(app: Flask, db: SQLAlchemy, path: Path) -> int:
    """Write in a savepoint, roll the transaction back; how many rows are left of it."""
    sqlite3.connect(path).execute("CREATE TABLE leaks (id INTEGER)").connection.close()
    with app.app_context():
        db.session.execute(text("SELECT 1"))
        with db.session.begin_nested():
            db.session.execute(text("INSERT INTO leaks VALUES (1)"))
        db.session.rollback()
        db.engine.dispose()
    connection = sqlite3.connect(path)
    (count,) = connection.execute("SELECT count(*) FROM leaks").fetchone()
    connection.close()
    return int(count)


def test_a_released_savepoint_is_undone_by_an_outer_rollback(tmp_path: Path) -> None:
    assert leak(*make_app(tmp_path / "db"), tmp_path / "db") == 0


def test_without_the_library_a_released_savepoint_is_not_undone(tmp_path: Path) -> None:
    """Why the library changes the mode at all: if this fails, the driver has learned it."""
    assert leak(*make_app(tmp_path / "db", with_orders=False), tmp_path / "db") == 1


def test_a_connection_opened_before_the_registration_is_set_up_too(tmp_path: Path) -> None:
    app, db = make_app(tmp_path / "db", with_orders=False)
    with app.app_context():
        db.session.execute(text("SELECT 1"))
        db.session.remove()
    app.register_blueprint(orders_bp)
    assert leak(app, db, tmp_path / "db") == 0


def test_a_shop_with_the_same_recipe_is_left_alone(tmp_path: Path) -> None:
    app, db = make_app(tmp_path / "db", with_orders=False)
    with app.app_context():
        engine = db.engine

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None

    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    app.register_blueprint(orders_bp)
    assert leak(app, db, tmp_path / "db") == 0


@pytest.mark.parametrize(
    ("pragma", "value"), [("foreign_keys", 1), ("journal_mode", "wal"), ("busy_timeout", 5000)]
)
def test_a_connection_is_set_up(tmp_path: Path, pragma: str, value: object) -> None:
    app, db = make_app(tmp_path / "db")
    with app.app_context():
        assert db.session.execute(text(f"PRAGMA {pragma}")).scalar() == value
        db.session.remove()
        db.engine.dispose()


def test_the_shop_s_own_transactions_keep_their_timeout(tmp_path: Path) -> None:
    app, db = Flask("patient"), SQLAlchemy()
    app.config.update(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path / 'db'}",
        SQLALCHEMY_ENGINE_OPTIONS={"connect_args": {"timeout": 30}},
    )
    db.init_app(app)
    app.register_blueprint(orders_bp)
    waits = []
    with app.app_context():
        for is_managed in (False, True, False):
            with db.engine.connect().execution_options(**{MANAGED: is_managed}) as connection:
                waits.append(connection.execute(text("PRAGMA busy_timeout")).scalar())
        db.engine.dispose()
    assert waits == [30_000, 5_000, 30_000]


def test_the_shop_s_other_databases_are_left_alone(tmp_path: Path) -> None:
    """One of them may be read-only, and one be written by a program that wants it as it is."""
    for name in ("old", "maps"):
        sqlite3.connect(tmp_path / name).execute(
            "CREATE TABLE rows (id INTEGER)"
        ).connection.close()
    app, db = Flask("binds"), SQLAlchemy()
    app.config.update(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path / 'db'}",
        SQLALCHEMY_BINDS={
            "old": f"sqlite:///{tmp_path / 'old'}",
            "maps": f"sqlite:///file:{tmp_path / 'maps'}?mode=ro&uri=true",
        },
    )
    db.init_app(app)
    app.register_blueprint(orders_bp)
    with app.app_context():
        with db.engines["maps"].connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM rows")).scalar() == 0
        with db.engines["old"].connect() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "delete"
            assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 0
        for engine in db.engines.values():
            engine.dispose()


def test_a_shop_without_a_default_database() -> None:
    app, db = Flask("binds"), SQLAlchemy()
    app.config["SQLALCHEMY_BINDS"] = {"other": "sqlite://"}
    db.init_app(app)
    with pytest.raises(ConfigurationError, match="set SQLALCHEMY_DATABASE_URI"):
        app.register_blueprint(orders_bp)


def test_foreign_keys_are_off_while_alembic_runs_an_env(tmp_path: Path) -> None:
    """Its DROP of a table that it has copied would delete the rows that point to it."""
    app, db = make_app(tmp_path / "db")
    pragma = text("PRAGMA foreign_keys")
    with app.app_context(), db.engine.connect() as connection:
        assert connection.execute(pragma).scalar() == 1
        connection.rollback()
        with EnvironmentContext(Config(), ScriptDirectory(str(tmp_path))):
            assert connection.execute(pragma).scalar() == 0
            connection.rollback()
        assert connection.execute(pragma).scalar() == 1
        connection.detach()
        assert connection.execute(pragma).scalar() == 1
        connection.close()
        db.engine.dispose()


def test_money_is_stored_without_a_float(tmp_path: Path) -> None:
    app, db = make_app(tmp_path / "db")
    with app.app_context():
        db.create_all()
        product = current_orders.models.Product
        db.session.add(product(sku="A", name="A", price=Decimal("12345678901234.5678")))
        db.session.commit()
        kind = db.session.execute(text("SELECT typeof(price), price FROM products")).one()
        assert tuple(kind) == ("integer", 123456789012345678)
        assert db.session.scalars(db.select(product.price)).one() == Decimal("12345678901234.5678")
        with pytest.raises(Exception, match="not the float"):
            db.session.scalars(db.select(product).where(product.price > 0.1))
        db.session.remove()
        db.engine.dispose()
