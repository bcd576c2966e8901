"""The log never reveals a customer's data, at any level, whatever goes wrong.

Values are planted in the requests and in the database's URL, and looked for in every record of
every logger and on stderr. `hide_parameters` is on, as the README says. All loggers are at DEBUG
but for `sqlalchemy.engine`, at INFO: at DEBUG it logs, by itself, the rows that are read.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from flask_jwt_extended import create_access_token
from sqlalchemy import event
from sqlalchemy.engine import URL
from werkzeug.test import TestResponse

from flask_orders.db.dialects import mysql, postgresql
from flask_orders.idempotency import IdempotentRequest
from flask_orders.signals import order_placed

from .support import servers
from .support.database import connection_cut_at_commit
from .support.requests import ORDERS
from .support.responses import body, library_codes
from .support.shops import Shop, make_shop

# Each planted value has this in it, in some letter case.
MARK = "planted"
PASSWORD = "planted-password"
KEY = "planted-idempotency-key"
VOUCHER = "PLANTEDVOUCHER"
ADDRESS = {
    "street_address": "17 Planted Street",
    "postal_code": "PLANTED 1",
    "city": "Planted City",
    "state": "Planted State",
    "country": "Canada",
}
# What every JWT begins with: '{"alg":' in base 64.
TOKEN = "eyJhbGciOi"

SAVE = {"action": "save_order", "billing_address": ADDRESS}
CHECKOUT = {**SAVE, "action": "checkout"}

# Only a race or a held lock leads to these; they have tests of their own.
RACES = {"idempotency_key_in_use", "try_again"}
# In Python only, or of a shop without JWTs.
NOT_OF_THIS_SHOP = {
    *("order_not_deliverable", "payment_mismatch", "refund_mismatch", "unauthorized")
}


@dataclass
class Log(logging.Handler):
    """All that a handler could make of a record: its message, its traceback, its arguments."""

    stderr: pytest.CaptureFixture[str]
    secrets: tuple[str, ...]
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(logging.DEBUG)

    def __hash__(self) -> int:
        return id(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{record.name}: {self.format(record)}\n{record.__dict__!r}")

    def tells_nothing(self, logger: str = "") -> bool:
        """Whether no planted value is in any record of a logger, by default of all, or on stderr.

        Raises:
            AssertionError: one is; the message is the record.
        """
        for text in [*self.texts, *self.stderr.readouterr()]:
            found = [each for each in self.secrets if each.casefold() in text.casefold()]
            assert not (found and text.startswith(logger)), f"{found} in: {text}"
        return True

    def has(self, text: str) -> bool:
        return any(text in each for each in self.texts)


@pytest.fixture(scope="module")
def quiet_shop(server_url: URL) -> Iterator[Shop]:
    """A shop that is set up as the README says, whose database takes a password."""
    with ExitStack() as stack:
        url = stack.enter_context(servers.fresh_database(server_url))
        url = stack.enter_context(with_password(url, server_url))
        shop = make_shop(url, SQLALCHEMY_ENGINE_OPTIONS={"hide_parameters": True}, ORDERS_RETRIES=2)
        stack.callback(shop.close)
        yield shop


@contextmanager
def with_password(url: URL, server_url: URL) -> Iterator[URL]:
    """The URL of a database with a password in it, unless it has one, or can't have any."""
    if url.password or url.get_backend_name() == "sqlite":
        yield url
    elif url.get_backend_name() == "postgresql":
        yield url.set(password=PASSWORD)  # Whom the server trusts may send any.
    else:
        admin, user = sa.create_engine(server_url, poolclass=sa.pool.NullPool), url.database
        with admin.begin() as connection:
            connection.exec_driver_sql(f"CREATE USER {user}@'%%' IDENTIFIED BY '{PASSWORD}'")
            connection.exec_driver_sql(f"GRANT ALL ON {user}.* TO {user}@'%%'")
        yield url.set(username=user, password=PASSWORD)
        with admin.begin() as connection:
            connection.exec_driver_sql(f"DROP USER {user}@'%%'")


@pytest.fixture
def shop(quiet_shop: Shop) -> Shop:
    quiet_shop.clear()
    return quiet_shop


@pytest.fixture
def customer(shop: Shop) -> int:
    """A customer who could order."""
    customer = shop.customer()
    shop.cart(customer, {shop.product(stock=9): 1}, shop.voucher(VOUCHER, "10%"))
    return customer


