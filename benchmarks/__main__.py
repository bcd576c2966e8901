"""`python -m benchmarks`: measure what an order costs and print it, ratios first.

Everything runs on a PostgreSQL of its own, which is removed afterwards, or on another server of the
tests, in a database of its own.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from sqlalchemy.engine import URL

from tests.support.servers import NAMES, Missing, server

from . import growth, items, load, oscar, profiled
from .report import QUICK, Part, Sizes, summary

PARTS: dict[str, Callable[[URL, Sizes], Part]] = {
    "items": items.measure,
    "oscar": oscar.compare,
    "gunicorn": load.measure,
    "growth": growth.measure,
    "profile": profiled.measure,
}

# What uses neither PostgreSQL's own statistics nor psycopg.
ANYWHERE = ("items", "gunicorn")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--quick", is_flag=True, help="Use small sizes, to see that it works.")
@click.option("--on", "where", type=click.Choice(NAMES), default="postgresql", help="The database.")
def main(names: tuple[str, ...], *, quick: bool, where: str) -> None:
    """Measure what an order costs: all parts, or those named; `items` and `gunicorn` anywhere.

    \b
    items     by the number of items, beside a bare Flask view and hand-written SQL
    oscar     beside django-oscar (installed at first use); draws docs/images/cost.svg
    gunicorn  under load: two workers, eight clients, also with one voucher or product for all
    growth    with ten and with a million orders in the tables, and their query plans
    profile   where the time goes
    """
    errors = Console(stderr=True)
    console = Console(width=None if errors.is_terminal else 110)
    parts = []
    possible = list(PARTS) if where == "postgresql" else list(ANYWHERE)
    if not set(names) <= set(possible):
        raise click.UsageError(f"on {where} there is only: {', '.join(possible)}")
    with _server(where) as url:
        for name in names or possible:
            started = time.monotonic()
            with errors.status(f"{name} ..."):
                parts.append(PARTS[name](url, QUICK if quick else Sizes()))
            errors.print(f"{name}: {time.monotonic() - started:.0f} s")
    ratios = [ratio for part in parts for ratio in part.ratios]
    for table in (summary(ratios), *(table for part in parts for table in part.tables)):
        console.print(table)
        console.print()


@contextmanager
def _server(name: str) -> Iterator[URL]:
    try:
        with server(name) as url:
            yield url
    except Missing as missing:
        raise click.ClickException(str(missing)) from None


if __name__ == "__main__":
    main()
