"""Errors of the database, as sentences for the person who runs a command."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy.exc import DBAPIError

from ..db.classify import hide_values, is_conflict, is_unavailable
from ..errors import ConfigurationError, TryAgain
from .reasons import reason_of


@contextmanager
def readable_database_errors() -> Iterator[None]:
    """End a command with a sentence, not a traceback, if the database is the reason."""
    try:
        yield
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    except (TryAgain, DBAPIError) as error:
        if isinstance(error, TryAgain) or is_unavailable(error) or is_conflict(error):
            raise click.ClickException(
                "the database is unavailable or too busy. What is done stays done: run this again."
            ) from error
        hide_values(error)
        raise click.ClickException(
            f"{reason_of(error)}. Run `flask orders check`: it says what to fix."
        ) from error
