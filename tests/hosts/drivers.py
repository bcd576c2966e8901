"""Drive each shop of `hosts/` by the same methods, through its own endpoints and tables."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from decimal import Decimal
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar, Self

import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.engine import URL
from werkzeug.test import TestResponse

from flask_orders import current_orders, declare_models, orders_bp

from ..support import servers
from ..support.database import Rows, clear, everything_of, nothing_changed, rows_of
from ..support.requests import ADDRESS, ORDERS
from . import NAMES, Kept, load

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Buyer:
    """A customer who is signed in; `key` is the primary key."""

    key: Any
    headers: Mapping[str, str]
    cookies: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tables:
    """The names of a shop's own tables and columns that the tests read."""

    products: str
    carts: str
    cart_items: str
    stock: str | None
    orders: str = "orders"
    order_items: str = "order_items"


class Driver(ABC):
    """A shop with its database; every request and every read uses its own connection.

    Attributes:
        SUBMIT: the path that orders are submitted to: the library's own, or a view of the shop's.
    """

    SUBMIT: ClassVar[str] = ORDERS
    NAME: ClassVar[str]
    TABLES: ClassVar[Tables]
    CART: ClassVar[str]
    LISTING: ClassVar[str]

    def __init__(
        self, url: URL, *, installed: bool = True, replacing: Mapping[str, str] | None = None
    ) -> None:
        self.module: ModuleType = load(self.NAME, installed=installed, replacing=replacing)
        self._kept = Kept(self.module)
        self.url = url.render_as_string(hide_password=False)
        self.app: Flask = self.module.create_app(self.url)
        self._numbers: Iterator[int] = itertools.count(1)

    def on(self, url: URL) -> Self:
        """Return a driver of this shop's classes, with an app of its own on another database."""
        other = copy(self)
        other.url = url.render_as_string(hide_password=False)
        other.app = self.module.create_app(other.url)
        return other

    # What each shop does in its own way.

    @abstractmethod
    def customer(self) -> Buyer:
        """Sign a new customer up and in."""

    @abstractmethod
    def product(self, price: str = "10.00", stock: int = 10) -> Any:
        """Store an available product; return its key."""

    @abstractmethod
    def reprice(self, product: Any, price: str) -> None:
        """Change a product's price."""

    @abstractmethod
    def withdraw(self, product: Any) -> None:
        """Make this quantity of the product unavailable."""

    @abstractmethod
    def put(self, buyer: Buyer, product: Any, quantity: int = 1) -> None:
        """Put a product into the cart."""

    # What is the same almost everywhere.

    def items_in_carts(self) -> int:
        """Return how many products all carts have together, each counted once for each cart."""
        return len(self.rows(self.TABLES.cart_items))

    # What is the same everywhere.

    @property
    def tables(self) -> Mapping[str, sa.Table]:
        tables: Mapping[str, sa.Table] = self.module.db.metadata.tables
        return tables

    @property
    def engine(self) -> sa.Engine:
        with self.app.app_context():
            engine: sa.Engine = self.module.db.engine
            return engine

    def create_all(self) -> None:
        with self.app.app_context():
            self.module.db.create_all()

    def call(self, method: str, path: str, buyer: Buyer | None = None, body: Any = None) -> Any:
        """Call one of the shop's own endpoints; return its JSON."""
        answer = self.request(method, path, buyer, body)
        assert answer.status_code < 300, answer.text
        return answer.json if answer.is_json else None

    def request(
        self, method: str, path: str, buyer: Buyer | None = None, body: Any = None
    ) -> TestResponse:
        client = self.app.test_client()
        for name, value in (buyer.cookies if buyer else {}).items():
            client.set_cookie(name, value)
        headers = buyer.headers if buyer else {}
        return client.open(path, method=method, json=body, headers=headers)

    def order(self, buyer: Buyer, action: str = "save_order", **fields: Any) -> TestResponse:
        """Submit the cart, by default with `ADDRESS`."""
        fields = {"action": action, "billing_address": ADDRESS, **fields}
        return self.request("POST", self.SUBMIT, buyer, fields)

    def change(self, statement: sa.Executable) -> sa.CursorResult[Any]:
        with self.engine.begin() as connection:
            return connection.execute(statement)

    def insert(self, table: str, **values: Any) -> Any:
        """Store a row; return its primary key."""
        key = self.change(self.tables[table].insert().values(values)).inserted_primary_key
        return None if key is None else key[0]

    def update(self, table: str, key: Any, **values: Any) -> None:
        rows = self.tables[table]
        (primary_key,) = rows.primary_key.columns
        self.change(rows.update().where(primary_key == key).values(values))

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return a table's rows, read on a fresh connection."""
        with self.engine.connect() as connection:
            return rows_of(connection, self.tables[table])

    def everything(self) -> Rows:
        return everything_of(self.engine, self.module.db.metadata)

    def stock(self) -> list[int]:
        """Return the stock of each product, in key order."""
        assert self.TABLES.stock is not None
        return [row[self.TABLES.stock] for row in self.rows(self.TABLES.products)]

    def clear(self) -> None:
        clear(self.engine, self.module.db.metadata)

    def close(self) -> None:
        self.engine.dispose()

    def check(self) -> tuple[int, str]:
        """Run `flask orders check`, which must change nothing; return its exit code and output."""
        with nothing_changed(self):
            runner = self.app.test_cli_runner()
            result = runner.invoke(args=["orders", "check"], catch_exceptions=False)
        return result.exit_code, result.output

    def problems(self) -> list[str]:
        """Return what `flask orders check` complains of, apart from the engine's options."""
        found = [line[2:] for line in self.check()[1].splitlines() if line.startswith("- ")]
        return [problem for problem in found if "hide_parameters" not in problem]

    def number(self) -> int:
        return next(self._numbers)


