"""The shop's configuration, from the environment and the instance folder."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from sqlalchemy.engine import URL, make_url

# The URL schemes that hosting services use, and the drivers that this shop installs.
DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}

# The endpoint of each provider's payment page.
PAYMENT_ENDPOINTS = {"sandbox": "sandbox.pay", "stripe": "stripe_payments.pay"}

STRIPE = "https://api.stripe.com"

STRIPE_KEYS = ("STRIPE_SECRET_KEY", "STRIPE_PUBLISHABLE_KEY", "STRIPE_WEBHOOK_SECRET")

TEST_KEYS = {"STRIPE_SECRET_KEY": "sk_test_local", "STRIPE_PUBLISHABLE_KEY": "pk_test_local"}


def settings(instance: Path) -> dict[str, Any]:
    """Return the values for `app.config`, and create the instance folder."""
    instance.mkdir(parents=True, exist_ok=True)
    return {
        "SQLALCHEMY_DATABASE_URI": database_url(os.environ.get("DATABASE_URL")),
        # A failed statement's parameters may hold a customer's address, which must not be logged.
        "SQLALCHEMY_ENGINE_OPTIONS": {"hide_parameters": True},
        "JWT_SECRET_KEY": _secret("JWT_SECRET_KEY", instance / "jwt_key"),
        # The key with which the payment provider signs its callbacks and the shop verifies them.
        "PAYMENT_SECRET": _secret("PAYMENT_SECRET", instance / "payment_key"),
        # The staff's password at /admin/, and the key of the forms there.
        "ADMIN_PASSWORD": _secret("ADMIN_PASSWORD", instance / "admin_password"),
        "SECRET_KEY": _secret("SECRET_KEY", instance / "secret_key"),
        "JWT_ERROR_MESSAGE_KEY": "error",
        # In the header for the API, and in a cookie for the pages, whose forms have a token
        # against cross-site requests.
        "JWT_TOKEN_LOCATION": ["headers", "cookies"],
        "JWT_CSRF_CHECK_FORM": True,
        "JWT_COOKIE_SAMESITE": "Lax",
        # Behind HTTPS set it: the cookie is then never sent without it.
        "JWT_COOKIE_SECURE": os.environ.get("JWT_COOKIE_SECURE") == "1",
        "MAX_CONTENT_LENGTH": 16 * 1024,
        "ORDERS_CURRENCY": "CAD",
        **payment_settings(instance),
    }


def payment_settings(instance: Path) -> dict[str, Any]:
    """Return the settings of the payment provider that PAYMENTS names.

    Raises:
        RuntimeError: there is no such provider.
    """
    provider = os.environ.get("PAYMENTS", "sandbox")
    if provider not in PAYMENT_ENDPOINTS:
        raise RuntimeError(
            f"PAYMENTS is {provider!r}: set it to one of {', '.join(PAYMENT_ENDPOINTS)}."
        )
    values: dict[str, Any] = {
        "PAYMENTS": provider,
        "ORDERS_PAYMENT_ENDPOINT": PAYMENT_ENDPOINTS[provider],
    }
    if provider == "stripe":
        values["STRIPE_API"] = os.environ.get("STRIPE_API", STRIPE)
        for name in STRIPE_KEYS:
            values[name] = os.environ.get(name)
        if "STRIPE_API" in os.environ:
            # A test server takes any keys.
            secret = _secret("STRIPE_WEBHOOK_SECRET", instance / "stripe_webhook_secret")
            values |= TEST_KEYS | {"STRIPE_WEBHOOK_SECRET": secret}
    return values


def database_url(text: str | None) -> URL:
    """Return the database's URL with an installed driver; by default a file in the instance."""
    url = make_url(text or "sqlite:///shop.sqlite3")
    return url.set(drivername=DRIVERS.get(url.drivername, url.drivername))


def _secret(name: str, path: Path) -> str:
    """Return the secret from the environment, or the one stored in a file."""
    return os.environ.get(name) or _stored_secret(path)


def _stored_secret(path: Path) -> str:
    """Return a random key, created once; only the file's owner may read it."""
    if not path.exists():
        # A link appears atomically: another process sees the complete key or no file.
        with NamedTemporaryFile("w", dir=path.parent) as made, suppress(FileExistsError):
            made.write(secrets.token_hex(32))
            made.flush()
            os.link(made.name, path)
    return path.read_text()
