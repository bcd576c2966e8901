"""Stripe's minor units, in which it counts amounts: https://docs.stripe.com/currencies."""

from decimal import Decimal

from flask_orders.pricing import Currency

# Where Stripe counts other decimals than ISO 4217 has.
DECIMALS = {"ISK": 2, "MGA": 0, "UGX": 2}


def to_units(amount: Decimal, currency: str) -> int:
    """Return an amount in Stripe's minor units.

    Raises:
        ValueError: Stripe can't charge it: with three decimals, the last has to be 0, and MGA has
            no decimals.
    """
    units = amount.scaleb(_decimals(currency))
    # 10 of them are what can be charged in a currency of three decimals.
    step = 10 if _decimals(currency) == 3 else 1
    if units % step:
        raise ValueError(f"Stripe can't charge {amount:f} {currency}: round prices further")
    return int(units)


def from_units(units: int, currency: str) -> Decimal:
    """Return the amount that is so many of Stripe's minor units."""
    return Decimal(units).scaleb(-_decimals(currency))


def _decimals(currency: str) -> int:
    return DECIMALS.get(currency, Currency.of(currency).decimals)
