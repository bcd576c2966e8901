"""The `ORDERS_*` keys of `app.config`: their names, their defaults and what they may hold.

Checked when the blueprint is registered; read from the app's config each time, by the service
and the blueprint.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from .errors import ConfigurationError
from .pricing import Currency


@dataclass(frozen=True, slots=True)
class Settings:
    """Each field is the config key `ORDERS_<FIELD>`.

    Attributes:
        payment_endpoint: what `checkout` redirects to; it is given `order_id=`.
        currency: ISO 4217 code of the shop's prices.
        retries: attempts at one transaction before a client is told to try again.
        max_items: rows of one cart that can be converted.
        max_body: bytes of a request body.
        idempotency_hours: how long an Idempotency-Key is remembered.
        payment_hours: how long an order may wait for its payment before it expires.
        outbox: whether every event is kept as a row until a relay has delivered it.
    """

    payment_endpoint: str | None = None
    currency: str = "USD"
    retries: int = 8
    max_items: int = 500
    max_body: int = 16384
    idempotency_hours: int = 24
    payment_hours: int = 72
    outbox: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.currency, str):
            raise ConfigurationError(
                f"ORDERS_CURRENCY is {self.currency!r}: give the code of a currency, such as 'USD'."
            )
        try:
            Currency.of(self.currency)
        except ConfigurationError as error:
            raise ConfigurationError(f"ORDERS_CURRENCY: {error}") from None
        for name in ("retries", "max_items", "max_body", "idempotency_hours", "payment_hours"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigurationError(
                    f"ORDERS_{name.upper()} is {value!r}: give a whole number, 1 or more."
                )
        if not isinstance(self.outbox, bool):
            raise ConfigurationError(f"ORDERS_OUTBOX is {self.outbox!r}: give True or False.")

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """The settings in an app's config.

        Raises:
            ConfigurationError: a value can't be used; the message names the key.
        """
        keys = {field.name: f"ORDERS_{field.name.upper()}" for field in fields(cls)}
        return cls(**{name: config[key] for name, key in keys.items() if key in config})
