"""New keys: of an order and its items, and the number that people read to each other.

Called by the service. Made by the client, so that an order's address is known before it is written.
"""

import secrets
import time
from uuid import UUID

# Crockford's base 32: no I, L, O or U, which are misread.
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_key() -> UUID:
    """A UUID of version 7 (RFC 9562, section 5.7): random, and later ones sort behind."""
    value = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def new_number() -> str:
    """An order number such as "7K3QM-0ZT4B": 50 random bits, so not to be guessed."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(10))
    return f"{letters[:5]}-{letters[5:]}"
