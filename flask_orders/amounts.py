"""How the shop's own prices are read: as what they are, or as no price, never as a guess.

A price is a whole number of the currency's quanta, 0 or more. What is NULL, NaN, infinite,
negative, finer than the quantum or more than a column holds is no price, and is never rounded to
one. A value of a class that does not say what it counts is a `ConfigurationError`. Pure: no
session, no clock, no Flask.
"""

from dataclasses import dataclass
from decimal import Decimal
from types import FunctionType
from typing import Any, Protocol

from .currency import FLOAT_NOISE, ZERO, Currency
from .errors import ConfigurationError

# More decimals than any currency or any shop's fraction of one has; micros have 6.
MOST_DECIMALS = 12


class AmountKind(Protocol):
    """How a part is read as an amount: an attribute, an SQL expression or a function."""

    @property
    def part(self) -> Any: ...

    @property
    def reads(self) -> tuple[type, ...]:
        """The classes of the values that it takes."""
        ...

    def amount(self, value: Any, currency: Currency) -> Decimal | None:
        """Return the amount that a value of the part means, in whole quanta; None: no price.

        Raises:
            ConfigurationError: a value of this class does not say which amount is meant.
        """
        ...


@dataclass(frozen=True, slots=True)
class Exact:
    """A part that holds the amount itself, as a Decimal; what is given without a kind.

    `noisy` is whether its database stores a Numeric as a float, as SQLite does.
    """

    part: Any
    noisy: bool = False

    @property
    def reads(self) -> tuple[type, ...]:
        return (Decimal,)

    def amount(self, value: Any, currency: Currency) -> Decimal | None:
        if value is None:
            return None
        # 0 is 0, whatever an integer counts.
        if _is_int(value) and value == 0:
            value = ZERO
        if not isinstance(value, Decimal):
            raise ConfigurationError(f"{_read(self.part, value)}, and {three_ways(self.part)}.")
        return currency.price(value, noise=FLOAT_NOISE if self.noisy else ZERO)


@dataclass(frozen=True, slots=True)
class Units:
    """A part that counts units of a fraction of the currency.

    `decimals` is how many decimals the fraction has: 0 for whole units, None for the currency's own
    minor units.
    """

    part: Any
    decimals: int | None

    @property
    def reads(self) -> tuple[type, ...]:
        return (int,)

    def amount(self, value: Any, currency: Currency) -> Decimal | None:
        if value is None:
            return None
        if isinstance(value, Decimal):
            if not value.is_finite():
                return None
            # On MySQL and MariaDB a SUM of integers has no decimals; 80.00 is an amount, no number.
            if int(value.as_tuple().exponent) >= 0:
                value = int(value)
        if not _is_int(value):
            raise ConfigurationError(
                f"{_read(self.part, value)}, which counts no units: {three_ways(self.part)}."
            )
        return self._of_units(int(value), currency)

    def _of_units(self, units: int, currency: Currency) -> Decimal | None:
        decimals = currency.decimals if self.decimals is None else self.decimals
        # In integers: a Decimal of 28 digits might round.
        quanta, finer = divmod(units * 10**currency.decimals, 10**decimals)
        return None if finer else currency.price(quanta * currency.quantum)


@dataclass(frozen=True, slots=True)
class FromFloat:
    """A part that holds the amount as a float, with no more than the noise of a float."""

    part: Any

    @property
    def reads(self) -> tuple[type, ...]:
        return (float,)

    def amount(self, value: Any, currency: Currency) -> Decimal | None:
        if value is None:
            return None
        if not (isinstance(value, float | Decimal) or _is_int(value)):
            raise ConfigurationError(
                f"{_read(self.part, value)}, which is no float: {three_ways(self.part)}."
            )
        return currency.price(Decimal(value), noise=FLOAT_NOISE)


def minor_units(part: Any, decimals: int | None = None) -> Units:
    """Return a part whose integers count the currency's minor units: 7999 is 79.99 USD.

    Args:
        part: an attribute, an SQL expression, or a function of the object.
        decimals: left out, the currency's own: 2 for USD, 0 for JPY, 3 for KWD. 6 for micros, 2
            for "x 100" whatever the currency is.

    Raises:
        ConfigurationError: `decimals` is not between 0 and 12.
    """
    if decimals is not None and not (_is_int(decimals) and 0 <= decimals <= MOST_DECIMALS):
        raise ConfigurationError(
            f"minor_units(..., decimals={decimals!r}): give a whole number from 0 to "
            f"{MOST_DECIMALS}, such as 2 for cents or 6 for micros, or leave it out."
        )
    return Units(part, decimals)


def major_units(part: Any) -> Units:
    """Return a part whose integers count the currency's whole units: 80 is 80.00 USD."""
    return Units(part, 0)


def from_float(part: Any) -> FromFloat:
    """Return a part whose floats are amounts of the currency: 79.99 is 79.99 USD.

    A float is rounded to the currency only if the noise of a float explains the difference, at most
    2**-22 of the value; else it is no price.
    """
    return FromFloat(part)


def three_ways(part: Any) -> str:
    """Return a sentence's end: the three ways to say which amount a part means."""
    name = "..." if isinstance(part, FunctionType) else str(part)
    return (
        f"what it counts must be said: write mapping.minor_units({name}) for integers of the "
        f"currency's minor units, mapping.major_units({name}) for integers of whole units, or "
        f"mapping.from_float({name}) for floats; a Numeric or a Decimal needs none of them"
    )


def _read(part: Any, value: Any) -> str:
    return f"{_described(part)} is {value!r}, a {type(value).__name__}"


def _described(part: Any) -> str:
    if isinstance(part, FunctionType):
        return f"what the function {part.__name__} of {part.__module__} returns"
    return str(part)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
