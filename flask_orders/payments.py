"""Payments: each is recorded once, under its reference, whatever the order's status.

The order becomes paid if it awaits the payment; any other payment is recorded as unexpected, and
`payment_unexpected` reports it. Nothing is committed here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask_sqlalchemy.session import Session
from sqlalchemy import Row, Table, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import scoped_session

from .currency import SCALE, TOO_MUCH, Currency
from .db.classify import is_duplicate
from .errors import PaymentMismatch
from .keys import new_key
from .lifecycle import Lifecycle, Transition
from .models import Models
from .models.contract import table
from .models.types import KEY_LENGTH
from .signals import Emitter, payment_unexpected
from .status import PAID, PAYMENT, is_permitted

# What the columns hold.
LONGEST_REFERENCE = KEY_LENGTH
SMALLEST_AMOUNT = Decimal(1).scaleb(-SCALE)

_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Payment:
    """Money that has arrived for an order; without `currency`, in the order's currency."""

    order_id: UUID
    reference: str
    amount: Decimal
    currency: str | None = None


class Payments:
    """The payments of one app's orders."""

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

    def record(self, payment: Payment) -> None:
        """Record the payment, and make the order paid if it awaits it; idempotent.

        Raises:
            OrderNotFound: there is no such order.
            PaymentMismatch: the order awaits another amount or currency, or the reference is
                recorded for another order.
            ValueError, TypeError: a value of the payment is invalid.
        """
        _check(payment)
        order = self._lifecycle.lock(payment.order_id)
        payment = replace(payment, currency=(payment.currency or order.currency).upper())
        expected = is_permitted(order.status, PAID, PAYMENT)
        if expected:
            _compare(payment, order)
        if not self._insert(payment, order, expected=expected):
            return
        if expected:
            paid = Transition(new_key(), order.id, PAYMENT, note=payment.reference)
            self._lifecycle.apply(paid, order, PAID)
        else:
            described = as_json(payment.reference, payment.amount, str(payment.currency), order)
            self._emitter.emit(payment_unexpected, order._asdict(), payment=described)

    def _insert(self, payment: Payment, order: Row[Any], *, expected: bool) -> bool:
        """Insert the payment's row; return False if the order has it already."""
        rows = table(self._models.OrderPayment)
        row = {
            "order_id": order.id,
            "reference": payment.reference,
            "amount": payment.amount,
            "currency": payment.currency,
            "received": datetime.now(UTC),
            "expected": expected,
        }
        if insert_once(self._session, rows, row):
            return True
        recorded = select(rows.c.order_id).where(rows.c.reference == payment.reference)
        owner = self._session.execute(recorded.with_for_update()).scalar_one()
        if owner != order.id:
            raise PaymentMismatch("its order", str(owner), str(order.id))
        return False


def as_json(reference: str, amount: Decimal, currency: str, order: Row[Any]) -> dict[str, Any]:
    """Return an event's JSON about money for an order."""
    exact = f"{amount.normalize():f}"
    if currency == order.currency:
        exact = Currency.of(order.currency, order.currency_decimals).exact_text(amount)
    return {"reference": reference, "amount": exact, "currency": currency}


def insert_once(session: scoped_session[Session], rows: Table, row: Mapping[str, Any]) -> bool:
    """Insert a row in a savepoint; return False if there is one with the same reference."""
    try:
        with session.begin_nested():
            session.execute(insert(rows), [row])
    except DBAPIError as error:
        if not is_duplicate(error):
            raise
        return False
    return True


def check_money(what: str, reference: str, amount: Decimal) -> None:
    """Refuse a reference or an amount that no column can hold.

    Args:
        what: "payment" or "refund".
        reference: the provider's name for it.
        amount: above 0, with at most four decimals.

    Raises:
        TypeError: the amount is no Decimal.
        ValueError: the amount or the reference is out of range.
    """
    if not isinstance(amount, Decimal):
        raise TypeError(f"a {what}'s amount must be a Decimal, not {amount!r}")
    if not amount.is_finite() or not 0 < amount < TOO_MUCH:
        raise ValueError(f"a {what}'s amount must be above 0 and below {TOO_MUCH:f}")
    if amount != amount.quantize(SMALLEST_AMOUNT):
        raise ValueError(f"a {what}'s amount must have at most {SCALE} decimals")
    if not 0 < len(reference) <= LONGEST_REFERENCE:
        raise ValueError(f"a {what}'s reference must have 1 to {LONGEST_REFERENCE} characters")


def _check(payment: Payment) -> None:
    """Refuse invalid values, whatever the order's status."""
    check_money("payment", payment.reference, payment.amount)
    if payment.currency is not None and not _CURRENCY.fullmatch(payment.currency):
        raise ValueError("a payment's currency must be an ISO 4217 code, such as 'USD'")


def _compare(payment: Payment, order: Row[Any]) -> None:
    """Refuse a payment whose currency or amount is not what the order awaits."""
    if payment.currency != order.currency:
        raise PaymentMismatch("its currency", order.currency, str(payment.currency))
    if payment.amount != order.total_amount:
        currency = Currency.of(order.currency, order.currency_decimals)
        expected = currency.text(order.total_amount)
        raise PaymentMismatch("its amount", expected, f"{payment.amount:f}")
