"""Write a planned order: every row of it, or an error that undoes all of them.

Where the database and the plan allow, it is one statement (`one_write.py`). Otherwise the order of
the statements is the lock order that conversions and transitions share: address, stock, voucher,
order and items, what the receivers of `order_placing` write, cart items, cart. The number of
statements does not depend on the number of items. Every UPDATE and DELETE is guarded by its count
of rows; an INSERT can only succeed in full or fail.
"""

from flask_sqlalchemy.session import Session
from sqlalchemy import insert
from sqlalchemy.orm import scoped_session

from .address_book import AddressBook
from .cart_vouchers import CartVouchers
from .db.writes import execute_each
from .dependents import Dependents
from .errors import Conflict
from .models import Models
from .models.contract import table
from .one_write import OneWrite, written_now
from .plan import OrderPlan
from .pricing import Pricing
from .product_stock import ProductStock
from .receivers import PlacingReceivers, deleted_by_receiver


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
        self._cart_vouchers = CartVouchers(models)
        self._one_write = OneWrite(
            session, models, stock, pricing, self._dependents, self._cart_vouchers
        )

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
        if not plan.has_receivers and self._one_write.write(plan):
            return
        address_id = self._address_id(plan)
        self._stock.deduct(plan.stock)
        if plan.voucher is not None:
            self._pricing.redeem(plan.voucher, plan.reference)
        order = {**plan.order, "billing_address_id": address_id, **written_now()}
        self._session.execute(insert(table(self._models.Order)), [order])
        self._session.execute(insert(table(self._models.OrderItem)), list(plan.items))
        if plan.has_receivers:
            self._receivers.call(plan)
        try:
            self._empty_cart(plan)
        except Conflict:
            if plan.has_receivers:
                # The rows are locked: nobody but a receiver can have deleted one.
                raise deleted_by_receiver() from None
            raise

    def _empty_cart(self, plan: OrderPlan) -> None:
        # A cart that came with the request has no rows.
        if plan.cart_item_keys:
            self._dependents.delete_items(plan.cart_item_keys)
        if plan.voucher_removal is not None:
            execute_each(self._session, self._cart_vouchers.removals(plan.voucher_removal))

    def _address_id(self, plan: OrderPlan) -> int:
        known = plan.address
        if known.id is not None:
            return known.id
        return self._addresses.insert(plan.reference.customer_id, known.address)