class VoucherDriver(Driver):
    """A shop that has vouchers, in its own tables or the library's.

    Attributes:
        VOUCHER: the column of the cart's voucher.
    """

    VOUCHER: ClassVar[str] = "coupon"

    @abstractmethod
    def voucher(self, code: str, limit: int) -> None:
        """Store a voucher of ten per cent."""

    @abstractmethod
    def apply(self, buyer: Buyer, code: str) -> None:
        """Apply the voucher to the cart."""

    @abstractmethod
    def uses_left(self) -> list[int]:
        """Return how often each voucher can still be used."""


class Classic(VoucherDriver):
    NAME = "classic"
    VOUCHER = "coupon"
    TABLES = Tables("product", "cart", "cart_item", "quantity_on_hand")
    CART = "/cart"
    LISTING = "/products"

    def customer(self) -> Buyer:
        form = {"email": f"c{self.number()}@example.com", "password": PASSWORD}
        key = self.call("POST", "/register", body=form)["id"]
        token = self.call("POST", "/login", body=form)["access_token"]
        return Buyer(key, _bearer(token))

    def product(self, price: str = "10.00", stock: int = 10) -> int:
        sku = f"SKU-{self.number()}"
        values = {"sku": sku, "name": f"Product {sku}", "active": True, "quantity_on_hand": stock}
        return int(self.insert("product", price=Decimal(price), **values))

    def reprice(self, product: Any, price: str) -> None:
        self.update("product", product, price=Decimal(price))

    def withdraw(self, product: Any) -> None:
        self.update("product", product, quantity_on_hand=0)

    def put(self, buyer: Buyer, product: Any, quantity: int = 1) -> None:
        line = {"product_id": product, "quantity": quantity}
        self.call("POST", "/cart/items", buyer, line)

    def voucher(self, code: str, limit: int) -> None:
        with self.app.app_context():
            voucher = current_orders.models.Voucher
            row = voucher(
                code=code, discount_type="percentage", discount_value=10, usage_limit=limit
            )
            self.module.db.session.add(row)
            self.module.db.session.commit()

    def apply(self, buyer: Buyer, code: str) -> None:
        self.call("POST", "/cart/coupon", buyer, {"code": code.lower()})

    def uses_left(self) -> list[int]:
        return [row["usage_limit"] - row["times_used"] for row in self.rows("vouchers")]


class UuidKeys(Driver):
    NAME = "uuid_keys"
    TABLES = Tables("catalogue", "baskets", "basket_lines", None)
    CART = "/basket"
    LISTING = "/catalogue"

    def customer(self) -> Buyer:
        form = {"handle": f"c{self.number()}", "password": PASSWORD}
        self.call("POST", "/users", body=form)
        token = self.call("POST", "/tokens", body=form)["token"]
        (key,) = [row["id"] for row in self.rows("users") if row["handle"] == form["handle"]]
        return Buyer(key, _bearer(token))

    def product(self, price: str = "10.00", stock: int = 10) -> str:
        sku = f"FILE-{self.number():04}"
        values = {"sku": sku, "title": f"File {sku}", "active": True}
        return str(self.insert("catalogue", unit_price=Decimal(price), **values))

    def reprice(self, product: Any, price: str) -> None:
        self.update("catalogue", product, unit_price=Decimal(price))

    def withdraw(self, product: Any) -> None:
        self.update("catalogue", product, active=False)

    def put(self, buyer: Buyer, product: Any, quantity: int = 1) -> None:
        self.call("PUT", f"/basket/{product}", buyer, {"qty": quantity})


