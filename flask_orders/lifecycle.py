"""The transitions of an order: it is checked out, cancelled, delivered, or expires.

Each transition locks the order's row first, then the products in the order of their keys, and the
vouchers last, as a conversion does. The status is changed by one guarded UPDATE, so that of two
racing transitions one wins, and recorded as a row of `order_events`. Nothing is committed here.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from flask_sqlalchemy.session import Session
from sqlalchemy import ColumnElement, Row, and_, func, insert, or_, select, update
from sqlalchemy.orm import scoped_session

from .db.typing import Query
from .db.writes import row_count
from .errors import Conflict, OrderNotFound
from .keys import new_key
from .models import Models
from .models.contract import table
from .pricing import Pricing, StoredVoucher
from .product_stock import ProductStock
from .promotions import Promotions
from .signals import SIGNALS, Emitter, order_placed
from .status import (
    AWAITING_PAYMENT,
    CANCELLED,
    DELIVERED,
    EXPIRY,
    PAID,
    PAYMENT,
    RELEASED,
    check_transition,
)


@dataclass(frozen=True, slots=True)
class Transition:
    """A requested transition of one order.

    Attributes:
        id: the key of its event, the same through all attempts.
        customer_id: the order's customer; None for the shop, which may change any order.
    """

    id: UUID
    order_id: UUID
    actor: str
    customer_id: Any = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class LateOrder:
    """An order that was not paid in time."""

    id: UUID
    number: str
    created: datetime


class Lifecycle:
    """The transitions of one app's orders."""

    def __init__(
        self,
        session: scoped_session[Session],
        models: Models,
        stock: ProductStock,
        pricing: Pricing,
        emitter: Emitter,
    ) -> None:
        self._session = session
        self._models = models
        self._stock = stock
        self._pricing = pricing
        self._emitter = emitter

    def announce_placed(self, order: Mapping[str, Any]) -> None:
        """Announce a new order; `order` is what was written to its row."""
        self._emitter.emit(order_placed, order)

    def announce_placed_again(self, order_id: UUID) -> None:
        """Announce an order that was committed although the answer to its COMMIT was lost."""
        self._emitter.emit_again(order_placed, order_id)

    def check_out(self, transition: Transition) -> bool:
        """Return whether the order awaits a payment; make a zero-total order paid.

        Raises:
            OrderNotFound: there is no such order, or it is another customer's.
            OrderNotPayable: it is cancelled, or paid with money.
        """
        order = self.lock(transition.order_id, transition.customer_id)
        if order.total_amount:
            check_transition(order.status, PAID, PAYMENT)
            return True
        self.apply(replace(transition, note="nothing to pay"), order, PAID)
        return False

    def cancel(self, transition: Transition) -> None:
        """Cancel an order, and release its stock and voucher; a cancelled order stays as it is.

        Raises:
            OrderNotFound: there is no such order, or it is another customer's.
            OrderNotCancellable: the actor may not cancel an order of this status.
        """
        self.change(transition, CANCELLED)

    def deliver(self, transition: Transition) -> None:
        """Record that a paid order was delivered; a delivered order stays as it is.

        Raises:
            OrderNotFound: there is no such order.
            OrderNotDeliverable: it is not paid.
        """
        self.change(transition, DELIVERED)

    def change(self, transition: Transition, target: str) -> None:
        """Lock an order, and change its status to the target unless it has it already.

        Raises:
            OrderNotFound: there is no such order, or it is another customer's.
            OrdersError: the table in `status.py` does not permit it.
        """
        order = self.lock(transition.order_id, transition.customer_id)
        self.apply(transition, order, target)

    def lock(self, order_id: UUID, customer_id: Any = None) -> Row[Any]:
        """Lock an order's row, and return what a transition needs of it.

        Raises:
            OrderNotFound: there is no such order, or it is another customer's.
        """
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

    def apply(self, transition: Transition, order: Row[Any], target: str) -> None:
        """Change the status of a locked order to the target unless it has it already.

        Raises:
            OrdersError: the table in `status.py` does not permit it.
            Conflict: the order's status has changed although it was locked.
        """
        if order.status != target:
            self._apply_all([transition], [order], target)
        elif self._is_recorded(transition):
            # An earlier attempt was committed, although the answer to its COMMIT was lost.
            self._emitter.emit_again(SIGNALS[target], order.id)

    def expire(self, hours: int, limit: int) -> int:
        """Cancel the orders that have waited longest for their payment; return how many.

        Locked orders are skipped (SKIP LOCKED) where supported.
        """
        orders = table(self._models.Order)
        oldest_first = self._rows().order_by(orders.c.created, orders.c.id).limit(limit)
        return self._expire(oldest_first.where(*self._are_late(hours)))

    def expire_these(self, hours: int, late: Sequence[LateOrder]) -> int:
        """Cancel those of the orders that still await their payment; return how many.

        Locked orders are skipped (SKIP LOCKED) where supported.
        """
        orders = table(self._models.Order)
        are_these = orders.c.id.in_([order.id for order in late])
        in_order = self._rows().order_by(orders.c.created, orders.c.id)
        return self._expire(in_order.where(are_these, *self._are_late(hours)))

    def late_orders(self, hours: int, limit: int, after: LateOrder | None) -> list[LateOrder]:
        """Return the orders that would expire now, oldest first, beginning after the given one."""
        orders = table(self._models.Order)
        query = (
            select(orders.c.id, orders.c.number, orders.c.created)
            .where(*self._are_late(hours))
            .order_by(orders.c.created, orders.c.id)
            .limit(limit)
        )
        if after is not None:
            is_same_second = and_(orders.c.created == after.created, orders.c.id > after.id)
            # The index serves the first condition only.
            query = query.where(
                orders.c.created >= after.created,
                or_(orders.c.created > after.created, is_same_second),
            )
        return [LateOrder(*row) for row in self._session.execute(query)]

    def count_late(self, hours: int) -> int:
        """Return how many orders would expire now."""
        query = select(func.count()).where(*self._are_late(hours))
        return self._session.execute(query).scalar_one()

    def _expire(self, query: Query) -> int:
        late = self._session.execute(query.with_for_update(key_share=True, skip_locked=True)).all()
        if late:
            transitions = [Transition(new_key(), order.id, EXPIRY) for order in late]
            self._apply_all(transitions, late, CANCELLED)
        return len(late)

    def _are_late(self, hours: int) -> list[ColumnElement[bool]]:
        orders = table(self._models.Order)
        cutoff = datetime.now(UTC) - timedelta(hours=hours)
        return [
            orders.c.status == AWAITING_PAYMENT,
            orders.c.created <= cutoff,
            # A zero-total order needs no payment.
            orders.c.total_amount > 0,
        ]

    def _rows(self) -> Query:
        orders = table(self._models.Order)
        names = (
            *("id", "number", "customer_id", "status"),
            *("currency", "currency_decimals", "total_amount"),
        )
        # Without the library's vouchers there is no `voucher_id`.
        voucher = (name for name in ("voucher_code", "voucher_id") if name in orders.c)
        return select(*(orders.c[name] for name in (*names, *voucher)))

    def _apply_all(
        self, transitions: Sequence[Transition], orders: Sequence[Row[Any]], target: str
    ) -> None:
        """Change locked orders, all of one status, for one actor."""
        (source,) = {order.status for order in orders}
        (actor,) = {transition.actor for transition in transitions}
        check_transition(source, target, actor)
        now = datetime.now(UTC)
        self._update(orders, source, target, now)
        self._record(transitions, source, target, now)
        for order in orders:
            self._emitter.emit(SIGNALS[target], {**order._asdict(), "status": target})
        if target in RELEASED and source not in RELEASED:
            self._restock(orders)
            self._release_vouchers(orders)

    def _update(self, orders: Sequence[Row[Any]], source: str, target: str, now: datetime) -> None:
        rows = table(self._models.Order)
        changed = self._session.execute(
            update(rows)
            .where(rows.c.id.in_([order.id for order in orders]), rows.c.status == source)
            .values(status=target, updated=now)
        )
        if row_count(changed) != len(orders):
            raise Conflict

    def _record(
        self, transitions: Sequence[Transition], source: str, target: str, now: datetime
    ) -> None:
        events = [
            {
                "id": transition.id,
                "order_id": transition.order_id,
                "from_status": source,
                "to_status": target,
                "actor": transition.actor,
                "note": transition.note,
                "created": now,
            }
            for transition in transitions
        ]
        self._session.execute(insert(table(self._models.OrderEvent)), events)

    def _is_recorded(self, transition: Transition) -> bool:
        rows = table(self._models.OrderEvent)
        query = select(rows.c.id).where(rows.c.id == transition.id)
        return self._session.execute(query).first() is not None

    def _restock(self, orders: Sequence[Row[Any]]) -> None:
        items = table(self._models.OrderItem)
        # By a locking read: the transaction may be older than the order.
        deducted = self._session.execute(
            select(items.c.product_id, items.c.quantity)
            .where(
                items.c.order_id.in_([order.id for order in orders]),
                items.c.product_id.is_not(None),
                items.c.stock_deducted,
            )
            .with_for_update()
        )
        units = Counter[Any]()
        for product_id, quantity in deducted:
            units[product_id] += quantity
        self._stock.restock(units)

    def _release_vouchers(self, orders: Sequence[Any]) -> None:
        carrying = [
            (StoredVoucher(getattr(order, "voucher_id", None), order.voucher_code), order)
            for order in sorted(orders, key=lambda order: str(order.voucher_code))
            if order.voucher_code is not None
        ]
        # A subclass of the shop's may release in another way.
        if type(self._pricing) is Promotions:
            self._pricing.release_all(carrying)
            return
        for voucher, order in carrying:
            self._pricing.release(voucher, order)
