"""A small shop for the tests, with methods that arrange, order and read.

Its customers are rows with an integer key, and its JWTs have a user lookup, as in most shops: on
MariaDB that lookup takes the snapshot that a conversion must not trust.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

import sqlalchemy as sa
from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, Session, mapped_column
from werkzeug.test import TestResponse

from flask_orders import Models, OrderService, current_orders, declare_models
from flask_orders.db.classify import is_conflict
from flask_orders.db.managed import MANAGED
from flask_orders.db.writes import row_count

from .apps import install
from .checks import check
from .database import Rows, clear, everything_of, rows_of
from .requests import ORDERS, SAVE
from .responses import body

Returned = TypeVar("Returned")


@dataclass
class Shop:
    """An app with its database; every method opens a session or a connection of its own."""

    app: Flask
    db: SQLAlchemy
    models: Models
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def engine(self) -> sa.Engine:
        with self.app.app_context():
            return self.db.engine

    @contextmanager
    def session(self) -> Iterator[Session]:
        with Session(self.engine) as session, session.begin():
            if self.engine.dialect.name == "sqlite":
                # A transaction that reads first can't write once another one has written.
                session.connection(execution_options={MANAGED: True})
            yield session

    def add(self, row: Any) -> Any:
        """Store a row; return its primary key."""
        with self.session() as session:
            session.add(row)
            session.flush()
            return sa.inspect(row).identity[0]

    def customer(self) -> int:
        assert self.models.Customer is not None
        key: int = self.add(self.models.Customer(email=f"c{next(self._numbers)}@example.com"))
        return key

    def product(self, price: str = "10.00", stock: int | None = 10, **values: Any) -> int:
        number = next(self._numbers)
        values = {"sku": f"SKU-{number}", "name": f"Product {number}", **values}
        row = self.models.Product(price=Decimal(price), stock=stock, **values)
        return int(self.add(row))

    def offer(self, discount: str, *products: int, **values: Any) -> int:
        kind, value = _discount(discount)
        with self.session() as session:
            row = self.models.Offer(
                **{"title": f"{discount} off", **values},
                discount_type=kind,
                discount_value=value,
                products=[session.get_one(self.models.Product, key) for key in products],
            )
            session.add(row)
            session.flush()
            return row.id

    def voucher(self, code: str, discount: str, **values: Any) -> int:
        kind, value = _discount(discount)
        row = self.models.Voucher(code=code, discount_type=kind, discount_value=value, **values)
        return int(self.add(row))

    def cart(self, customer: Any, items: Mapping[Any, int], voucher: int | None = None) -> int:
        """Create the customer's cart with these products and quantities."""
        rows = [
            self.models.CartItem(product_id=product, quantity=quantity)
            for product, quantity in items.items()
        ]
        return int(self.add(self.models.Cart(customer_id=customer, voucher_id=voucher, items=rows)))

    def fill(self, customer: Any, items: Mapping[Any, int], voucher: int | None = None) -> None:
        """Add products to the customer's existing cart."""
        with self.session() as session:
            cart = session.scalars(
                sa.select(self.models.Cart).filter_by(customer_id=customer)
            ).one()
            cart.voucher_id = voucher
            cart.items += [
                self.models.CartItem(product_id=product, quantity=quantity)
                for product, quantity in items.items()
            ]

    def put(self, customer: Any, units: Mapping[Any, int], voucher: int | None = None) -> None:
        """Add units to the cart as a shop does that takes no lock."""
        with self.session() as session:
            self.put_in(session, customer, units, voucher)

    def put_in(
        self, session: Session, customer: Any, units: Mapping[Any, int], voucher: int | None
    ) -> None:
        """Add units to the cart in a transaction that has begun."""
        item, cart = self.models.CartItem, self.models.Cart
        found = session.scalars(sa.select(cart).filter_by(customer_id=customer)).one()
        found.voucher_id = voucher
        for product, quantity in sorted(units.items()):
            more = session.execute(
                sa.update(item)
                .where(item.cart_id == found.id, item.product_id == product)
                .values(quantity=item.quantity + quantity)
            )
            if not row_count(more):
                row = {"cart_id": found.id, "product_id": product, "quantity": quantity}
                session.execute(sa.insert(item).values(row))

    def token(self, customer: Any) -> dict[str, str]:
        with self.app.app_context():
            return {"Authorization": f"Bearer {create_access_token(str(customer))}"}

    def post(
        self, customer: Any, request: Any = None, *, key: str | None = None, **options: Any
    ) -> TestResponse:
        """POST an order, by default `SAVE`."""
        if request is None:
            request = SAVE
        keyed = {} if key is None else {"Idempotency-Key": key}
        if "headers" not in options:
            options["headers"] = {**self.token(customer), **keyed}
        if "data" not in options:
            options["json"] = request
        return self.app.test_client().post(ORDERS, **options)

    def get(self, customer: Any, url: str, **headers: str) -> TestResponse:
        return self.app.test_client().get(url, headers={**self.token(customer), **headers})

    def send(self, customer: Any, url: str) -> TestResponse:
        """POST without a body."""
        return self.app.test_client().post(url, headers=self.token(customer))

    @contextmanager
    def service(self) -> Iterator[OrderService]:
        """Yield the service as the shop's own code uses it; commit afterwards."""
        with self.app.app_context():
            yield current_orders
            self.db.session.commit()

    def order(self, customer: Any, **fields: Any) -> dict[str, Any]:
        """Convert the customer's cart; return the order as a GET returns it."""
        made = self.post(customer, {**SAVE, **fields})
        assert made.status_code == 201, made.text
        answered = self.get(customer, made.headers["Location"])
        assert answered.status_code == 200, answered.text
        return body(answered)

    def rows(self, table_name: str) -> list[dict[str, Any]]:
        """Return a table's rows, read on a fresh connection."""
        with self.engine.connect() as connection:
            return rows_of(connection, self.db.metadata.tables[table_name])

    def everything(self) -> Rows:
        return everything_of(self.engine, self.db.metadata)

    def clear(self) -> None:
        clear(self.engine, self.db.metadata)

    def close(self) -> None:
        self.engine.dispose()


