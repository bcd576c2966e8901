"""OrderService: placing orders, and every later step of theirs, for the shop's own code.

`place` is a whole transaction and commits. Every other call works inside the caller's transaction:
it neither commits nor rolls the session back, and a refusal leaves what the caller has pending.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import current_app
from flask_sqlalchemy.session import Session
from sqlalchemy import select
from sqlalchemy.orm import scoped_session, selectinload
from werkzeug.local import LocalProxy

from .address_book import SavedAddress
from .addresses import BillingAddress
from .audit import problems
from .cart_items import GivenCart
from .components import Components
from .converting import NEW_CUSTOMER, OrderRequest, PlacedOrder
from .current_customer import CurrentCustomer
from .db.managed import MANAGED
from .db.retrying import Attempt, retrying
from .errors import ConfigurationError, EmptyCart, OrderNotFound
from .idempotency import IdempotentRequest
from .keys import as_order_id, new_key
from .lifecycle import Transition
from .models import Models, OrderMixin
from .pagination import OrderPage, Page, find_page
from .payments import Payment
from .pricing import Currency, PricedCart, Pricing
from .refunds import Refund, RefundDue
from .settings import Settings
from .status import CUSTOMER, SHOP

EXTENSION_KEY = "orders"


class OrderService:
    """The orders of one app: `app.extensions["orders"]`, and `current_orders` in its context."""

    def __init__(
        self,
        session: scoped_session[Session],
        models: Models,
        settings: Callable[[], Settings],
        pricing: Pricing | None = None,
        saved_address: SavedAddress | None = None,
        current_customer: CurrentCustomer | None = None,
    ) -> None:
        self.session = session
        self.models = models
        self._settings = settings
        self._components = Components.of(
            session,
            models,
            settings,
            {
                "pricing": pricing,
                "saved_address": saved_address,
                "current_customer": current_customer,
            },
        )

    @property
    def settings(self) -> Settings:
        """The app's `ORDERS_*` configuration, as it is now."""
        return self._settings()

    @property
    def currency(self) -> Currency:
        """The shop's currency, `ORDERS_CURRENCY`."""
        return Currency.of(self.settings.currency)

    def retrying(self) -> Iterator[Attempt]:
        """Yield up to ORDERS_RETRIES attempts at one transaction of the caller's own.

            for attempt in current_orders.retrying():
                with attempt:
                    ...                             # read
                    with attempt.transaction():     # committed at its end
                        current_orders.cancel(order_id)

        A conflict with another transaction rolls back and leads to the next attempt; any other
        error rolls back and is raised.

        Raises:
            ConfigurationError: the session has uncommitted changes.
            TryAgain: the last attempt ended in a conflict.
        """
        return retrying(self.session, mapper=self.models.Order, limit=self.settings.retries)

    def place(
        self,
        customer_id: Any,
        *,
        billing_address: BillingAddress | None = None,
        expected_total: Decimal | None = None,
        checkout: bool = True,
        idempotency_key: str | None = None,
        extra: Mapping[str, Any] | None = None,
        items: Mapping[Any, int] | None = None,
        voucher: Any = None,
    ) -> PlacedOrder:
        """Turn the customer's cart into an order, in a whole transaction, and commit it.

        This is what `POST /` does, for a view of the shop's own. Conflicts are retried. If the cart
        is empty because an order was made from it since this call began, the result is that order.

        Args:
            customer_id: the customer's primary key.
            billing_address: left out, it is the customer's saved address.
            expected_total: the highest acceptable total, in the shop's currency.
            checkout: whether the customer pays next; a zero-total order is then paid already.
                False only saves the order.
            idempotency_key: the client's name for this request, 1 to 255 visible ASCII characters,
                such as a UUID in a hidden field of the form. The same call with the same key has
                the result of the first, for ORDERS_IDEMPOTENCY_HOURS.
            extra: values for the columns of the shop's own order class, by attribute.
            items: the cart itself, where it has no rows, such as one in the session: the number of
                units by the product's key, or by the text of its key. No cart is read or emptied
                then, and `idempotency_key` is required, since there is no row to lock: give the
                cart a key of its own, from its first item until it is ordered.
            voucher: the voucher of these `items`: its code, or its key.

        Returns:
            The order's key, whether there is something to pay, and whether it is a replay.

        Raises:
            EmptyCart: there is no cart, or no item in it.
            BillingAddressRequired: no address is given, and none is saved.
            ItemUnavailable: an item can't be ordered, or not as many units.
            PriceChanged: the total is above `expected_total`.
            VoucherNotApplicable: the cart's voucher can't be used.
            OrdersError: a receiver of `order_placing` has refused the order.
            InvalidRequest: the key is not valid, the cart is too large, or a column can't hold its
                value of `extra`.
            IdempotencyKeyReused: the key came with other arguments before.
            IdempotencyKeyInUse: the first call with the key is still running.
            UnknownCustomer: there is no such customer.
            ConfigurationError: the session has uncommitted changes, `extra` names no column of the
                shop's own, or the shop is misconfigured.
            TryAgain: conflicts went on through ORDERS_RETRIES attempts.
        """
        extra = extra or {}
        self.models.own_columns.check(extra)
        order_request = OrderRequest(
            new_key(),
            customer_id,
            billing_address,
            expected_total,
            checkout,
            datetime.now(UTC),
            extra,
            _given(items, voucher),
        )
        keyed = None if idempotency_key is None else _keyed(idempotency_key, order_request)
        if order_request.given is not None:
            _check_given(order_request.given, keyed)
        return self._components.placing.place(order_request, keyed)

    def convert(
        self,
        customer_id: Any,
        *,
        billing_address: BillingAddress | None = None,
        expected_total: Decimal | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> OrderMixin:
        """Turn the customer's cart into an order, in a savepoint of the caller's transaction.

        Nothing is committed; after an error everything is as it was before the call, and what the
        caller has pending is still there. A conflict with another transaction (a driver's
        deadlock or serialization error, a violated unique constraint, `Conflict`) reaches the
        caller, which must roll back and start over.

        Args:
            customer_id: the customer's primary key.
            billing_address: left out, it is the customer's saved address.
            expected_total: the highest acceptable total, in the shop's currency.
            extra: values for the columns of the shop's own order class, by attribute.

        Returns:
            The order, status `awaiting_payment`.

        Raises:
            EmptyCart: there is no cart, or no item in it.
            BillingAddressRequired: no address is given, and none is saved.
            ItemUnavailable: an item can't be ordered, or not as many units.
            PriceChanged: the total is above `expected_total`.
            VoucherNotApplicable: the cart's voucher can't be used.
            OrdersError: a receiver of `order_placing` has refused the order.
            InvalidRequest: a column can't hold its value of `extra`.
            ConfigurationError: `extra` names no column of the shop's own.
        """
        extra = extra or {}
        self.models.own_columns.check(extra)
        self._begin()
        order_request = OrderRequest(
            new_key(), customer_id, billing_address, expected_total, extra=extra
        )
        state = self._components.converter.load_state(customer_id, billing_address) or NEW_CUSTOMER
        placed = self._components.converter.convert(order_request, state.last_sequence, state)
        # The statements above bypass what the session has loaded.
        self.session.expire_all()
        return self.get(customer_id, placed.order_id)

    def record_payment(
        self, order_id: UUID | str, reference: str, amount: Decimal, *, currency: str | None = None
    ) -> OrderMixin:
        """Record money that has arrived for an order, any number of times with one reference.

        The order becomes paid if it awaits its payment. Money for any other order, cancelled or
        paid already, is recorded whatever its amount and currency, and `payment_unexpected`
        notifies the shop, which refunds it. The caller commits.

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
            self._components.payments.record(payment)
        return self._changed(payment.order_id)

    def record_refund(
        self,
        order_id: UUID | str,
        reference: str,
        amount: Decimal,
        *,
        note: str | None = None,
        payment: str | None = None,
    ) -> OrderMixin:
        """Record money that went back to the customer, any number of times with one reference.

        A refund that was made at the provider's own dashboard is recorded as well. Together the
        refunds of a payment are never more than it was. The order's status stays as it is. The
        caller commits.

        Args:
            order_id: the order's key, as a UUID or as text.
            reference: the payment provider's name for the refund; 1 to 255 characters.
            amount: what went back, in whole units of the payment's currency: Decimal("19.00").
            note: the reason.
            payment: the reference of the payment; left out, it is the first of the order's with as
                much left, unexpected ones first.

        Returns:
            The order.

        Raises:
            OrderNotFound: there is no such order.
            RefundMismatch: more than is left of the payment, or a reference that came with another
                amount or for another order. Nothing was changed.
            ValueError: the reference is empty or too long, or the amount is not above 0 or has more
                than four decimals.
            TypeError: the amount is no Decimal.
        """
        self._begin()
        refund = Refund(as_order_id(order_id), reference, amount, note, payment)
        with self.session.begin_nested():
            self._components.refunds.record(refund)
        return self._changed(refund.order_id)

    def refunds_due(self) -> list[RefundDue]:
        """Return what the shop owes its customers, the oldest payment first.

        That is what unexpected payments and the payments of cancelled orders were, less what was
        refunded of each.
        """
        return self._components.refunds.due()

    def check_out(
        self, order_id: UUID | str, *, customer_id: Any = None, event_id: UUID | None = None
    ) -> PlacedOrder:
        """Find out whether there is something to pay; a zero-total order is paid now.

        The caller commits.

        Args:
            order_id: the order's key, as a UUID or as text.
            customer_id: whose order it must be; left out, any customer's.
            event_id: as `cancel` takes it.

        Returns:
            The order's key, and whether there is something to pay.

        Raises:
            OrderNotFound: there is no such order, or it is another customer's.
            OrderNotPayable: it is cancelled, or paid with money.
        """
        self._begin()
        key = as_order_id(order_id)
        transition = Transition(event_id or new_key(), key, CUSTOMER, customer_id)
        with self.session.begin_nested():
            payable = self._components.lifecycle.check_out(transition)
        return PlacedOrder(key, payable)

    def cancel(
        self,
        order_id: UUID | str,
        *,
        by_shop: bool = False,
        note: str | None = None,
        customer_id: Any = None,
        event_id: UUID | None = None,
    ) -> OrderMixin:
        """Cancel an order; restock its units and release its voucher. The caller commits.

        Args:
            order_id: the order's key, as a UUID or as text.
            by_shop: whether a paid order may be cancelled too.
            note: the reason, stored in `order_events`.
            customer_id: whose order it must be; left out, any customer's.
            event_id: the key of the row in `order_events`. The same one at each attempt of a
                `retrying()` loop announces the cancellation even if the COMMIT of an earlier
                attempt succeeded and its answer was lost.

        Returns:
            The order, `cancelled`; it may have been before.

        Raises:
            OrderNotFound: there is no such order, or it is another customer's.
            OrderNotCancellable: its status forbids it.
        """
        self._begin()
        key, actor = as_order_id(order_id), SHOP if by_shop else CUSTOMER
        with self.session.begin_nested():
            self._components.lifecycle.cancel(
                Transition(event_id or new_key(), key, actor, customer_id, note)
            )
        return self._changed(key)

    def deliver(self, order_id: UUID | str, *, note: str | None = None) -> OrderMixin:
        """Record that a paid order was delivered. The caller commits.

        Args:
            order_id: the order's key, as a UUID or as text.
            note: how, stored in `order_events`.

        Returns:
            The order, `delivered`; it may have been before.

        Raises:
            OrderNotFound: there is no such order.
            OrderNotDeliverable: it is not paid.
        """
        self._begin()
        transition = Transition(new_key(), as_order_id(order_id), SHOP, note=note)
        with self.session.begin_nested():
            self._components.lifecycle.deliver(transition)
        return self._changed(transition.order_id)

    def expire(self, limit: int = 100) -> int:
        """Cancel orders that have waited longer than ORDERS_PAYMENT_HOURS for their payment.

        A zero-total order needs no payment and does not expire. The caller commits, and calls
        again while there are any. An order that can't be cancelled stops all of them;
        `flask orders expire` continues without it.

        Args:
            limit: the largest number of orders; 1 to 10,000, since one statement reads them.

        Returns:
            How many there were.
        """
        self._begin()
        with self.session.begin_nested():
            count = self._components.lifecycle.expire(self.settings.payment_hours, limit)
        self.session.expire_all()
        return count

    def audit(self, on_progress: Callable[[int], None] | None = None) -> Iterator[str]:
        """Recompute every order, in bounded memory, and report what does not add up.

        Args:
            on_progress: called with the number of orders that were examined since the last call.

        Yields:
            A sentence for each problem, which begins with the number of its invariant: I1 is about
            stock, I2 about vouchers, I4 about orders and items without each other, I5 about
            amounts, I9 about payments and refunds.
        """
        return problems(
            self.session,
            self.models,
            has_own_pricing=self._components.has_own_pricing,
            on_progress=on_progress,
        )

    def preview(
        self, customer_id: Any, *, items: Mapping[Any, int] | None = None, voucher: Any = None
    ) -> PricedCart:
        """Return the order as it would be now, by the conversion's own reading and pricing.

        Nothing is written and nothing is locked. Unavailable items are left out and listed in
        `unavailable`; a voucher that can't be used is left out, with its `voucher_refusal`. A cart
        with more than ORDERS_MAX_ITEMS items is not priced. `refusal` is what would refuse the
        order, except what depends on the request: its address and its `expected_total`.

        Args:
            customer_id: the customer's primary key.
            items: the cart itself, where it has no rows, as `place` takes it.
            voucher: the voucher of these `items`.
        """
        return self._components.converter.preview(customer_id, _given(items, voucher))

    def page(self, customer_id: Any, wanted: Page) -> OrderPage | None:
        """Return a page of the customer's orders, or None if there is no such customer."""
        return find_page(self.session, self.models, customer_id, wanted)

    def get(self, customer_id: Any, order_id: UUID | str) -> OrderMixin:
        """Return the customer's order, with its items.

        Raises:
            OrderNotFound: there is no such order, or it is another customer's.
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
        """Begin the transaction, unless the caller has, as one that is going to write.

        On SQLite a transaction that began with a read may not write once another has written.
        """
        if not self.session().in_transaction():
            self.session.connection(
                bind_arguments={"mapper": self.models.Order},
                execution_options={MANAGED: True},
            )

    def _changed(self, order_id: UUID) -> OrderMixin:
        """Return the order as it is now, whatever the session has loaded before.

        By a locking read: on MySQL and MariaDB a plain one sees what the caller's transaction began
        with.
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


def components_of(orders: OrderService) -> Components:
    """Return what the library's own code uses of a service beside its public calls."""
    return orders._components


def _given(items: Mapping[Any, int] | None, voucher: Any) -> GivenCart | None:
    if items is not None:
        if not isinstance(items, Mapping):
            raise ConfigurationError(
                f"items= is a {type(items).__name__}: pass the number of units by the product's "
                "key, as in items={item['id']: item['quantity'] for item in session['cart']}."
            )
        return GivenCart(dict(items), voucher)
    if voucher is not None:
        raise ConfigurationError(
            "voucher=... belongs to items=...: a cart in the database has its own voucher; pass "
            "items={product key: quantity} too, or leave the voucher out."
        )
    return None


def _check_given(given: GivenCart, keyed: IdempotentRequest | None) -> None:
    """Refuse a cart without rows that is empty, or that can be ordered twice."""
    if not given.items:
        # After an order the session may have no key either.
        raise EmptyCart
    if keyed is None:
        raise ConfigurationError(
            "place(items=...) needs an idempotency_key, since a cart without rows can't be locked "
            "and a double click would be two orders: pass "
            "idempotency_key=session.get('cart_id'), a key that the cart has from its first item "
            "until it is ordered."
        )


def _keyed(key: str, order_request: OrderRequest) -> IdempotentRequest:
    if not isinstance(key, str):
        raise ConfigurationError(
            f"idempotency_key= is a {type(key).__name__}: pass its text, str({key!r})."
        )
    fields: dict[str, Any] = {
        "checkout": order_request.checkout,
        "billing_address": order_request.billing_address,
        "expected_total": order_request.expected_total,
    }
    given = order_request.given
    if given is not None:
        # Quantities need not be comparable: one that is no number is refused later.
        counts = [(str(key), count) for key, count in given.items.items()]
        fields["items"] = sorted(counts, key=repr)
        fields["voucher"] = given.voucher
    return IdempotentRequest.of(
        key,
        order_request.customer_id,
        ("place",),
        fields,
        checkout=order_request.checkout,
        extra=order_request.extra,
    )


def _current_service() -> OrderService:
    try:
        service: OrderService = current_app.extensions[EXTENSION_KEY]
    except KeyError:
        raise ConfigurationError(
            "current_orders needs app.register_blueprint(orders_bp) first."
        ) from None
    return service


current_orders: OrderService = LocalProxy(_current_service)  # type: ignore[assignment] # a proxy
