"""The shop's configuration, from the environment and the instance folder.

Called by `create_app`.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from sqlalchemy.engine import URL, make_url

# The addresses that hosting services give, and the drivers that this shop is installed with.
DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}


def settings(instance: Path) -> dict[str, Any]:
    """What goes into `app.config`; makes the instance folder."""
    instance.mkdir(parents=True, exist_ok=True)
    return {
        "SQLALCHEMY_DATABASE_URI": database_url(os.environ.get("DATABASE_URL")),
        # The parameters of a failed statement are a customer's address: not for the log.
        "SQLALCHEMY_ENGINE_OPTIONS": {"hide_parameters": True},
        "JWT_SECRET_KEY": _secret("JWT_SECRET_KEY", instance / "jwt_key"),
        # What the payment provider signs its callbacks with, and the shop knows them by.
        "PAYMENT_SECRET": _secret("PAYMENT_SECRET", instance / "payment_key"),
        "JWT_ERROR_MESSAGE_KEY": "error",
        "MAX_CONTENT_LENGTH": 16 * 1024,
        "ORDERS_PAYMENT_ENDPOINT": "sandbox.pay",
        "ORDERS_CURRENCY": "CAD",
    }


def database_url(text: str | None) -> URL:
    """The database that is asked for, by a driver of ours; by default a file in the instance."""
    url = make_url(text or "sqlite:///shop.sqlite3")
    return url.set(drivername=DRIVERS.get(url.drivername, url.drivername))


def _secret(name: str, path: Path) -> str:
    """The environment's, or one that is kept in a file."""
    return os.environ.get(name) or _kept_secret(path)


def _kept_secret(path: Path) -> str:
    """A random key, made once, which only the owner of the file may read."""
    if not path.exists():
        # A link appears at once and whole, so another process sees all of the key or no file.
        with NamedTemporaryFile("w", dir=path.parent) as made, suppress(FileExistsError):
            made.write(secrets.token_hex(32))
            made.flush()
            os.link(made.name, path)
    return path.read_text()
