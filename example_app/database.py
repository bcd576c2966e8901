"""Create the tables and the catalogue when they are first needed, or with `flask ... seed`."""

from threading import Event, Lock

import click
from flask import Flask
from flask.cli import with_appcontext
from flask_migrate import upgrade
from sqlalchemy import select

from .catalogue import stock_the_shop
from .models import Product, db


def open_before_first_request(app: Flask) -> None:
    """Migrate and seed before the first request, so that `flask run` needs no set-up."""
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
    """Create the tables and the catalogue, or top the stock up."""
    upgrade()
    stock_the_shop()
    click.echo("The catalogue is in stock.")
