"""A shop with a history on its own database, and carts that are ready to be ordered.

On empty tables the figures would drift: PostgreSQL would keep checking foreign keys with plans made
when a sequential scan was best.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import Connection
from sqlalchemy.engine import URL

from flask_orders import BillingAddress
from tests.support.requests import ADDRESS
from tests.support.servers import fresh_database
from tests.support.shops import Shop, make_shop

from .history import BUYERS, CUSTOMERS, PRODUCTS, VOUCHERS, load

# The environment variable that names a stage's database to `served.py`.
DATABASE = "ORDERS_BENCHMARK_DATABASE"

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
    """The shop, its rows, and a connection for arranging them."""

    def __init__(self, url: URL, orders: int) -> None:
        self.url = url
        self.dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self.shop: Shop = make_shop(url)
        self.connection: Connection[Any] = psycopg.connect(self.dsn, autocommit=True)
        self.connection.execute("SET synchronous_commit = off")
        load(self.connection, orders)
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
        with self.connection.transaction():
            self.connection.execute(
                "INSERT INTO cart_items (cart_id, product_id, quantity)"
                " SELECT %s, product, 1 + product %% 3 FROM unnest(%s::bigint[]) AS product",
                (customer_id, products),
            )
            self.connection.execute(
                "UPDATE carts SET voucher_id = %s WHERE id = %s",
                (voucher_id or 2 + customer_id % (VOUCHERS - 1), customer_id),
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
        self.connection.execute(
            "INSERT INTO order_addresses"
            " (customer_id, fingerprint, street_address, postal_code, city, state, country)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (purchase.customer_id, fingerprint, *columns.values()),
        )

    def settle(self) -> None:
        """Do the server's background work now, not during the measurement."""
        self.connection.execute("VACUUM ANALYZE")
        self.connection.execute("CHECKPOINT")

    def close(self) -> None:
        self.connection.close()
        self.shop.close()


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