class Rich(VoucherDriver):
    NAME = "rich"
    VOUCHER = "coupon_id"
    TABLES = Tables("variants", "carts", "cart_items", "stock", "fo_orders", "fo_order_items")
    CART = "/shop/cart"
    LISTING = "/shop/variants"

    def customer(self) -> Buyer:
        form = {"email": f"c{self.number()}@example.com", "password": PASSWORD}
        key = self.call("POST", "/shop/customers", body=form)["id"]
        client = self.app.test_client()
        client.post("/shop/session", json=form)
        names = ("access_token_cookie", "csrf_access_token")
        cookies = {name: _cookie(client, name) for name in names}
        return Buyer(key, {"X-CSRF-TOKEN": cookies["csrf_access_token"]}, cookies)

    def product(self, price: str = "10.00", stock: int = 10) -> int:
        """Store a variant that costs a quarter more than its product."""
        sku, adjustment = f"SKU-{self.number()}", Decimal("0.25")
        base_price = Decimal(price) - adjustment
        product = self.insert("products", title=sku, base_price=base_price, published=True)
        values = {"product_id": product, "sku": sku, "size": "M", "adjustment": adjustment}
        return int(self.insert("variants", stock=stock, **values))

    def reprice(self, product: Any, price: str) -> None:
        parent = self._variant(product)["product_id"]
        self.update("products", parent, base_price=Decimal(price) - Decimal("0.25"))

    def withdraw(self, product: Any) -> None:
        self.update("products", self._variant(product)["product_id"], published=False)

    def put(self, buyer: Buyer, product: Any, quantity: int = 1) -> None:
        line = {"sku": self._variant(product)["sku"], "quantity": quantity}
        self.call("POST", "/shop/cart", buyer, line)

    def voucher(self, code: str, limit: int) -> None:
        self.insert("coupons", code=code, percent=10, uses_left=limit)

    def apply(self, buyer: Buyer, code: str) -> None:
        self.call("PUT", "/shop/cart/coupon", buyer, {"code": code})

    def uses_left(self) -> list[int]:
        return [row["uses_left"] for row in self.rows("coupons")]

    def _variant(self, key: int) -> dict[str, Any]:
        return next(row for row in self.rows("variants") if row["id"] == key)


class Factory(Driver):
    NAME = "factory"
    TABLES = Tables("article", "cart", "line", "left")
    CART = "/lines"
    LISTING = "/articles"

    def customer(self) -> Buyer:
        form = {"login": f"member {self.number()}", "password": PASSWORD}
        key = self.call("POST", "/members", body=form)["login"]
        return Buyer(key, _bearer(self.call("POST", "/tokens", body=form)["token"]))

    def product(self, price: str = "10.00", stock: int = 10) -> int:
        sku = f"A{self.number()}"
        return int(
            self.insert("article", sku=sku, name=f"Article {sku}", price=Decimal(price), left=stock)
        )

    def reprice(self, product: Any, price: str) -> None:
        self.update("article", product, price=Decimal(price))

    def withdraw(self, product: Any) -> None:
        self.update("article", product, left=0)

    def put(self, buyer: Buyer, product: Any, quantity: int = 1) -> None:
        line = {"article_number": product, "quantity": quantity}
        self.call("POST", "/lines", buyer, line)


@contextmanager
def mapped(name: str, url: URL, mapping: Callable[[Any], Mapping[str, Any]]) -> Iterator[Driver]:
    """Yield a shop with another mapping than its own.

    Args:
        mapping: returns the arguments of `declare_models` for the shop's module.
    """
    host = DRIVERS[name](url, installed=False)
    declare_models(host.module.db, **mapping(host.module))
    host.app.config["ORDERS_PAYMENT_ENDPOINT"] = (
        "pay" if "pay" in host.app.view_functions else "shop.pay"
    )
    host.app.register_blueprint(orders_bp)
    host.create_all()
    yield host
    host.close()


@contextmanager
def running(
    name: str, server_url: URL, *, replacing: Mapping[str, str] | None = None
) -> Iterator[Driver]:
    """Yield a shop on a database of its own, with flask_orders installed; see `load`."""
    with servers.fresh_database(server_url) as url:
        host = DRIVERS[name](url, replacing=replacing)
        host.create_all()
        yield host
        host.close()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _cookie(client: FlaskClient, name: str) -> str:
    cookie = client.get_cookie(name)
    assert cookie is not None
    return cookie.value


def _driver(name: str) -> type[Driver]:
    driver: type[Driver] = import_module(f"{__package__}.driving.{name}").DRIVER
    return driver


_HERE = {driver.NAME: driver for driver in (Classic, UuidKeys, Rich, Factory)}

# At the end: each driver in `driving/` extends a class above.
DRIVERS: Mapping[str, type[Driver]] = {name: _HERE.get(name) or _driver(name) for name in NAMES}

# The shops whose carts the library's own endpoints read.
WITH_ENDPOINTS = [name for name, driver in DRIVERS.items() if driver.SUBMIT == ORDERS]
