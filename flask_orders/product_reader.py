"""Read a product's parts: its sku, name, prices, shipping, and whether it is for sale.

A part may be an attribute, an SQL expression, a constant or a function of the object; each is read
once, when the product is read. Without functions, no object is needed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum
from functools import cached_property
from numbers import Number
from operator import attrgetter
from typing import Any

from .amounts import Exact
from .currency import ZERO, Currency
from .errors import ConfigurationError
from .models.parts import Attribute, Constant, Expression, Function, Part
from .models.shop import PRICES, PricePart, ProductParts

TEXTS = ("sku", "name", "active")


@dataclass(frozen=True, slots=True)
class ProductValues:
    """What a product's parts were when it was read.

    Attributes:
        price, shipping: None if it is no amount that can be charged; free shipping is 0.
        sale_price: None if there is none.
        has_price: whether the product can be sold at its prices and shipping.
    """

    sku: str | None
    name: str | None
    is_active: bool
    price: Decimal | None
    sale_price: Decimal | None
    shipping: Decimal | None
    has_price: bool

    def of_item(self) -> dict[str, Any]:
        """Return the values by the names of a `CartItem`'s attributes."""
        return {
            "sku": self.sku,
            "name": self.name,
            "list_price": self.price,
            "sale_price": self.sale_price,
            "shipping": self.shipping,
        }


class ProductReader:
    """Reads the parts of one shop's products.

    Attributes:
        attributes: the mapped attributes that are read of the object.
        expressions: the SQL expressions that the SELECT of the products has after the object.
        selected: what a SELECT without the object has instead: attributes and expressions.
        has_functions: whether any part is a function of the object.
    """

    def __init__(self, product: ProductParts, *, is_noisy: bool, is_lenient: bool) -> None:
        """Prepare to read products.

        Args:
            product: the parts.
            is_noisy: whether the database stores a Numeric as a float.
            is_lenient: whether an amount that is not what the mapping says is none, instead of an
                error: a pricing of the shop's own may need none.
        """
        self._is_lenient = is_lenient
        amounts: dict[str, PricePart] = {name: getattr(product, name) for name in PRICES}
        self._kinds = {
            name: replace(amount.kind, noisy=is_noisy)
            if isinstance(amount.kind, Exact)
            else amount.kind
            for name, amount in amounts.items()
        }
        prices = {name: amount.part for name, amount in amounts.items()}
        self._parts: dict[str, Part] = {name: getattr(product, name) for name in TEXTS} | prices
        self._constants: dict[str, Any] = {
            name: part.value if isinstance(part, Constant) else None
            for name, part in self._parts.items()
            if not isinstance(part, Attribute | Expression | Function)
        }
        expressions = {
            name: part.made.label(f"flask_orders_{name}")
            for name, part in self._parts.items()
            if isinstance(part, Expression)
        }
        attributes = {
            name: product.source.attribute(part.column)
            for name, part in self._parts.items()
            if isinstance(part, Attribute)
        }
        self._expression_names = [*expressions]
        self.expressions: list[Any] = [*expressions.values()]
        self.attributes: list[Any] = [*attributes.values()]
        self._selected_names = [*attributes, *expressions]
        self.selected: list[Any] = [*attributes.values(), *expressions.values()]
        self.has_functions: bool = any(isinstance(part, Function) for part in self._parts.values())
        self._source = product.source

    def read(self, product: Any, selected: Sequence[Any], currency: Currency) -> ProductValues:
        """Return the values of a product and of the `expressions` that were selected with it.

        Raises:
            ConfigurationError: a value is not what its part is, such as a float for an amount, or a
                method for a text.
        """
        values = self._constants | dict(zip(self._expression_names, selected, strict=True))
        for name, value_of in self._getters.items():
            values[name] = value_of(product)
        return self._checked(values, currency)

    def read_selected(self, selected: Sequence[Any], currency: Currency) -> ProductValues:
        """Return the values of a product of which `selected` was selected; see `read`."""
        values = self._constants | dict(zip(self._selected_names, selected, strict=True))
        return self._checked(values, currency)

    def _checked(self, values: Mapping[str, Any], currency: Currency) -> ProductValues:
        amounts = {name: self._amount(name, values[name], currency) for name in PRICES}
        if amounts["sale_price"] is None and values["sale_price"] is not None:
            # At the list price it would be sold for more than the shop asks.
            amounts["price"] = None
        return ProductValues(
            sku=self._text("sku", values["sku"]),
            name=self._text("name", values["name"]),
            is_active=self._is_active(values["active"]),
            has_price=amounts["price"] is not None
            and (amounts["shipping"] is not None or values["shipping"] is None),
            price=amounts["price"],
            sale_price=amounts["sale_price"],
            shipping=ZERO if values["shipping"] is None else amounts["shipping"],
        )

    @cached_property
    def _getters(self) -> dict[str, Callable[[Any], Any]]:
        """How the value of each attribute and function is got of the object."""
        return {
            name: part.call
            if isinstance(part, Function)
            else attrgetter(self._source.attribute_name(part.column))
            for name, part in self._parts.items()
            if isinstance(part, Attribute | Function)
        }

    def _amount(self, name: str, value: Any, currency: Currency) -> Decimal | None:
        if value is None:
            return None
        try:
            return self._kinds[name].amount(value, currency)
        except ConfigurationError:
            if self._is_lenient:
                return None
            raise

    def _text(self, name: str, value: Any) -> str | None:
        if value is None or type(value) is str:
            return value
        if isinstance(value, Number):
            return str(value)
        spell: Any = type(value).__str__
        if spell is object.__str__ or isinstance(value, bytes):
            # "<bound method ...>" and "b'...'" are the names of nothing.
            raise self._wrong(name, value, f"no text; write {name}=lambda product: <its text>")
        return str(value)

    def _is_active(self, value: Any) -> bool:
        # The text "draft", an Enum and a method that was not called are all true in Python.
        if type(value) is bool:
            return value
        if value is None or (isinstance(value, Number) and not isinstance(value, Enum)):
            return bool(value)
        raise self._wrong("active", value, "neither true nor false; write a condition")

    def _wrong(self, name: str, value: Any, problem: str) -> ConfigurationError:
        return ConfigurationError(
            f"declare_models(...): product={self._source.name}: {name} is {value!r}, a "
            f"{type(value).__name__}, which is {problem}."
        )
