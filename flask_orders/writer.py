"""Write a planned order: every row of it, or an error that undoes all of them.

The order of the statements is the lock order that conversions and transitions share: address,
stock, voucher, order and items, what the receivers of `order_placing` write, cart items, cart. The
number of statements does not depend on the number of items. Every UPDATE and DELETE is guarded by
its count of rows; an INSERT can only succeed in full or fail.
"""

from functools import cached_property
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import Column, Update, bindparam, insert, update
from sqlalchemy.orm import scoped_session

from .address_book import AddressBook
from .db.bulk import PREFIX
from .dependents import Dependents
from .errors import Conflict
from .models import Models
from .models.contract import key_in, row_count, table
from .plan import OrderPlan, VoucherRemoval
from .pricing import Pricing
from .product_stock import ProductStock
from .receivers import PlacingReceivers, deleted_by_receiver
from .versions import RowVersion


class OrderWriter:
    """Carries out the plans of one app, in the caller's savepoint."""

    def __init__(
        self,
        session: scoped_session[Session],
        models: Models,
        addresses: AddressBook,
        stock: ProductStock,
        pricing: Pricing,
        receivers: PlacingReceivers,
    ) -> None:
        self._session = session
        self._models = models
        self._addresses = addresses
        self._stock = stock
        self._pricing = pricing
        self._receivers = receivers
        self._dependents = Dependents(session, models)

    def write(self, plan: OrderPlan) -> None:
        """Write everything that a plan holds.

        Raises:
            Conflict: a row is not as it was when the plan was made.
            DBAPIError: another order of the customer has the same running number.
            OrdersError: the shop's own `Pricing` has refused the voucher, or a receiver of
                `order_placing` the order.
            ConfigurationError: a receiver has deleted the cart or an item, or ended the
                transaction.
        """
        address_id = self._address_id(plan)
        self._stock.deduct(plan.stock)
        if plan.voucher is not None:
            self._pricing.redeem(plan.voucher, plan.reference)
        order = {**plan.order, "billing_address_id": address_id}
        self._session.execute(insert(table(self._models.Order)), [order])
        self._session.execute(insert(table(self._models.OrderItem)), list(plan.items))
        are_called = self._receivers.call(plan)
        try:
            self._empty_cart(plan)
        except Conflict:
            if are_called:
                # The rows are locked: nobody but a receiver can have deleted one.
                raise deleted_by_receiver() from None
            raise

    def _empty_cart(self, plan: OrderPlan) -> None:
        # A cart that came with the request has no rows.
        if plan.cart_item_keys:
            self._dependents.delete_items(plan.cart_item_keys)
        if plan.voucher_removal is not None:
            self._remove_voucher(plan.voucher_removal)

    def _address_id(self, plan: OrderPlan) -> int:
        known = plan.address
        if known.id is not None:
            return known.id
        return self._addresses.insert(plan.reference.customer_id, known.address)

    def _remove_voucher(self, removal: VoucherRemoval) -> None:
        cart = {f"{PREFIX}cart": removal.cart_key}
        version = {f"{PREFIX}version": removal.version}
        for statement, sets_version in self._removing_voucher:
            changed = self._session.execute(statement, cart | version if sets_version else cart)
            if row_count(changed) != 1:
                raise Conflict

    @cached_property
    def _removing_voucher(self) -> list[tuple[Update, bool]]:
        """One UPDATE of each table of the cart's class, and whether it sets the row's version."""
        cart, version = self._models.shop.cart, RowVersion.of(self._models.Cart)
        values: dict[Column[Any], Any] = {}
        if cart.voucher is not None:
            # A text column that is NOT NULL has no code while it is empty.
            values[cart.voucher] = None if cart.voucher.nullable else ""
        if version is not None:
            values[version.column] = bindparam(f"{PREFIX}version", type_=version.column.type)
        wanted = bindparam(f"{PREFIX}cart", type_=cart.key.type)
        return [
            (
                update(rows).where(key_in(rows, self._models.Cart, cart.key) == wanted).values(new),
                version is not None and version.column in new,
            )
            for rows in cart.source.tables
            if (new := {column: values[column] for column in values if column.table is rows})
        ]
