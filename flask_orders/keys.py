"""Keys: of an order and its items, and the number that people read to each other.

New ones are made by the client, so that an order's URL is known before it is written.
"""

import secrets
import time
from uuid import UUID

from .errors import OrderNotFound

# Crockford's base 32: no I, L, O or U, which are misread.
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_key() -> UUID:
    """A UUID of version 7 (RFC 9562, section 5.7): random, and later ones sort behind."""
    value = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def as_order_id(order_id: UUID | str) -> UUID:
    """The key of an order, given as a UUID or as text in any of its notations.

    Raises:
        OrderNotFound: the text is no UUID.
    """
    if isinstance(order_id, UUID):
        return order_id
    try:
        return UUID(str(order_id))
    except ValueError:
        raise OrderNotFound from None


def new_number() -> str:
    """An order number such as "7K3QM-0ZT4B": 50 random bits, so not to be guessed."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(10))
    return f"{letters[:5]}-{letters[5:]}"
