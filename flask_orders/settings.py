"""The `ORDERS_*` keys of `app.config`: names, defaults and checks.

They are checked when the blueprint is registered, and read from the app's config at each use.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from .errors import ConfigurationError
from .pricing import Currency

_WHOLE_NUMBERS = (
    "retries",
    "max_items",
    "max_body",
    "idempotency_hours",
    "payment_hours",
    "outbox_attempts",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The app's settings; each field is the config key `ORDERS_<FIELD>`.

    Attributes:
        payment_endpoint: the endpoint that `checkout` redirects to; it takes `order_id=`.
        currency: the ISO 4217 code of the shop's prices.
        retries: the most attempts at one transaction before the client gets `try_again`.
        max_items: the most rows of one cart that can be converted.
        max_body: the most bytes of a request body.
        idempotency_hours: how long an Idempotency-Key is remembered.
        payment_hours: how long an order may await its payment before it expires.
        outbox: whether every event is stored as a row until a relay has delivered it.
        outbox_attempts: the most attempts at delivering an event before it is set aside. Their
            pauses grow from two seconds to an hour: 36 attempts take about a day.
    """

    payment_endpoint: str | None = None
    currency: str = "USD"
    retries: int = 8
    max_items: int = 500
    max_body: int = 16384
    idempotency_hours: int = 24
    payment_hours: int = 72
    outbox: bool = False
    outbox_attempts: int = 36

    def __post_init__(self) -> None:
        if not isinstance(self.currency, str):
            raise ConfigurationError(
                f"ORDERS_CURRENCY is {self.currency!r}: set it to a currency's code, such as 'USD'."
            )
        try:
            Currency.of(self.currency)
        except ConfigurationError as error:
            raise ConfigurationError(f"ORDERS_CURRENCY: {error}") from None
        for name in _WHOLE_NUMBERS:
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigurationError(
                    f"ORDERS_{name.upper()} is {value!r}: set it to a whole number, 1 or more."
                )
        if not isinstance(self.outbox, bool):
            raise ConfigurationError(f"ORDERS_OUTBOX is {self.outbox!r}: set it to True or False.")

    @staticmethod
    def of(config: Mapping[str, Any]) -> "Settings":
        """Return the settings in an app's config.

        Raises:
            ConfigurationError: a value is invalid; the message names its key.
        """
        given = {name: config[key] for name, key in _KEYS.items() if key in config}
        try:
            return _checked(**given)
        except TypeError:  # a value that can't be remembered, and is refused
            return Settings(**given)


_KEYS = {field.name: f"ORDERS_{field.name.upper()}" for field in fields(Settings)}


@lru_cache(typed=True)
def _checked(**given: Any) -> Settings:
    """Return settings, which are read many times in a request, and checked once."""
    return Settings(**given)
