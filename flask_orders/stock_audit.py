"""The audit of the stock: what the rows of products and orders tell of the invariant I1.

No count is below zero, none has become NULL while orders hold units of it, and what unpaid orders
have reserved is allocated.
"""

from collections.abc import Iterator
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import Column, ColumnElement, Connection, exists, func, or_, select
from sqlalchemy.orm import scoped_session

from .models import Models
from .models.contract import key_in, table
from .status import AWAITING_PAYMENT
from .stock_columns import ReservedStock, StockColumn

Database = Connection | scoped_session[Session]


def stock_problems(database: Database, models: Models) -> Iterator[str]:
    """Yield the problems of I1; nothing can be said of a shop's own `Stock`."""
    kind = models.shop.product.stock
    if isinstance(kind, StockColumn):
        yield from _count_problems(database, models, kind.count)
    elif isinstance(kind, ReservedStock):
        yield from _reserved_problems(database, models, kind)


def _count_problems(database: Database, models: Models, stock: Column[Any]) -> Iterator[str]:
    key = _product_key(models, stock)
    for product, left in database.execute(select(key, stock).where(stock < 0)):
        yield f"I1: of product {product} there are {left} units"
    items = table(models.OrderItem)
    is_held = exists().where(items.c.product_id == key, items.c.stock_deducted)
    for (product,) in database.execute(select(key).where(stock.is_(None), is_held)):
        yield f"I1: the stock of product {product} is NULL, and orders have taken units from it"


def _reserved_problems(database: Database, models: Models, kind: ReservedStock) -> Iterator[str]:
    key, allocated = _product_key(models, kind.changed), kind.held
    wrong = select(key, kind.quantity, allocated).where(
        or_(kind.quantity < allocated, allocated < 0)
    )
    for product, quantity, held in database.execute(wrong):
        yield f"I1: of product {product} there are {quantity} units, and {held} are allocated"
    # What is paid may have been sent, and taken off both columns, before its order is delivered.
    unpaid = _unpaid_units(models, key)
    missing = select(key, allocated, unpaid).where(unpaid > allocated)
    for product, held, wanted in database.execute(missing):
        yield f"I1: of product {product} {held} units are allocated, unpaid orders hold {wanted}"


def _product_key(models: Models, counted: Column[Any]) -> Column[Any]:
    return key_in(counted.table, models.Product, models.shop.product.key)


def _unpaid_units(models: Models, key: Column[Any]) -> ColumnElement[Any]:
    orders, items = table(models.Order), table(models.OrderItem)
    return (
        select(func.coalesce(func.sum(items.c.quantity), 0))
        .join_from(items, orders, orders.c.id == items.c.order_id)
        .where(
            items.c.product_id == key,
            items.c.stock_deducted,
            orders.c.status == AWAITING_PAYMENT,
        )
        .scalar_subquery()
    )
