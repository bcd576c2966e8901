"""Find columns of the shop's own that no request fills, for `flask orders check`."""

from collections.abc import Iterator

from flask import Flask

from ..own_fields import schemas_of
from ..service import OrderService


def check_own_fields(app: Flask, orders: OrderService) -> Iterator[str]:
    """Look for a column that every INSERT of an order must have and that none has."""
    schemas, order = schemas_of(app), orders.models.Order.__name__
    for name in orders.models.own_columns.required():
        if not schemas.may_load(name):
            yield (
                f"{order}.{name} is NOT NULL without a default, so that the endpoint can't save an "
                f"order: give the column a default, make it Mapped[... | None], or load it, with "
                f"{name} = fields.String(required=True) in a subclass of CreateOrderSchema that "
                "register_blueprint(orders_bp, request_schema=...) takes"
            )
