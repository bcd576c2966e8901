"""The audit of the stored rows: whether they still hold the invariants.

The arithmetic is a second opinion: it computes every amount from the stored items by the formulas
of docs/explanation/money.md, on purpose without the conversion's own code or its projection, so
that a mistake there does not hide itself.

I1 is about stock, I2 vouchers, I3 carts, I4 orders and their items, I5 amounts, I9 money: what was
paid, what was refunded, and the status agree. The rows do not tell what there was before: of I1 the
audit checks that no stock is below zero and that reserved units are allocated, nothing of a shop's
own `Stock`, and of I3 nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import (
    Connection,
    Engine,
    Table,
    and_,
    case,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.orm import scoped_session

from .currency import ZERO
from .db.dialects import dialect_of
from .models import Models
from .models.contract import table
from .pricing import AMOUNTS
from .status import AWAITING_PAYMENT, DELIVERED, PAID, RELEASED
from .stock_audit import stock_problems

Database = Connection | scoped_session[Session]

# Orders that are read together, with all their items; an order may have hundreds.
BATCH = 100

# Raised by a value that is no amount: NULL, or a text in SQLite.
NOT_COMPUTED = (ArithmeticError, TypeError, ValueError)

ITEM_AMOUNTS = ("discount_amount", "total_price")


def problems(
    database: Database,
    models: Models,
    *,
    has_own_pricing: bool,
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[str]:
    """Yield everything that does not add up, a sentence each, by one snapshot if possible.

    Args:
        database: a connection, or a session.
        models: the shop's models.
        has_own_pricing: whether the vouchers are the shop's own, and not audited.
        on_progress: called with the number of orders that were checked since the last call.
    """
    _use_snapshot(database, models)
    yield from stock_problems(database, models)
    if not has_own_pricing and models.promotion_models is not None:
        yield from voucher_problems(database, models)
    yield from money_problems(database, models)
    yield from order_problems(database, models, on_progress)


def _use_snapshot(database: Database, models: Models) -> None:
    """Read everything in one consistent snapshot, unless a transaction has begun already.

    SQLite does so by itself, MySQL and MariaDB by default; on PostgreSQL an order that the shop
    deletes meanwhile would seem to have no items.
    """
    if isinstance(database, Connection) or database().in_transaction():
        return
    bind = database.get_bind(mapper=models.Order)
    isolation = dialect_of(bind.dialect).snapshot_isolation
    if isinstance(bind, Engine) and isolation is not None:
        database.connection(
            bind_arguments={"mapper": models.Order},
            execution_options={"isolation_level": isolation},
        )


def voucher_problems(database: Database, models: Models) -> Iterator[str]:
    """Yield the problems of I2, for the vouchers of the default pricing."""
    orders, vouchers = table(models.Order), table(models.Voucher)
    carrying = [orders.c.voucher_id == vouchers.c.id, orders.c.status.not_in(RELEASED)]
    uses = select(func.count()).select_from(orders).where(*carrying).scalar_subquery()
    limit = case((vouchers.c.usage == "single", 1), else_=vouchers.c.usage_limit)
    # One statement, so that the orders and the vouchers are of one moment.
    for voucher in database.execute(
        select(
            vouchers.c.id, vouchers.c.times_used, uses.label("uses"), limit.label("limit")
        ).where(or_(vouchers.c.times_used != uses, uses > limit))
    ):
        if voucher.times_used != voucher.uses:
            yield (
                f"I2: voucher {voucher.id} is used {voucher.times_used} times, and "
                f"{voucher.uses} orders carry it"
            )
        if voucher.limit is not None and voucher.uses > voucher.limit:
            yield f"I2: voucher {voucher.id} of limit {voucher.limit}: {voucher.uses} orders"
    for row in database.execute(
        select(orders.c.voucher_id, func.count().label("uses"))
        .join(vouchers, and_(*carrying))
        .where(vouchers.c.usage == "once_per_customer", orders.c.customer_id.is_not(None))
        .group_by(orders.c.voucher_id, orders.c.customer_id)
        .having(func.count() > 1)
    ):
        yield f"I2: voucher {row.voucher_id} is in {row.uses} orders of one customer"


def money_problems(database: Database, models: Models) -> Iterator[str]:
    """Yield the problems of I9: payments, refunds and statuses that do not agree."""
    orders, payments = table(models.Order), table(models.OrderPayment)
    refunds = table(models.OrderRefund)
    is_its = payments.c.order_id == orders.c.id
    was_paid = exists().where(is_its, payments.c.expected)
    for (key,) in database.execute(
        select(orders.c.id).where(
            orders.c.status.in_((PAID, DELIVERED)), orders.c.total_amount > ZERO, ~was_paid
        )
    ):
        yield f"I9: the order {key} is paid, and no payment for it is recorded"
    awaited = select(payments.c.id, orders.c.id, orders.c.status).join_from(payments, orders)
    for payment, key, status in database.execute(
        awaited.where(payments.c.expected, orders.c.status == AWAITING_PAYMENT)
    ):
        yield f"I9: the payment {payment} has paid the order {key}, which is {status}"
    for payment, key in database.execute(
        select(payments.c.id, orders.c.id)
        .join_from(payments, orders)
        .where(payments.c.expected, payments.c.amount != orders.c.total_amount)
    ):
        yield f"I9: the payment {payment} is not the total of the order {key}, which it has paid"
    for key, count in database.execute(
        select(payments.c.order_id, func.count())
        .where(payments.c.expected)
        .group_by(payments.c.order_id)
        .having(func.count() > 1)
    ):
        yield f"I9: {count} payments have paid the order {key}"
    for (payment,) in database.execute(
        select(payments.c.id)
        .join_from(refunds, payments, refunds.c.payment_id == payments.c.id)
        .group_by(payments.c.id, payments.c.amount)
        .having(func.sum(refunds.c.amount) > payments.c.amount)
    ):
        yield f"I9: more than the payment {payment} was refunded"
    for (refund,) in database.execute(
        select(refunds.c.id)
        .join_from(refunds, payments, refunds.c.payment_id == payments.c.id)
        .where(
            or_(
                refunds.c.order_id != payments.c.order_id,
                refunds.c.currency != payments.c.currency,
            )
        )
    ):
        yield f"I9: the refund {refund} is not of its payment's order and currency"


def order_problems(
    database: Database, models: Models, on_progress: Callable[[int], None] | None = None
) -> Iterator[str]:
    """Yield the problems of I4 and I5, for every order."""
    orders, items = table(models.Order), table(models.OrderItem)
    lost = ~exists().where(orders.c.id == items.c.order_id)
    for (key,) in database.execute(select(items.c.id).where(lost)):
        yield f"I4: the item {key} has no order"
    last = None
    while True:
        query = select(orders.c.id).order_by(orders.c.id).limit(BATCH)
        keys = database.scalars(query if last is None else query.where(orders.c.id > last)).all()
        if not keys:
            return
        yield from _batch_problems(database, orders, items, keys)
        if on_progress is not None:
            on_progress(len(keys))
        last = keys[-1]


def _batch_problems(
    database: Database, orders: Table, items: Table, keys: Sequence[Any]
) -> Iterator[str]:
    """Yield the problems of some orders; an order whose amounts can't be computed is named."""
    query = select(orders.c.id, *(orders.c[name] for name in AMOUNTS))
    try:
        batch = database.execute(query.where(orders.c.id.in_(keys)).order_by(orders.c.id)).all()
        by_order = _items(database, items, keys)
        found = [one for row in batch for one in _order_problems(row, by_order.get(row.id, []))]
    except NOT_COMPUTED as error:
        if len(keys) > 1:
            for key in keys:
                yield from _batch_problems(database, orders, items, [key])
            return
        why = type(error).__name__
        found = [f"I5: the amounts of the order {keys[0]} can't be computed: {why}"]
    yield from found


