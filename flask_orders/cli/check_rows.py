"""Check the shop's own rows, for `flask orders check`.

They are read through the mapper, in a session like the shop's own, so that its loader criteria and
single-table siblings count as they do in an order. Carts are counted by one GROUP BY, and only if
nothing in the database keeps them from being doubled. The products' prices are read once, in
batches of a constant size.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import CompileError
from sqlalchemy.orm import Session, lazyload, undefer
from sqlalchemy.sql import visitors

from ..cart_queries import conditions, loads
from ..db.typing import Query
from ..errors import ConfigurationError
from ..models import Models
from ..models.shop import CartParts, ProductParts
from ..models.sources import RowSource
from ..product_reader import ProductReader
from ..service import OrderService, components_of
from .check_shop import is_single, session_of
from .reasons import reason_of

# Rows in memory at a time.
BATCH = 1000

# Products that are read where price or activity is an attribute in Python.
SAMPLE = 1000

# Products that are named.
EXAMPLES = 5


@dataclass
class Examples:
    """Products that have one problem: how many, and the keys of the first EXAMPLES."""

    count: int = 0
    keys: list[Any] = field(default_factory=list)

    def add(self, key: Any) -> None:
        self.count += 1
        if self.count <= EXAMPLES:
            self.keys.append(key)

    def listed(self, db: SQLAlchemy, product: ProductParts) -> str:
        """Return the end of a sentence: the SELECT that lists them."""
        key = product.source.attribute(product.key)
        listing = sa.select(product.source.given).where(key.in_(self.keys))
        which = "they are" if self.count <= EXAMPLES else "some are"
        return f"{which}: {_sql(listing, db.engine)}"


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
        if is_single(db, sa.inspect(connection), column):
            return
    doubled = (
        sa.select(customer, sa.func.count().label("carts"))
        .select_from(cart.source.given)
        .where(customer.is_not(None), *conditions(cart))
        .group_by(customer)
        .having(sa.func.count() > 1)
    )
    with session_of(db) as session:
        count = session.execute(
            sa.select(sa.func.count()).select_from(doubled.subquery())
        ).scalar_one()
    if count:
        yield (
            f"{count} customer(s) have more than one open cart, and none of them can order: keep "
            f"one open cart each; they are: {_sql(doubled, db.engine)}"
        )


def _prices(db: SQLAlchemy, orders: OrderService) -> Iterator[str]:
    """Count the products that can't be read, can't be sold at their price, or cost nothing."""
    product, currency = orders.models.shop.product, orders.currency
    reader, unsold, free = components_of(orders).carts.reader, Examples(), Examples()
    failures = defaultdict[str, Examples](Examples)
    with session_of(db) as session:
        for found, *read in _product_rows(session, product, reader):
            try:
                values = reader.read(read[0], read[1:], currency)
            # The shop's own functions run in it.
            except Exception as error:
                failures[_reason(error)].add(found)
                continue
            if values.is_active and not values.has_price:
                unsold.add(found)
            elif values.is_active and values.price and values.sale_price == 0:
                free.add(found)
    for reason, failed in failures.items():
        yield (
            f"{failed.count} product(s) can't be read, since a part of mapping.product(...) fails "
            f"({reason}): correct it; {failed.listed(db, product)}"
        )
    if unsold.count:
        yield (
            f"{unsold.count} product(s) can't be sold, since their price is missing, negative, no "
            f"exact number, or finer than {currency.quantum} {currency.code}: correct it; "
            f"{unsold.listed(db, product)}"
        )
    if free.count:
        yield (
            f"{free.count} product(s) cost nothing, since their sale price is 0: if 0 means that "
            "they have none, say mapping.product(..., sale_price=func.nullif(<the column>, 0)); "
            f"if they are free, let their price be 0 too; {free.listed(db, product)}"
        )


def _reason(error: Exception) -> str:
    text = reason_of(error)
    if isinstance(error, ConfigurationError):
        return text.removesuffix(".")
    return f"{type(error).__name__}: {text}"


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
        .options(lazyload("*"), *loads(product), *map(undefer, reader.attributes))
    )
    if reader.has_functions:
        yield from session.execute(read.limit(SAMPLE)).all()
    else:
        yield from session.execute(read.execution_options(yield_per=BATCH))


def closed_by_null(db: SQLAlchemy, models: Models) -> Iterator[str]:
    """Count the rows that are not to be bought because a column of the condition is NULL."""
    for parts, name in ((models.shop.cart, "cart"), (models.shop.cart_item, "cart item")):
        for condition in conditions(parts):
            for column in _nullable_columns(condition, parts.source):
                count = _count_closed(db, parts.source, condition, column)
                if count:
                    yield (
                        f"{count} {name}(s) whose {parts.source.spell(column)} is NULL count as "
                        "closed, by the mapping's open="
                    )


def _nullable_columns(condition: Any, source: RowSource) -> list[sa.Column[Any]]:
    elements = visitors.iterate(sa.and_(condition))
    found = dict.fromkeys(each for each in elements if isinstance(each, sa.Column))
    return [each for each in found if each.nullable and each.table in source.tables]


def _count_closed(db: SQLAlchemy, source: RowSource, condition: Any, column: sa.Column[Any]) -> int:
    is_closed = sa.case((condition, 1), else_=0) == 0
    closed = (
        sa.select(sa.func.count())
        .select_from(source.given)
        .where(source.attribute(column).is_(None), is_closed)
    )
    with session_of(db) as session:
        count: int = session.execute(closed).scalar_one()
    return count


def _sql(statement: Query, engine: sa.Engine) -> str:
    """Return the statement on one line, to be pasted into a console of the database."""
    # A driver's own style of parameters would double every "%".
    make: Any = type(engine.dialect)
    dialect = make(paramstyle="named")
    try:
        compiled = statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    except (CompileError, NotImplementedError):  # a key of a type of the shop's own
        compiled = statement.compile(dialect=dialect)
    return " ".join(str(compiled).split())
