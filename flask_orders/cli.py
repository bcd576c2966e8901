"""The commands under `flask orders`; called by whoever runs the shop."""

import click
from flask import current_app
from flask.cli import with_appcontext

from .check import problems
from .idempotency import IdempotencyKeys
from .service import current_orders


@click.command("check")
@with_appcontext
def check() -> None:
    """Say what is wrong with the shop's set-up, and how to mend it."""
    db, app = current_app.extensions["sqlalchemy"], current_app._get_current_object()  # type: ignore[attr-defined] # a proxy
    found = list(problems(app, db, current_orders))
    for problem in found:
        click.echo(f"- {problem}")
    if found:
        raise SystemExit(1)
    click.echo("Everything is set up.")


@click.command("purge-keys")
@with_appcontext
def purge_keys() -> None:
    """Delete the Idempotency-Keys that are older than ORDERS_IDEMPOTENCY_HOURS."""
    orders = current_orders
    keys = IdempotencyKeys(orders.session, orders.models, orders.settings.idempotency_hours)
    count = keys.purge()
    orders.session.commit()
    click.echo(f"{count} keys deleted.")
