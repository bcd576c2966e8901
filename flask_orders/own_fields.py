"""The fields of the shop's own: what a request brings for them, and what an order shows of them.

They are read by the shop's subclasses of `CreateOrderSchema` and `OrderSchema`, which
`check_schemas.py` has checked. What a request brings can be stored, or is refused with the client's
own names of the fields.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Flask

from .addresses import BillingAddress
from .check_fields import has_post_load, loaded_name
from .check_schemas import (
    LIBRARY_FIELDS,
    check_order_schema,
    check_request_schema,
    own_load_fields,
    show_nulls,
)
from .errors import ConfigurationError, InvalidRequest
from .loading import load
from .models import Models
from .models.own_columns import faults_within
from .schemas import CreateOrderSchema, OrderSchema

SCHEMAS_KEY = "orders_schemas"

LIBRARY_TYPES: Mapping[str, Any] = {
    "action": str,
    "billing_address": BillingAddress | None,
    "expected_total": Decimal | None,
}


@dataclass(frozen=True, slots=True)
class OrderFields:
    """The validated body of a request for an order.

    Attributes:
        action: one of `ACTIONS`.
        billing_address: the address to bill; None is the customer's saved address.
        expected_total: the highest acceptable total, in the shop's currency.
        extra: values of the shop's own columns, by attribute.
        sent: the shop's own fields as they were sent: the same body is the same request, even if
            the shop's schema makes something else of it each time.
    """

    action: str
    billing_address: BillingAddress | None
    expected_total: Decimal | None
    extra: Mapping[str, Any]
    sent: Mapping[str, Any]

    @property
    def library(self) -> dict[str, Any]:
        """The library's own fields, by name."""
        return {name: getattr(self, name) for name in LIBRARY_TYPES}


class Schemas:
    """The schemas of one app, one instance of each: to make one takes longer than to use it.

    Attributes:
        options: what the app was registered with.
        request: loads a request for an order.
        order: serializes an order.
        in_preview: serializes the fields of the shop's own that a preview has.

    Raises:
        ConfigurationError: a class can't be used.
    """

    def __init__(
        self,
        models: Models,
        order_url: Callable[[UUID], str],
        request_schema: type[CreateOrderSchema] | None = None,
        order_schema: type[OrderSchema] | None = None,
    ) -> None:
        self.options: dict[str, Any] = {
            "request_schema": request_schema,
            "order_schema": order_schema,
        }
        self._columns = models.own_columns
        self.request: CreateOrderSchema = check_request_schema(
            request_schema or CreateOrderSchema, self._columns
        )
        self.order: OrderSchema = check_order_schema(
            order_schema or OrderSchema, models.Order, order_url
        )
        self.in_preview: OrderSchema = type(self.order)(order_url, only=self.order.in_preview)
        show_nulls(self.order, models.Order)
        show_nulls(self.in_preview, models.Order)
        own = own_load_fields(self.request)
        self._not_stored = {loaded_name(own[name]) for name in self.request.not_stored}
        # The client's names of the fields, by the names that they load to.
        self._sent_as = {loaded_name(field): field.data_key or name for name, field in own.items()}

    def load_order(self, document: Mapping[str, Any]) -> OrderFields:
        """Return the validated fields of a request for an order.

        Raises:
            InvalidRequest: with each field at fault by its whole name.
            ConfigurationError: the shop's schema does not return the fields of a request.
        """
        sent = self._own_part(document)
        loaded = load(self.request, dict(document))
        library = self._library_part(loaded)
        own_names = loaded.keys() - LIBRARY_FIELDS - self._not_stored
        extra = {name: loaded[name] for name in sorted(own_names)}
        self._columns.check(extra, self._sent_as)
        return OrderFields(**library, extra=extra, sent=sent)

    def may_load(self, name: str) -> bool:
        """Return whether a request may bring a value for an own column."""
        return name in self._sent_as or has_post_load(self.request)

    def _own_part(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of the shop's own fields, which its hooks can't change.

        Raises:
            InvalidRequest: a value in it can't be stored.
        """
        sent = {name: document[name] for name in self._sent_as.values() if name in document}
        faults = {
            name + path: [message]
            for name, value in sent.items()
            for path, message in faults_within(value)
        }
        if faults:
            raise InvalidRequest.of_fields(faults)
        return deepcopy(sent)

    def _library_part(self, loaded: Any) -> dict[str, Any]:
        """Return the library's own fields, which the shop's hooks must leave as they are."""
        if isinstance(loaded, Mapping):
            part = {name: loaded.get(name) for name in LIBRARY_TYPES}
            if all(isinstance(part[name], type_) for name, type_ in LIBRARY_TYPES.items()):
                return part
        raise ConfigurationError(
            f"{type(self.request).__name__} does not load to a dict with an action, a "
            "billing_address (a BillingAddress or None) and an expected_total (a Decimal or None): "
            "leave those as they are in its @post_load, and end that with `return data`."
        )


def schemas_of(app: Flask) -> Schemas:
    """Return the schemas of an app in which the blueprint is registered."""
    schemas: Schemas = app.extensions[SCHEMAS_KEY]
    return schemas
