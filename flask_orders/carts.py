"""The host's rows: its cart, the items and the products are locked, changed and deleted here.

Called by the service, in this order: `lock`, `lock_products`, `take_stock`, `empty`. Whatever the
host's classes are called, no statement here depends on the number of lines.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import case, delete, select, update
from sqlalchemy.orm import lazyload, scoped_session

from .errors import ConfigurationError, Conflict, InvalidRequest, ItemUnavailable
from .models import Models, row_count, table
from .pricing import CartLine


@dataclass(frozen=True, slots=True)
class LockedItem:
    key: Any
    product_id: Any
    quantity: Any


@dataclass(frozen=True, slots=True)
class LockedCart:
    """A cart as the locking reads found it; `voucher` is what its row holds."""

    key: Any
    voucher: Any
    items: tuple[LockedItem, ...]


class Carts:
    """The cart side of a conversion, on the host's classes."""

    def __init__(self, session: scoped_session[Session], models: Models) -> None:
        self._session = session
        self._models = models

    def lock(self, customer_id: Any, max_lines: int) -> LockedCart | None:
        """Lock the customer's cart, then its items by key; None if there is no cart.

        Raises:
            InvalidRequest: there are more than `max_lines` items.
            ConfigurationError: the customer has several carts.
        """
        columns = self._models.columns
        voucher = columns.cart_voucher
        rows = self._session.execute(
            select(columns.cart_key, *(() if voucher is None else (voucher,)))
            .where(self._models.Cart.customer_id == customer_id)
            .order_by(columns.cart_key)
            .with_for_update()
        ).all()
        if len(rows) > 1:
            raise ConfigurationError(
                f"A customer has {len(rows)} carts: {self._models.Cart.__name__}.customer_id must "
                "find only the open one; make it unique, or NULL in carts that are closed."
            )
        if not rows:
            return None
        key = rows[0][0]
        items = self._lock_items(key, max_lines)
        return LockedCart(key, None if voucher is None else rows[0][1], items)

    def _lock_items(self, cart_key: Any, max_lines: int) -> tuple[LockedItem, ...]:
        columns = self._models.columns
        rows = self._session.execute(
            select(columns.item_key, columns.item_product, columns.item_quantity)
            .where(columns.item_cart == cart_key)
            .order_by(columns.item_key)
            .limit(max_lines + 1)
            .with_for_update()
        ).all()
        if len(rows) > max_lines:
            raise InvalidRequest(f"A cart can be ordered with {max_lines} lines at most.")
        return tuple(LockedItem(*row) for row in rows)

    def lock_products(self, items: Sequence[LockedItem]) -> list[CartLine]:
        """Lock the products in the order of their keys, so that no two conversions deadlock.

        Raises:
            ItemUnavailable: a product is gone, inactive or short of stock.
        """
        products = self._read_products({item.product_id for item in items} - {None})
        lines = [
            CartLine(item.key, item.product_id, products.get(item.product_id), item.quantity)
            for item in items
        ]
        wanted = _units(line for line in lines if _is_count(line.quantity))
        refused = [
            line.unavailable(*refusal)
            for line in lines
            if (refusal := _refusal(line, wanted[line.product_id])) is not None
        ]
        if refused:
            raise ItemUnavailable(refused)
        return lines

    def _read_products(self, keys: set[Any]) -> dict[Any, Any]:
        product, key = self._models.Product, self._models.columns.product_key
        # An object that the session knows already is stale unless it is populated anew; a host's
        # eager joins can't be locked. Only NO KEY: putting the product into a cart needs no wait.
        rows = self._session.execute(
            select(key, product)
            .where(key.in_(sorted(keys)))
            .order_by(key)
            .options(lazyload("*"))
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
        return {row[0]: row[1] for row in rows}

    def take_stock(self, lines: Sequence[CartLine]) -> None:
        """Take the units of all lines from the stock that is counted, by one guarded UPDATE.

        Raises:
            Conflict: the stock is no longer what it was under the lock.
        """
        stock, key = self._models.columns.product_stock, self._models.columns.product_key
        units = _units(line for line in lines if line.product.stock is not None)
        if stock is None or not units:
            return
        taken = case(dict(units), value=key)
        changed = self._session.execute(
            update(table(self._models.Product))
            .where(key.in_(list(units)), stock >= taken)
            .values({stock: stock - taken})
        )
        if row_count(changed) != len(units):
            raise Conflict

    def empty(self, cart: LockedCart) -> None:
        """Delete exactly the items that were read, and take the voucher off.

        Raises:
            Conflict: an item is not there any more.
        """
        columns = self._models.columns
        keys = [item.key for item in cart.items]
        deleted = self._session.execute(
            delete(table(self._models.CartItem)).where(columns.item_key.in_(keys))
        )
        if row_count(deleted) != len(keys):
            raise Conflict
        if columns.cart_voucher is not None and cart.voucher is not None:
            self._session.execute(
                update(table(self._models.Cart))
                .where(columns.cart_key == cart.key)
                .values({columns.cart_voucher: None})
            )


def _units(lines: Iterable[CartLine]) -> Counter[Any]:
    """How many units of each product."""
    units = Counter[Any]()
    for line in lines:
        units[line.product_id] += line.quantity
    return units


def _is_count(quantity: Any) -> bool:
    return isinstance(quantity, int) and quantity >= 1


def _refusal(line: CartLine, wanted: int) -> tuple[str, int] | None:
    """Why a line can't be had, and how many units are left; or None."""
    product = line.product
    if product is None:
        return "gone", 0
    if not product.active:
        return "inactive", 0
    if not _is_count(line.quantity):
        return "invalid_quantity", 0
    if product.stock is not None and product.stock < wanted:
        return "out_of_stock", product.stock
    return None
