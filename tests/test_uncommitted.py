"""A shop's uncommitted writes before an order are never lost silently."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

from .support.shops import Shop, make_shop

UPDATE = "UPDATE customers SET email = 'seen'"

WRITES: dict[str, str] = {
    "plain": f" {UPDATE}",
    "comment": f"/* tag */ {UPDATE}",
    "line comment": f"-- tag\n{UPDATE}",
    "with": "WITH seen AS (SELECT 'seen' AS email) UPDATE customers "
    "SET email = (SELECT email FROM seen)",
    "with returning": "WITH seen AS (UPDATE customers SET email = 'seen' RETURNING id) "
    "SELECT id FROM seen",
    "returning": "INSERT INTO customers (email) VALUES ('seen') RETURNING id",
    "function": "SELECT seen()",
    "call": "CALL seen_by_all()",
    "do": f"DO $$ BEGIN {UPDATE}; END $$",
    "into": "SELECT id INTO seen_customers FROM customers",
    "create": "CREATE TABLE seen_customers (id INTEGER)",
    "truncate": "TRUNCATE notes",
}
POSTGRESQL_ALONE = {"with returning", "do", "into", "create", "truncate"}
ON: dict[str, set[str]] = {
    "sqlite": WRITES.keys() - POSTGRESQL_ALONE - {"function", "call"},
    "postgresql": set(WRITES),
    # What creates or truncates a table commits on both of them.
    "mysql": WRITES.keys() - POSTGRESQL_ALONE - {"returning"},
    "mariadb": WRITES.keys() - POSTGRESQL_ALONE - {"with"},
}

READS = {
    "sqlite": ["SELECT 1", "PRAGMA foreign_keys", "SELECT email FROM customers"],
    "postgresql": [
        "SELECT 1",
        "/* update */ SELECT email FROM customers",
        "SELECT set_config('app.customer', '5', true)",
        "SET LOCAL work_mem = '8MB'",
        "SHOW lock_timeout",
    ],
    "mysql": [
        "SELECT 1",
        "/* update */ SELECT email FROM customers",
        "SET @customer = 5",
        "SHOW VARIABLES LIKE 'wsrep_on'",
        "SELECT email FROM customers GROUP BY email ORDER BY COUNT(*)",
    ],
}
READS["mariadb"] = READS["mysql"]

ROUTINES = {
    "postgresql": [
        f"CREATE FUNCTION seen() RETURNS int LANGUAGE sql AS $$ {UPDATE}; SELECT 1 $$",
        f"CREATE PROCEDURE seen_by_all() LANGUAGE sql AS $$ {UPDATE} $$",
        "CREATE TABLE notes (id INTEGER)",
        "INSERT INTO notes VALUES (1)",
    ],
    "mysql": [
        "CREATE FUNCTION seen() RETURNS int DETERMINISTIC MODIFIES SQL DATA "
        f"BEGIN {UPDATE}; RETURN 1; END",
        f"CREATE PROCEDURE seen_by_all() {UPDATE}",
    ],
}
ROUTINES["mariadb"] = ROUTINES["mysql"]


class Before:
    """What the shop does before each request."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.act: Callable[[], Any] = lambda: None
        self.commits = False
        self.customer = shop.customer()
        shop.cart(self.customer, {shop.product(): 1})
        shop.app.before_request(self)

    def __call__(self) -> None:
        self.act()
        if self.commits:
            self.shop.db.session.commit()

    def is_refused(self, act: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> bool:
        """Whether an order is refused for it; it must then be there no more."""
        self.act = act
        caplog.clear()
        status = self.shop.post(self.customer).status_code
        # An empty cart, once it was ordered.
        assert status in (201, 400, 500)
        is_told = "db.session holds uncommitted changes" in caplog.text
        assert is_told == (status == 500)
        return is_told


@pytest.fixture
def before(database: URL, server: str) -> Iterator[Before]:
    shop = make_shop(database)
    with shop.engine.begin() as connection:
        for routine in ROUTINES.get(server, []):
            connection.exec_driver_sql(routine)
    yield Before(shop)
    shop.close()


def test_every_write_in_the_shop_s_own_sql_is_noticed(
    before: Before, server: str, caplog: pytest.LogCaptureFixture
) -> None:
    session = before.shop.db.session
    passed = []

    def send(sql: str) -> None:
        session.connection().exec_driver_sql(sql)

    for name in sorted(ON[server]):
        sql = WRITES[name]
        ways: dict[str, Callable[[], Any]] = {
            "session": partial(session.execute, sa.text(sql)),
            "connection": partial(send, sql),
        }
        passed += [(name, way) for way, act in ways.items() if not before.is_refused(act, caplog)]
    assert passed == []


def test_every_write_by_sqlalchemy_is_noticed(
    before: Before, caplog: pytest.LogCaptureFixture
) -> None:
    session, model = before.shop.db.session, before.shop.models.Customer
    assert model is not None
    rows = sa.inspect(model).local_table
    seen = sa.update(rows).values(email="seen")

    def add() -> None:
        session.add(model(email="seen"))

    def flush() -> None:
        add()
        session.flush()

    def write_in_savepoint() -> None:
        with session.begin_nested():
            session.execute(seen)

    ways: dict[str, Callable[[], Any]] = {
        "added": add,
        "flushed": flush,
        "savepoint": write_in_savepoint,
        "insert": lambda: session.execute(sa.insert(rows).values(email="seen")),
        "update": lambda: session.execute(seen),
        "orm update": lambda: session.execute(sa.update(model).values(email="seen")),
        "connection": lambda: session.connection().execute(seen),
        "bulk": lambda: session.bulk_insert_mappings(sa.inspect(model), [{"email": "seen"}]),
        "after a read": lambda: (session.execute(sa.text("SELECT 1")), session.execute(seen)),
    }
    dialect = before.shop.engine.dialect.name
    if dialect == "postgresql":
        written = seen.returning(rows.c.id).cte("written")
        ways["cte"] = lambda: session.execute(sa.select(written.c.id))
        ways["from statement"] = lambda: session.execute(
            sa.select(model).from_statement(sa.text(f"{UPDATE} RETURNING id, email"))
        )
    if dialect != "sqlite":
        ways["function"] = lambda: session.scalar(sa.select(sa.func.seen()))
    assert [way for way, act in ways.items() if not before.is_refused(act, caplog)] == []


def test_a_write_sent_to_the_driver_directly_on_sqlite(
    before: Before, caplog: pytest.LogCaptureFixture
) -> None:
    if before.shop.engine.dialect.name != "sqlite":
        pytest.skip("other databases would have to be asked before each order")

    def write() -> None:
        driver: Any = before.shop.db.session.connection().connection.dbapi_connection
        driver.execute(UPDATE).close()

    assert before.is_refused(write, caplog)


def test_reads_are_no_reason_to_refuse(
    before: Before, server: str, caplog: pytest.LogCaptureFixture
) -> None:
    session, model = before.shop.db.session, before.shop.models.Customer
    assert model is not None
    for sql in READS[server]:
        assert not before.is_refused(partial(session.execute, sa.text(sql)), caplog), sql

    def savepoint() -> None:
        with session.begin_nested():
            session.scalar(sa.select(sa.func.count()).select_from(model))

    assert not before.is_refused(savepoint, caplog)
    assert not before.is_refused(lambda: session.scalar(sa.select(sa.func.lower("A"))), caplog)


def test_committed_writes_are_no_reason_to_refuse(
    before: Before, caplog: pytest.LogCaptureFixture
) -> None:
    session, before.commits = before.shop.db.session, True
    assert not before.is_refused(lambda: session.execute(sa.text(UPDATE)), caplog)
    assert [row["email"] for row in before.shop.rows("customers")] == ["seen"]
