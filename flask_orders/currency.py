"""Currencies: whole quanta, half-up rounding, and shares that add up to the amount shared out.

Pure: no session, no clock, no Flask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache

import iso4217

from .errors import ConfigurationError

ZERO = Decimal(0)

# Digits of a column of amounts, and how many of them are decimals. ISO 4217 knows no currency with
# more than four; a hundred trillion is enough for an order.
PRECISION, SCALE = 18, 4

# The columns of amounts hold less than this.
TOO_MUCH = Decimal(10) ** (PRECISION - SCALE)

# The relative error of an amount that a float has held, at most.
FLOAT_NOISE = Decimal(2) ** -22

# Above it, a Decimal of 28 digits has no room for four decimals.
LARGEST = Decimal(10) ** 24


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency and its quantum, the smallest amount that can be paid in it."""

    code: str
    quantum: Decimal

    @staticmethod
    @cache
    def of(code: str, decimals: int | None = None) -> "Currency":
        """Return the currency with an ISO 4217 code, such as "USD".

        Args:
            code: the code, in capitals.
            decimals: left out, today's minor units of ISO 4217. An order has its own
                `currency_decimals`, which stay as they are when ISO 4217 changes.

        Raises:
            ConfigurationError: it is not a currency that people pay with.
        """
        if decimals is None:
            decimals = _minor_units(code)
        return Currency(code, Decimal(1).scaleb(-decimals))

    @property
    def decimals(self) -> int:
        """The number of digits after the decimal point."""
        return -int(self.quantum.as_tuple().exponent)

    def is_price(self, amount: Decimal, *, noise: Decimal = ZERO) -> bool:
        """Return whether an amount is a price: a whole number of quanta, 0 or more.

        NaN is no price, and neither is more than a column holds. `noise` is the relative error that
        is tolerated: FLOAT_NOISE for an amount that a float has held.
        """
        return self.price(amount, noise=noise) is not None

    def price(self, amount: Decimal, *, noise: Decimal = ZERO) -> Decimal | None:
        """Return an amount in whole quanta; None if it is no price, as `is_price` says."""
        if not amount.is_finite() or not 0 <= amount < TOO_MUCH:
            return None
        rounded = self.round(amount)
        if rounded == amount or abs(amount - rounded) <= amount * noise:
            return rounded
        return None

    def round(self, amount: Decimal) -> Decimal:
        """Round an amount half-up to whole quanta.

        Raises:
            ConfigurationError: the amount is NaN, infinite, larger than any amount can be, or not a
                Decimal.
        """
        if type(amount) is Decimal and amount.same_quantum(self.quantum) and abs(amount) < LARGEST:
            return amount
        if isinstance(amount, int):
            amount = Decimal(amount)
        if not isinstance(amount, Decimal):
            raise ConfigurationError(
                f"{amount!r} is a {type(amount).__name__}, which can't hold an exact amount: "
                "give a Decimal."
            )
        if not amount.is_finite() or abs(amount) >= LARGEST:
            raise ConfigurationError(f"{amount} is no amount of {self.code}: give a finite amount.")
        return amount.quantize(self.quantum, rounding=ROUND_HALF_UP)

    def text(self, amount: Decimal) -> str:
        """Return an amount with the currency's digits: "79.99"."""
        return f"{self.round(amount):f}"

    def exact_text(self, amount: Decimal) -> str:
        """Return an amount with the currency's digits, or, if it is finer, with its own."""
        text = self.text(amount)
        return text if Decimal(text) == amount else f"{amount.normalize():f}"


def _minor_units(code: str) -> int:
    try:
        minor_units = iso4217.Currency(code).exponent
    except ValueError:
        raise ConfigurationError(
            f"{code!r} is not a currency of ISO 4217: give the code of a current currency, in "
            "capitals, such as 'USD'."
        ) from None
    if minor_units is None:
        raise ConfigurationError(
            f"{code!r} has no minor units in ISO 4217, so no price can be given in it: "
            "give the code of a currency that people pay with, such as 'USD'."
        )
    return minor_units


def share_out(amount: Decimal, weights: Sequence[Decimal], currency: Currency) -> list[Decimal]:
    """Split an amount in proportion to the weights, in whole quanta that add up to it.

    Uses the method of the largest remainder (Hare quota); among equal remainders the first wins.
    No share exceeds its weight if the amount does not exceed the sum of the weights.
    """
    shared = int(amount / currency.quantum)
    quanta = [int(weight / currency.quantum) for weight in weights] if shared else []
    total = sum(quanta)
    if not total:
        return [ZERO for _ in weights]
    shares = [divmod(shared * weight, total) for weight in quanta]
    units = [whole for whole, _ in shares]
    missing = shared - sum(units)
    by_remainder = sorted(range(len(shares)), key=lambda i: -shares[i][1])
    for i in by_remainder[:missing]:
        units[i] += 1
    return [unit * currency.quantum for unit in units]
