"""Convert a cart into an order, once: read under lock, price, plan, write, in one savepoint.

After an error everything is as it was before. Nothing is committed and the session is never rolled
back: both belong to the owner of the transaction. The preview is the same reading and pricing,
without a lock, and stops before the plan.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from http import HTTPStatus
from typing import Any
from uuid import UUID

from flask_sqlalchemy.session import Session
from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import scoped_session

from .address_book import AddressBook
from .addresses import BillingAddress
from .cart_items import GivenCart
from .carts import Carts, CartSnapshot
from .currency import TOO_MUCH, Currency
from .db.typing import Query
from .errors import (
    EmptyCart,
    InvalidRequest,
    ItemUnavailable,
    OrdersError,
    VoucherNotApplicable,
)
from .keys import new_key
from .lifecycle import Lifecycle, Transition
from .models import Models
from .models.contract import key_attribute, table
from .models.mixins import microseconds
from .plan import OrderPlan, OrderPlanner
from .pricing import Cart, PricedCart, Pricing, check_priced
from .product_stock import ProductStock
from .receivers import PlacingReceivers
from .settings import Settings
from .status import AWAITING_PAYMENT, CUSTOMER
from .writer import OrderWriter

# What a column of units holds: INTEGER.
MOST_UNITS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """A customer's request for an order, the same through all attempts at it.

    Attributes:
        id: the key that the order will have.
        customer_id: the customer's primary key.
        billing_address: the address to bill; None is the customer's saved address.
        expected_total: the highest acceptable total, in the shop's currency.
        checkout: whether a zero-total order becomes paid now.
        arrived: when the request reached the shop, if that is known.
        extra: values of the shop's own columns of the order, by attribute.
        given: the cart, if the shop has no rows of it; None: it is in the database.
    """

    id: UUID
    customer_id: Any
    billing_address: BillingAddress | None = None
    expected_total: Decimal | None = None
    checkout: bool = False
    arrived: datetime | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    given: GivenCart | None = None


@dataclass(frozen=True, slots=True)
class CustomerState:
    """The customer's last order number, and the key of the request's address if it has a row.

    Either may be outdated by the time it is used; the database's constraints notice.
    """

    last_sequence: int
    address_id: int | None = None


NEW_CUSTOMER = CustomerState(0)


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """The order that a request for an order has led to.

    Attributes:
        order_id: the order's key.
        payable: whether there is something to pay.
        replayed: whether it is the stored result of an earlier request with the same key.
    """

    order_id: UUID
    payable: bool
    replayed: bool = False


class Converter:
    """Converts the carts of one app."""

    def __init__(
        self,
        session: scoped_session[Session],
        models: Models,
        settings: Callable[[], Settings],
        carts: Carts,
        stock: ProductStock,
        pricing: Pricing,
        addresses: AddressBook,
        lifecycle: Lifecycle,
        *,
        has_own_pricing: bool,
    ) -> None:
        self._session = session
        self._models = models
        self._settings = settings
        self._carts = carts
        self._pricing = pricing
        self._addresses = addresses
        self._lifecycle = lifecycle
        self._has_own_pricing = has_own_pricing
        self._planner = OrderPlanner(models)
        self._receivers = PlacingReceivers(session, models, carts)
        self._writer = OrderWriter(session, models, addresses, stock, pricing, self._receivers)

    def convert(self, order_request: OrderRequest, since: int, state: CustomerState) -> PlacedOrder:
        """Convert the customer's cart, in a savepoint, which an error rolls back.

        Args:
            order_request: the request.
            since: the customer's last order number at the first attempt.
            state: the customer's state when this attempt began.

        Returns:
            The request's own order; or, if the cart is empty because an order was made from it
            after the request arrived, that order.

        Raises:
            OrdersError: the order is refused.
            Conflict, DBAPIError: another transaction interfered; start over.
        """
        with self._session.begin_nested():
            has_receivers = self._receivers.any
            snapshot = self._read(
                order_request.customer_id, order_request.given, objects=has_receivers
            )
            if snapshot is None:
                return self._order_since(order_request, since)
            plan = self._plan(order_request, state, snapshot, has_receivers=has_receivers)
            self._writer.write(plan)
            self._lifecycle.announce_placed(plan.order)
            payable = plan.order["total_amount"] > 0
            if order_request.checkout and not payable:
                self._lifecycle.check_out(Transition(new_key(), order_request.id, CUSTOMER))
        return PlacedOrder(order_request.id, payable)

    def preview(self, customer_id: Any, given: GivenCart | None = None) -> PricedCart:
        """Price the cart as it would be ordered now, without a lock; see `OrderService.preview`."""
        nothing = PricedCart.of((), self._currency)
        try:
            snapshot = self._read(customer_id, given, lock=False)
        except InvalidRequest as error:
            return replace(nothing, refusal=error)
        if snapshot is None:
            return replace(nothing, refusal=EmptyCart())
        priced = self._priced_without_refusal(self._cart(snapshot, customer_id), datetime.now(UTC))
        refusal = priced.refusal or _size_refusal(priced)
        if snapshot.unavailable:
            refusal = _unavailable(snapshot)
        return replace(priced, unavailable=snapshot.unavailable, refusal=refusal)

    def load_state(
        self, customer_id: Any, address: BillingAddress | None = None
    ) -> CustomerState | None:
        """Return the state from which an order begins; None if there is no such customer."""
        fingerprint = None if address is None else address.fingerprint
        parameters = {"customer": customer_id, "fingerprint": fingerprint}
        found = self._session.execute(self._state_query, parameters).one_or_none()
        return None if found is None else CustomerState(*found)

    def find_placed(self, order_id: UUID) -> PlacedOrder | None:
        """Return the order with that key, if it exists by now."""
        orders = table(self._models.Order)
        query = select(orders.c.status).where(orders.c.id == order_id)
        status = self._session.execute(query).scalar_one_or_none()
        return None if status is None else PlacedOrder(order_id, payable=status == AWAITING_PAYMENT)

    def _read(
        self,
        customer_id: Any,
        given: GivenCart | None,
        *,
        lock: bool = True,
        objects: bool = True,
    ) -> CartSnapshot | None:
        max_items = self._settings().max_items
        if given is None:
            return self._carts.read(customer_id, max_items, lock=lock, objects=objects)
        return self._carts.read_given(given, max_items, lock=lock, objects=objects)

    def _plan(
        self,
        order_request: OrderRequest,
        state: CustomerState,
        snapshot: CartSnapshot,
        *,
        has_receivers: bool,
    ) -> OrderPlan:
        """Price a locked cart, and plan its order; nothing is written yet.

        Raises:
            OrdersError: an item is unavailable, there is no address to bill, the voucher can't be
                used, or the total is higher than expected.
        """
        if snapshot.unavailable:
            raise _unavailable(snapshot)
        customer_id, now = order_request.customer_id, datetime.now(UTC)
        address = self._addresses.find(customer_id, order_request.billing_address, state.address_id)
        cart = replace(
            self._cart(snapshot, customer_id),
            billing_address=address.address,
            extra=order_request.extra,
        )
        priced = self._price(cart, now)
        refusal = _size_refusal(priced) or priced.price_refusal(order_request.expected_total)
        if refusal is not None:
            raise refusal
        return self._planner.plan(
            order_request,
            snapshot,
            priced,
            address,
            sequence=state.last_sequence + 1,
            now=now,
            extra=order_request.extra,
            has_receivers=has_receivers,
        )

    def _cart(self, snapshot: CartSnapshot, customer_id: Any) -> Cart:
        """Return a cart as its pricing is given it, in a preview."""
        return Cart(
            row=snapshot.row,
            items=snapshot.items,
            customer_id=customer_id,
            voucher=snapshot.voucher,
            currency=self._currency,
        )

    def _price(self, cart: Cart, now: datetime) -> PricedCart:
        priced = self._pricing.price(cart, now)
        return check_priced(priced, cart, self._pricing) if self._has_own_pricing else priced

    def _priced_without_refusal(self, cart: Cart, now: datetime) -> PricedCart:
        """Price a cart; a voucher that can't be used is left out, with the refusal.

        A pricing of the shop's own may refuse a cart for another reason, or find a voucher by the
        cart's row: then nothing is priced.
        """
        nothing = PricedCart.of((), self._currency)
        try:
            return self._price(cart, now)
        except VoucherNotApplicable as error:
            priced = nothing
            if cart.voucher is not None:
                priced = self._priced_without_refusal(replace(cart, voucher=None), now)
            return replace(priced, voucher_refusal=error.reason, refusal=error)
        except OrdersError as error:
            if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            return replace(nothing, refusal=error)

    def _order_since(self, order_request: OrderRequest, since: int) -> PlacedOrder:
        """Return the order that has emptied the cart while the request was under way.

        Raises:
            EmptyCart: the newest order was there before the request arrived.
        """
        order = self._models.Order
        newest = self._session.execute(
            select(order.id, order.status, order.sequence, order.written)
            .where(order.customer_id == order_request.customer_id)
            .order_by(order.sequence.desc())
            .limit(1)
        ).one_or_none()
        if newest is None:
            raise EmptyCart
        # An order that was written before, but became visible only after the request's first read.
        is_new = newest.sequence > since
        arrived = order_request.arrived
        if not is_new and (arrived is None or newest.written < microseconds(arrived)):
            raise EmptyCart
        return PlacedOrder(newest.id, payable=newest.status == AWAITING_PAYMENT)

    @property
    def _currency(self) -> Currency:
        return Currency.of(self._settings().currency)

    @cached_property
    def _state_query(self) -> Query:
        # Built once: building it takes longer than executing it.
        orders, customer = table(self._models.Order).c, self._models.Customer
        last = select(func.coalesce(func.max(orders.sequence), 0)).where(
            orders.customer_id == bindparam("customer")
        )
        query = select(last.scalar_subquery(), self._addresses.equal.scalar_subquery())
        if customer is None:
            return query
        # Through the mapper: neither a single-table sibling nor a soft-deleted row is a customer.
        return query.select_from(customer).where(key_attribute(customer) == bindparam("customer"))


def _unavailable(snapshot: CartSnapshot) -> ItemUnavailable:
    return ItemUnavailable(list(snapshot.unavailable))


def _size_refusal(priced: PricedCart) -> OrdersError | None:
    """Return the error if the amounts are larger than the columns can hold."""
    largest = priced.subtotal + max(priced.savings_on_items, priced.shipping)
    if largest < TOO_MUCH and priced.items_count <= MOST_UNITS:
        return None
    return InvalidRequest("An order can't be as large as this. Order fewer units at a time.")