def until_done(transaction: Callable[[], Returned]) -> Returned:
    """Run a transaction of the shop's own, and retry it on conflicts.

    On InnoDB a shop has to: its foreign keys lock the products in its own order, and an item that
    is added right after it was ordered meets the deleted row in the unique index.
    """
    for _ in range(100):
        try:
            return transaction()
        except sa.exc.DBAPIError as error:
            if not is_conflict(error):
                raise
    raise AssertionError("a hundred conflicts")


def make_shop(url: URL, *, create_tables: bool = True, **config: Any) -> Shop:
    """Return a shop with its own customers and the library's default models."""
    db = SQLAlchemy()

    class Customer(db.Model):
        __tablename__ = "customers"

        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str] = mapped_column(sa.String(255), unique=True)

    models = declare_models(db, customer=Customer)
    app = install(db, url, config={"ORDERS_PAYMENT_ENDPOINT": "pay", **config})
    jwt: JWTManager = app.extensions["flask-jwt-extended"]

    @jwt.user_lookup_loader
    def look_up(_header: Any, claims: Mapping[str, Any]) -> Any:
        return db.session.get(Customer, int(claims["sub"]))

    @app.get("/pay/<uuid:order_id>/")
    def pay(order_id: Any) -> str:
        return f"pay {order_id}"

    if create_tables:
        with app.app_context():
            db.create_all()
    return Shop(app, db, models)


def open_shop(db: Any, url: URL, models: Models, **options: Any) -> Shop:
    """Return a shop of these models, in which `flask orders check` finds nothing wrong.

    Args:
        options: arguments of `register_blueprint`.
    """
    config = {
        "ORDERS_PAYMENT_ENDPOINT": "pay",
        "SQLALCHEMY_ENGINE_OPTIONS": {"hide_parameters": True},
    }
    app = install(db, url, config=config, **options)
    app.add_url_rule("/pay/<uuid:order_id>", "pay", lambda order_id: "")
    with app.app_context():
        db.create_all()
    return Shop(app, db, models)


def check_output(shop: Shop) -> str:
    """Return the findings of `flask orders check`."""
    _, findings = check(shop.app)
    return findings


def _discount(text: str) -> tuple[str, Decimal]:
    """Return the type and value of a discount written as "10%" or "2.50"."""
    if text.endswith("%"):
        return "percentage", Decimal(text[:-1])
    return "fixed", Decimal(text)
