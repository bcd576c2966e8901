"""OrderService: how a cart becomes an order, in one savepoint, and what may become of the order.

Called by the blueprint, and by a host's own code as `current_orders`. It never commits and never
rolls the session back: both belong to whoever owns the transaction.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import current_app
from flask_sqlalchemy.session import Session
from sqlalchemy import select
from sqlalchemy.orm import scoped_session, selectinload
from werkzeug.local import LocalProxy

from .address_book import AddressBook, SavedAddress
from .addresses import BillingAddress
from .audit import problems
from .carts import Carts
from .converting import NEW_CUSTOMER, Converter, OrderRequest
from .db.managed import MANAGED
from .errors import (
    ConfigurationError,
    OrderNotFound,
)
from .keys import as_order_id, new_key
from .lifecycle import Lifecycle, Transition
from .models import Models, OrderMixin
from .outbox import Outbox
from .pagination import OrderPage, Page, find_page
from .payments import Payment, Payments
from .pricing import (
    Currency,
    PricedCart,
    Pricing,
)
from .promotions import Promotions
from .settings import Settings
from .signals import Emitter
from .status import CUSTOMER, SHOP
from .stock import StockColumn

EXTENSION_KEY = "orders"


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
        prices: Pricing = pricing or Promotions(session, models, lambda: self.currency)
        self.carts = Carts(
            session,
            models,
            lambda: self.currency,
            priced_by_product=not self.has_own_pricing,
        )
        stock = StockColumn(session, models)
        emitter = Emitter(session, models, self._outbox)
        self.lifecycle = Lifecycle(session, models, stock, prices, emitter)
        self.payments = Payments(session, models, self.lifecycle, emitter)
        self.converter = Converter(
            session,
            models,
            settings,
            self.carts,
            stock,
            prices,
            AddressBook(session, models, saved_address),
            self.lifecycle,
            has_own_pricing=self.has_own_pricing,
        )

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
        state = self.converter.load_state(customer_id, billing_address) or NEW_CUSTOMER
        placed = self.converter.convert(order_request, state.last_sequence, state)
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
            self.payments.record(payment)
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
        return self.converter.preview(customer_id)

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

    def _outbox(self) -> Outbox | None:
        return Outbox(self.session, self.models) if self.settings.outbox else None


def _current_service() -> OrderService:
    try:
        service: OrderService = current_app.extensions[EXTENSION_KEY]
    except KeyError:
        raise ConfigurationError(
            "current_orders needs app.register_blueprint(orders_bp) first."
        ) from None
    return service


current_orders: OrderService = LocalProxy(_current_service)  # type: ignore[assignment] # a proxy
