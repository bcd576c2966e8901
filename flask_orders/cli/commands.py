"""The commands under `flask orders`; each commits what it does, and says what it could not do."""

import logging
import signal
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import click
from flask import Flask, current_app
from flask.cli import with_appcontext
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from ..db.classify import is_unavailable
from ..db.drivers import error_name
from ..errors import TryAgain
from ..idempotency import IdempotencyKeys
from ..lifecycle import LateOrder
from ..outbox import Delivery, Outbox, deliver_next
from ..service import components_of, current_orders
from ..signals import outbox_event
from .check import mapping, notes, problems
from .database_errors import readable_database_errors

log: logging.Logger = logging.getLogger("flask_orders")

# Seconds between two reads of an empty outbox, or two connections to an unavailable database.
PAUSE = 1.0

# Orders in one batch: their keys must fit into one statement; SQLite takes 32,766 parameters.
LARGEST_BATCH = 10_000


@click.command("check")
@with_appcontext
def check() -> None:
    """Print the mapping, and report what is wrong with the shop's set-up, and how to fix it."""
    for line in mapping(current_orders):
        click.echo(line)
    db = current_app.extensions["sqlalchemy"]
    found = list(problems(_app(), db, current_orders))
    for problem in found:
        click.echo(f"- {problem}")
    for note in notes(_app(), db, current_orders):
        click.echo(f"Note: {note}.")
    if found:
        raise SystemExit(1)
    click.echo("Everything is set up.")


@click.command("purge-keys")
@with_appcontext
@readable_database_errors()
def purge_keys() -> None:
    """Delete the Idempotency-Keys that are older than ORDERS_IDEMPOTENCY_HOURS."""
    orders = current_orders
    keys = IdempotencyKeys(orders.session, orders.models, orders.settings.idempotency_hours)
    for attempt in orders.retrying():
        with attempt, attempt.transaction():
            count = keys.purge()
    click.echo(f"Keys deleted: {count}.")


@click.command("expire")
@click.option(
    "--batch",
    type=click.IntRange(1, LARGEST_BATCH),
    default=100,
    show_default=True,
    help="Orders in one transaction.",
)
@with_appcontext
@readable_database_errors()
def expire(batch: int) -> None:
    """Cancel the orders that have not been paid within ORDERS_PAYMENT_HOURS.

    An order that can't be cancelled is named, the others are cancelled, and the exit code is 1.
    """
    orders, total = current_orders, 0
    hours, lifecycle = orders.settings.payment_hours, components_of(orders).lifecycle
    failures: dict[str, str] = {}
    with click.progressbar(length=lifecycle.count_late(hours), label="Expiring") as bar:
        for late in _late_orders(hours, batch):
            total += _expire(hours, late, failures)
            bar.update(len(late))
    for number, reason in failures.items():
        click.echo(f"- The order {number} could not be cancelled: {reason}.")
    click.echo(f"Orders cancelled: {total}.")
    if failures:
        raise SystemExit(1)


def _late_orders(hours: int, batch: int) -> Iterator[list[LateOrder]]:
    """Yield the late orders, a batch at a time, and each once, whether it is cancelled or not."""
    orders, last = current_orders, None
    while True:
        for attempt in orders.retrying():
            with attempt, attempt.transaction():
                late = components_of(orders).lifecycle.late_orders(hours, batch, last)
        if not late:
            return
        yield late
        last = late[-1]


def _expire(hours: int, late: Sequence[LateOrder], failures: dict[str, str]) -> int:
    """Cancel the orders in one transaction, or, if that fails, in ever smaller ones.

    Returns how many were cancelled. An order that can't be cancelled gets an entry in `failures`:
    its number and the reason.
    """
    orders = current_orders
    try:
        for attempt in orders.retrying():
            with attempt, attempt.transaction():
                count = components_of(orders).lifecycle.expire_these(hours, late)
    except Exception as error:
        if is_unavailable(error):
            raise
        failure = error
    else:
        return count
    if len(late) > 1:
        half = len(late) // 2
        return _expire(hours, late[:half], failures) + _expire(hours, late[half:], failures)
    reason = failures[late[0].number] = error_name(failure)
    where = "".join(traceback.format_tb(failure.__traceback__))
    log.error(
        "the order %s could not be cancelled: %s at\n%s",
        late[0].number,
        reason,
        where,
        extra={"event": "expiry_failed", "order_id": str(late[0].id)},
    )
    return 0


