"""A cart becomes an order: read under lock, priced, written, in one savepoint.

Nothing is committed and the session is never rolled back: both belong to whoever owns the
transaction. The preview is the same reading and pricing without a lock.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import UUID

from flask_sqlalchemy.session import Session
from sqlalchemy import Select, Table, bindparam, func, insert, select
from sqlalchemy.orm import scoped_session

from .address_book import AddressBook
from .addresses import BillingAddress
from .carts import Carts
from .errors import (
    EmptyCart,
    InvalidRequest,
    ItemUnavailable,
    OrdersError,
    VoucherNotApplicable,
)
from .keys import new_key, new_number
from .lifecycle import Lifecycle, Transition
from .models import Models, table
from .models.contract import key_attribute
from .models.mixins import microseconds
from .pricing import (
    AMOUNTS,
    TOO_MUCH,
    CartItem,
    Currency,
    PricedCart,
    PricedItem,
    Pricing,
    check_priced,
)
from .settings import Settings
from .status import AWAITING_PAYMENT, CUSTOMER

# What a column of units holds: INTEGER.
MOST_UNITS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a customer asks for, the same through all attempts at it.

    Attributes:
        id: the key of the order to be.
        arrived: when the request reached the shop, if that is known.
    """

    id: UUID
    customer_id: Any
    billing_address: BillingAddress | None = None
    expected_total: Decimal | None = None
    checkout: bool = False
    arrived: datetime | None = None


