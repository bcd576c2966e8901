"""The columns that may count a product's units: what is available, deducted and restocked.

Each kind is data and builds expressions: no session. NULL is handled here and never comes out of
the arithmetic where a count was.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import floor
from typing import Any, ClassVar

from sqlalchemy import Column, ColumnElement, case, func

from .errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class StockLevel:
    """The stock of one product when it was read.

    Attributes:
        available: how many units can be sold; None: any number.
        is_held: whether an order holds its units, so that a cancellation restocks them.
    """

    available: int | None
    is_held: bool


NOT_COUNTED = StockLevel(available=None, is_held=False)


class CountingColumns(ABC):
    """How columns of the product count its units."""

    __slots__ = ()

    deducts: ClassVar[bool]

    @property
    @abstractmethod
    def columns(self) -> tuple[Column[Any], ...]:
        """The columns to read."""

    @property
    @abstractmethod
    def changed(self) -> Column[Any]:
        """The column that an order or its cancellation changes."""

    @abstractmethod
    def units(self, *values: Any) -> int | None:
        """Return the units that are counted by the values of `columns`; None: not counted."""

    @abstractmethod
    def level(self, *values: Any) -> StockLevel:
        """Return the stock level by the values of `columns`."""

    @abstractmethod
    def has_left(self, units: ColumnElement[Any]) -> ColumnElement[bool]:
        """Return the guard of a deduction: so many units are left."""

    @abstractmethod
    def deducted(self, units: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return what a deduction of units sets `changed` to."""

    @abstractmethod
    def restocked(self, units: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return what a restock of units sets `changed` to."""


@dataclass(frozen=True, slots=True)
class StockColumn(CountingColumns):
    """A column of the units that are left; NULL: they are not counted."""

    count: Column[Any]
    deducts: ClassVar[bool] = True

    @property
    def columns(self) -> tuple[Column[Any], ...]:
        return (self.count,)

    @property
    def changed(self) -> Column[Any]:
        return self.count

    def units(self, *values: Any) -> int | None:
        (count,) = values
        return _whole(count)

    def level(self, *values: Any) -> StockLevel:
        return _held(self.units(*values))

    def has_left(self, units: ColumnElement[Any]) -> ColumnElement[bool]:
        return self.count >= units

    def deducted(self, units: ColumnElement[Any]) -> ColumnElement[Any]:
        return self.count - units

    def restocked(self, units: ColumnElement[Any]) -> ColumnElement[Any]:
        return self.count + units


@dataclass(frozen=True, slots=True)
class ReservedStock(CountingColumns):
    """A quantity, and how much of it is allocated to orders; a NULL quantity is not counted.

    A restock leaves at least 0 allocated, so that a shop that has corrected its count by hand can
    still cancel. NULL allocated is 0.
    """

    quantity: Column[Any]
    allocated: Column[Any]
    deducts: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.quantity.table is not self.allocated.table:
            raise ConfigurationError(
                f"mapping.reserved({self.quantity}, {self.allocated}): one UPDATE compares both, "
                "so they have to be columns of one table."
            )

    @property
    def columns(self) -> tuple[Column[Any], ...]:
        return (self.quantity, self.allocated)

    @property
    def changed(self) -> Column[Any]:
        return self.allocated

    def units(self, *values: Any) -> int | None:
        quantity, allocated = values
        return None if quantity is None else floor(quantity - (allocated or 0))

    def level(self, *values: Any) -> StockLevel:
        return _held(self.units(*values))

    def has_left(self, units: ColumnElement[Any]) -> ColumnElement[bool]:
        # By an addition: MySQL and MariaDB refuse a difference of unsigned columns that is below 0.
        return self.quantity >= self.deducted(units)

    def deducted(self, units: ColumnElement[Any]) -> ColumnElement[Any]:
        return self.held + units

    def restocked(self, units: ColumnElement[Any]) -> ColumnElement[Any]:
        return case((self.held > units, self.held - units), else_=0)

    @property
    def held(self) -> ColumnElement[Any]:
        """The expression for the units that are allocated."""
        return func.coalesce(self.allocated, 0)


@dataclass(frozen=True, slots=True)
class StockTakenInCart(StockColumn):
    """A column of the units that are left, which the shop deducts when they are put into a cart.

    An order deducts nothing, and its cancellation puts the units back. NULL: they are not counted.
    """

    deducts: ClassVar[bool] = False

    def level(self, *values: Any) -> StockLevel:
        return StockLevel(available=None, is_held=self.units(*values) is not None)


def _held(available: int | None) -> StockLevel:
    return StockLevel(available, is_held=available is not None)


def _whole(count: Any) -> int | None:
    """Return a count without the part of a unit that a Numeric may have."""
    return None if count is None else floor(count)
