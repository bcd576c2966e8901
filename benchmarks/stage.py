"""A shop with a history on its own database, and carts that are ready to be ordered.

On empty tables the figures would drift: PostgreSQL would keep checking foreign keys with plans made
when a sequential scan was best.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import insert, update
from sqlalchemy.engine import URL

from flask_orders import BillingAddress
from tests.support.requests import ADDRESS
from tests.support.servers import fresh_database
from tests.support.shops import Shop, make_shop

from .history import BUYERS, CUSTOMERS, PRODUCTS, VOUCHERS, load

# The environment variable that names a stage's database to `served.py`.
DATABASE = "ORDERS_BENCHMARK_DATABASE"

# PostgreSQL does not count up a sequence for keys that are given.
NUMBERED = (
    "customers",
    "products",
    "vouchers",
    "offers",
    "carts",
    "order_addresses",
    "order_idempotency_keys",
)

OWN_PAGE, OWN_PAGE_THAT_COMMITS = "/page/", "/page-that-commits/"

# Requests send this address, each with its own street.
REQUESTED = {**ADDRESS, "state": "ON"}


@dataclass(frozen=True, slots=True)
class Purchase:
    """A cart that is ready to be ordered."""

    customer_id: int
    address: dict[str, Any]
    headers: dict[str, str]


def columns_of(requested: dict[str, Any]) -> tuple[dict[str, str], str]:
    """Return the columns and the fingerprint of an address in a request."""
    columns = {**requested, "postal_code": str(requested["postal_code"]), "country": "CA"}
    return columns, BillingAddress(**columns).fingerprint


class Stage:
    """The shop, its tables, and an engine for arranging its rows."""

    def __init__(self, url: URL, orders: int) -> None:
        self.url = url
        self.dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self.server = url.get_backend_name()
        self.shop: Shop = make_shop(url)
        self.tables = self.shop.db.metadata.tables
        _add_own_views(self.shop)
        self.engine = sa.create_engine(url)
        load(self.engine, self.tables, orders)
        if self.server == "postgresql":
            self._count_up()
        self._last_customer = 0
        # Every run buys the same products.
        self._random = random.Random(1)

    def products(self, count: int) -> list[int]:
        """Choose random products, never the first: contending orders buy that."""
        return self._random.sample(range(2, PRODUCTS + 1), count)

    def purchase(self, products: Sequence[int], voucher_id: int | None = None) -> Purchase:
        """Fill the next customer's cart, with the customer's own voucher or the given one."""
        self._last_customer = self._last_customer % BUYERS + 1
        customer_id = self._last_customer
        carts, voucher = self.tables["carts"], voucher_id or 2 + customer_id % (VOUCHERS - 1)
        items = [
            {"cart_id": customer_id, "product_id": product, "quantity": 1 + product % 3}
            for product in products
        ]
        with self.engine.begin() as connection:
            connection.execute(insert(self.tables["cart_items"]), items)
            connection.execute(
                update(carts).where(carts.c.id == customer_id).values(voucher_id=voucher)
            )
        address = {**REQUESTED, "street_address": f"{self._random.randrange(10**9)} Main St"}
        return Purchase(customer_id, address, self.shop.token(customer_id))

    def onlooker(self) -> Purchase:
        """Return a customer whose cart is full and never ordered."""
        customer_id = self._random.randrange(BUYERS + 1, CUSTOMERS + 1)
        return Purchase(customer_id, REQUESTED, self.shop.token(customer_id))

    def remember(self, purchase: Purchase) -> None:
        """Add the address to the customer's address book."""
        columns, fingerprint = columns_of(purchase.address)
        row = {"customer_id": purchase.customer_id, "fingerprint": fingerprint, **columns}
        with self.engine.begin() as connection:
            connection.execute(insert(self.tables["order_addresses"]).values(row))

    def settle(self) -> None:
        """Do the server's background work now, not during the measurement."""
        settling = {
            "postgresql": ("VACUUM ANALYZE", "CHECKPOINT"),
            "sqlite": ("ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"),
            "mysql": (f"ANALYZE TABLE {', '.join(self.tables)}",),
        }
        autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        with autocommit.connect() as connection:
            for statement in settling[self.server]:
                connection.exec_driver_sql(statement).close()

    def close(self) -> None:
        self.engine.dispose()
        self.shop.close()

    def _count_up(self) -> None:
        with self.engine.begin() as connection:
            for name in NUMBERED:
                sequence = f"pg_get_serial_sequence('{name}', 'id')"
                connection.exec_driver_sql(f"SELECT setval({sequence}, 10000000)")


def _add_own_views(shop: Shop) -> None:
    """Add a page of the shop's own, and the same one that ends its reading by COMMIT."""
    session, product = shop.db.session, shop.models.Product

    def page() -> str:
        return str(session.get(product, 1))

    def page_that_commits() -> str:
        text = page()
        session.commit()
        return text

    shop.app.add_url_rule(OWN_PAGE, view_func=page)
    shop.app.add_url_rule(OWN_PAGE_THAT_COMMITS, view_func=page_that_commits)


@contextmanager
def staged(server: URL, orders: int) -> Iterator[Stage]:
    """Yield a stage with this many orders; its database is dropped afterwards."""
    with fresh_database(server) as url:
        stage = Stage(url, orders)
        try:
            stage.settle()
            yield stage
        finally:
            stage.close()


def reflected(engine: sa.Engine) -> dict[str, sa.Table]:
    """Return the shop's tables by name, read from the database without the library's models."""
    metadata = sa.MetaData()
    metadata.reflect(engine)
    return dict(metadata.tables)
