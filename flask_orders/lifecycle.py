"""An order's life after the conversion: it is paid, delivered, cancelled, or expires.

Each transition locks the order's row first, then the products in the order of their keys, and the
vouchers last, as a conversion does; the status is changed by one guarded UPDATE, and recorded as a
row of `order_events`. Nothing is committed here.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from blinker import NamedSignal
from flask_sqlalchemy.session import Session
from sqlalchemy import ColumnElement, Row, and_, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import scoped_session, selectinload

from .carts import Carts
from .errors import (
    Conflict,
    OrderNotCancellable,
    OrderNotDeliverable,
    OrderNotFound,
    OrderNotPayable,
    PaymentMismatch,
)
from .keys import new_key
from .models import Models, OrderMixin
from .models.contract import row_count, table
from .models.types import PRECISION, SCALE
from .outbox import Outbox
from .pricing import Currency, KeptVoucher, Pricing
from .signals import (
    announce,
    order_cancelled,
    order_delivered,
    order_paid,
    order_placed,
    payment_unexpected,
)
from .status import (
    AWAITING_PAYMENT,
    CANCELLABLE,
    CANCELLED,
    DELIVERED,
    EXPIRY,
    PAID,
    PAYMENT,
)

# What the columns hold.
LONGEST_REFERENCE = 255
LARGEST_AMOUNT = Decimal(10) ** (PRECISION - SCALE)
SMALLEST_AMOUNT = Decimal(1).scaleb(-SCALE)

_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII | re.IGNORECASE)

SIGNALS = {PAID: order_paid, CANCELLED: order_cancelled, DELIVERED: order_delivered}


@dataclass(frozen=True, slots=True)
class Transition:
    """A transition that somebody wants an order to take.

    `id` is its event's to be, the same through all attempts at it; `customer_id` is whose order it
    has to be, or None for the shop, which may reach any.
    """

    id: UUID
    order_id: UUID
    actor: str
    customer_id: Any = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """Money that has arrived for an order; `currency` None is the order's."""

    order_id: UUID
    reference: str
    amount: Decimal
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class LateOrder:
    """An order that has not been paid in time."""

    id: UUID
    number: str
    created: datetime


