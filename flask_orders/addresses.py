"""A billing address as a value, and when two of them are the same.

Made by the schemas, kept by the service. Pure.
"""

import hashlib
import unicodedata
from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class BillingAddress:
    """A postal address; `country` is an ISO 3166-1 alpha-2 code, `state` may be empty."""

    street_address: str
    postal_code: str
    city: str
    state: str
    country: str

    @property
    def fingerprint(self) -> str:
        """Equal for addresses that differ only in letter case and white space (SHA-256, hex)."""
        folded = (" ".join(field.casefold().split()) for field in astuple(self))
        text = unicodedata.normalize("NFC", "\x1f".join(folded))
        return hashlib.sha256(text.encode()).hexdigest()
