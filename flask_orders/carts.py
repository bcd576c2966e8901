"""The host's rows: its cart, the items and the products are locked, changed and deleted here.

Called by the service, in this order: `read`, `lines`, `take_stock`, `empty`; for a preview only the
first two, without a lock. Called by the lifecycle for what is cancelled: `give_back`. Whatever the
host's classes are called, the number of statements does not depend on the number of lines.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import case, delete, inspect, select, update
from sqlalchemy.orm import RelationshipDirection, lazyload, scoped_session, selectinload

from .errors import ConfigurationError, Conflict, InvalidRequest
from .models import Models, row_count, table
from .pricing import CartLine

# Products in one UPDATE, with three parameters each; PostgreSQL takes 65,535.
MOST_KEYS = 5000

EAGER = frozenset({False, "joined", "selectin", "subquery", "immediate"})


@dataclass(frozen=True, slots=True)
class FoundItem:
    key: Any
    product_id: Any
    quantity: Any


@dataclass(frozen=True, slots=True)
class FoundCart:
    """A cart as the locking reads found it; `voucher` is what its row holds."""

    key: Any
    voucher: Any
    items: tuple[FoundItem, ...]


class Carts:
    """The cart side of a conversion, on the host's classes."""

    def __init__(
        self, session: scoped_session[Session], models: Models, *, priced_by_product: bool
    ) -> None:
        self._session = session
        self._models = models
        self._priced_by_product = priced_by_product

    def read(self, customer_id: Any, max_lines: int, *, lock: bool = True) -> FoundCart | None:
        """The customer's cart, locked, then its items, locked by key; None if there is no cart.

        Raises:
            InvalidRequest: there are more than `max_lines` items.
            ConfigurationError: the customer has several carts.
        """
        columns = self._models.columns
        voucher = columns.cart_voucher
        query = (
            select(columns.cart_key, *(() if voucher is None else (voucher,)))
            .where(self._models.Cart.customer_id == customer_id)
            .order_by(columns.cart_key)
        )
        rows = self._session.execute(query.with_for_update() if lock else query).all()
        if len(rows) > 1:
            raise ConfigurationError(
                f"A customer has {len(rows)} carts: {self._models.Cart.__name__}.customer_id must "
                "find only the open one; make it unique, or NULL in carts that are closed."
            )
        if not rows:
            return None
        key = rows[0][0]
        items = self._read_items(key, max_lines, lock=lock)
        return FoundCart(key, None if voucher is None else rows[0][1], items)

    def _read_items(self, cart_key: Any, max_lines: int, *, lock: bool) -> tuple[FoundItem, ...]:
        columns = self._models.columns
        query = (
            select(columns.item_key, columns.item_product, columns.item_quantity)
            .where(columns.item_cart == cart_key)
            .order_by(columns.item_key)
            .limit(max_lines + 1)
        )
        rows = self._session.execute(query.with_for_update() if lock else query).all()
        if len(rows) > max_lines:
            raise InvalidRequest(f"A cart can be ordered with {max_lines} lines at most.")
        return tuple(FoundItem(*row) for row in rows)

    def lines(
        self, items: Sequence[FoundItem], *, lock: bool = True
    ) -> tuple[list[CartLine], list[dict[str, Any]]]:
        """The lines that can be had, and what `ItemUnavailable` says of those that can't.

        The products are locked in the order of their keys, so that no two conversions deadlock.
        """
        products = self._products({item.product_id for item in items} - {None}, lock=lock)
        lines = [
            CartLine(item.key, item.product_id, products.get(item.product_id), item.quantity)
            for item in items
        ]
        wanted = _units(line for line in lines if _is_count(line.quantity))
        refusals = [self._refusal(line, wanted[line.product_id]) for line in lines]
        found = list(zip(lines, refusals, strict=True))
        return (
            [line for line, refusal in found if refusal is None],
            [line.unavailable(*refusal) for line, refusal in found if refusal is not None],
        )

    def _products(self, keys: set[Any], *, lock: bool) -> dict[Any, Any]:
        product, key = self._models.Product, self._models.columns.product_key
        # An object that the session knows already is stale unless it is populated anew. A host's
        # eager joins can't be locked: what it wants at hand comes by a statement of its own. Only
        # NO KEY: putting the product into a cart needs no wait.
        query = (
            select(key, product)
            .where(key.in_(sorted(keys)))
            .order_by(key)
            .options(lazyload("*"), *_at_hand(product))
            .execution_options(populate_existing=True)
        )
        rows = self._session.execute(query.with_for_update(key_share=True) if lock else query)
        return {row[0]: row[1] for row in rows}

    def _refusal(self, line: CartLine, wanted: int) -> tuple[str, int] | None:
        """Why a line can't be had, and how many units are left; or None."""
        product = line.product
        if product is None:
            return "gone", 0
        if not product.active:
            return "inactive", 0
        if not _is_count(line.quantity):
            return "invalid_quantity", 0
        if self._priced_by_product and (product.price is None or product.price < 0):
            return "no_price", 0
        if product.stock is not None and product.stock < wanted:
            return "out_of_stock", product.stock
        return None

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

    def give_back(self, units: Mapping[Any, int]) -> None:
        """Put units, by their product's key, back into the stock that is counted."""
        stock, key = self._models.columns.product_stock, self._models.columns.product_key
        if stock is None:
            return
        keys = sorted(units)
        # In parts: a batch of orders may hold more than a statement has room for.
        for part in (keys[i : i + MOST_KEYS] for i in range(0, len(keys), MOST_KEYS)):
            # An UPDATE locks in any order, and a conversion in that of the keys.
            locked = select(key).where(key.in_(part)).order_by(key)
            self._session.execute(locked.with_for_update(key_share=True)).all()
            given = case({one: units[one] for one in part}, value=key)
            self._session.execute(
                update(table(self._models.Product))
                .where(key.in_(part))
                .values({stock: stock + given})
            )

    def empty(self, cart: FoundCart) -> None:
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


def _at_hand(product: type[Any]) -> list[Any]:
    """The objects that the host loads with its products, one for all lines: a variant's product."""
    return [
        selectinload(getattr(product, relation.key))
        for relation in inspect(product).relationships
        if relation.direction is RelationshipDirection.MANYTOONE and relation.lazy in EAGER
    ]


def _units(lines: Iterable[CartLine]) -> Counter[Any]:
    """How many units of each product."""
    units = Counter[Any]()
    for line in lines:
        units[line.product_id] += line.quantity
    return units


def _is_count(quantity: Any) -> bool:
    return isinstance(quantity, int) and quantity >= 1
