"""Keys of one column or several, sent in one statement: each matches its row, and counts once."""

import enum
import re
import uuid
from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

from flask_orders.db.bulk import KeysIn
from flask_orders.db.dialects import dialect_of

from .support.keys import Prefixed


class Size(enum.Enum):
    SMALL = 1
    LARGE = 2


# Each type of key with two of its values.
COLUMNS: dict[str, tuple[Any, Any, Any]] = {
    "integer": (sa.Integer, 7, 2**31 - 1),
    "text": (sa.String(20), "a", "%'\\,{}\"b"),
    "uuid": (sa.Uuid, uuid.UUID(int=1), uuid.UUID(int=2**128 - 1)),
    "uuid as text": (sa.Uuid(as_uuid=False), "0" * 31 + "1", "0" * 31 + "2"),
    "enum": (sa.Enum(Size, name="size"), Size.SMALL, Size.LARGE),
    "date": (sa.Date, date(2026, 1, 1), date(2026, 2, 1)),
    "prefixed": (Prefixed, "cus_1", "cus_2"),
}
MANY = 3000


class Rows:
    """A table with a key of several columns, and the condition that a key is one of many."""

    def __init__(self, url: URL, *types: Any) -> None:
        self.engine = sa.create_engine(url)
        columns = [
            sa.Column(f"k{i}", type_, primary_key=True, autoincrement=False)
            for i, type_ in enumerate(types)
        ]
        self.table = sa.Table("items", sa.MetaData(), *columns)
        self.table.create(self.engine)
        self.columns = columns
        arrays = dialect_of(self.engine.dialect).has_arrays
        self.keys_in = KeysIn(columns, "keys", arrays=arrays)

    def insert(self, *keys: tuple[Any, ...]) -> None:
        with self.engine.begin() as connection:
            rows = [{f"k{i}": value for i, value in enumerate(key)} for key in keys]
            connection.execute(self.table.insert(), rows)

    def select(self, *keys: tuple[Any, ...]) -> set[tuple[Any, ...]]:
        """Return the rows that are found, by a locking read."""
        query = sa.select(*self.columns).where(self.keys_in.condition).with_for_update()
        with self.engine.begin() as connection:
            found = connection.execute(query, self.keys_in.parameters(keys)).all()
        assert len(set(found)) == len(found)
        return {tuple(row) for row in found}

    def delete(self, *keys: tuple[Any, ...]) -> int:
        with self.engine.begin() as connection:
            deleted = sa.delete(self.table).where(self.keys_in.condition)
            return connection.execute(deleted, self.keys_in.parameters(keys)).rowcount

    def all(self) -> set[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return {tuple(row) for row in connection.execute(sa.select(self.table))}


@pytest.fixture
def drivers(database: URL) -> list[URL]:
    """The database, and again by the other driver of PostgreSQL."""
    urls = [database]
    if database.get_backend_name() == "postgresql":
        urls.append(database.set(drivername="postgresql+psycopg2"))
    return urls


@pytest.mark.parametrize("name", COLUMNS)
def test_a_key_of_one_column(drivers: list[URL], name: str) -> None:
    type_, first, second = COLUMNS[name]
    for url in drivers:
        rows = Rows(url, type_)
        rows.insert((first,), (second,))
        ((one,), (other,)) = sorted(rows.all(), key=str)
        assert rows.select((one,), (one,)) == {(one,)}
        assert rows.select((one,), (other,)) == {(one,), (other,)}
        assert rows.delete((other,), (other,)) == 1
        assert rows.all() == {(one,)}
        rows.table.drop(rows.engine)
        rows.engine.dispose()


@pytest.mark.parametrize("name", COLUMNS)
def test_a_key_of_several_columns(drivers: list[URL], name: str) -> None:
    """A row whose columns are given, but in different keys, is no match."""
    type_, first, second = COLUMNS[name]
    for url in drivers:
        rows = Rows(url, type_, sa.Integer, type_)
        rows.insert(*((a, n, b) for a in (first, second) for n in (1, 2) for b in (first, second)))
        every = sorted(rows.all(), key=str)
        some = {every[0], every[3], every[5]}
        assert rows.select(*some, every[0]) == some
        assert rows.delete(*some, every[0]) == 3
        assert rows.all() == set(every) - some
        assert rows.delete(*some) == 0
        rows.table.drop(rows.engine)
        rows.engine.dispose()


def test_no_key_at_all(database: URL) -> None:
    for types in ([sa.Integer], [sa.Integer, sa.String(5)]):
        rows = Rows(database, *types)
        rows.insert((1, "a")[: len(types)])
        assert rows.select() == set()
        assert rows.delete() == 0
        rows.table.drop(rows.engine)
        rows.engine.dispose()


def test_many_keys_find_the_index(database: URL) -> None:
    """Or a locking read would lock, and read, every row of the table on SQLite and MariaDB."""
    rows = Rows(database, sa.Integer, sa.Integer)
    rows.insert(*((n // 3, n % 3) for n in range(MANY)))
    some = {(n, n % 3) for n in range(500)}
    assert rows.select(*some) == some
    query = sa.select(rows.table).where(rows.keys_in.condition)
    backend = database.get_backend_name()
    if backend != "postgresql":
        explain = {"sqlite": "EXPLAIN QUERY PLAN", "mysql": "EXPLAIN FORMAT=TRADITIONAL"}[backend]
        bound = query.params(rows.keys_in.parameters(some)).compile(
            rows.engine, compile_kwargs={"literal_binds": True}
        )
        with rows.engine.connect() as connection:
            plan = str(connection.exec_driver_sql(f"{explain} {bound}").all())
        assert ("SEARCH items USING" in plan) or re.search("'(eq_ref|range)', 'PRIMARY'", plan), (
            plan
        )
    assert rows.delete(*some) == len(some)
    rows.engine.dispose()
