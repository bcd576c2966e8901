"""The shop's tables and what is in them, made when they are first needed.

Called by `create_app`; `flask --app example_app seed` and `demo` do the same at once.
"""

from threading import Event, Lock

import click
from flask import Flask
from flask.cli import with_appcontext
from flask_migrate import upgrade
from sqlalchemy import select

from .catalogue import stock_the_shop
from .models import Product, db


def open_before_first_request(app: Flask) -> None:
    """Have `flask run` need no set-up; `flask db` still finds the database as it is."""
    lock, is_open = Lock(), Event()

    @app.before_request
    def open_once() -> None:
        with lock:
            if not is_open.is_set():
                upgrade()
                if db.session.scalar(select(Product.id).limit(1)) is None:
                    stock_the_shop()
                is_open.set()


@click.command("seed")
@with_appcontext
def seed_command() -> None:
    """Make the tables and a catalogue, or top its stock up."""
    upgrade()
    stock_the_shop()
    click.echo("The shop is stocked.")
