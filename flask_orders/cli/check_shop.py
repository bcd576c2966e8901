"""Check the shop's own columns and classes, for `flask orders check`."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapper, Session

from ..models import Models
from ..models.shop import CartParts
from .check_tables import MIGRATE, indexes


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
                "order reads, and on MySQL and MariaDB locks, the cart items of all customers: add "
                f"index=True to {items.source.spell(column)}, then {MIGRATE}"
            )


def _cart_index(
    db: SQLAlchemy, inspector: sa.Inspector, cart: CartParts, customer: sa.Column[Any]
) -> Iterator[str]:
    spelled = cart.source.spell(customer)
    if cart.open is None and not is_single(db, inspector, customer):
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


def session_of(db: SQLAlchemy) -> Session:
    """Make a session like the shop's own, with its class and events, and nothing pending."""
    return db.session.session_factory()


def has_criteria(db: SQLAlchemy) -> bool:
    """Return whether the shop's session adds criteria to every SELECT, such as a tenant's."""
    return bool(session_of(db).dispatch.do_orm_execute)


def is_single(db: SQLAlchemy, inspector: sa.Inspector, customer: sa.Column[Any]) -> bool:
    """Return whether the database keeps a customer from having two carts.

    Where the session has criteria of its own, such as a tenant's, which a command does not have, a
    customer may have one cart for each of the values that are unique together with the customer.
    """
    unique = [names for names, is_unique in indexes(inspector, customer.table) if is_unique]
    if (customer.name,) in unique:
        return True
    return has_criteria(db) and any(customer.name in names for names in unique)


def _is_leading(inspector: sa.Inspector, column: sa.Column[Any]) -> bool:
    return any(names[:1] == (column.name,) for names, _ in indexes(inspector, column.table))
