"""The parts of one app's order service: each is made once, and all share one session.

`http/`, `cli/` and `testing` need some of them beside the service's public calls.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from flask_sqlalchemy.session import Session
from sqlalchemy.orm import scoped_session

from .address_book import AddressBook
from .carts import Carts
from .converting import Converter
from .lifecycle import Lifecycle
from .list_prices import ListPrices
from .models import Models
from .outbox import Outbox
from .payments import Payments
from .placing import Placing
from .pricing import Currency, Pricing
from .product_stock import ResolvedStock
from .promotions import Promotions
from .refunds import Refunds
from .settings import Settings
from .signals import Emitter


@dataclass(frozen=True)
class Components:
    """What an `OrderService` is made of.

    Attributes:
        options: what `register_blueprint` was given, by name.
    """

    options: Mapping[str, Any]
    carts: Carts
    converter: Converter
    lifecycle: Lifecycle
    outbox: Outbox
    payments: Payments
    placing: Placing
    refunds: Refunds

    @property
    def has_own_pricing(self) -> bool:
        return self.options["pricing"] is not None

    @classmethod
    def of(
        cls,
        session: scoped_session[Session],
        models: Models,
        settings: Callable[[], Settings],
        options: Mapping[str, Any],
    ) -> Self:
        """Make the components of a service, by the arguments of `OrderService`.

        `options` are what `register_blueprint` takes.
        """
        pricing: Pricing | None = options["pricing"]

        def currency() -> Currency:
            return Currency.of(settings().currency)

        own_pricing = pricing is not None
        prices = pricing or _default_pricing(session, models)
        stock = ResolvedStock(session, models)
        carts = Carts(session, models, currency, stock, priced_by_product=not own_pricing)
        outbox = Outbox(session, models, settings)
        emitter = Emitter(session, models, lambda: outbox if settings().outbox else None)
        lifecycle = Lifecycle(session, models, stock, prices, emitter)
        converter = Converter(
            session,
            models,
            settings,
            carts,
            stock,
            prices,
            AddressBook(session, models, options["saved_address"]),
            lifecycle,
            has_own_pricing=own_pricing,
        )
        return cls(
            options,
            carts,
            converter,
            lifecycle,
            outbox,
            Payments(session, models, lifecycle, emitter),
            Placing(session, models, settings, converter, lifecycle),
            Refunds(session, models, lifecycle, emitter),
        )


def _default_pricing(session: scoped_session[Session], models: Models) -> Pricing:
    return ListPrices() if models.promotion_models is None else Promotions(session, models)
