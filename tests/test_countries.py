"""Country names: which are accepted, which are refused, and with which hint."""

from collections.abc import Iterator

import pycountry
import pytest
from babel import Locale

from flask_orders.countries import country_code, country_name, has_postal_codes, meant_country

CODES = {country.alpha_2 for country in pycountry.countries}


def names(language: str = "en") -> Iterator[tuple[str, str]]:
    """Every name that the CLDR has in a language, with the country's code."""
    for code, name in Locale(language).territories.items():
        if code in CODES:
            yield name, code


def all_names() -> Iterator[tuple[str, str]]:
    """Every English name of the CLDR, and all of pycountry's."""
    yield from names()
    for country in pycountry.countries:
        for kind in ("name", "official_name", "common_name"):
            if name := getattr(country, kind, None):
                yield name, country.alpha_2


NAMES = list(all_names())


def respelt(name: str) -> Iterator[str]:
    """Other ways to write the same name."""
    yield name.upper()
    yield name.lower()
    yield f"The {name}"
    yield name.replace("&", "and")
    yield name.replace(" and ", " & ")
    yield name.replace("St. ", "Saint ")
    yield name.replace("Saint ", "St ")
    yield name.replace("Saint ", "St.")
    for apostrophe in "\u2019'\u2018\u02bc`\u00b4\u2032\uff07":
        yield name.replace("\u2019", apostrophe).replace("'", apostrophe)
    yield name.replace("-", "\u2013")
    yield name.replace("-", " ").replace(" ", "  ")
    yield name.translate(str.maketrans("\u00e7\u00e9\u00f4\u00fc\u00e3\u00ed\u00c5", "ceouaiA"))


def misspelt(name: str) -> Iterator[str]:
    """With a letter left out, doubled, swapped, replaced or added, or with two left out."""
    for at in range(len(name)):
        without = name[:at] + name[at + 1 :]
        yield without
        yield without[: len(name) // 2] + without[len(name) // 2 + 1 :]
        yield name[:at] + name[at] + name[at:]
        yield name[:at] + name[at : at + 2][::-1] + name[at + 2 :]
        for letter in "ae":
            yield name[:at] + letter + name[at + 1 :]
            yield name[:at] + letter + name[at:]


def shortened(name: str) -> Iterator[str]:
    words = name.replace(",", "").split()
    yield "".join(word[0] for word in words)
    yield ".".join(word[0] for word in words)
    yield from (name[:length] for length in (2, 3, 4, 5))
    yield from words
    yield " ".join(words[1:])
    yield " ".join(words[:-1])


def test_every_english_name_is_accepted() -> None:
    assert len(NAMES) > 600
    for name, code in NAMES:
        assert country_code(name) == code, name
        for other in respelt(name):
            assert country_code(other) == code, other


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Turkey", "TR"),
        ("Ivory Coast", "CI"),
        ("Great Britain", "GB"),
        ("Burma", "MM"),
        ("Swaziland", "SZ"),
        ("Macedonia", "MK"),
        ("Cape Verde", "CV"),
        ("Czech Republic", "CZ"),
        ("Holland", "NL"),
        ("East Timor", "TL"),
        ("Zaire", "CD"),
        ("Democratic Republic of Congo", "CD"),
        ("Republic of Ireland", "IE"),
        ("Northern Ireland", "GB"),
        ("Republic of Korea", "KR"),
        ("Vatican City State", "VA"),
        ("Saint Martin", "MF"),
        ("Sint Maarten", "SX"),
    ],
)
def test_a_former_or_everyday_name_is_accepted(name: str, code: str) -> None:
    assert country_code(name) == code


@pytest.mark.parametrize(
    "name",
    [
        "Korea",
        "Virgin Islands",
        "Yugoslavia",
        "Serbia and Montenegro",
        "Czechoslovakia",
        "USSR",
        "Netherlands Antilles",
        "Republic of China",
        "America",
        "Kosovo",
        "Canary Islands",
        "European Union",
        "Atlantis",
        "the",
        "&",
    ],
)
def test_an_ambiguous_name_is_refused_without_a_hint(name: str) -> None:
    assert country_code(name) is None
    assert meant_country(name) is None


def test_a_code_is_no_full_name_and_has_a_hint() -> None:
    for country in pycountry.countries:
        for code in (country.alpha_2, country.alpha_3, country.alpha_3.lower()):
            assert country_code(code) is None
            assert meant_country(code) == country.alpha_2


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("U.S.A.", "US"),
        ("UK", "GB"),
        ("UAE", "AE"),
        ("Canadaa", "CA"),
        ("Phillipines", "PH"),
        ("Untied States", "US"),
        ("Austrlia", None),
        ("Siberia", None),
        ("Iberia", None),
        ("Bali", None),
        ("Island", None),
        ("Saint-Marin", None),
        ("x" * 255, None),
    ],
)
def test_a_hint_is_given_only_if_it_is_certain(text: str, code: str | None) -> None:
    assert country_code(text) is None
    assert meant_country(text) == code


def test_a_hint_never_names_another_place() -> None:
    """Even for a misspelt or a shortened name."""
    codes = {country.alpha_3 for country in pycountry.countries} | CODES | {"UK", "UAE"}
    hints = 0
    for name, code in NAMES[:249:6]:
        for text in {*misspelt(name), *shortened(name)}:
            is_code = text.replace(".", "").upper() in codes
            if country_code(text) is None and not is_code:
                meant = meant_country(text)
                assert meant in (None, code), (text, name)
                hints += meant is not None
    assert hints > 100


@pytest.mark.parametrize("language", ["de", "es", "fr", "it", "nl", "pt", "sv", "vi"])
def test_a_hint_never_names_another_place_than_one_in_another_language(language: str) -> None:
    for name, code in names(language):
        if len(name) > len("NGA") and country_code(name) != code:
            assert country_code(name) is None, name
            assert meant_country(name) in (None, code), name


def test_a_hint_never_takes_a_region_for_a_country() -> None:
    for region in list(pycountry.subdivisions)[::5]:
        if len(region.name) > len("EST") and country_code(region.name) is None:
            assert meant_country(region.name) in (None, region.country_code), region


def test_every_code_has_a_name_and_says_whether_it_has_postal_codes() -> None:
    having = {code for code in CODES if has_postal_codes(code)}
    assert {"CA", "US", "IE", "JP"} < having
    assert not {"HK", "QA", "PA", "AE", "FJ"} & having
    assert all(country_code(country_name(code)) == code for code in CODES)