class Lifecycle:
    """The steps of the orders of one app."""

    def __init__(
        self,
        session: scoped_session[Session],
        models: Models,
        carts: Carts,
        pricing: Pricing,
        outbox: Callable[[], Outbox | None],
    ) -> None:
        self._session = session
        self._models = models
        self._carts = carts
        self._pricing = pricing
        self._outbox = outbox

    def announce_placed(self, order: Mapping[str, Any]) -> None:
        """Tell of an order that was made; `order` is what was written into its row."""
        self._emit(order_placed, order)

    def announce_placed_again(self, order_id: UUID) -> None:
        """Tell of an order whose COMMIT came through, though its answer was lost."""
        self._announce(order_placed, order_id)

    def pay(self, payment: Payment) -> None:
        """Record the payment, and make the order paid if it awaits one.

        Raises:
            OrderNotFound: there is no such order.
            PaymentMismatch: the order awaits another amount or currency, or the payment is another
                order's.
            ValueError, TypeError: it can't be a payment.
        """
        _check(payment)
        order = self._lock(payment.order_id)
        payment = replace(payment, currency=(payment.currency or order.currency).upper())
        expected = order.status == AWAITING_PAYMENT
        if expected:
            _compare(payment, order)
        if not self._keep(payment, order, expected=expected):
            return
        if expected:
            self._change([order], PAID, [new_key()], PAYMENT, payment.reference)
        else:
            self._emit(payment_unexpected, order._asdict(), payment)

    def check_out(self, transition: Transition) -> bool:
        """Whether there is something to pay; an order of nothing is paid now, if it is not yet.

        Raises:
            OrderNotFound: there is no such order, or it is another customer's.
            OrderNotPayable: it is cancelled, or paid with money.
        """
        order = self._lock(transition.order_id, transition.customer_id)
        if order.status == PAID and not order.total_amount:
            if self._is_done(transition):
                self._announce(order_paid, order.id)
            return False
        if order.status != AWAITING_PAYMENT:
            raise OrderNotPayable(order.status)
        if order.total_amount:
            return True
        self._change([order], PAID, [transition.id], transition.actor, "nothing to pay")
        return False

    def cancel(self, transition: Transition) -> None:
        """Cancel an order, unless it is cancelled already; give its stock and voucher back.

        Raises:
            OrderNotFound: there is no such order, or it is another customer's.
            OrderNotCancellable: its status forbids it to this actor.
        """
        order = self._lock(transition.order_id, transition.customer_id)
        if order.status == CANCELLED:
            if self._is_done(transition):
                self._announce(order_cancelled, order.id)
        elif order.status not in CANCELLABLE[transition.actor]:
            raise OrderNotCancellable(order.status)
        else:
            self._change([order], CANCELLED, [transition.id], transition.actor, transition.note)
            self._give_back([order])

    def deliver(self, transition: Transition) -> None:
        """Note that a paid order was delivered, unless that is noted already.

        Raises:
            OrderNotFound: there is no such order.
            OrderNotDeliverable: it is not paid.
        """
        order = self._lock(transition.order_id)
        if order.status == DELIVERED:
            return
        if order.status != PAID:
            raise OrderNotDeliverable(order.status)
        self._change([order], DELIVERED, [transition.id], transition.actor, transition.note)

    def expire(self, hours: int, limit: int) -> int:
        """Cancel the orders that have waited longest for their payment; return how many.

        Locked orders are skipped (SKIP LOCKED) where supported.
        """
        orders = table(self._models.Order)
        oldest_first = self._rows().order_by(orders.c.created, orders.c.id).limit(limit)
        return self._expire(oldest_first.where(*self._are_late(hours)))

    def expire_these(self, hours: int, late: Sequence[LateOrder]) -> int:
        """Cancel those of the orders that still wait for their payment; return how many.

        Locked orders are skipped (SKIP LOCKED) where supported.
        """
        orders = table(self._models.Order)
        are_these = orders.c.id.in_([order.id for order in late])
        in_order = self._rows().order_by(orders.c.created, orders.c.id)
        return self._expire(in_order.where(are_these, *self._are_late(hours)))

    def _expire(self, query: Any) -> int:
        late = self._session.execute(query.with_for_update(key_share=True, skip_locked=True)).all()
        if late:
            self._change(late, CANCELLED, [new_key() for _ in late], EXPIRY, None)
            self._give_back(late)
        return len(late)

    def late_orders(self, hours: int, limit: int, after: LateOrder | None) -> list[LateOrder]:
        """The next orders that would expire now, the oldest first, after one that is given."""
        orders = table(self._models.Order)
        query = (
            select(orders.c.id, orders.c.number, orders.c.created)
            .where(*self._are_late(hours))
            .order_by(orders.c.created, orders.c.id)
            .limit(limit)
        )
        if after is not None:
            is_same_second = and_(orders.c.created == after.created, orders.c.id > after.id)
            # The first condition alone is what the index is read by.
            query = query.where(
                orders.c.created >= after.created,
                or_(orders.c.created > after.created, is_same_second),
            )
        return [LateOrder(*row) for row in self._session.execute(query)]

    def count_late(self, hours: int) -> int:
        """How many orders would expire now."""
        query = select(func.count()).where(*self._are_late(hours))
        return self._session.execute(query).scalar_one()

    def _are_late(self, hours: int) -> list[ColumnElement[bool]]:
        orders = table(self._models.Order)
        horizon = datetime.now(UTC) - timedelta(hours=hours)
        return [
            orders.c.status == AWAITING_PAYMENT,
            orders.c.created <= horizon,
            # A zero-total order needs no payment.
            orders.c.total_amount > 0,
        ]

    def _rows(self) -> Any:
        """What a transition has to know of an order."""
        orders = table(self._models.Order)
        names = (
            *("id", "number", "customer_id", "status"),
            *("currency", "currency_decimals", "total_amount"),
        )
        # A shop with a pricing of its own has no `voucher_id`.
        voucher = (name for name in ("voucher_code", "voucher_id") if name in orders.c)
        return select(*(orders.c[name] for name in (*names, *voucher)))

    def _lock(self, order_id: UUID, customer_id: Any = None) -> Row[Any]:
        orders = table(self._models.Order)
        query = self._rows().where(orders.c.id == order_id)
        if customer_id is not None:
            query = query.where(orders.c.customer_id == customer_id)
        row: Row[Any] | None = self._session.execute(
            query.with_for_update(key_share=True)
        ).one_or_none()
        if row is None:
            raise OrderNotFound
        return row

    def _change(
        self,
        orders: Sequence[Row[Any]],
        target: str,
        event_ids: Sequence[UUID],
        actor: str,
        note: str | None,
    ) -> None:
        """Let locked orders of one status take a transition, and note it."""
        rows, (source,) = table(self._models.Order), {order.status for order in orders}
        now = datetime.now(UTC)
        changed = self._session.execute(
            update(rows)
            .where(rows.c.id.in_([order.id for order in orders]), rows.c.status == source)
            .values(status=target, updated=now)
        )
        if row_count(changed) != len(orders):
            raise Conflict
        transition = {"from_status": source, "to_status": target, "actor": actor, "note": note}
        self._session.execute(
            insert(table(self._models.OrderEvent)),
            [
                {"id": event_id, "order_id": order.id, **transition, "created": now}
                for event_id, order in zip(event_ids, orders, strict=True)
            ],
        )
        for order in orders:
            self._emit(SIGNALS[target], {**order._asdict(), "status": target})

    def _is_done(self, transition: Transition) -> bool:
        """Whether an earlier attempt at this very transition has come through after all."""
        rows = table(self._models.OrderEvent)
        query = select(rows.c.id).where(rows.c.id == transition.id)
        return self._session.execute(query).first() is not None

    def _give_back(self, orders: Sequence[Row[Any]]) -> None:
        items = table(self._models.OrderItem)
        # By a locking read: the transaction may be older than the order.
        taken = self._session.execute(
            select(items.c.product_id, items.c.quantity)
            .where(
                items.c.order_id.in_([order.id for order in orders]),
                items.c.product_id.is_not(None),
                items.c.stock_deducted,
            )
            .with_for_update()
        )
        units = Counter[Any]()
        for product_id, quantity in taken:
            units[product_id] += quantity
        self._carts.restock(units)
        carrying = [order for order in orders if order.voucher_code is not None]
        for order in sorted(carrying, key=lambda order: str(order.voucher_code)):
            voucher = KeptVoucher(getattr(order, "voucher_id", None), order.voucher_code)
            self._pricing.release(voucher, order)

    def _keep(self, payment: Payment, order: Row[Any], *, expected: bool) -> bool:
        """Whether the payment is new."""
        rows = table(self._models.OrderPayment)
        row = {
            "order_id": order.id,
            "reference": payment.reference,
            "amount": payment.amount,
            "currency": payment.currency,
            "received": datetime.now(UTC),
            "expected": expected,
        }
        try:
            with self._session.begin_nested():
                self._session.execute(insert(rows), [row])
        except IntegrityError:
            known = select(rows.c.order_id).where(rows.c.reference == payment.reference)
            owner = self._session.execute(known.with_for_update()).scalar_one()
            if owner != order.id:
                raise PaymentMismatch("its order", str(owner), str(order.id)) from None
            return False
        return True

    def _emit(
        self, signal: NamedSignal, order: Mapping[str, Any], payment: Payment | None = None
    ) -> None:
        outbox = self._outbox()
        if outbox is not None:
            outbox.write(signal, order, None if payment is None else _as_json(payment, order))
        self._announce(signal, order["id"], None if payment is None else payment.reference)

    def _announce(self, signal: NamedSignal, order_id: UUID, reference: str | None = None) -> None:
        announce(self._session, signal, partial(self._content, order_id, reference))

    def _content(self, order_id: UUID, reference: str | None) -> dict[str, Any]:
        """What the receivers of a signal are given, read after the commit."""
        model, payment = self._models.Order, self._models.OrderPayment
        order: OrderMixin = self._session.execute(
            select(model).where(model.id == order_id).options(selectinload(model.items))
        ).scalar_one()
        if reference is None:
            return {"order": order}
        paid = select(payment).where(payment.reference == reference)
        return {"order": order, "payment": self._session.execute(paid).scalar_one()}


