"""The commands for support: find an order by the number that a customer reads out, and act on it.

They print to the standard output, as tables, JSON or CSV. The exit code is 0 if the order was found
and the action is done, 1 if not, and 2 if the command was written wrongly.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from ..db.typing import Query
from ..errors import ConfigurationError, OrderNotFound, OrdersError
from ..key_values import keys_spelled, spelling
from ..keys import as_number
from ..models import OrderMixin
from ..own_fields import schemas_of
from ..pricing import Currency
from ..service import current_orders
from ..status import STATUSES
from .database_errors import readable_database_errors
from .tables import print_table

MOST = 100

_as_json = click.option("--json", "is_json", is_flag=True, help="Print JSON.")
_with_note = click.option("--note", help="The reason, stored with the order's events.")


@contextmanager
def readable_refusals() -> Iterator[None]:
    """End a command with the sentence of a refusal, and exit code 1."""
    try:
        yield
    except OrdersError as error:
        raise click.ClickException(error.detail) from error


@click.command("show")
@click.argument("number")
@_as_json
@with_appcontext
@readable_database_errors()
def show(number: str, *, is_json: bool) -> None:
    """Print an order with its items, address, payments, refunds, events and undelivered events.

    NUMBER may be in any letter case, with or without the dash; I is read as 1, and O as 0.
    """
    order = _order(number)
    if is_json:
        click.echo(json.dumps(_described(order), default=spelling, indent=2))
        return
    _print(_described(order))


@click.command("list")
@click.option("--status", type=click.Choice(list(STATUSES)), help="Only orders of this status.")
@click.option("--customer", help="Only the orders of the customer with this key.")
@click.option("--since", type=click.DateTime(), help="Only orders placed since then, in UTC.")
@click.option("--until", type=click.DateTime(), help="Only orders placed before then, in UTC.")
@click.option(
    "--limit", type=click.IntRange(1), default=MOST, show_default=True, help="At most so many."
)
@_as_json
@click.option("--csv", "is_csv", is_flag=True, help="Print CSV, with a line of names.")
@with_appcontext
@readable_database_errors()
def list_orders(
    *,
    status: str | None,
    customer: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    is_json: bool,
    is_csv: bool,
) -> None:
    """List orders, the newest first."""
    order = current_orders.models.Order
    query = select(order).order_by(order.created.desc(), order.id.desc()).limit(limit)
    if status is not None:
        query = query.where(order.status == status)
    if customer is not None:
        query = _of_customer(query, customer)
    if since is not None:
        query = query.where(order.created >= since.replace(tzinfo=UTC))
    if until is not None:
        query = query.where(order.created < until.replace(tzinfo=UTC))
    rows = [_summary(found) for found in current_orders.session.scalars(query)]
    if is_json:
        click.echo(json.dumps(rows, indent=2))
    elif is_csv:
        writer = csv.DictWriter(sys.stdout, SUMMARY, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        print_table("Orders", rows)
        click.echo(f"Orders: {len(rows)}.")


@click.command("cancel")
@click.argument("number")
@_with_note
@with_appcontext
@readable_database_errors()
def cancel(number: str, *, note: str | None) -> None:
    """Cancel an order, as the shop: a paid one too. Its payments are then due to be refunded."""
    orders = current_orders
    order = _changed(number, lambda key: orders.cancel(key, by_shop=True, note=note))
    click.echo(f"The order {order.number} is {order.status}.")
    for due in orders.refunds_due():
        if due.order_id == order.id:
            click.echo(f"Refund {_text(due.amount, due.currency)}: payment {due.payment}.")


@click.command("deliver")
@click.argument("number")
@_with_note
@with_appcontext
@readable_database_errors()
def deliver(number: str, *, note: str | None) -> None:
    """Record that a paid order was delivered."""
    order = _changed(number, lambda key: current_orders.deliver(key, note=note))
    click.echo(f"The order {order.number} is {order.status}.")


@click.command("refunds")
@_as_json
@with_appcontext
@readable_database_errors()
def list_refunds(*, is_json: bool) -> None:
    """List what the shop owes its customers: unexpected payments, and those of cancelled orders.

    The exit code is 1 if there is anything.
    """
    rows = [
        {
            "received": f"{due.received:%Y-%m-%d}",
            "order": due.number,
            "payment": due.payment,
            "amount": _amount(due.amount, due.currency),
            "currency": due.currency,
        }
        for due in current_orders.refunds_due()
    ]
    if is_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        print_table("Refunds due", rows)
        click.echo(f"Refunds due: {len(rows)}.")
    if rows:
        raise SystemExit(1)


def _order(number: str) -> OrderMixin:
    """Return the order with a number.

    Raises:
        ClickException: there is none.
    """
    order = current_orders.models.Order
    try:
        query = select(order).where(order.number == as_number(number))
        found = current_orders.session.scalars(query.options(selectinload(order.items)))
        return found.one_or_none() or _not_found(number)
    except OrderNotFound:
        return _not_found(number)


def _not_found(number: str) -> OrderMixin:
    raise click.ClickException(f"there is no order {number}.")


def _changed(number: str, change: Callable[[UUID], OrderMixin]) -> OrderMixin:
    """Change an order in a transaction of its own.

    Raises:
        ClickException: there is no such order, or its status does not permit it.
    """
    key = _order(number).id
    with readable_refusals():
        for attempt in current_orders.retrying():
            with attempt, attempt.transaction():
                order = change(key)
    return order


def _of_customer(query: Query, customer: str) -> Query:
    """Restrict a query to a customer's orders, whose key is given as text."""
    column = current_orders.models.Order.customer_id
    dialect = current_orders.session.get_bind(mapper=current_orders.models.Order).dialect
    return query.where(column.in_(list(keys_spelled(column.type, customer, dialect))))


