"""The keys of orders and their items, and the order numbers that people read out.

They are generated here and not by the database, so that an order's URL is known before its INSERT.
"""

import secrets
import time
from uuid import UUID

from .errors import OrderNotFound

# Crockford's base 32, without I, L, O and U, which are easily misread.
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MISREAD = str.maketrans("ILO", "110")
NUMBER_LETTERS = 10


def new_key() -> UUID:
    """Return a UUID of version 7 (RFC 9562, section 5.7): random, and sorted by time."""
    value = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def as_order_id(order_id: UUID | str) -> UUID:
    """Return the key of an order, given as a UUID or as text in any notation of one.

    Raises:
        OrderNotFound: the text is not a UUID.
    """
    if isinstance(order_id, UUID):
        return order_id
    try:
        return UUID(str(order_id))
    except ValueError:
        raise OrderNotFound from None


def as_number(text: str) -> str:
    """Return an order number as a person says it: in any case, with or without the dash.

    I and L are read as 1, and O as 0, since no number has them (after Crockford's base 32).

    Raises:
        OrderNotFound: no order can have that number.
    """
    letters = "".join(text.upper().replace("-", "").split()).translate(_MISREAD)
    if len(letters) != NUMBER_LETTERS or not set(letters) <= set(_LETTERS):
        raise OrderNotFound
    return _written(letters)


def new_number() -> str:
    """Return an order number such as "7K3QM-0ZT4B": 50 random bits, not guessable."""
    return _written("".join(secrets.choice(_LETTERS) for _ in range(NUMBER_LETTERS)))


def _written(letters: str) -> str:
    half = NUMBER_LETTERS // 2
    return f"{letters[:half]}-{letters[half:]}"
