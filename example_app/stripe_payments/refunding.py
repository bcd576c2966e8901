"""`flask refund-due`: send back, through Stripe, what the shop owes its customers."""

import click
from flask.cli import with_appcontext

from flask_orders import current_orders

from ..models import db
from ..payments import record_refund
from .amounts import from_units
from .client import refund


@click.command("refund-due")
@with_appcontext
def refund_command() -> None:
    """Refund every payment by Stripe that is due to be refunded, and record it.

    It may be repeated: a refund that was made but not recorded is the same one to Stripe.
    """
    due = [each for each in current_orders.refunds_due() if each.payment.startswith("pi_")]
    db.session.rollback()
    for each in due:
        made = refund(each.payment, each.amount, each.currency)
        amount = from_units(made.amount, made.currency.upper())
        record_refund(each.order_id, made.id, amount, each.payment)
        click.echo(f"{each.number}: {amount} {each.currency} of {each.payment} refunded: {made.id}")
    click.echo(f"Payments refunded: {len(due)}.")