SUMMARY: Sequence[str] = ("number", "created", "status", "customer", "items", "total", "currency")


def _summary(order: OrderMixin) -> dict[str, str]:
    values = (
        order.number,
        _time(order.created),
        order.status,
        "" if order.customer_id is None else str(order.customer_id),
        str(order.items_count),
        _of(order).text(order.total_amount),
        order.currency,
    )
    return dict(zip(SUMMARY, values, strict=True))


def _described(order: OrderMixin) -> dict[str, Any]:
    """Return an order as the API returns it, with what only the shop may see."""
    schema = type(schemas_of(current_app).order)(str)
    described = cast(dict[str, Any], schema.dump(order))
    del described["url"]
    models = current_orders.models
    payments = _rows(models.OrderPayment, order)
    references = {payment.id: payment.reference for payment in payments}
    return {
        **described,
        "payments": [
            {
                "reference": payment.reference,
                "amount": _amount(payment.amount, payment.currency),
                "currency": payment.currency,
                "received": _time(payment.received),
                "expected": payment.expected,
            }
            for payment in payments
        ],
        "refunds": [
            {
                "reference": refund.reference,
                "payment": references[refund.payment_id],
                "amount": _amount(refund.amount, refund.currency),
                "currency": refund.currency,
                "created": _time(refund.created),
                "note": refund.note,
            }
            for refund in _rows(models.OrderRefund, order)
        ],
        "events": [
            {
                "created": _time(event.created),
                "from": event.from_status,
                "to": event.to_status,
                "actor": event.actor,
                "note": event.note,
            }
            for event in _rows(models.OrderEvent, order)
        ],
        "outbox": [
            {
                "type": event.type,
                "due": None if event.due is None else _time(event.due),
                "attempts": event.attempts,
                "set_aside": event.due is None,
            }
            for event in _rows(models.OutboxEvent, order)
        ],
    }


def _time(moment: datetime) -> str:
    """Return a time of a column, which is in UTC, as the API does."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _rows(model: Any, order: OrderMixin) -> Sequence[Any]:
    query = select(model).where(model.order_id == order.id).order_by(model.id)
    return current_orders.session.scalars(query).all()


def _print(order: Mapping[str, Any]) -> None:
    lists = ("items", "payments", "refunds", "events", "outbox")
    fields = _flat({name: value for name, value in order.items() if name not in lists})
    print_table(f"Order {order['number']}", [{"field": n, "value": v} for n, v in fields.items()])
    for name in lists:
        print_table(name.capitalize(), [_flat(row) for row in order[name]])


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested values as texts by their paths; what is None is empty."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, bool):
            flat[f"{prefix}{name}"] = "yes" if value else "no"
        else:
            flat[f"{prefix}{name}"] = "" if value is None else spelling(value)
    return flat


def _of(order: OrderMixin) -> Currency:
    return Currency.of(order.currency, order.currency_decimals)


def _text(amount: Decimal, currency: str) -> str:
    return f"{_amount(amount, currency)} {currency}"


def _amount(amount: Decimal, currency: str) -> str:
    try:
        return Currency.of(currency).exact_text(amount)
    except ConfigurationError:
        # A payment may have come in a currency that ISO 4217 does not know.
        return f"{amount.normalize():f}"


SUPPORT = (show, list_orders, cancel, deliver, list_refunds)
