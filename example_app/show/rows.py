"""The rows that a customer's request may change, and how they differ after it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Table, select, true

from ..models import (
    Address,
    Cart,
    CartItem,
    Order,
    OrderEvent,
    OrderPayment,
    Product,
    Voucher,
    db,
    orders,
)

Rows = Mapping[tuple[str, Any], Mapping[str, Any]]


@dataclass(frozen=True)
class Change:
    """A row that was inserted, updated or deleted, and its values."""

    verb: str
    table: str
    values: str


def rows_of(customer_id: int) -> Rows:
    """Return the catalogue's rows and the customer's own, by table and primary key."""
    found: dict[tuple[str, Any], Mapping[str, Any]] = {}
    with db.engine.connect() as connection:
        for table, condition in _tables(customer_id):
            for row in connection.execute(table.select().where(condition)).mappings():
                key = tuple(row[column.name] for column in table.primary_key)
                found[table.name, key] = dict(row)
    return found


def _tables(customer_id: int) -> list[tuple[Table, ColumnElement[bool]]]:
    """Return the tables, and which of their rows are looked at."""
    mine = select(Order.id).where(Order.customer_id == customer_id)
    cart = select(Cart.id).where(Cart.customer_id == customer_id)
    shared: list[Any] = [Product, Voucher]
    own: list[Any] = [Cart, Address, Order, orders.VoucherRedemption]
    of_orders: list[Any] = [orders.OrderItem, OrderEvent, OrderPayment]
    return [
        *((model.__table__, true()) for model in shared),
        *((model.__table__, model.customer_id == customer_id) for model in own),
        *((model.__table__, model.order_id.in_(mine)) for model in of_orders),
        (CartItem.__table__, CartItem.cart_id.in_(cart)),
    ]


def changes(before: Rows, after: Rows) -> list[Change]:
    """Return what became of the rows."""
    found = []
    for name, key in (*after, *(row for row in before if row not in after)):
        old, new = before.get((name, key)), after.get((name, key))
        if old is None and new is not None:
            values = [f"{column} = {_text(value)}" for column, value in new.items() if value]
            found.append(Change("inserted", name, ", ".join(values)))
        elif new is None and old is not None:
            found.append(Change("deleted", name, _name(old)))
        elif old is not None and new is not None and old != new:
            values = [
                f"{column}: {_text(old[column])} → {_text(new[column])}"
                for column in new
                if old[column] != new[column]
            ]
            found.append(Change("updated", name, f"{_name(new)}: {', '.join(values)}"))
    return found


def _name(row: Mapping[str, Any]) -> str:
    """Return what a reader knows the row by."""
    for column in ("sku", "code", "number"):
        if column in row:
            return str(row[column])
    return f"id {_text(row['id'])}" if "id" in row else ""


def _text(value: Any) -> str:
    match value:
        case Decimal():
            return f"{value:.2f}"
        case UUID():
            return f"{str(value)[:8]}…"
        case datetime():
            return f"{value:%H:%M:%S}"
        case None:
            return "NULL"
    return str(value)
