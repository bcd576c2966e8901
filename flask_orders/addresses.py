"""A billing address as a value: the rules of its fields, and its equality.

Every `BillingAddress` that code or a request makes is normalised and valid. Pure.
"""

import hashlib
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from functools import partial
from typing import Any, NoReturn

from .countries import country_code, country_name, has_postal_codes, is_country, meant_country
from .errors import InvalidRequest
from .texts import NOTHING_VISIBLE, clean, whole_number

# The most characters that a field accepts and its column holds.
LONGEST = 255
LONGEST_POSTAL_CODE = 32

# ISO 3166-1 alpha-2.
COUNTRY_CODE_LENGTH = 2


def check_postal_code(code: str, country: str) -> None:
    """Refuse an empty postal code where the country has postal codes.

    Raises:
        ValueError: the postal code is missing.
    """
    if not code and has_postal_codes(country):
        _refuse(f"Give a postal code: {country_name(country)} has postal codes.")


def country_of_full_name(name: Any) -> str:
    """Return the ISO 3166-1 alpha-2 code of a country's full name.

    Raises:
        ValueError: it is not one; the message suggests a country if it is certain which is meant.
    """
    text = _required(name)
    return country_code(text) or _refuse(f"Give the country's full name. {_hint(text)}".strip())


def _country(text: Any) -> str:
    code = _required(text).upper()
    return code if is_country(code) else country_of_full_name(text)


def _required(text: Any, *, keep_line_breaks: bool = False) -> str:
    return _text(text, LONGEST, keep_line_breaks=keep_line_breaks) or _refuse(NOTHING_VISIBLE)


def _optional(text: Any) -> str:
    return "" if text is None else _text(text, LONGEST)


def _postal_code(code: Any) -> str:
    number = whole_number(code)
    if number is not None and number >= 0:
        code = str(number)
    return "" if code is None else _text(code, LONGEST_POSTAL_CODE)


def _text(text: Any, longest: int, *, keep_line_breaks: bool = False) -> str:
    if not isinstance(text, str):
        _refuse("Give a string.")
    return clean(text, longest, keep_line_breaks=keep_line_breaks)


def _hint(text: str) -> str:
    meant = meant_country(text)
    return "" if meant is None else f"Did you mean '{country_name(meant)}'?"


def _refuse(sentence: str) -> NoReturn:
    raise ValueError(sentence)


# The rule of each field of an address. It returns the normalised text, or raises a ValueError with
# a sentence for the person who typed it.
RULES: Mapping[str, Callable[[Any], str]] = {
    "street_address": partial(_required, keep_line_breaks=True),
    "postal_code": _postal_code,
    "city": _required,
    "state": _optional,
    "country": _country,
}


@dataclass(frozen=True, slots=True)
class BillingAddress:
    """A postal address, normalised and checked like one from a request.

    Attributes:
        street_address: the street and number; a line break or tab becomes a blank.
        postal_code: it may be empty where the country has no postal codes.
        city: the city or town.
        state: it may be empty.
        country: an ISO 3166-1 alpha-2 code; a full name is converted to it.

    Raises:
        InvalidRequest: a field is invalid; `errors` lists the messages about each.
    """

    street_address: str
    postal_code: str
    city: str
    state: str
    country: str

    def __post_init__(self) -> None:
        faults: dict[str, list[str]] = {}
        for name, rule in RULES.items():
            try:
                object.__setattr__(self, name, rule(getattr(self, name)))
            except ValueError as error:
                faults[name] = [str(error)]
        if not faults.keys() & {"postal_code", "country"}:
            try:
                check_postal_code(self.postal_code, self.country)
            except ValueError as error:
                faults["postal_code"] = [str(error)]
        if faults:
            raise InvalidRequest(
                "The billing address is not valid. Correct the fields listed in 'errors'.",
                {f"billing_address.{name}": messages for name, messages in faults.items()},
            )

    @classmethod
    def stored(cls, row: Any) -> "BillingAddress":
        """Return the address of a row unchanged and unchecked.

        An address that the shop has written into a customer's address book can be ordered with,
        even if these rules would refuse it.
        """
        address = object.__new__(cls)
        for name in RULES:
            object.__setattr__(address, name, getattr(row, name))
        return address

    @property
    def fingerprint(self) -> str:
        """A hash (SHA-256, hex) that ignores letter case and white space.

        Letters are compared by Unicode's canonical caseless matching (Standard, D145).
        """
        text = "\x1f".join(" ".join(_folded(field).split()) for field in astuple(self))
        return hashlib.sha256(text.encode()).hexdigest()


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", folded)