@pytest.fixture
def log(shop: Shop, capfd: pytest.CaptureFixture[str]) -> Iterator[Log]:
    """Every logger there is, at DEBUG; what else is planted is the URL's password, if any."""
    secrets = (MARK, TOKEN, shop.app.config["JWT_SECRET_KEY"], shop.engine.url.password or MARK)
    loggers = [logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        is_engine = logger.name.startswith("sqlalchemy.engine")
        logger.setLevel(logging.INFO if is_engine else logging.DEBUG)
        logger.propagate = True
    log = Log(capfd, secrets)
    logging.getLogger().addHandler(log)
    yield log
    logging.getLogger().removeHandler(log)
    for logger, level, propagate in before:
        logger.setLevel(level)
        logger.propagate = propagate


def post(shop: Shop, customer: int, request: Any = SAVE, key: str = KEY, **options: Any) -> Any:
    """Ask for an order, with a key."""
    headers = {**shop.token(customer), "Idempotency-Key": key, **options.pop("headers", {})}
    return shop.post(customer, request, headers=headers, **options)


def code(answer: TestResponse) -> Any:
    return answer.status_code if answer.status_code < 400 else body(answer)["code"]


@contextmanager
def parameters_shown(shop: Shop) -> Iterator[None]:
    """As in a shop whose owner has not read the README."""
    shop.engine.hide_parameters = False
    try:
        yield
    finally:
        shop.engine.hide_parameters = True


@contextmanager
def altered(shop: Shop, *statements: str, undo: str) -> Iterator[None]:
    """Alter the database while the app is running."""
    with shop.engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    shop.engine.dispose()
    try:
        yield
    finally:
        with shop.engine.begin() as connection:
            connection.execute(sa.text(undo))


def test_planted_values_would_be_found(shop: Shop, customer: int, log: Log) -> None:
    """The other tests look in the right places: with the parameters shown, it is all there."""
    with parameters_shown(shop):
        assert post(shop, customer).status_code == 201
    assert log.has("17 Planted Street")
    with pytest.raises(AssertionError, match="planted"):
        log.tells_nothing()
    logging.getLogger("host").error("%s", shop.token(customer))
    assert log.has(TOKEN)


@pytest.mark.parametrize("request_", [SAVE, CHECKOUT], ids=["save_order", "checkout"])
def test_a_success_and_its_replay(shop: Shop, customer: int, log: Log, request_: Any) -> None:
    first, again = post(shop, customer, request_), post(shop, customer, request_)
    assert first.status_code == again.status_code < 400
    assert shop.rows("orders")[0]["voucher_code"] == VOUCHER
    url = shop.rows("orders")[0]["id"]
    assert shop.get(customer, f"{ORDERS}{url}/").status_code == 200
    assert log.has("INSERT INTO orders")
    assert log.tells_nothing()


def test_every_refusal(shop: Shop, log: Log) -> None:
    seen = {code(answer) for answer in refusals(shop)}
    assert seen == set(library_codes()) - RACES - NOT_OF_THIS_SHOP
    assert log.tells_nothing()


def refusals(shop: Shop) -> Iterator[TestResponse]:
    """Every kind, the malformed requests by more than one."""
    customer, product = shop.customer(), shop.product(stock=1)
    yield post(shop, customer)
    cart = shop.cart(customer, {product: 1})
    yield post(shop, customer, {"action": "checkout"})
    yield post(shop, customer, {**SAVE, "expected_total": "0.01"})
    yield from malformed(shop, customer)
    with endpoint_missing(shop):
        yield post(shop, customer, CHECKOUT)
    shop.add(shop.models.CartItem(cart_id=cart, product_id=shop.product(stock=0), quantity=1))
    yield post(shop, customer)
    other = shop.customer()
    shop.cart(other, {product: 1}, shop.voucher(VOUCHER, "10%", active=False))
    yield post(shop, other)
    third = shop.customer()
    shop.cart(third, {product: 1})
    made = post(shop, third)
    yield post(shop, third, CHECKOUT)
    yield shop.get(other, made.headers["Location"])
    set_status(shop, "paid")
    for step in ("checkout", "cancel"):
        yield shop.send(third, f"{made.headers['Location']}{step}/")
    yield shop.get(third, f"{made.headers['Location']}{ADDRESS['street_address']}/")
    yield shop.get(third, f"{made.headers['Location']}cancel/")


def set_status(shop: Shop, status: str) -> None:
    with shop.session() as session:
        session.execute(sa.update(shop.models.Order).values(status=status))


def malformed(shop: Shop, customer: int) -> Iterator[TestResponse]:
    street = ADDRESS["street_address"]
    for wrong in ("country", "state", "note"):
        yield post(shop, customer, {**SAVE, "billing_address": {**ADDRESS, wrong: f"{street}\x00"}})
    yield post(shop, customer, {**SAVE, "expected_total": street})
    yield post(shop, customer, {**SAVE, street: street, VOUCHER: {street: [street]}})
    yield post(shop, customer, key=f"{KEY} {street}")
    for data in (f'{{"action": "{street}', f'{{"{street}": NaN}}', f'"{street}"', street * 1000):
        yield post(shop, customer, data=data.encode(), content_type="application/json")
    yield post(shop, customer, data=f"street_address={street}", content_type="text/plain")


@contextmanager
def endpoint_missing(shop: Shop) -> Iterator[None]:
    shop.app.config["ORDERS_PAYMENT_ENDPOINT"] = "nowhere"
    yield
    shop.app.config["ORDERS_PAYMENT_ENDPOINT"] = "pay"


def test_no_entry(shop: Shop, customer: int, log: Log) -> None:
    token = shop.token(customer)["Authorization"]
    with shop.app.app_context():
        expired = create_access_token(str(customer), expires_delta=timedelta(hours=-1))
    wrong = ("", MARK, f"{token}x", f"Bearer {expired}", f"Bearer {MARK}", f"{token} {MARK}")
    for each in (*wrong, shop.token(4_000_000)["Authorization"]):
        answer = post(shop, customer, headers={"Authorization": each})
        assert answer.status_code in (401, 422)
    assert log.tells_nothing()


def test_uncommitted_changes(shop: Shop, customer: int, log: Log) -> None:
    """The error says what is pending, and not what is in it."""

    def leave_a_row() -> None:
        shop.db.session.add(
            shop.models.Address(**{**ADDRESS, "country": "CA"}, customer_id=customer)
        )

    # After the user lookup, which would flush it.
    shop.app.before_request_funcs["orders"].append(leave_a_row)
    try:
        assert post(shop, customer).status_code == 500
    finally:
        shop.app.before_request_funcs["orders"].pop()
    assert log.has("db.session holds uncommitted changes (Address)")
    assert log.tells_nothing()


ONE_CITY = "CREATE UNIQUE INDEX one_city ON orders (billing_city)"


@pytest.mark.parametrize("hidden", [True, False])
def test_a_unique_index_of_the_shop(shop: Shop, customer: int, log: Log, hidden: bool) -> None:
    """PostgreSQL and MariaDB quote the city in their errors; the log names the index alone.

    Our own records tell nothing even where the parameters are not hidden.
    """
    post(shop, customer)
    shop.fill(customer, {shop.product(): 1})
    on = " ON orders" if shop.engine.dialect.name == "mysql" else ""
    with ExitStack() as stack:
        stack.enter_context(altered(shop, ONE_CITY, undo=f"DROP INDEX one_city{on}"))
        if not hidden:
            stack.enter_context(parameters_shown(shop))
        assert post(shop, customer, key=f"{KEY}-2").status_code == 500
    name = "billing_city" if shop.engine.dialect.name == "sqlite" else "one_city"
    assert log.has(f"A unique constraint ({name}) on your table 'orders' refuses")
    assert log.tells_nothing("" if hidden else "flask_orders")


def test_a_lock_that_is_held(
    shop: Shop, customer: int, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cart's, and the key's."""
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("its wait is the connections', and 5 s for each attempt")
    for module in (mysql, postgresql):
        monkeypatch.setattr(module, "LOCK_WAIT", 1)
    with shop.session() as others:
        others.execute(sa.update(shop.models.Cart).values(customer_id=customer))
        assert code(post(shop, customer)) == "try_again"
    operation = ("POST", ORDERS.rstrip("/"))
    keyed = IdempotentRequest.of(KEY, customer, operation, SAVE, checkout=False, extra={})
    row = asdict(keyed) | {"order_id": uuid4(), "payable": True, "created": datetime.now(UTC)}
    with shop.engine.connect() as others:
        others.execute(sa.insert(shop.models.IdempotencyKey).values(row))
        assert code(post(shop, customer)) == "idempotency_key_in_use"
    assert log.has("flask_orders: conflict: ")
    assert log.tells_nothing()


def test_a_failing_receiver(shop: Shop, customer: int, log: Log) -> None:
    def fail(_app: Any, order: Any) -> None:
        raise RuntimeError("the mail server is unavailable")

    with order_placed.connected_to(fail):
        assert post(shop, customer).status_code == 201
    assert log.has("the mail server is unavailable")
    assert log.tells_nothing()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO letters VALUES (:street, :code)",
        "UPDATE orders SET status = NULL WHERE :street = :street",
    ],
    ids=["no table", "not null"],
)
def test_a_receiver_that_fails_in_the_database(
    shop: Shop, customer: int, log: Log, statement: str
) -> None:
    """PostgreSQL adds the whole row to an error such as the second."""

    def fail(_app: Any, order: Any) -> None:
        letter = {"street": order.billing_street_address, "code": order.voucher_code}
        shop.db.session.execute(sa.text(statement), letter)

    with order_placed.connected_to(fail):
        assert post(shop, customer).status_code == 201
    assert log.has("flask_orders: a receiver of order-placed failed")
    assert log.tells_nothing()


@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize("after", [False, True])
def test_a_connection_that_is_cut(
    shop: Shop, customer: int, log: Log, after: bool, hidden: bool
) -> None:
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("a file can't be cut off")
    with ExitStack() as stack:
        stack.enter_context(connection_cut_at_commit(shop, after=after))
        if not hidden:
            stack.enter_context(parameters_shown(shop))
        assert post(shop, customer).status_code == 201
    assert log.has("flask_orders: conflict: ")
    assert log.tells_nothing("" if hidden else "flask_orders")


def test_an_unavailable_database(shop: Shop, customer: int, log: Log) -> None:
    """Its port is closed, or its file can't be opened (which is no outage: 500)."""

    def misdirect(dialect: Any, _record: Any, args: list[Any], options: dict[str, Any]) -> Any:
        if shop.engine.dialect.name == "sqlite":
            return dialect.connect("/nowhere/at/all.sqlite3")
        return dialect.connect(*args, **{**options, "host": "127.0.0.1", "port": 1})

    shop.engine.dispose()
    event.listen(shop.engine, "do_connect", misdirect)
    try:
        answer = post(shop, customer)
    finally:
        event.remove(shop.engine, "do_connect", misdirect)
    is_outage = shop.engine.dialect.name != "sqlite"
    assert answer.status_code == (503 if is_outage else 500)
    assert log.has("the database is unavailable" if is_outage else "OperationalError")
    assert log.tells_nothing()


BUGS = {
    "a table is gone": (
        "ALTER TABLE order_items RENAME TO order_lines",
        "ALTER TABLE order_lines RENAME TO order_items",
    ),
    "a column has another name": (
        "ALTER TABLE orders RENAME COLUMN billing_city TO town",
        "ALTER TABLE orders RENAME COLUMN town TO billing_city",
    ),
}


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_an_error_that_is_a_bug(shop: Shop, customer: int, log: Log, bug: tuple[str, str]) -> None:
    alter, undo = bug
    with altered(shop, alter, undo=undo):
        assert post(shop, customer).status_code == 500
    assert log.has("Exception on /api/v1/i/orders/ [POST]")
    assert log.has("[SQL parameters hidden due to hide_parameters=True]")
    assert log.tells_nothing()


def test_a_check_constraint_of_the_shop(shop: Shop, customer: int, log: Log) -> None:
    """PostgreSQL adds the whole row to its error, as its DETAIL."""
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("SQLite can't add a constraint to an existing table")
    check = "ALTER TABLE orders ADD CONSTRAINT no_single_units CHECK (items_count > 1)"
    with altered(shop, check, undo="ALTER TABLE orders DROP CONSTRAINT no_single_units"):
        assert post(shop, customer).status_code == 500
    assert log.has("A CHECK constraint (no_single_units) on your table 'orders' refuses")
    assert log.tells_nothing()


def test_a_column_of_the_wrong_type(shop: Shop, customer: int, log: Log) -> None:
    """MariaDB quotes the value that does not fit; its columns may be of another character set."""
    if shop.engine.dialect.name != "mysql":
        pytest.skip("SQLite accepts any value; PostgreSQL's error names only the types")
    alter = "ALTER TABLE orders MODIFY billing_city {} NOT NULL"
    with altered(shop, alter.format("INTEGER"), undo=alter.format("VARCHAR(255)")):
        assert post(shop, customer).status_code == 500
    assert log.has("Exception on /api/v1/i/orders/ [POST]")
    assert log.tells_nothing()
