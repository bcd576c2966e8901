"""The plan of an order: everything that it writes, worked out before anything is written.

A plan is frozen data and follows from the cart's snapshot and its prices alone: planning reads no
database. Only the keys, the number and the shop's own column defaults may differ between two plans.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from .address_book import AddressRow
from .carts import CartSnapshot
from .keys import new_key, new_number
from .models import Models
from .models.contract import table
from .pricing import AppliedVoucher, OrderReference, PricedCart, units_by_product
from .product_stock import StockChange
from .projection import address_fields, item_fields, order_fields
from .rows import Row, RowCompleter
from .status import AWAITING_PAYMENT
from .versions import RowVersion

# Columns that are set when the row is written: a new address gets its key then, and a double click
# is distinguished from a later request by the moment of the INSERT.
SET_BY_WRITER = frozenset({"billing_address_id", "written"})


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
        stock: the units that the order holds, by the product's key.
        voucher: the voucher to redeem, as the `Pricing` has returned it.
        order: the order's row, complete but for `SET_BY_WRITER`.
        items: the rows of its items, complete, by position.
        cart_key: the key of the cart.
        cart_item_keys: the keys of the cart items to delete.
        voucher_removal: the cart that still holds a voucher; None if it holds none.
        cart: the shop's own cart object.
        cart_items: the shop's own cart items of each of `items`.
        has_receivers: whether `order_placing` had receivers when the cart was read: then the plan
            has the objects that they are given.
    """

    reference: OrderReference
    address: AddressRow
    stock: Mapping[Any, StockChange]
    voucher: AppliedVoucher | None
    order: Row
    items: tuple[Row, ...]
    cart_key: Any
    cart_item_keys: tuple[tuple[Any, ...], ...]
    voucher_removal: VoucherRemoval | None
    cart: Any
    cart_items: tuple[tuple[Any, ...], ...]
    has_receivers: bool


class OrderPlanner:
    """Plans the orders of one app, with the columns and defaults of its own subclasses."""

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
        has_receivers: bool,
    ) -> OrderPlan:
        """Plan an order of a priced cart whose items are all available.

        Args:
            reference: the order's key and its customer's key.
            cart: the cart under lock.
            priced: its items with their prices.
            address: the address to bill.
            sequence: the customer's running order number.
            now: when the order is made.
            extra: values of the shop's own columns, by attribute.
            has_receivers: whether receivers of `order_placing` are to be called.
        """
        return OrderPlan(
            reference=reference,
            address=address,
            stock=self._stock_changes(cart),
            voucher=priced.voucher,
            order=self._order_rows.complete(
                self._models.own_columns.by_column(extra)
                | order_fields(reference.customer_id, priced)
                | address_fields(address.address)
                | _new_order(reference, sequence, now)
            ),
            items=self._items(reference, cart, priced),
            cart_key=cart.key,
            cart_item_keys=cart.item_keys,
            voucher_removal=self._voucher_removal(cart),
            cart=cart.row,
            cart_items=tuple(item.cart_item.rows for item in priced.items),
            has_receivers=has_receivers,
        )

    def _stock_changes(self, cart: CartSnapshot) -> dict[Any, StockChange]:
        """Return the units of the products whose stock the order holds."""
        counted = [item for item in cart.items if cart.products[item.product_id].stock.is_held]
        version = self._product_version
        return {
            key: StockChange(
                units, None if version is None else version.next(cart.products[key].version)
            )
            for key, units in units_by_product(counted).items()
        }

    def _items(
        self, reference: OrderReference, cart: CartSnapshot, priced: PricedCart
    ) -> tuple[Row, ...]:
        return tuple(
            self._item_rows.complete(
                item_fields(item)
                | {
                    "id": new_key(),
                    "order_id": reference.id,
                    "position": position,
                    "stock_deducted": cart.products[item.cart_item.product_id].stock.is_held,
                }
            )
            for position, item in enumerate(priced.items, start=1)
        )

    def _voucher_removal(self, cart: CartSnapshot) -> VoucherRemoval | None:
        if cart.voucher is None or cart.key is None:
            return None
        version = self._cart_version
        return VoucherRemoval(cart.key, None if version is None else version.next(cart.version))

    @cached_property
    def _order_rows(self) -> RowCompleter:
        return RowCompleter(table(self._models.Order), without=SET_BY_WRITER)

    @cached_property
    def _item_rows(self) -> RowCompleter:
        return RowCompleter(table(self._models.OrderItem))

    @cached_property
    def _product_version(self) -> RowVersion | None:
        return RowVersion.of(self._models.Product)

    @cached_property
    def _cart_version(self) -> RowVersion | None:
        return RowVersion.of(self._models.Cart)


def _new_order(reference: OrderReference, sequence: int, now: datetime) -> dict[str, Any]:
    """Return the fields that every new order has."""
    return {
        "id": reference.id,
        "number": new_number(),
        "sequence": sequence,
        "status": AWAITING_PAYMENT,
        "created": now,
        "updated": now,
    }