def _items(database: Database, items: Any, order_ids: Sequence[Any]) -> dict[Any, list[Any]]:
    by_order: dict[Any, list[Any]] = {}
    names = ("quantity", "list_price", "unit_price", "shipping", "voucher_discount", *ITEM_AMOUNTS)
    query = select(items.c.order_id, items.c.id, *(items.c[name] for name in names))
    for item in database.execute(query.where(items.c.order_id.in_(order_ids))):
        by_order.setdefault(item.order_id, []).append(item)
    return by_order


def _order_problems(order: Any, items: Sequence[Any]) -> Iterator[str]:
    if not items:
        yield f"I4: the order {order.id} has no items"
    for item in items:
        expected: dict[str, Any] = {
            "total_price": item.unit_price * item.quantity,
            "discount_amount": (item.list_price - item.unit_price) * item.quantity,
        }
        yield from _differences(f"item {item.id}", item, expected)
    yield from _differences(f"order {order.id}", order, recomputed(items))


def _differences(what: str, row: Any, expected: Mapping[str, Any]) -> Iterator[str]:
    wrong = [name for name, value in expected.items() if getattr(row, name) != value]
    if wrong:
        yield f"I5: of the {what} these do not follow: {', '.join(wrong)}"


def recomputed(items: Sequence[Any]) -> dict[str, Any]:
    """Return an order's amounts by the formulas of docs/explanation/money.md.

    This does not call `PricedCart`, which computes the same: the audit is a second opinion.
    """
    subtotal = sum((item.unit_price * item.quantity for item in items), ZERO)
    savings = sum(((item.list_price - item.unit_price) * item.quantity for item in items), ZERO)
    discount: Decimal = sum((item.voucher_discount for item in items), ZERO)
    shipping: Decimal = sum((item.shipping for item in items), ZERO)
    return {
        "items_count": sum(item.quantity for item in items),
        "subtotal": subtotal,
        "savings_on_items": savings,
        "discount_amount": discount,
        "amount_saved": savings + discount,
        "shipping": shipping,
        "total_amount": subtotal + shipping - discount,
    }
