"""The normal form of text that people type, and of a voucher's code.

A cleaned text is NFC, begins and ends with a visible character, and has no unprintable one;
cleaning it again changes nothing. Pure.
"""

import re
import unicodedata
from typing import Any

# The Default_Ignorable_Code_Points of the Unicode Character Database, which `unicodedata` lacks,
# and characters that are blank without being ignorable: a Braille cell without dots, a notehead
# without ink, and the marks around an interlinear annotation.
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\u2800\U0001d159\ufff9-\ufffb"
)
_INVISIBLE_RUN = re.compile(f"[{_INVISIBLE}]+")
_BLANK_RUN = re.compile(rf"[\s{_INVISIBLE}]*")

_LINE_BREAKS_AND_TAB = "\t\n\v\f\r\x85\u2028\u2029"
_LINE_BREAK_OR_TAB = re.compile(f"[{_LINE_BREAKS_AND_TAB}]+")

# Controls, line separators and noncharacters. Of the bidi controls, those that reorder other
# characters than their own and so can make an address look like another; the marks U+200E, U+200F
# and U+061C, and the joiners, belong to Hebrew, Arabic, Persian and Indic text.
_UNPRINTABLE_WITHIN_LINES = (
    "\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(17))
)
_SURROGATES = "\ud800-\udfff"
_UNPRINTABLE = re.compile(f"[{_UNPRINTABLE_WITHIN_LINES}{_LINE_BREAKS_AND_TAB}{_SURROGATES}]")

# PostgreSQL stores no NUL, and no database a lone surrogate, which UTF-8 can't encode.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

# The most characters that NFC composes into a single one. (Unicode FAQ, Normalization.)
_COMPOSED = 4

# Combining marks, which are visible only on another character.
_MARKS = ("Mn", "Me")


def clean(text: str, longest: int, *, keep_line_breaks: bool = False) -> str:
    """Return the normal form of a line of text; it may be empty.

    Args:
        text: the text as it was typed.
        longest: the most characters that the result may have.
        keep_line_breaks: replace line breaks and tabs by a blank instead of refusing them.

    Raises:
        ValueError: the text is refused; the message is for the person who typed it.
    """
    text = strip(text)
    # Before NFC, whose time grows with the square of a run of combining marks.
    if len(text) > longest * _COMPOSED:
        raise ValueError(_too_long(longest))
    if keep_line_breaks:
        text = _LINE_BREAK_OR_TAB.sub(" ", text)
    text = unicodedata.normalize("NFC", text)
    if len(text) > longest:
        raise ValueError(_too_long(longest))
    if unprintable := _UNPRINTABLE.search(text):
        raise ValueError(f"Remove the character U+{ord(unprintable[0]):04X}: it is not printable.")
    if text and not _is_visible(text):
        raise ValueError(NOTHING_VISIBLE)
    return text


def pattern(*, keep_line_breaks: bool = False, is_required: bool = True) -> str:
    """Return the regular expression of what `clean` takes, for a JSON schema.

    A text of combining marks alone matches, and is refused. JSON has no lone surrogates.
    """
    unprintable = _UNPRINTABLE_WITHIN_LINES + ("" if keep_line_breaks else _LINE_BREAKS_AND_TAB)
    blanks = rf"[\s{_INVISIBLE}]*"
    visible = rf"[^{unprintable}]*[^\s{_INVISIBLE}{unprintable}][^{unprintable}]*{blanks}"
    return f"^{blanks}{visible}$" if is_required else f"^{blanks}({visible})?$"


NOTHING_VISIBLE = "Give at least one visible character."


def unstorable(text: str) -> str | None:
    """Return a sentence about the first character that not every database stores, or None."""
    found = _UNSTORABLE.search(text)
    return found and f"Remove the character U+{ord(found[0]):04X}: it can't be stored."


def voucher_code(text: str) -> str:
    """Return the form in which a voucher's code is stored and matched, however it was typed.

    It is NFKC, without invisible characters, trimmed and upper-case; empty if nothing is left.
    Normalising a code again changes nothing.
    """
    text = _remove_invisible(unicodedata.normalize("NFKC", text)).upper()
    # Letters may compose again without the characters between them, or in upper case.
    return unicodedata.normalize("NFKC", text).strip()


def strip(text: str) -> str:
    """Remove blanks and invisible characters at both ends."""
    text = text[_blanks(text) :]
    return text[: len(text) - _blanks(text[::-1])]


def _remove_invisible(text: str) -> str:
    """Remove invisible characters everywhere; blanks stay."""
    return _INVISIBLE_RUN.sub("", text)


def _blanks(text: str) -> int:
    run = _BLANK_RUN.match(text)
    return 0 if run is None else run.end()


def _is_visible(text: str) -> bool:
    return any(
        unicodedata.category(each) not in _MARKS for each in _remove_invisible(text) if each.strip()
    )


def _too_long(longest: int) -> str:
    return f"Give at most {longest} characters."


def whole_number(value: Any) -> int | None:
    """Return a whole number of JSON, also if it was sent as 20.0; None for anything else.

    JSON Schema (2020-12, 4.2.3) counts a number without a fraction as an integer.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else None