@dataclass(frozen=True, slots=True)
class CustomerState:
    """What an order begins with: the customer's last order number, and the address's row if any.

    Either may be outdated when it is used; the database's constraints notice.
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

    @property
    def _currency(self) -> Currency:
        return Currency.of(self._settings().currency)

    def preview(self, customer_id: Any) -> PricedCart:
        """Price the cart as it would be ordered now, without a lock; see `OrderService.preview`."""
        nothing = PricedCart.of((), self._currency)
        try:
            cart = self._carts.read(customer_id, self._settings().max_items, lock=False)
        except InvalidRequest as error:
            return replace(nothing, refusal=error)
        if cart is None or not cart.items:
            return replace(nothing, refusal=EmptyCart())
        items, unavailable = self._carts.priceable_items(cart.items, lock=False)
        refusal: OrdersError | None = ItemUnavailable(unavailable) if unavailable else None
        now, voucher_refusal = datetime.now(UTC), None
        try:
            priced = self._price(items, customer_id, cart.voucher, now)
        except VoucherNotApplicable as error:
            voucher_refusal = error.reason
            refusal = refusal or error
            priced = self._price(items, customer_id, None, now)
        return replace(
            priced,
            unavailable=tuple(unavailable),
            voucher_refusal=voucher_refusal,
            refusal=refusal or _size_refusal(priced),
        )

    def load_state(
        self, customer_id: Any, address: BillingAddress | None = None
    ) -> CustomerState | None:
        """What an order of the customer's begins with; None if there is no such customer."""
        fingerprint = None if address is None else address.fingerprint
        asked = {"customer": customer_id, "fingerprint": fingerprint}
        found = self._session.execute(self._state_query, asked).one_or_none()
        return None if found is None else CustomerState(*found)

    @cached_property
    def _state_query(self) -> Select[Any]:
        # Made once: to make it takes longer than to send it.
        orders, customer = table(self._models.Order).c, self._models.Customer
        last = select(func.coalesce(func.max(orders.sequence), 0)).where(
            orders.customer_id == bindparam("customer")
        )
        query = select(last.scalar_subquery(), self._addresses.equal.scalar_subquery())
        if customer is None:
            return query
        # By the mapper: neither a single-table sibling nor a soft-deleted row is a customer.
        return query.select_from(customer).where(key_attribute(customer) == bindparam("customer"))

    def find_placed(self, order_id: UUID) -> PlacedOrder | None:
        """The order with that key, if there is one by now."""
        orders = table(self._models.Order)
        query = select(orders.c.status).where(orders.c.id == order_id)
        status = self._session.execute(query).scalar_one_or_none()
        return None if status is None else PlacedOrder(order_id, payable=status == AWAITING_PAYMENT)

    def convert(self, order_request: OrderRequest, since: int, state: CustomerState) -> PlacedOrder:
        """Convert the cart, in a savepoint.

        Args:
            order_request: what is asked for.
            since: the customer's last order number when the request was first looked at.
            state: the customer's, when this attempt at it began.

        Returns:
            The request's own order, or, if the cart is empty because an order was made from
            it since the request arrived, that one.

        Raises:
            OrdersError: a refusal. Conflict, IntegrityError: start over. Either way the savepoint
            is rolled back.
        """
        with self._session.begin_nested():
            cart = self._carts.read(order_request.customer_id, self._settings().max_items)
            if cart is None or not cart.items:
                return self._order_since(order_request, since)
            items, unavailable = self._carts.priceable_items(cart.items)
            if unavailable:
                raise ItemUnavailable(unavailable)
            now = datetime.now(UTC)
            priced = self._price(items, order_request.customer_id, cart.voucher, now)
            refusal = _size_refusal(priced) or priced.price_refusal(order_request.expected_total)
            if refusal is not None:
                raise refusal
            address_id, address = self._addresses.assign(
                order_request.customer_id, order_request.billing_address, state.address_id
            )
            self._carts.deduct_stock(items)
            if priced.voucher is not None:
                self._pricing.redeem(priced.voucher, order_request)
            order = self._insert(
                order_request, state.last_sequence + 1, priced, address_id, address, now
            )
            self._carts.empty(cart)
            self._lifecycle.announce_placed(order)
            payable = priced.total_amount > 0
            if order_request.checkout and not payable:
                self._lifecycle.check_out(Transition(new_key(), order_request.id, CUSTOMER))
        return PlacedOrder(order_request.id, payable)

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

    def _price(
        self, items: Sequence[CartItem], customer_id: Any, voucher: Any, now: datetime
    ) -> PricedCart:
        priced = self._pricing.price(items, customer_id, voucher, now)
        return check_priced(priced, self._pricing) if self._has_own_pricing else priced

    def _insert(
        self,
        order_request: OrderRequest,
        sequence: int,
        priced: PricedCart,
        address_id: int,
        address: BillingAddress,
        now: datetime,
    ) -> dict[str, Any]:
        orders, items = table(self._models.Order), table(self._models.OrderItem)
        voucher = priced.voucher
        order = {
            "id": order_request.id,
            "number": new_number(),
            "sequence": sequence,
            "customer_id": order_request.customer_id,
            "status": AWAITING_PAYMENT,
            "currency": priced.currency.code,
            "currency_decimals": priced.currency.decimals,
            "billing_address_id": address_id,
            **{f"billing_{name}": text for name, text in asdict(address).items()},
            "voucher_id": None if voucher is None else voucher.id,
            "voucher_code": None if voucher is None else voucher.code,
            **{name: getattr(priced, name) for name in AMOUNTS},
            "created": now,
            "updated": now,
        }
        self._session.execute(insert(orders), [_existing(orders, order)])
        self._session.execute(
            insert(items),
            [
                _existing(items, _item_columns(order_request.id, position, item))
                for position, item in enumerate(priced.items, start=1)
            ],
        )
        return order


def _size_refusal(priced: PricedCart) -> OrdersError | None:
    """Return the error if the amounts are larger than the columns can hold."""
    largest = priced.subtotal + max(priced.savings_on_items, priced.shipping)
    if largest < TOO_MUCH and priced.items_count <= MOST_UNITS:
        return None
    return InvalidRequest("An order can't be as large as this. Order less at a time.")


def _existing(rows: Table, values: dict[str, Any]) -> dict[str, Any]:
    """Without the references to offers and vouchers, in a shop that has neither of ours."""
    return {name: value for name, value in values.items() if name in rows.c}


def _item_columns(order_id: UUID, position: int, priced: PricedItem) -> dict[str, Any]:
    offer = priced.offer
    return {
        "id": new_key(),
        "order_id": order_id,
        "position": position,
        "product_id": priced.cart_item.product_id,
        "sku": priced.cart_item.sku,
        "name": priced.cart_item.name,
        "quantity": priced.quantity,
        "list_price": priced.list_price,
        "unit_price": priced.unit_price,
        "discount_amount": priced.discount_amount,
        "total_price": priced.total_price,
        "shipping": priced.shipping,
        "voucher_discount": priced.voucher_discount,
        "offer_id": None if offer is None else offer.id,
        "offer_title": None if offer is None else offer.title,
        "stock_deducted": priced.cart_item.product.stock is not None,
    }
