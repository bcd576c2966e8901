"""A shop's own migrations continue after flask_orders is installed, and gain only its tables."""

import ast
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from sqlalchemy.engine import URL
from sqlalchemy.schema import CreateIndex, CreateTable

from . import hosts
from .hosts.drivers import DRIVERS, Driver
from .support import servers

# Flask-Migrate's env.py asks for get_engine() first, for the sake of old versions.
pytestmark = pytest.mark.filterwarnings("ignore:'get_engine' is deprecated:DeprecationWarning")

SHOPS = pytest.mark.parametrize("name", hosts.NAMES, scope="module")


@contextmanager
def _logging_put_back() -> Iterator[None]:
    """Put back the logging of the whole process, which Alembic's env.py configures."""
    root = logging.getLogger()
    loggers = [one for one in root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    states = [
        (one, one.level, one.propagate, one.disabled, one.handlers[:]) for one in [root, *loggers]
    ]
    yield
    for one, level, propagate, disabled, handlers in states:
        one.setLevel(level)
        one.propagate, one.disabled, one.handlers[:] = propagate, disabled, handlers


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    with _logging_put_back():
        yield


@dataclass(frozen=True)
class History:
    """A shop with its history of migrations."""

    host: Driver
    folder: Path

    def init(self) -> None:
        self._run(flask_migrate.init)

    def migrate(self, message: str) -> None:
        self._run(flask_migrate.migrate, message=message)

    def upgrade(self, revision: str = "head") -> None:
        self._run(flask_migrate.upgrade, revision=revision)

    def downgrade(self) -> None:
        self._run(flask_migrate.downgrade)

    def check(self) -> None:
        """`flask db check`: exits with 1 if the models and the database differ."""
        self._run(flask_migrate.check)

    def schema(self) -> sa.MetaData:
        """What the database really holds."""
        found = sa.MetaData()
        with self.host.engine.connect() as connection:
            found.reflect(connection)
        return found

    def _run(self, command: Any, **options: Any) -> None:
        """In an app of its own, as at a shell: Flask-Migrate leaves marks on the app's set-up."""
        app = self.host.module.create_app(self.host.url, MIGRATIONS=str(self.folder))
        with app.app_context():
            command(**options)
            self.host.module.db.engine.dispose()


@dataclass(frozen=True)
class Written:
    """A shop as it was and with flask_orders installed, and the history that both have written.

    `as_it_was` are the shop's own tables before the new revision ran, `schema` all tables after it.
    """

    before: Driver
    after: Driver
    folder: Path
    as_it_was: list[str]
    schema: sa.MetaData

    @property
    def own(self) -> set[str]:
        return set(self.before.tables)

    @property
    def library(self) -> set[str]:
        """The tables that flask_orders has added."""
        return set(self.after.tables) - self.own


@pytest.fixture(scope="module")
def written(server_url: URL, tmp_path_factory: pytest.TempPathFactory, name: str) -> Written:
    """The history, of two revisions: the shop's, and the one that installing has made."""
    folder = tmp_path_factory.mktemp(name) / "migrations"
    with servers.fresh_database(server_url) as url, _logging_put_back():
        before = History(DRIVERS[name](url, installed=False), folder)
        before.init()
        before.migrate("the shop")
        before.upgrade()
        as_it_was = described(before.schema(), set(before.host.tables))
        after = History(DRIVERS[name](url), folder)
        after.migrate("orders")
        after.upgrade()
        schema = after.schema()
        before.host.close()
        after.host.close()
    return Written(before.host, after.host, folder, as_it_was, schema)


@pytest.fixture
def before(written: Written, database: URL, tmp_path: Path) -> Iterator[History]:
    """The shop as it was, at the head of its own history."""
    folder = tmp_path / "migrations"
    shutil.copytree(written.folder, folder)
    history = History(written.before.on(database), folder)
    history.upgrade("+1")
    yield history
    history.host.close()


@pytest.fixture
def after(written: Written, before: History, database: URL) -> Iterator[History]:
    """The shop with flask_orders installed, before its new revision has run."""
    history = History(written.after.on(database), before.folder)
    yield history
    history.host.close()


@SHOPS
def test_the_new_revision_touches_only_the_library_s_tables(written: Written) -> None:
    revision, *older = revisions(written.folder)
    assert len(older) == 1
    operations = operations_of(revision)
    assert {table for name, table in operations if name == "create_table"} == written.library
    assert {table for name, table in operations if name == "batch_alter_table"} <= written.library
    assert {name for name, _ in operations} <= {"create_table", "batch_alter_table"}
    assert set(written.schema.tables) == written.own | written.library | {"alembic_version"}
    assert described(written.schema, written.own) == written.as_it_was


@SHOPS
def test_the_revision_runs_without_flask_orders(written: Written, before: History) -> None:
    assert "flask_orders" not in revisions(written.folder)[0].read_text()
    before.upgrade()
    assert written.library < set(before.schema().tables)


@SHOPS
def test_upgrade_no_difference_downgrade_upgrade(written: Written, after: History) -> None:
    own, library = written.own, written.library
    after.upgrade()
    after.check()
    after.downgrade()
    assert set(after.schema().tables) == own | {"alembic_version"}
    after.upgrade()
    after.check()
    assert set(after.schema().tables) == own | library | {"alembic_version"}


@SHOPS
def test_the_migrated_shop_takes_orders(before: History, after: History) -> None:
    buyer = before.host.customer()
    before.host.put(buyer, before.host.product("12.00"), 2)
    after.upgrade()
    assert after.host.order(buyer).status_code == 201
    (order,) = after.host.rows(after.host.TABLES.orders)
    assert order["total_amount"] == 24


@SHOPS
def test_a_foreign_key_has_the_type_of_the_shop_s_key(written: Written) -> None:
    tables = written.schema.tables
    keys = [key for name in written.library for key in tables[name].foreign_keys]
    assert {key.column.table.name for key in keys} & written.own
    for key in keys:
        assert repr(key.parent.type) == repr(key.column.type), key


@pytest.mark.parametrize("name", ["classic"], scope="module")
@pytest.mark.parametrize("other", servers.NAMES)
def test_what_one_server_wrote_runs_on_every_other(
    written: Written, other: str, tmp_path: Path
) -> None:
    """MySQL and MariaDB among them, whose names for one collation differ."""
    folder = tmp_path / "migrations"
    shutil.copytree(written.folder, folder)
    with (
        servers.required(servers.server(other)) as server,
        servers.fresh_database(server) as url,
    ):
        there = History(written.after.on(url), folder)
        there.upgrade()
        there.check()
        buyer = there.host.customer()
        there.host.put(buyer, there.host.product("12.00"), 2)
        assert there.host.order(buyer).status_code == 201
        there.host.close()


@pytest.mark.parametrize("name", ["uuid_keys"], scope="module")
def test_constraints_are_named_by_the_shop_s_convention(written: Written, after: History) -> None:
    after.upgrade()
    with after.host.engine.connect() as connection:
        names = {name: constraint_names(connection, name) for name in written.library}
    for table, found in names.items():
        strangers = [one for one in found if not one.startswith(tuple(kinds(table)))]
        assert strangers == []
    assert "fk_orders_customer_id_users" in names["orders"]
    assert "uq_orders_customer_id_sequence" in names["orders"]
    assert "ck_orders_orders_items_count_positive" in names["orders"]
    assert "fk_order_items_product_id_catalogue" in names["order_items"]
    assert "ix_order_idempotency_keys_created" in names["order_idempotency_keys"]


def revisions(folder: Path) -> list[Path]:
    """The files of a history, the newest first."""
    script = ScriptDirectory(str(folder))
    return [Path(revision.path) for revision in script.walk_revisions()]


def operations_of(revision: Path) -> list[tuple[str, str]]:
    """Each operation on a table in `upgrade`, and the table's name."""
    body = ast.parse(revision.read_text()).body
    (upgrade,) = [one for one in body if isinstance(one, ast.FunctionDef) and one.name == "upgrade"]
    return [
        (call.func.attr, ast.literal_eval(call.args[0]))
        for call in ast.walk(upgrade)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "op"
        and call.func.attr != "f"
    ]


def described(schema: sa.MetaData, names: set[str]) -> list[str]:
    """Tables with their columns, constraints and indexes, as SQL."""
    tables = [schema.tables[name] for name in sorted(names)]
    return [
        *(str(CreateTable(table)) for table in tables),
        *sorted(str(CreateIndex(index)) for table in tables for index in table.indexes),
    ]


def kinds(table: str) -> Iterator[str]:
    """How the names of a table's constraints and indexes begin."""
    for kind in ("pk", "fk", "uq", "ck", "ix"):
        yield f"{kind}_{table}"


def constraint_names(connection: sa.Connection, table: str) -> set[str]:
    """The names of a table's constraints and indexes; MariaDB's primary keys have none."""
    inspector = sa.inspect(connection)
    found: list[Any] = [
        inspector.get_pk_constraint(table),
        *inspector.get_foreign_keys(table),
        *inspector.get_unique_constraints(table),
        *inspector.get_check_constraints(table),
        *inspector.get_indexes(table),
    ]
    return {one["name"] for one in found} - {None}
