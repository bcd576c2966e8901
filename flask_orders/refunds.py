"""Refunds: each is recorded once, under its reference, and never more than came in.

What is owed to customers is a query: unexpected payments, and the payments of cancelled orders,
less what was refunded. Refunds of an order are recorded under the lock of its row, which payments
and cancellations take too. Nothing is committed here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask_sqlalchemy.session import Session
from sqlalchemy import Row, func, select, union_all
from sqlalchemy.orm import scoped_session

from .currency import ZERO
from .db.typing import Query
from .errors import RefundMismatch
from .lifecycle import Lifecycle
from .models import Models
from .models.contract import table
from .payments import as_json, check_money, insert_once
from .signals import Emitter, order_refunded
from .status import RELEASED


@dataclass(frozen=True, slots=True)
class Refund:
    """Money that went back for an order; without `payment`, for the payment that it fits."""

    order_id: UUID
    reference: str
    amount: Decimal
    note: str | None = None
    payment: str | None = None


@dataclass(frozen=True, slots=True)
class RefundDue:
    """What is left to refund of a payment.

    Attributes:
        order_id, number: the order's key and its number.
        payment: the payment's reference.
        amount: in whole units of `currency`, an ISO 4217 code.
        received: when the payment arrived, UTC.
    """

    order_id: UUID
    number: str
    payment: str
    amount: Decimal
    currency: str
    received: datetime


class Refunds:
    """The refunds of one app's orders."""

    def __init__(
        self,
        session: scoped_session[Session],
        models: Models,
        lifecycle: Lifecycle,
        emitter: Emitter,
    ) -> None:
        self._session = session
        self._models = models
        self._lifecycle = lifecycle
        self._emitter = emitter

    def record(self, refund: Refund) -> None:
        """Record the refund; idempotent.

        Raises:
            OrderNotFound: there is no such order.
            RefundMismatch: more than is left of its payment, or the reference is recorded with
                another amount or for another order.
            ValueError, TypeError: a value of the refund is invalid.
        """
        check_money("refund", refund.reference, refund.amount)
        order = self._lifecycle.lock(refund.order_id)
        if self._is_recorded(refund, order):
            return
        payment = self._payment_of(refund, order)
        if self._insert(refund, order, payment):
            described = as_json(refund.reference, refund.amount, payment.currency, order)
            self._emitter.emit(order_refunded, order._asdict(), refund=described)

    def due(self) -> list[RefundDue]:
        """Return what is left to refund, the oldest payment first."""
        return [RefundDue(*row) for row in self._session.execute(self._due())]

    def _is_recorded(self, refund: Refund, order: Row[Any]) -> bool:
        """Return whether it is recorded; refuse another one under its reference."""
        rows = table(self._models.OrderRefund).c
        query = select(rows.order_id, rows.amount).where(rows.reference == refund.reference)
        # In REPEATABLE READ only a locking read sees what others have committed since.
        found = self._session.execute(query.with_for_update()).one_or_none()
        if found is None:
            return False
        if found.order_id != order.id:
            raise RefundMismatch("its order", str(found.order_id), str(order.id))
        if found.amount != refund.amount:
            raise RefundMismatch("its amount", f"{found.amount:f}", f"{refund.amount:f}")
        return True

    def _payment_of(self, refund: Refund, order: Row[Any]) -> Row[Any]:
        """Return the payment that is refunded: the named one, or else the first that it fits.

        Payments that have to be refunded come first.
        """
        payments, left = self._payments(order)
        if refund.payment is not None:
            payments = [each for each in payments if each.reference == refund.payment]
            if not payments:
                raise RefundMismatch("its payment", "one of the order's", refund.payment)
        for payment in payments:
            if refund.amount <= left[payment.id]:
                return payment
        most = max(left[payment.id] for payment in payments) if payments else ZERO
        raise RefundMismatch("its amount", f"{most:f} or less", f"{refund.amount:f}")

    def _payments(self, order: Row[Any]) -> tuple[Sequence[Row[Any]], dict[int, Decimal]]:
        """Return the order's payments, and what is left of each."""
        payments, refunds = table(self._models.OrderPayment), table(self._models.OrderRefund)
        arrived = self._session.execute(
            select(payments)
            .where(payments.c.order_id == order.id)
            .order_by(payments.c.expected, payments.c.id)
            .with_for_update()
        ).all()
        left = {payment.id: payment.amount for payment in arrived}
        for payment_id, amount in self._session.execute(
            select(refunds.c.payment_id, refunds.c.amount)
            .where(refunds.c.order_id == order.id)
            .with_for_update()
        ):
            left[payment_id] -= amount
        return arrived, left

    def _insert(self, refund: Refund, order: Row[Any], payment: Row[Any]) -> bool:
        """Insert the refund's row; return False if it was recorded meanwhile."""
        row = {
            "order_id": order.id,
            "payment_id": payment.id,
            "reference": refund.reference,
            "amount": refund.amount,
            "currency": payment.currency,
            "created": datetime.now(UTC),
            "note": refund.note,
        }
        if insert_once(self._session, table(self._models.OrderRefund), row):
            return True
        # For another order, since this one is locked.
        self._is_recorded(refund, order)
        return False

    def _due(self) -> Query:
        payments, refunds = table(self._models.OrderPayment).c, table(self._models.OrderRefund).c
        orders = table(self._models.Order).c
        refunded = (
            select(func.coalesce(func.sum(refunds.amount), ZERO))
            .where(refunds.payment_id == payments.id)
            .scalar_subquery()
        )
        left = (payments.amount - refunded).label("left")
        key = payments.id.label("payment_id")
        of_payment = (payments.reference, left, payments.currency, payments.received, key)
        joined = select(orders.id, orders.number, *of_payment).join_from(
            table(self._models.OrderPayment), table(self._models.Order)
        )
        # Each by its own index; with an OR all payments would be read.
        unexpected = joined.where(~payments.expected)
        cancelled = joined.where(payments.expected, orders.status.in_(RELEASED))
        both = union_all(unexpected, cancelled).subquery().c
        columns = (both.id, both.number, both.reference, both.left, both.currency, both.received)
        return select(*columns).where(both.left > ZERO).order_by(both.received, both.payment_id)
