"""Shops that count their stock in each way, with the units left and the shop's own sales.

`WarehouseStock` and `ExternalStock` are the examples of the docs: a stock in a table of its own,
and one in another system.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from flask_jwt_extended import JWTManager
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session, SessionTransaction, mapped_column

from flask_orders import Conflict, declare_models, mapping
from flask_orders.db.writes import row_count
from flask_orders.stock import Stock

from .apps import install, new_db
from .shops import Shop


@dataclass
class StockedShop(Shop):
    """A shop with products of its own, and one way of counting them."""

    external: Any = None

    def stocked(self, key: int, units: int | None) -> int:
        """Create a product with this key and so many units."""
        self.add(self.models.Product(id=key, price=Decimal(10), **self.way.columns(units)))
        if units is not None:
            self.way.store(self, key, units)
        return key

    @property
    def way(self) -> "Way":
        return WAYS[self.app.config["WAY"]]

    def left(self, key: int) -> int | None:
        """Return how many units can still be sold."""
        return self.way.left(self, key)

    def put_into_cart(self, customer: int, units: Mapping[int, int]) -> None:
        """Create or fill the cart; where carts take the stock, take it."""
        with self.session() as session:
            cart = session.scalars(
                sa.select(self.models.Cart).filter_by(customer_id=customer)
            ).one_or_none() or self.models.Cart(customer_id=customer)
            session.add(cart)
            cart.items += [
                self.models.CartItem(product_id=key, quantity=quantity)
                for key, quantity in units.items()
            ]
            if self.way.is_taken_in_cart:
                for key, quantity in units.items():
                    session.get_one(self.models.Product, key).count -= quantity

    def row(self, key: int) -> dict[str, Any]:
        return next(row for row in self.rows("goods") if row["id"] == key)


@dataclass(frozen=True)
class Way:
    """A way of counting stock.

    Attributes:
        names: the product's integer columns.
        stock: makes what is declared as its stock, of the db and the product class.
        columns: the columns' values for so many units.
        left: the units that can be sold, of a shop and a product's key.
        store: stores units elsewhere.
    """

    names: tuple[str, ...]
    stock: Callable[[SQLAlchemy, Any], Any]
    columns: Callable[[int | None], dict[str, Any]]
    left: Callable[[StockedShop, int], int | None]
    store: Callable[[StockedShop, int, int], object] = lambda *_: None
    is_taken_in_cart: bool = False


@contextmanager
def stocked_shop(
    url: URL,
    way: str,
    *,
    columns: Mapping[str, Any] | None = None,
) -> Iterator[StockedShop]:
    """Yield a shop that counts its stock in this way.

    Args:
        url: its empty database.
        way: a name of `WAYS`.
        columns: further columns of the product, or others.
    """
    db = new_db()
    # A difference of unsigned columns must not be below 0.
    count = sa.Integer().with_variant(mysql.INTEGER(unsigned=True), "mysql")
    names = {name: mapped_column(count, nullable=True) for name in WAYS[way].names}
    values = {"__tablename__": "goods", **_columns(), **names, **(columns or {})}
    product = type("Product", (db.Model,), values)
    with _open(db, url, product, way) as shop:
        yield shop


@contextmanager
def joined_shop(
    url: URL, generator: Any = None, *, count_in_parent: bool = False
) -> Iterator[StockedShop]:
    """Yield a shop whose product extends another class, which has a table and the version.

    Args:
        url: its empty database.
        generator: of the versions; None for the mapper's own.
        count_in_parent: whether the stock is in the parent's table too.
    """
    db = new_db()
    kind, version = mapped_column(sa.String(10)), mapped_column("row_version", sa.Integer)
    arguments = {"polymorphic_on": kind, "polymorphic_identity": "thing", "version_id_col": version}
    if generator is not None:
        arguments["version_id_generator"] = generator
    count = {"count": mapped_column(sa.Integer, nullable=True)}
    values = {
        "__tablename__": "things",
        **_columns(),
        **(count if count_in_parent else {}),
        "kind": kind,
        "version": version,
        "__mapper_args__": {**arguments, "with_polymorphic": "*"},
    }
    thing = type("Thing", (db.Model,), values)
    values = {
        "__tablename__": "goods",
        "id": mapped_column(sa.ForeignKey("things.id"), primary_key=True),
        **({} if count_in_parent else count),
        "__mapper_args__": {"polymorphic_identity": "good"},
    }
    product = type("Product", (thing,), values)
    with _open(db, url, product, "column") as shop:
        yield shop


@contextmanager
def _open(db: SQLAlchemy, url: URL, product: Any, way: str) -> Iterator[StockedShop]:
    class Customer(db.Model):
        __tablename__ = "customers"
        id = mapped_column(sa.Integer, primary_key=True)
        email = mapped_column(sa.String(255), unique=True)

    stock = WAYS[way].stock(db, product)
    models = declare_models(db, customer=Customer, product=mapping.product(product, stock=stock))
    app = install(db, url, config={"ORDERS_PAYMENT_ENDPOINT": "pay", "WAY": way})
    jwt: JWTManager = app.extensions["flask-jwt-extended"]
    jwt.user_lookup_loader(lambda _header, claims: db.session.get(Customer, int(claims["sub"])))
    app.add_url_rule("/pay/<uuid:order_id>/", "pay", lambda order_id: f"pay {order_id}")
    with app.app_context():
        db.create_all()
    external = stock.warehouse if isinstance(stock, ExternalStock) else None
    shop = StockedShop(app, db, models, external=external)
    try:
        yield shop
    finally:
        shop.close()


def _columns() -> dict[str, Any]:
    """Return what a product has besides its stock."""
    return {
        "id": mapped_column(sa.Integer, primary_key=True, autoincrement=False),
        "price": mapped_column(sa.Numeric(12, 2)),
        "sku": "P",
        "name": "P",
        "shipping": None,
        "active": True,
        "changed": mapped_column(sa.Integer, default=0, onupdate=sa.text("changed + 1")),
        "changed_by": mapped_column(sa.String(10), default="shop", onupdate=lambda: "order"),
    }


class WarehouseStock:
    """The stock of several warehouses, in a table of the shop's own; the first of them sells first.

    A cancellation restocks the first one.
    """

    def __init__(self, db: Any) -> None:
        self._session = db.session

        class Level(db.Model):
            __tablename__ = "stock_levels"
            product_id = mapped_column(sa.ForeignKey("goods.id"), primary_key=True)
            warehouse = mapped_column(sa.Integer, primary_key=True, autoincrement=False)
            units = mapped_column(sa.Integer)

        self.Level = Level

    def available(self, products: Mapping[Any, Any]) -> Mapping[Any, int | Decimal | None]:
        level = self.Level
        query = sa.select(level.product_id, sa.func.sum(level.units)).group_by(level.product_id)
        found = self._session.execute(query.where(level.product_id.in_(list(products))))
        return {key: units for key, units in found}  # noqa: C416 - a Row is no tuple to mypy

    def deduct(self, units: Mapping[Any, int]) -> None:
        missing = dict(units)
        for key, warehouse, left in self._levels(units):
            taken = min(left, missing[key])
            if taken and not self._changed(key, warehouse, -taken):
                raise Conflict
            missing[key] -= taken
        if any(missing.values()):
            raise Conflict

    def restock(self, units: Mapping[Any, int]) -> None:
        for key, warehouse, _ in self._levels(units):
            if warehouse == 1 and not self._changed(key, warehouse, units[key]):
                raise Conflict

    def _levels(self, units: Mapping[Any, int]) -> list[Any]:
        level = self.Level
        query = sa.select(level.product_id, level.warehouse, level.units)
        found = query.where(level.product_id.in_(list(units)))
        return list(self._session.execute(found.order_by(level.product_id, level.warehouse)))

    def _changed(self, key: Any, warehouse: int, more: int) -> bool:
        level = self.Level
        guarded = sa.update(level).where(
            level.product_id == key, level.warehouse == warehouse, level.units >= -more
        )
        return row_count(self._session.execute(guarded.values(units=level.units + more))) == 1


class RecordingStock:
    """A stock that returns what the test gives it, and records its calls."""

    def begin(self, available: Callable[[Any], Any], raises: Exception | None) -> None:
        self._available, self.raises = available, raises
        self.deducted: list[Any] = []
        self.restocked: list[Any] = []

    def available(self, products: Mapping[Any, Any]) -> Any:
        return self._available(products)

    def deduct(self, units: Mapping[Any, int]) -> None:
        self.deducted.append(units)
        if self.raises is not None:
            raise self.raises

    def restock(self, units: Mapping[Any, int]) -> None:
        if self.raises is not None:
            raise self.raises
        self.restocked.append(units)


class SoldOut(Exception):
    """The external warehouse has fewer units."""


class Warehouse:
    """Another system: it reserves units for a time, and knows nothing of our transactions."""

    def __init__(self) -> None:
        self.units: dict[int, int] = {}
        self.reservations: dict[int, tuple[Mapping[int, int], float]] = {}
        self.put_back: dict[object, Mapping[int, int]] = {}
        self._lock = threading.Lock()
        self._numbers = itertools.count()

    def available(self) -> dict[int, int]:
        with self._lock:
            self._expire()
            return dict(self.units)

    def reserve(self, units: Mapping[int, int], seconds: float) -> int:
        with self._lock:
            self._expire()
            if any(self.units.get(key, 0) < wanted for key, wanted in units.items()):
                raise SoldOut
            self._add({key: -wanted for key, wanted in units.items()})
            number = next(self._numbers)
            self.reservations[number] = units, time.monotonic() + seconds
            return number

    def confirm(self, number: int) -> None:
        with self._lock:
            del self.reservations[number]

    def release(self, number: int) -> None:
        with self._lock:
            units, _ = self.reservations.pop(number, ({}, 0))
            self._add(units)

    def take_back(self, order_id: object, units: Mapping[int, int]) -> None:
        """Take units back, once for each order."""
        with self._lock:
            if order_id not in self.put_back:
                self.put_back[order_id] = units
                self._add(units)

    def _expire(self) -> None:
        now = time.monotonic()
        late = [number for number, (_, until) in self.reservations.items() if until < now]
        for number in late:
            self._add(self.reservations.pop(number)[0])

    def _add(self, units: Mapping[int, int]) -> None:
        for key, more in units.items():
            self.units[key] += more


class ExternalStock:
    """The stock of another system, which no rollback reaches.

    A reservation is confirmed by the commit and released by a rollback. If the process dies between
    both, it expires by itself. Units are put back after the commit, by a receiver of
    `order_cancelled` (or the relay of the outbox, which calls it until it succeeds).
    """

    def __init__(self, db: SQLAlchemy, warehouse: Warehouse, seconds: float = 60) -> None:
        self.warehouse = warehouse
        self._session, self._seconds = db.session, seconds
        event.listen(db.session, "after_commit", self._confirm)
        event.listen(db.session, "after_soft_rollback", self._release)

    def available(self, products: Mapping[Any, Any]) -> Mapping[Any, int | Decimal | None]:
        return self.warehouse.available()

    def deduct(self, units: Mapping[Any, int]) -> None:
        try:
            number = self.warehouse.reserve(units, self._seconds)
        except SoldOut:
            raise Conflict from None
        session = self._session()
        within, innermost = [], session.get_nested_transaction() or session.get_transaction()
        while innermost is not None:
            within.append(innermost)
            innermost = innermost.parent
        session.info.setdefault("reservations", []).append((number, within))

    def restock(self, units: Mapping[Any, int]) -> None:
        """Put nothing back yet: the cancellation may still be rolled back."""

    def _confirm(self, session: Session) -> None:
        if not session.in_nested_transaction():
            for number, _ in session.info.pop("reservations", ()):
                self.warehouse.confirm(number)

    def _release(self, session: Session, undone: SessionTransaction) -> None:
        reservations = session.info.get("reservations", [])
        for one in [one for one in reservations if undone in one[1]]:
            reservations.remove(one)
            self.warehouse.release(one[0])


def _warehouses(db: SQLAlchemy, _product: Any) -> Stock:
    return WarehouseStock(db)


def _store_in_warehouses(shop: StockedShop, key: int, units: int) -> None:
    stock: Any = shop.models.shop.product.stock
    for warehouse, part in ((1, units // 2), (2, units - units // 2)):
        shop.add(stock.Level(product_id=key, warehouse=warehouse, units=part))


def _left_in_warehouses(shop: StockedShop, key: int) -> int:
    return sum(row["units"] for row in shop.rows("stock_levels") if row["product_id"] == key)


def _external(db: SQLAlchemy, _product: Any) -> Stock:
    return ExternalStock(db, Warehouse())


def _store_externally(shop: StockedShop, key: int, units: int) -> None:
    shop.external.units[key] = units


WAYS = {
    "column": Way(
        ("count",),
        lambda _, product: product.count,
        lambda units: {"count": units},
        lambda shop, key: shop.row(key)["count"],
    ),
    "reserved": Way(
        ("quantity", "allocated"),
        lambda _, product: mapping.reserved(product.quantity, product.allocated),
        # Some are allocated to orders of another channel.
        lambda units: {"quantity": None if units is None else units + 3, "allocated": 3},
        lambda shop, key: shop.row(key)["quantity"] - shop.row(key)["allocated"],
    ),
    "taken in cart": Way(
        ("count",),
        lambda _, product: mapping.taken_in_cart(product.count),
        lambda units: {"count": units},
        lambda shop, key: shop.row(key)["count"],
        is_taken_in_cart=True,
    ),
    "warehouses": Way(
        (), _warehouses, lambda _: {}, _left_in_warehouses, store=_store_in_warehouses
    ),
    "external": Way(
        (),
        _external,
        lambda _: {},
        lambda shop, key: shop.external.units[key],
        store=_store_externally,
    ),
    "own": Way((), lambda *_: RecordingStock(), lambda _: {}, lambda *_: None),
}

# Those whose units can be counted; the last one has none.
COUNTED = [name for name in WAYS if name != "own"]
