"""Placing an order: a whole transaction, with retries and an idempotency key, or no effect at all.

A request that is sent again, and an attempt that follows a COMMIT whose answer was lost, lead to
the order that exists already, never to a second one.
"""

from collections.abc import Callable

from flask_sqlalchemy.session import Session
from sqlalchemy.orm import scoped_session

from .converting import Converter, OrderRequest, PlacedOrder
from .db.retrying import retrying
from .errors import UnknownCustomer
from .idempotency import IdempotencyKeys, IdempotentRequest
from .lifecycle import Lifecycle
from .models import Models
from .settings import Settings


class Placing:
    """Places the orders of one app."""

    def __init__(
        self,
        session: scoped_session[Session],
        models: Models,
        settings: Callable[[], Settings],
        converter: Converter,
        lifecycle: Lifecycle,
    ) -> None:
        self._session = session
        self._models = models
        self._settings = settings
        self._converter = converter
        self._lifecycle = lifecycle

    def place(self, request: OrderRequest, keyed: IdempotentRequest | None) -> PlacedOrder:
        """Convert the customer's cart and commit; see `OrderService.place`."""
        settings, provisional = self._settings(), PlacedOrder(request.id, payable=True)
        keys = IdempotencyKeys(self._session, self._models, settings.idempotency_hours)
        since: int | None = None
        for attempt in retrying(
            self._session,
            mapper=self._models.Order,
            limit=settings.retries,
            order_id=request.id,
        ):
            with attempt:
                if attempt.number > 1 and (committed := self._converter.find_placed(request.id)):
                    with attempt.transaction():
                        self._lifecycle.announce_placed_again(request.id)
                    return committed
                used = None if keyed is None else keys.find(keyed)
                state = self._converter.load_state(request.customer_id, request.billing_address)
                if state is None:
                    raise UnknownCustomer
                if used is not None and used.placed is not None:
                    return used.placed
                since = state.last_sequence if since is None else since
                with attempt.transaction():
                    if keyed is not None:
                        keys.claim(keyed, provisional, used)
                    placed = self._converter.convert(request, since, state)
                    if keyed is not None and placed != provisional:
                        keys.replace(keyed, placed)
        return placed
