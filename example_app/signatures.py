"""Sign and verify callbacks as Stripe does: an HMAC-SHA256 over the time and the body."""

import hmac
import re

HEADER = "Sandbox-Signature"

# Seconds for which a signature is valid: so long can an intercepted callback be replayed.
TOLERANCE = 300

FORM = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")


def sign(body: bytes, secret: str, now: float) -> str:
    """Return the header's value for a body that is sent now."""
    sent = str(int(now))
    return f"t={sent},v1={_digest(body, secret, sent)}"


def is_signed(body: bytes, secret: str, header: str, now: float) -> bool:
    """Return whether the header was made with the secret, within the tolerance."""
    found = FORM.fullmatch(header)
    if found is None:
        return False
    sent, digest = found.groups()
    # In constant time: the duration must not reveal how much of a guess is right.
    is_right = hmac.compare_digest(digest, _digest(body, secret, sent))
    return is_right and abs(now - int(sent)) <= TOLERANCE


def _digest(body: bytes, secret: str, sent: str) -> str:
    return hmac.new(secret.encode(), f"{sent}.".encode() + body, "sha256").hexdigest()
