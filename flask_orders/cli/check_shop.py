"""Check the shop's own columns, rows and classes, for `flask orders check`.

Rows are read through the mapper, in a session like the shop's own, so that its loader criteria and
single-table siblings count as they do in an order. Carts are counted by one GROUP BY, and only if
nothing in the database keeps them from being doubled. The products' prices are read once, in
batches of a constant size.
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import CompileError
from sqlalchemy.orm import Mapper, Session

from ..models import Models
from ..models.contract import attribute, column
from ..service import OrderService, parts_of
from .check_tables import MIGRATE, indexes

# Rows in memory at a time.
BATCH = 1000

# Products that are read where price or activity is an attribute in Python.
SAMPLE = 1000

# Products that are named.
EXAMPLES = 5


def check_shop_columns(db: SQLAlchemy, models: Models, incomplete: set[str]) -> Iterator[str]:
    """Look for the indexes by which a conversion finds the cart and its items."""
    customer, cart = models.columns.cart_customer, models.columns.item_cart
    with db.engine.connect() as connection:
        inspector = sa.inspect(connection)
        if customer.table.key not in incomplete and not _is_unique(inspector, customer):
            yield (
                "nothing in the database keeps a customer from having two carts, neither of which "
                f"can be ordered: add unique=True to {_named(models.Cart, customer)}, then "
                f"{MIGRATE}; a cart that is closed has NULL there"
            )
        if cart.table.key not in incomplete and not _is_leading(inspector, cart):
            yield (
                f"no index of '{cart.table.fullname}' begins with {cart.name}, so that every order "
                "reads, and on MariaDB locks, the cart items of all customers: add index=True to "
                f"{_named(models.CartItem, cart)}, then {MIGRATE}"
            )


def check_shop_rows(
    db: SQLAlchemy, orders: OrderService, incomplete: set[str]
) -> Iterator[tuple[str, Iterator[str]]]:
    """Yield the checks that read rows, each with its subject."""
    models = orders.models
    if models.columns.cart_customer.table.key not in incomplete:
        yield "doubled carts", _doubled_carts(db, models)
    product_tables = {table.key for table in sa.inspect(models.Product).tables}
    # A pricing of the shop's own may find its prices elsewhere.
    if not parts_of(orders).has_own_pricing and not product_tables & incomplete:
        yield "the products' prices", _prices(db, orders)


def _doubled_carts(db: SQLAlchemy, models: Models) -> Iterator[str]:
    customer = attribute(models.Cart, models.columns.cart_customer)
    with db.engine.connect() as connection:
        if _is_unique(sa.inspect(connection), models.columns.cart_customer):
            return
    doubled = (
        sa.select(customer, sa.func.count().label("carts"))
        .select_from(models.Cart)
        .where(customer.is_not(None))
        .group_by(customer)
        .having(sa.func.count() > 1)
    )
    with _session(db) as session:
        count = session.execute(
            sa.select(sa.func.count()).select_from(doubled.subquery())
        ).scalar_one()
    if count:
        yield (
            f"{count} customer(s) have more than one cart, and none of them can order: keep one "
            f"cart each; they are: {_sql(doubled, db.engine)}"
        )


def _prices(db: SQLAlchemy, orders: OrderService) -> Iterator[str]:
    """Count the products that are on sale and can't be sold at their price."""
    models, currency = orders.models, orders.currency
    key = attribute(models.Product, models.columns.product_key)
    count, examples = 0, list[Any]()
    with _session(db) as session:
        for product, amount, on_sale in _price_rows(session, models):
            if on_sale and not parts_of(orders).carts.is_price(amount):
                count += 1
                if len(examples) < EXAMPLES:
                    examples.append(product)
    if count:
        listing = sa.select(models.Product).where(key.in_(examples))
        yield (
            f"{count} product(s) can't be sold, since their price is missing, negative, no exact "
            f"number, or finer than {currency.quantum} {currency.code}: correct it; "
            f"{'they are' if count <= EXAMPLES else 'some are'}: {_sql(listing, db.engine)}"
        )


def _price_rows(session: Session, models: Models) -> Iterator[tuple[Any, Any, Any]]:
    """Yield each product's key, its price, and whether it is on sale.

    All products are read if those are columns, else the first SAMPLE: an attribute in Python may
    send statements of its own.
    """
    product, key = models.Product, models.columns.product_key
    read = sa.select(attribute(product, key)).select_from(product)
    price, active = column(product, "price"), column(product, "active")
    if price is not None and (active is not None or product.active is True):
        on_sale = sa.true() if active is None else attribute(product, active)
        read = read.add_columns(attribute(product, price), on_sale.label("on_sale"))
        for row in session.execute(read.execution_options(yield_per=BATCH)):
            yield row[0], row[1], row[2]
        return
    sample = read.add_columns(product).order_by(attribute(product, key)).limit(SAMPLE)
    for found, sampled in session.execute(sample).all():
        yield found, sampled.price, sampled.active


def skipped_by_core(models: Models) -> Iterator[str]:
    """Name the ORM listeners that an order bypasses, since it changes rows by Core statements."""
    columns = models.columns
    changes = (
        (models.Product, "update", "stock is deducted", columns.product_stock is not None),
        (models.Cart, "update", "the voucher is taken off", columns.cart_voucher is not None),
        (models.CartItem, "delete", "items are deleted", True),
    )
    for cls, change, what, happens in changes:
        listeners = _listeners(cls, change) if happens else []
        if listeners:
            yield (
                f"an order does not go through {cls.__name__}'s {' and '.join(listeners)} when "
                f"{what}, since it changes rows by Core statements: if they have to know, use a "
                "trigger of the database or a receiver of order_placed"
            )


def _listeners(cls: type[Any], change: str) -> list[str]:
    mapper: Mapper[Any] = sa.inspect(cls)
    events = (f"before_{change}", f"after_{change}")
    # Those of this class alone: a library may have added some for every class.
    listening = [name for name in events if list(getattr(mapper.dispatch, name).listeners)]
    found = [f"{' and '.join(listening)} listeners"] if listening else []
    if hasattr(cls, "__versioned__"):
        found.append("versions (SQLAlchemy-Continuum)")
    if hasattr(cls, "__history_mapper__"):
        found.append("history table (history_meta)")
    return found


def _session(db: SQLAlchemy) -> Session:
    """Make a session like the shop's own, with its class and events, and nothing pending."""
    return db.session.session_factory()


def _named(cls: type[Any], column: sa.Column[Any]) -> str:
    return f"{cls.__name__}.{attribute(cls, column).key}"


def _sql(statement: sa.Select[Any], engine: sa.Engine) -> str:
    """Return the statement on one line, to be pasted into a console of the database."""
    # A driver's own style of parameters would double every "%".
    make: Any = type(engine.dialect)
    dialect = make(paramstyle="named")
    try:
        compiled = statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    except (CompileError, NotImplementedError):  # a key of a type of the shop's own
        compiled = statement.compile(dialect=dialect)
    return " ".join(str(compiled).split())


def _is_unique(inspector: sa.Inspector, column: sa.Column[Any]) -> bool:
    return any(
        unique and names == (column.name,) for names, unique in indexes(inspector, column.table)
    )


def _is_leading(inspector: sa.Inspector, column: sa.Column[Any]) -> bool:
    return any(names[:1] == (column.name,) for names, _ in indexes(inspector, column.table))