def _as_json(payment: Payment, order: Mapping[str, Any]) -> dict[str, Any]:
    """What an event says of a payment."""
    exact = f"{payment.amount.normalize():f}"
    if payment.currency == order["currency"]:
        text = Currency.of(order["currency"], order["currency_decimals"]).text(payment.amount)
        # An amount that is finer than the currency is not rounded.
        exact = text if Decimal(text) == payment.amount else exact
    return {"reference": payment.reference, "amount": exact, "currency": payment.currency}


def _check(payment: Payment) -> None:
    """Refuse what can't be a payment, whatever it is for."""
    amount = payment.amount
    if not isinstance(amount, Decimal):
        raise TypeError(f"a payment's amount is a Decimal, not {amount!r}")
    if not amount.is_finite() or not 0 < amount < LARGEST_AMOUNT:
        raise ValueError(f"a payment's amount is above 0 and below {LARGEST_AMOUNT:f}")
    if amount != amount.quantize(SMALLEST_AMOUNT):
        raise ValueError(f"a payment's amount has {SCALE} decimals at most")
    if not 0 < len(payment.reference) <= LONGEST_REFERENCE:
        raise ValueError(f"a payment's reference has 1 to {LONGEST_REFERENCE} characters")
    if payment.currency is not None and not _CURRENCY.fullmatch(payment.currency):
        raise ValueError("a payment's currency is its ISO 4217 code, such as 'USD'")


def _compare(payment: Payment, order: Row[Any]) -> None:
    """Refuse a payment that is not what the order awaits."""
    if payment.currency != order.currency:
        raise PaymentMismatch("its currency", order.currency, str(payment.currency))
    if payment.amount != order.total_amount:
        currency = Currency.of(order.currency, order.currency_decimals)
        expected = currency.text(order.total_amount)
        raise PaymentMismatch("its amount", expected, f"{payment.amount:f}")
