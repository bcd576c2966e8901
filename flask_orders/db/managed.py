"""Mark the transactions that the library owns: only they lock rows with a bounded wait.

The shop's own transactions and the server's settings stay as they are. What a database needs for a
managed transaction is installed on its engine by `db/dialects/`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, event

# An execution option of a connection: its transaction is managed by the library.
MANAGED = "flask_orders_managed"

# Seconds. No client may hold a connection of the pool for longer.
LOCK_WAIT = 5


@dataclass(frozen=True, slots=True)
class Listener:
    """A function that an engine calls at an event of SQLAlchemy's."""

    event: str
    function: Callable[..., Any]
    options: dict[str, Any] = field(default_factory=dict)


def install(listeners: tuple[Listener, ...], engine: Engine) -> None:
    """Install the listeners for managed transactions (idempotent)."""
    for listener in listeners:
        if not event.contains(engine, listener.event, listener.function):
            event.listen(engine, listener.event, listener.function, **listener.options)


def is_managed(connection: Connection) -> bool:
    """Return whether the connection's transaction is managed by the library."""
    return bool(connection.get_execution_options().get(MANAGED, False))
