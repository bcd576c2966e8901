"""The plan of an order: everything that it writes, worked out before anything is written.

A plan is frozen data and follows from the cart's snapshot and its prices alone: planning reads no
database. Only the keys, the number and the shop's own column defaults may differ between two plans.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.sql.schema import CallableColumnDefault, ScalarElementColumnDefault

from .address_book import AddressRow
from .carts import CartSnapshot, units_by_product
from .keys import new_key, new_number
from .models import Models, table
from .pricing import OrderReference, PricedCart
from .projection import address_fields, item_fields, order_fields
from .status import AWAITING_PAYMENT
from .stock import StockChange
from .versions import RowVersion

# Columns that are set when the row is written: a new address gets its key then, and a double click
# is told from a later request by the moment of the INSERT.
SET_BY_WRITER = frozenset({"billing_address_id", "written"})

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class VoucherRemoval:
    """A cart whose voucher is taken off, and the next version of its row (None: not versioned)."""

    cart_key: Any
    version: Any


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """The writes of one order, in the order in which they are carried out.

    Attributes:
        reference: the order's key and its customer's key.
        address: the row to point to, or the address to insert first.
        stock: the units to deduct, by the product's key.
        voucher: the voucher to redeem, as the `Pricing` has returned it.
        order: the order's row, complete but for `SET_BY_WRITER`.
        items: the rows of its items, complete, by position.
        cart_item_keys: the keys of the cart items to delete.
        voucher_removal: the cart that still holds a voucher; None if it holds none.
    """

    reference: OrderReference
    address: AddressRow
    stock: Mapping[Any, StockChange]
    voucher: Any
    order: Row
    items: tuple[Row, ...]
    cart_item_keys: tuple[Any, ...]
    voucher_removal: VoucherRemoval | None


class OrderPlanner:
    """Plans the orders of one app: the columns are its models', and its subclasses' defaults."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def plan(
        self,
        reference: OrderReference,
        cart: CartSnapshot,
        priced: PricedCart,
        address: AddressRow,
        *,
        sequence: int,
        now: datetime,
        extra: Mapping[str, Any],
    ) -> OrderPlan:
        """Plan an order of a priced cart whose items are all available.

        Args:
            reference: the order's key and its customer's key.
            cart: the cart under lock.
            priced: its items with their prices.
            address: the address to bill.
            sequence: the customer's running order number.
            now: when the order is made.
            extra: values of the shop's own columns, by name; other names are ignored.
        """
        return OrderPlan(
            reference=reference,
            address=address,
            stock=self._stock_changes(cart),
            voucher=priced.voucher,
            order=self._order_rows.complete(
                order_fields(reference.customer_id, priced, extra)
                | address_fields(address.address)
                | {
                    "id": reference.id,
                    "number": new_number(),
                    "sequence": sequence,
                    "status": AWAITING_PAYMENT,
                    "created": now,
                    "updated": now,
                }
            ),
            items=self._items(reference, priced),
            cart_item_keys=cart.item_keys,
            voucher_removal=self._voucher_removal(cart),
        )

    def _stock_changes(self, cart: CartSnapshot) -> dict[Any, StockChange]:
        """Return the units to deduct from the products whose stock is counted."""
        counted = [item for item in cart.items if item.product.stock is not None]
        products = {item.product_id: item.product for item in counted}
        return {
            key: StockChange(units, self._next_product_version(products[key]))
            for key, units in units_by_product(counted).items()
        }

    def _next_product_version(self, product: Any) -> Any:
        version = self._product_version
        return None if version is None else version.next(version.held_by(product))

    def _items(self, reference: OrderReference, priced: PricedCart) -> tuple[Row, ...]:
        return tuple(
            self._item_rows.complete(
                item_fields(item)
                | {
                    "id": new_key(),
                    "order_id": reference.id,
                    "position": position,
                    "stock_deducted": item.cart_item.product.stock is not None,
                }
            )
            for position, item in enumerate(priced.items, start=1)
        )

    def _voucher_removal(self, cart: CartSnapshot) -> VoucherRemoval | None:
        if cart.voucher is None:
            return None
        version = self._cart_version
        return VoucherRemoval(cart.key, None if version is None else version.next(cart.version))

    @cached_property
    def _order_rows(self) -> "_Rows":
        return _Rows(table(self._models.Order))

    @cached_property
    def _item_rows(self) -> "_Rows":
        return _Rows(table(self._models.OrderItem))

    @cached_property
    def _product_version(self) -> RowVersion | None:
        return RowVersion.of(self._models.Product)

    @cached_property
    def _cart_version(self) -> RowVersion | None:
        return RowVersion.of(self._models.Cart)


class _Rows:
    """The rows of one table: which columns it has, and their defaults in Python."""

    def __init__(self, rows: Table) -> None:
        names = [name for name in rows.c.keys() if name not in SET_BY_WRITER]  # noqa: SIM118 - not a dict
        self._names = frozenset(names)
        defaults = ((name, _default(rows.c[name])) for name in names)
        self._defaults = {name: default for name, default in defaults if default is not None}

    def complete(self, values: Row) -> Row:
        """Return a row of the values that have a column, and of the defaults of other columns.

        A shop without the library's offers and vouchers has no column that refers to them.
        """
        row = {name: value for name, value in values.items() if name in self._names}
        missing = self._defaults.keys() - row.keys()
        return row | {name: self._defaults[name]() for name in missing}


def _default(column: Column[Any]) -> Callable[[], Any] | None:
    """Return a column's default in Python; None if it has none, or leaves it to the INSERT.

    An INSERT works out an SQL expression, a sequence, a server default, and a function that takes
    SQLAlchemy's context.
    """
    default = column.default
    if isinstance(default, ScalarElementColumnDefault):
        value = default.arg
        return lambda: value
    if isinstance(default, CallableColumnDefault) and not _takes_context(default.arg):
        function = default.arg
        return lambda: function(None)  # type: ignore[arg-type] # it ignores its context
    return None


def _takes_context(function: Callable[..., Any]) -> bool:
    """Return whether a default's function has a parameter; SQLAlchemy wraps one that has none."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return True
    return any(parameter.default is parameter.empty for parameter in parameters)
