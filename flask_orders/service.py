"""OrderService: how a cart becomes an order, in one savepoint, and what may become of the order.

Called by the blueprint, and by a host's own code as `current_orders`. It never commits and never
rolls the session back: both belong to whoever owns the transaction.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import UUID

from flask import current_app
from flask_sqlalchemy.session import Session
from sqlalchemy import Select, Table, bindparam, func, insert, select
from sqlalchemy.orm import scoped_session, selectinload
from werkzeug.local import LocalProxy

from .address_book import AddressBook, SavedAddress
from .addresses import BillingAddress
from .audit import problems
from .carts import Carts
from .db.managed import MANAGED
from .errors import (
    ConfigurationError,
    EmptyCart,
    InvalidRequest,
    ItemUnavailable,
    OrderNotFound,
    OrdersError,
    VoucherNotApplicable,
)
from .keys import as_order_id, new_key, new_number
from .lifecycle import Lifecycle, Payment, Transition
from .models import Models, OrderMixin, table
from .models.contract import key_attribute
from .models.mixins import microseconds
from .outbox import Outbox
from .pagination import OrderPage, Page, find_page
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
from .promotions import Promotions
from .settings import Settings
from .status import AWAITING_PAYMENT, CUSTOMER, SHOP

EXTENSION_KEY = "orders"

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
    """An order that a cart has become, and whether there is something to pay."""

    order_id: UUID
    payable: bool


class OrderService:
    """The orders of one app; `app.extensions["orders"]`, and `current_orders` while it runs."""

    def __init__(
        self,
        session: scoped_session[Session],
        models: Models,
        settings: Callable[[], Settings],
        pricing: Pricing | None = None,
        saved_address: SavedAddress | None = None,
    ) -> None:
        self.session = session
        self.models = models
        self.options = {"pricing": pricing, "saved_address": saved_address}
        self.has_own_pricing = pricing is not None
        self._settings = settings
        self._pricing: Pricing = pricing or Promotions(session, models, lambda: self.currency)
        self._addresses = AddressBook(session, models, saved_address)
        self.carts = Carts(
            session,
            models,
            lambda: self.currency,
            priced_by_product=not self.has_own_pricing,
        )
        self.lifecycle = Lifecycle(session, models, self.carts, self._pricing, self._outbox)

    @property
    def settings(self) -> Settings:
        """The app's `ORDERS_*` configuration, as it is now."""
        return self._settings()

    @property
    def currency(self) -> Currency:
        """The shop's currency, `ORDERS_CURRENCY`."""
        return Currency.of(self.settings.currency)

    def convert(
        self,
        customer_id: Any,
        *,
        billing_address: BillingAddress | None = None,
        expected_total: Decimal | None = None,
    ) -> OrderMixin:
        """Make the customer's cart an order, in a savepoint of the caller's transaction.

        Nothing is committed; after an error everything is as it was before the call, and what the
        caller has pending is still there. A conflict with another transaction (a driver's
        deadlock or serialization error, an IntegrityError, `Conflict`) reaches the caller, who
        must roll back and start over.

        Args:
            customer_id: the customer's primary key.
            billing_address: left out, it is the customer's saved address.
            expected_total: the highest acceptable total, in the shop's currency.

        Returns:
            The order, status `awaiting_payment`.

        Raises:
            EmptyCart, BillingAddressRequired, ItemUnavailable, PriceChanged,
            VoucherNotApplicable: nothing was ordered; each says why.
        """
        self._begin()
        order_request = OrderRequest(new_key(), customer_id, billing_address, expected_total)
        state = self.load_customer_state(customer_id, billing_address) or NEW_CUSTOMER
        placed = self.place(order_request, state.last_sequence, state)
        # The statements above pass by what the session has loaded.
        self.session.expire_all()
        return self.get(customer_id, placed.order_id)

    def record_payment(
        self, order_id: UUID | str, reference: str, amount: Decimal, *, currency: str | None = None
    ) -> OrderMixin:
        """Note that money has arrived for an order; called any number of times with a reference.

        The order becomes paid if it awaits its payment. Money for any other order, one that is
        cancelled or paid already, is recorded whatever its amount and currency, and
        `payment_unexpected` tells the shop to refund it. The caller commits.

        Args:
            order_id: the order's key, as a UUID or as text.
            reference: the payment provider's name for the payment; 1 to 255 characters.
            amount: what has arrived, in whole units of its currency: Decimal("19.00").
            currency: its ISO 4217 code, in any letter case; left out, it is the order's.

        Returns:
            The order; its `status` says whether it is paid.

        Raises:
            OrderNotFound: there is no such order.
            PaymentMismatch: another amount or currency than the order awaits, or a reference that
                came for another order. Nothing was changed.
            ValueError: the reference is empty or too long, the amount is not above 0 or has more
                than four decimals, or the currency is no ISO 4217 code.
            TypeError: the amount is no Decimal.
        """
        self._begin()
        payment = Payment(as_order_id(order_id), reference, amount, currency)
        with self.session.begin_nested():
            self.lifecycle.pay(payment)
        return self._changed(payment.order_id)

    def cancel(
        self, order_id: UUID | str, *, by_shop: bool = False, note: str | None = None
    ) -> OrderMixin:
        """Cancel an order and give its stock and its voucher's use back. The caller commits.

        Args:
            order_id: the order's key, as a UUID or as text.
            by_shop: a paid order may be cancelled too.
            note: why, kept in `order_events`.

        Returns:
            The order, `cancelled`; it may have been before.

        Raises:
            OrderNotFound: there is no such order.
            OrderNotCancellable: its status forbids it.
        """
        self._begin()
        actor = SHOP if by_shop else CUSTOMER
        transition = Transition(new_key(), as_order_id(order_id), actor, note=note)
        with self.session.begin_nested():
            self.lifecycle.cancel(transition)
        return self._changed(transition.order_id)

    def deliver(self, order_id: UUID | str, *, note: str | None = None) -> OrderMixin:
        """Note that a paid order was delivered. The caller commits.

        Args:
            order_id: the order's key, as a UUID or as text.
            note: how, kept in `order_events`.

        Returns:
            The order, `delivered`; it may have been before.

        Raises:
            OrderNotFound: there is no such order.
            OrderNotDeliverable: it is not paid.
        """
        self._begin()
        transition = Transition(new_key(), as_order_id(order_id), SHOP, note=note)
        with self.session.begin_nested():
            self.lifecycle.deliver(transition)
        return self._changed(transition.order_id)

    def expire(self, limit: int = 100) -> int:
        """Cancel orders that have waited longer than ORDERS_PAYMENT_HOURS for their payment.

        A zero-total order needs no payment and does not expire. The caller commits, and calls
        again while there are any; one that can't be cancelled stops them all, which is why
        `flask orders expire` goes on without it.

        Args:
            limit: how many at most; 1 to 10,000, since they are read by one statement.

        Returns:
            How many there were.
        """
        self._begin()
        with self.session.begin_nested():
            count = self.lifecycle.expire(self.settings.payment_hours, limit)
        self.session.expire_all()
        return count

    def audit(self, on_progress: Callable[[int], None] | None = None) -> Iterator[str]:
        """Recompute every order, in bounded memory, and say what does not add up.

        Args:
            on_progress: called with the number of orders that were looked at since the last call.

        Yields:
            A sentence for each problem, which begins with the number of its invariant: I1 is of
            stock, I2 of vouchers, I4 of orders and items without each other, I5 of amounts.
        """
        return problems(
            self.session,
            self.models,
            has_own_pricing=self.has_own_pricing,
            on_progress=on_progress,
        )

    def preview(self, customer_id: Any) -> PricedCart:
        """The order as it would be now: the conversion's own reading and pricing.

        Nothing is written and nothing is locked. Unavailable items are left out and named in
        `unavailable`; a voucher that can't be used is left out with its `voucher_refusal`. Of a
        cart with more than ORDERS_MAX_ITEMS items nothing is priced. `refusal` is what would refuse
        the order, but for what depends on the request: its address and its `expected_total`.
        """
        nothing = PricedCart.of((), self.currency)
        try:
            cart = self.carts.read(customer_id, self.settings.max_items, lock=False)
        except InvalidRequest as error:
            return replace(nothing, refusal=error)
        if cart is None or not cart.items:
            return replace(nothing, refusal=EmptyCart())
        items, unavailable = self.carts.priceable_items(cart.items, lock=False)
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

    def load_customer_state(
        self, customer_id: Any, address: BillingAddress | None = None
    ) -> CustomerState | None:
        """What an order of the customer's begins with; None if there is no such customer."""
        fingerprint = None if address is None else address.fingerprint
        asked = {"customer": customer_id, "fingerprint": fingerprint}
        found = self.session.execute(self._state_query, asked).one_or_none()
        return None if found is None else CustomerState(*found)

    @cached_property
    def _state_query(self) -> Select[Any]:
        # Made once: to make it takes longer than to send it.
        orders, customer = table(self.models.Order).c, self.models.Customer
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
        orders = table(self.models.Order)
        query = select(orders.c.status).where(orders.c.id == order_id)
        status = self.session.execute(query).scalar_one_or_none()
        return None if status is None else PlacedOrder(order_id, payable=status == AWAITING_PAYMENT)

    def page(self, customer_id: Any, wanted: Page) -> OrderPage | None:
        """A page of the customer's orders; None if there is no such customer."""
        return find_page(self.session, self.models, customer_id, wanted)

    def get(self, customer_id: Any, order_id: UUID | str) -> OrderMixin:
        """The customer's order, with its items.

        Raises:
            OrderNotFound: there is none with that id, or it is somebody else's.
        """
        order, key = self.models.Order, as_order_id(order_id)
        found = self.session.execute(
            select(order)
            .where(order.id == key, order.customer_id == customer_id)
            .options(selectinload(order.items))
        ).scalar_one_or_none()
        if found is None:
            raise OrderNotFound
        return found

    def place(self, order_request: OrderRequest, since: int, state: CustomerState) -> PlacedOrder:
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
        with self.session.begin_nested():
            cart = self.carts.read(order_request.customer_id, self.settings.max_items)
            if cart is None or not cart.items:
                return self._order_since(order_request, since)
            items, unavailable = self.carts.priceable_items(cart.items)
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
            self.carts.deduct_stock(items)
            if priced.voucher is not None:
                self._pricing.redeem(priced.voucher, order_request)
            order = self._insert(
                order_request, state.last_sequence + 1, priced, address_id, address, now
            )
            self.carts.empty(cart)
            self.lifecycle.announce_placed(order)
            payable = priced.total_amount > 0
            if order_request.checkout and not payable:
                self.lifecycle.check_out(Transition(new_key(), order_request.id, CUSTOMER))
        return PlacedOrder(order_request.id, payable)

    def _order_since(self, order_request: OrderRequest, since: int) -> PlacedOrder:
        """Return the order that has emptied the cart while the request was under way.

        Raises:
            EmptyCart: the newest order was there before the request arrived.
        """
        order = self.models.Order
        newest = self.session.execute(
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

    def _begin(self) -> None:
        """Begin the transaction, if the caller has not, as one that is going to write.

        On SQLite whoever reads first may not write once somebody else has written.
        """
        if not self.session().in_transaction():
            self.session.connection(
                bind_arguments={"mapper": self.models.Order},
                execution_options={MANAGED: True},
            )

    def _changed(self, order_id: UUID) -> OrderMixin:
        """The order as it is now, whatever the session has loaded before.

        By a locking read: on MariaDB any other sees what the host's transaction has begun with.
        """
        self.session.expire_all()
        order = self.models.Order
        found: OrderMixin = self.session.execute(
            select(order)
            .where(order.id == order_id)
            .options(selectinload(order.items))
            .with_for_update(key_share=True, of=order)
        ).scalar_one()
        return found

    def _price(
        self, items: Sequence[CartItem], customer_id: Any, voucher: Any, now: datetime
    ) -> PricedCart:
        priced = self._pricing.price(items, customer_id, voucher, now)
        return check_priced(priced, self._pricing) if self.has_own_pricing else priced

    def _outbox(self) -> Outbox | None:
        return Outbox(self.session, self.models) if self.settings.outbox else None

    def _insert(
        self,
        order_request: OrderRequest,
        sequence: int,
        priced: PricedCart,
        address_id: int,
        address: BillingAddress,
        now: datetime,
    ) -> dict[str, Any]:
        orders, items = table(self.models.Order), table(self.models.OrderItem)
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
        self.session.execute(insert(orders), [_existing(orders, order)])
        self.session.execute(
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


def _current_service() -> OrderService:
    try:
        service: OrderService = current_app.extensions[EXTENSION_KEY]
    except KeyError:
        raise ConfigurationError(
            "current_orders needs app.register_blueprint(orders_bp) first."
        ) from None
    return service


current_orders: OrderService = LocalProxy(_current_service)  # type: ignore[assignment] # a proxy
