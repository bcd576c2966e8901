"""Check the shop's own columns, rows and classes, for `flask orders check`.

Rows are read through the mapper, in a session like the shop's own, so that its loader criteria and
single-table siblings count as they do in an order. Carts are counted by one GROUP BY, and only if
nothing in the database keeps them from being doubled. The products' prices are read once, in
batches of a constant size.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import CompileError
from sqlalchemy.orm import Mapper, Session, lazyload

from ..cart_queries import conditions, loads
from ..errors import ConfigurationError
from ..models import Models
from ..models.shop import CartParts, ProductParts
from ..product_reader import ProductReader
from ..service import OrderService, components_of
from .check_tables import MIGRATE, indexes

# Rows in memory at a time.
BATCH = 1000

# Products that are read where price or activity is an attribute in Python.
SAMPLE = 1000

# Products that are named.
EXAMPLES = 5


def check_shop_columns(db: SQLAlchemy, models: Models, incomplete: set[str]) -> Iterator[str]:
    """Look for the indexes by which a conversion finds the cart and its items."""
    shop = models.shop
    owner, items = shop.cart.customer, shop.cart_item
    with db.engine.connect() as connection:
        inspector = sa.inspect(connection)
        if owner is not None and owner.column.table.key not in incomplete:
            yield from _cart_index(db, inspector, shop.cart, owner.column)
        column = items.cart.column
        if column.table.key not in incomplete and not _is_leading(inspector, column):
            yield (
                f"no index of '{column.table.fullname}' begins with {column.name}, so that every "
                "order reads, and on MariaDB locks, the cart items of all customers: add "
                f"index=True to {items.source.spell(column)}, then {MIGRATE}"
            )


def _cart_index(
    db: SQLAlchemy, inspector: sa.Inspector, cart: CartParts, customer: sa.Column[Any]
) -> Iterator[str]:
    spelled = cart.source.spell(customer)
    if cart.open is None and not _is_single(db, inspector, customer):
        yield (
            "nothing in the database keeps a customer from having two carts, neither of which "
            f"can be ordered: add unique=True to {spelled}, then {MIGRATE}; if a customer has "
            "several carts in turn, say which are open: mapping.cart(..., open=...)"
        )
    elif not _is_leading(inspector, customer):
        yield (
            f"no index of '{customer.table.fullname}' begins with {customer.name}, so that every "
            f"order reads the carts of all customers: add index=True to {spelled}, then {MIGRATE}"
        )


def check_shop_rows(
    db: SQLAlchemy, orders: OrderService, incomplete: set[str]
) -> Iterator[tuple[str, Iterator[str]]]:
    """Yield the checks that read rows, each with its subject."""
    shop = orders.models.shop
    if shop.cart.customer is not None and shop.cart.customer.column.table.key not in incomplete:
        yield "doubled carts", _doubled_carts(db, shop.cart, shop.cart.customer.column)
    product_tables = {table.key for table in shop.product.source.tables}
    # A pricing of the shop's own may find its prices elsewhere.
    if not components_of(orders).has_own_pricing and not product_tables & incomplete:
        yield "the products' prices", _prices(db, orders)


def _doubled_carts(db: SQLAlchemy, cart: CartParts, column: sa.Column[Any]) -> Iterator[str]:
    customer = cart.source.attribute(column)
    with db.engine.connect() as connection:
        if _is_single(db, sa.inspect(connection), column):
            return
    doubled = (
        sa.select(customer, sa.func.count().label("carts"))
        .select_from(cart.source.given)
        .where(customer.is_not(None), *conditions(cart))
        .group_by(customer)
        .having(sa.func.count() > 1)
    )
    with _session(db) as session:
        count = session.execute(
            sa.select(sa.func.count()).select_from(doubled.subquery())
        ).scalar_one()
    if count:
        yield (
            f"{count} customer(s) have more than one open cart, and none of them can order: keep "
            f"one open cart each; they are: {_sql(doubled, db.engine)}"
        )


def _prices(db: SQLAlchemy, orders: OrderService) -> Iterator[str]:
    """Count the products that can't be read, or are on sale and can't be sold at their price."""
    product, currency = orders.models.shop.product, orders.currency
    reader, failures = components_of(orders).carts.reader, dict[str, list[Any]]()
    unsold = list[Any]()
    with _session(db) as session:
        for found, *read in _product_rows(session, product, reader):
            try:
                values = reader.read(read[0], read[1:], currency)
            # The shop's own functions run in it.
            except Exception as error:
                failures.setdefault(_reason(error), []).append(found)
                continue
            if values.is_active and not values.has_price:
                unsold.append(found)
    for reason, keys in failures.items():
        yield (
            f"{len(keys)} product(s) can't be read, since a part of mapping.product(...) fails "
            f"({reason}): correct it; {_listing(db, product, keys)}"
        )
    if unsold:
        yield (
            f"{len(unsold)} product(s) can't be sold, since their price is missing, negative, no "
            f"exact number, or finer than {currency.quantum} {currency.code}: correct it; "
            f"{_listing(db, product, unsold)}"
        )


def _reason(error: Exception) -> str:
    text, *_ = str(getattr(error, "orig", error)).splitlines() or [""]
    if isinstance(error, ConfigurationError):
        return text.removesuffix(".")
    return f"{type(error).__name__}: {text}"


def _listing(db: SQLAlchemy, product: ProductParts, keys: Sequence[Any]) -> str:
    """Return the end of a sentence: the SELECT that lists the first products of many."""
    key = product.source.attribute(product.key)
    listed = sa.select(product.source.given).where(key.in_(keys[:EXAMPLES]))
    return f"{'they are' if len(keys) <= EXAMPLES else 'some are'}: {_sql(listed, db.engine)}"


def _product_rows(
    session: Session, product: ProductParts, reader: ProductReader
) -> Iterator[Sequence[Any]]:
    """Yield each product's key, the product, and the expressions that are read with it.

    Where a part is a function only the first SAMPLE are read: it may send statements of its own.
    """
    source, key = product.source, product.source.attribute(product.key)
    read = (
        sa.select(key, source.given, *reader.expressions)
        .order_by(key)
        .options(lazyload("*"), *loads(product))
    )
    if reader.has_functions:
        yield from session.execute(read.limit(SAMPLE)).all()
    else:
        yield from session.execute(read.execution_options(yield_per=BATCH))


def skipped_by_core(models: Models) -> Iterator[str]:
    """Name the ORM listeners that an order bypasses, since it changes rows by Core statements."""
    shop = models.shop
    changes = (
        (models.Product, "update", "stock is deducted", shop.product.stock is not None),
        (models.Cart, "update", "the voucher is taken off", shop.cart.voucher is not None),
        (models.CartItem, "delete", "items are deleted", shop.cart_item.source.mapper is not None),
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


def _is_single(db: SQLAlchemy, inspector: sa.Inspector, customer: sa.Column[Any]) -> bool:
    """Return whether the database keeps a customer from having two carts.

    Where the session has criteria of its own, such as a tenant's, which a command does not have, a
    customer may have one cart for each of the values that are unique together with the customer.
    """
    unique = [names for names, is_unique in indexes(inspector, customer.table) if is_unique]
    if (customer.name,) in unique:
        return True
    has_criteria = bool(_session(db).dispatch.do_orm_execute)
    return has_criteria and any(customer.name in names for names in unique)


def _is_leading(inspector: sa.Inspector, column: sa.Column[Any]) -> bool:
    return any(names[:1] == (column.name,) for names, _ in indexes(inspector, column.table))
