"""The commands under `flask orders`; called by whoever runs the shop."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from flask import Flask, current_app
from flask.cli import with_appcontext
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from .check import problems
from .errors import ConfigurationError, TryAgain
from .idempotency import IdempotencyKeys
from .outbox import Outbox, deliver_next
from .service import current_orders
from .signals import outbox_event
from .transaction import in_transaction, is_away, is_conflict

Result = TypeVar("Result")

# Seconds between two looks into an empty outbox, or for a database that is away.
PAUSE = 1.0

# Orders: their keys have to fit into one statement, and SQLite takes 32,766 parameters.
LARGEST_BATCH = 10_000


@contextmanager
def _with_cures() -> Iterator[None]:
    """End a command by a sentence instead of a traceback if the database is why it can't work."""
    try:
        yield
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    except (TryAgain, OperationalError, ProgrammingError) as error:
        if isinstance(error, TryAgain) or is_away(error) or is_conflict(error):
            raise click.ClickException(
                "the database is away or too busy. What was done before is kept: run this again."
            ) from error
        what, *_ = str(error.orig).splitlines()
        raise click.ClickException(
            f"{what}. Run `flask orders check`: it says what to mend."
        ) from error


@click.command("check")
@with_appcontext
def check() -> None:
    """Say what is wrong with the shop's set-up, and how to mend it."""
    found = list(problems(_app(), current_app.extensions["sqlalchemy"], current_orders))
    for problem in found:
        click.echo(f"- {problem}")
    if found:
        raise SystemExit(1)
    click.echo("Everything is set up.")


@click.command("purge-keys")
@with_appcontext
@_with_cures()
def purge_keys() -> None:
    """Delete the Idempotency-Keys that are older than ORDERS_IDEMPOTENCY_HOURS."""
    orders = current_orders
    keys = IdempotencyKeys(orders.session, orders.models, orders.settings.idempotency_hours)
    click.echo(f"Keys deleted: {_committed(keys.purge)}.")


@click.command("expire")
@click.option(
    "--batch",
    type=click.IntRange(1, LARGEST_BATCH),
    default=100,
    show_default=True,
    help="Orders in one transaction.",
)
@with_appcontext
@_with_cures()
def expire(batch: int) -> None:
    """Cancel the orders that have not been paid within ORDERS_PAYMENT_HOURS."""
    orders, total = current_orders, 0
    with click.progressbar(
        length=orders.lifecycle.count_late(orders.settings.payment_hours), label="Expiring"
    ) as bar:
        while count := _committed(lambda: orders.expire(batch)):
            total += count
            bar.update(count)
    click.echo(f"Orders cancelled: {total}.")


@click.command("audit")
@with_appcontext
@_with_cures()
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
    click.echo(f"Orders looked at: {total}; problems: {len(found)}.")
    if found:
        raise SystemExit(1)


@click.command("relay")
@click.option("--once", is_flag=True, help="End when nothing is due any more.")
@with_appcontext
@_with_cures()
def relay_events(*, once: bool) -> None:
    """Deliver the events of the outbox to the receivers of the signal outbox_event.

    SIGTERM and SIGINT end it after the event that it is at.
    """
    orders, app, total = current_orders, _app(), 0
    if not outbox_event.receivers:
        raise click.ClickException(
            "nobody receives the events: connect a function to flask_orders.outbox_event"
        )
    if not orders.settings.outbox:
        click.echo("ORDERS_OUTBOX is not True: only what was kept before is delivered.", err=True)
    outbox = Outbox(orders.session, orders.models)

    def deliver(event: dict[str, Any]) -> None:
        nonlocal total
        for receiver in outbox_event.receivers_for(app):
            receiver(app, event=event)
        total += 1

    with _requests_to_stop() as requests:
        while not requests:
            try:
                found = deliver_next(orders.session, _committed, outbox, deliver)
            except (TryAgain, DBAPIError) as error:
                if once or not (isinstance(error, TryAgain) or is_away(error)):
                    raise
                click.echo("The database is away.", err=True)
                found = False
            if found:
                continue
            if once:
                break
            time.sleep(PAUSE)
    click.echo(f"Events delivered: {total}.")


COMMANDS = (check, purge_keys, expire, audit, relay_events)


def _app() -> Flask:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined] # a proxy
    return app


def _committed(work: Callable[[], Result]) -> Result:
    """Run it in a transaction of its own, and again after a conflict."""
    orders = current_orders
    return in_transaction(
        orders.session,
        lambda: None,
        lambda _first, _latest: work(),
        mapper=orders.models.Order,
        attempts=orders.settings.retries,
    )


@contextmanager
def _requests_to_stop() -> Iterator[list[int]]:
    """The signals that have asked the process to stop; the second of a kind stops it at once."""
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