@click.command("audit")
@with_appcontext
@readable_database_errors()
def audit() -> None:
    """Recompute every order from its items, and report what does not add up."""
    orders, total = current_orders, 0
    order = orders.models.Order
    length = orders.session.execute(select(func.count()).select_from(order)).scalar_one()
    # The audit begins a transaction of its own kind.
    orders.session.rollback()
    with click.progressbar(length=length, label="Auditing") as bar:

        def on_progress(count: int) -> None:
            nonlocal total
            total += count
            bar.update(count)

        found = list(orders.audit(on_progress))
    for problem in found:
        click.echo(f"- {problem}")
    click.echo(f"Orders examined: {total}; problems: {len(found)}.")
    if found:
        raise SystemExit(1)


@click.command("relay")
@click.option("--once", is_flag=True, help="End when no event is due any more.")
@click.option("--retry", is_flag=True, help="Send the events again that were set aside.")
@with_appcontext
@readable_database_errors()
def relay_events(*, once: bool, retry: bool) -> None:
    """Deliver the events of the outbox to the receivers of the signal outbox_event.

    SIGTERM and SIGINT end it after the current event. An event that is not delivered does not stop
    those of other orders. After ORDERS_OUTBOX_ATTEMPTS attempts it is set aside. With --once the
    events that are not delivered are named, and the exit code is 1.
    """
    if not outbox_event.receivers:
        raise click.ClickException(
            "outbox_event has no receiver: connect a function to flask_orders.signals.outbox_event"
        )
    if not current_orders.settings.outbox:
        click.echo("ORDERS_OUTBOX is not True: only events stored earlier are delivered.", err=True)
    outbox = components_of(current_orders).outbox
    if retry:
        _send_again(outbox)
    total = 0
    failures: dict[UUID, str] = {}
    for delivery in _deliveries(outbox, once=once):
        failures.pop(delivery.event_id, None)
        if delivery.error is None:
            total += 1
        elif once and not delivery.is_set_aside:
            failures[delivery.event_id] = delivery.error
    for event_id, reason in failures.items():
        click.echo(f"- The event {event_id} was not delivered: {reason}. It is tried again later.")
    for attempt in current_orders.retrying():
        with attempt, attempt.transaction():
            set_aside = outbox.set_aside()
    for event_id in set_aside:
        click.echo(f"- The event {event_id} is set aside: --retry sends it again.")
    click.echo(f"Events delivered: {total}.")
    if failures or set_aside:
        raise SystemExit(1)


def _send_again(outbox: Outbox) -> None:
    """Make the events due that were set aside."""
    for attempt in current_orders.retrying():
        with attempt, attempt.transaction():
            count = outbox.retry()
    click.echo(f"Events to send again: {count}.")


def _deliveries(outbox: Outbox, *, once: bool) -> Iterator[Delivery]:
    """Deliver one event after the other until the process is asked to stop, or nothing is due."""
    orders = current_orders
    with stop_requests() as requests:
        while not requests:
            try:
                delivery = deliver_next(outbox, _send, limit=orders.settings.retries)
            except (TryAgain, DBAPIError) as error:
                if once or not (isinstance(error, TryAgain) or is_unavailable(error)):
                    raise
                click.echo("The database is unavailable.", err=True)
                delivery = None
            if delivery is not None:
                yield delivery
            elif once:
                return
            else:
                time.sleep(PAUSE)


def _send(event: dict[str, Any]) -> None:
    app = _app()
    for receiver in outbox_event.receivers_for(app):
        receiver(app, event=event)


COMMANDS = (check, purge_keys, expire, audit, relay_events)


def _app() -> Flask:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined] # a proxy
    return app


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect the signals that ask the process to stop; a second of the same kind ends it."""
    received: list[int] = []

    def receive(number: int, _frame: object) -> None:
        received.append(number)
        signal.signal(number, before[number])

    before = {int(number): signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, receive)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
