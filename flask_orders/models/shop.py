"""The shop's own rows as an order uses them: which column or expression is which part."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType
from typing import Any

from sqlalchemy import Column
from sqlalchemy.orm import QueryableAttribute, RelationshipProperty

from ..amounts import AmountKind
from ..errors import ConfigurationError
from ..stock import Stock
from ..stock_columns import CountingColumns
from .mapping import MappedClass
from .parts import (
    Attribute,
    Constant,
    Expression,
    Part,
    PartProblem,
)
from .sources import RowSource

# The parts of a product that are amounts.
PRICES = ("price", "sale_price", "shipping")


@dataclass(frozen=True)
class Reference:
    """A column of a row, and the column whose value it holds."""

    column: Column[Any]
    target: Column[Any]


@dataclass(frozen=True)
class PricePart:
    """A part that is an amount: how it is read, and what it is."""

    kind: AmountKind
    part: Part


# None: no stock is counted.
StockPart = CountingColumns | Stock | None


@dataclass(frozen=True)
class ProductParts:
    """What is bought: its key, and its parts."""

    source: RowSource
    key: Column[Any]
    sku: Part
    name: Part
    active: Part
    price: PricePart
    sale_price: PricePart
    shipping: PricePart
    stock: StockPart
    load: Any

    @cached_property
    def loaded(self) -> tuple[Any, ...]:
        """The relationships that are read anew with the products; this configures mappers.

        Raises:
            ConfigurationError: neither the product nor one before it leads to its class.
        """
        given = self.load() if isinstance(self.load, FunctionType) else self.load
        try:
            loads = resolve_relationships(self.source, given)
        except PartProblem as problem:
            raise ConfigurationError(f"product={self.source.name}: {problem}.") from None
        reached = [self.source.given]
        for load in loads:
            if not any(issubclass(cls, load.class_) for cls in reached):
                raise ConfigurationError(
                    f"declare_models(...): product={self.source.name}: load: nothing leads to "
                    f"{load}: name the relationship to its class before it, "
                    f"load=({self.source.code}.<a relationship>, {load})."
                )
            reached.append(load.property.mapper.class_)
        return loads


@dataclass(frozen=True)
class CartParts:
    """The cart: its key, its customer (None: the cart is the customer), its voucher column."""

    source: RowSource
    key: Column[Any]
    customer: Reference | None
    voucher: Column[Any] | None
    open: Attribute | Expression | None


@dataclass(frozen=True)
class CartItemParts:
    """The cart's items: their key, which may have several columns, and their parts."""

    source: RowSource
    key: tuple[Column[Any], ...]
    cart: Reference
    product: Reference
    quantity: Part
    open: Attribute | Expression | None
    copy: tuple[Column[Any], ...]

    @property
    def is_unit(self) -> bool:
        """Whether each row is one unit, so that rows of one product are one order item."""
        return isinstance(self.quantity, Constant)


@dataclass(frozen=True)
class Shop:
    """The parts of the shop's own classes, and what was said of them.

    Attributes:
        mapped: the mappings by their names: product, cart, cart_item.
    """

    product: ProductParts
    cart: CartParts
    cart_item: CartItemParts
    mapped: Mapping[str, MappedClass]

    def says(self, name: str, part: str) -> bool:
        """Return whether the shop has said a part, instead of leaving it to be found."""
        return part in self.mapped[name].parts


def resolve_relationships(source: RowSource, given: Any) -> tuple[Any, ...]:
    """Return the relationships of `load=`, which may be given without a tuple.

    Raises:
        PartProblem: one of them is no relationship.
    """
    loads = tuple(given) if isinstance(given, tuple | list) else (given,)
    for each in loads:
        prop = each.prop if isinstance(each, QueryableAttribute) else None
        if not isinstance(prop, RelationshipProperty):
            raise PartProblem(
                f"load: {each} is no relationship; write load={source.code}.<its relationship>"
            )
    return loads
