"""The host's rows: its cart, the items and the products are locked, changed and deleted here.

Called by the service, in this order: `read`, `lines`, `take_stock`, `empty`; for a preview only the
first two, without a lock. Called by the lifecycle for what is cancelled: `give_back`. Whatever the
host's classes are called, the number of statements does not depend on the number of lines.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import Integer, bindparam, case, delete, inspect, null, select, update
from sqlalchemy.orm import RelationshipDirection, lazyload, scoped_session, selectinload

from .errors import ConfigurationError, Conflict, InvalidRequest
from .lists import PREFIX, Subtraction, has_arrays, one_of
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

    @cached_property
    def _arrays(self) -> bool:
        return has_arrays(self._session, self._models.Order)

    @cached_property
    def _locking(self) -> "_Reads":
        return _Reads(self._models, lock=True, arrays=self._arrays)

    @cached_property
    def _looking(self) -> "_Reads":
        return _Reads(self._models, lock=False, arrays=self._arrays)

    @cached_property
    def _changes(self) -> "_Changes":
        return _Changes(self._models, arrays=self._arrays)

    def read(self, customer_id: Any, max_lines: int, *, lock: bool = True) -> FoundCart | None:
        """The customer's cart, locked, then its items, locked by key; None if there is no cart.

        Raises:
            InvalidRequest: there are more than `max_lines` items.
            ConfigurationError: the customer has several carts.
        """
        reads = self._locking if lock else self._looking
        rows = self._session.execute(reads.cart, {"customer": customer_id}).all()
        if len(rows) > 1:
            raise ConfigurationError(
                f"A customer has {len(rows)} carts: {self._models.Cart.__name__}.customer_id must "
                "find only the open one; make it unique, or NULL in carts that are closed."
            )
        if not rows:
            return None
        key, voucher = rows[0]
        found = self._session.execute(reads.items, {"cart": key, "most": max_lines + 1}).all()
        if len(found) > max_lines:
            raise InvalidRequest(f"A cart can be ordered with {max_lines} lines at most.")
        return FoundCart(key, voucher, tuple(FoundItem(*row) for row in found))

    def lines(
        self, items: Sequence[FoundItem], *, lock: bool = True
    ) -> tuple[list[CartLine], list[dict[str, Any]]]:
        """The lines that can be had, and what `ItemUnavailable` says of those that can't.

        The products are locked in the order of their keys, so that no two conversions deadlock.
        """
        reads = self._locking if lock else self._looking
        keys = sorted({item.product_id for item in items} - {None})
        products = {row[0]: row[1] for row in self._session.execute(reads.products, {"keys": keys})}
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

    def _refusal(self, line: CartLine, wanted: int) -> tuple[str, int] | None:
        """Why a line can't be had, and how many units are left; or None."""
        product = line.product
        if product is None:
            return "gone", 0
        if not product.active:
            return "inactive", 0
        if not _is_count(line.quantity):
            return "invalid_quantity", 0
        if self._priced_by_product and not _has_price(product):
            return "no_price", 0
        if product.stock is not None and product.stock < wanted:
            return "out_of_stock", max(product.stock, 0)
        return None

    def take_stock(self, lines: Sequence[CartLine]) -> None:
        """Take the units of all lines from the stock that is counted, by one guarded UPDATE.

        Raises:
            Conflict: the stock is no longer what it was under the lock.
        """
        units = _units(line for line in lines if line.product.stock is not None)
        if self._changes.taking is None or not units:
            return
        statement, parameters = self._changes.taking.of(units)
        if row_count(self._session.execute(statement, parameters)) != len(units):
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
        keys = [item.key for item in cart.items]
        deleted = self._session.execute(self._changes.deleting, {"keys": keys})
        if row_count(deleted) != len(keys):
            raise Conflict
        if cart.voucher is not None:
            self._session.execute(self._changes.taking_voucher_off, {PREFIX + "cart": cart.key})


class _Reads:
    """What is read of a cart, made once: to make a statement may take longer than to send it."""

    def __init__(self, models: Models, *, lock: bool, arrays: bool) -> None:
        columns, product = models.columns, models.Product
        voucher = null() if columns.cart_voucher is None else columns.cart_voucher
        self.cart = (
            select(columns.cart_key, voucher)
            .where(columns.cart_customer == bindparam("customer"))
            .order_by(columns.cart_key)
        )
        self.items = (
            select(columns.item_key, columns.item_product, columns.item_quantity)
            .where(columns.item_cart == bindparam("cart"))
            .order_by(columns.item_key)
            .limit(bindparam("most", type_=Integer))
        )
        # An object that the session knows already is stale unless it is populated anew. A host's
        # eager joins can't be locked: what it wants at hand comes by a statement of its own.
        key = columns.product_key
        self.products = (
            select(key, product)
            .where(one_of(key, "keys", arrays=arrays))
            .order_by(key)
            .options(lazyload("*"), *_at_hand(product))
            .execution_options(populate_existing=True)
        )
        if lock:
            self.cart = self.cart.with_for_update()
            self.items = self.items.with_for_update()
            # Only NO KEY: putting the product into a cart needs no wait.
            self.products = self.products.with_for_update(key_share=True)


class _Changes:
    """What is changed of the host's rows, made once; `taking` is None if no stock is counted."""

    def __init__(self, models: Models, *, arrays: bool) -> None:
        columns, products = models.columns, table(models.Product)
        stock, voucher = columns.product_stock, columns.cart_voucher
        self.taking = (
            None
            if stock is None
            else Subtraction(products, columns.product_key, stock, arrays=arrays)
        )
        self.deleting = delete(table(models.CartItem)).where(
            one_of(columns.item_key, "keys", arrays=arrays)
        )
        self.taking_voucher_off = (
            update(table(models.Cart))
            .where(columns.cart_key == bindparam(f"{PREFIX}cart"))
            .values({} if voucher is None else {voucher: None})
        )


def _at_hand(product: type[Any]) -> list[Any]:
    """The objects that the host loads with its products, one for all lines: a variant's product."""
    return [
        selectinload(getattr(product, relation.key))
        for relation in inspect(product).relationships
        if relation.direction is RelationshipDirection.MANYTOONE and relation.lazy in EAGER
    ]


def _has_price(product: Any) -> bool:
    """A host's own table may let anything in."""
    price, shipping = product.price, product.shipping
    return price is not None and price >= 0 and (shipping is None or shipping >= 0)


def _units(lines: Iterable[CartLine]) -> Counter[Any]:
    """How many units of each product."""
    units = Counter[Any]()
    for line in lines:
        units[line.product_id] += line.quantity
    return units


def _is_count(quantity: Any) -> bool:
    return isinstance(quantity, int) and quantity >= 1
