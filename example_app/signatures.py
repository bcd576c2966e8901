"""Signatures of callbacks, after Stripe's scheme: an HMAC-SHA256 over the time and the body.

Called by `payments.py`, which checks them, and by `sandbox.py`, which makes them.
"""

import hmac
import re

HEADER = "Sandbox-Signature"

# Seconds: for so long a callback that somebody has listened to can be sent once more.
TOLERANCE = 300

FORM = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")


def sign(body: bytes, secret: str, now: float) -> str:
    """The header's value for a body that is sent now."""
    sent = str(int(now))
    return f"t={sent},v1={_digest(body, secret, sent)}"


def is_signed(body: bytes, secret: str, header: str, now: float) -> bool:
    """Whether the header is one that only who knows the secret can have made, lately."""
    found = FORM.fullmatch(header)
    if found is None:
        return False
    sent, digest = found.groups()
    # In constant time: how long it takes must not tell how much of a guess is right.
    is_right = hmac.compare_digest(digest, _digest(body, secret, sent))
    return is_right and abs(now - int(sent)) <= TOLERANCE


def _digest(body: bytes, secret: str, sent: str) -> str:
    return hmac.new(secret.encode(), f"{sent}.".encode() + body, "sha256").hexdigest()
