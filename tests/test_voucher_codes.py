"""A voucher's code is stored and matched in one normal form, in any spelling."""

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from flask_orders.models import voucher_code

from .support.shops import Shop

# Composed, in capitals; each of TYPED is a way to type or paste it.
CODE = "CAF\u00c9-10"
TYPED = {
    "decomposed": "CAFE\u0301-10",
    "in small letters": "caf\u00e9-10",
    "full-width": "\uff23\uff21\uff26\u00c9\uff0d\uff11\uff10",
    "a zero-width space": "CAF\u200b\u00c9-10",
    "an accent behind a zero-width space": "cafe\u200b\u0301-10",
    "a soft hyphen": "CAF\u00c9\u00ad-10",
    "a Hangul filler": "\u3164CAF\u00c9-10\u3164",
    "a byte order mark": "\ufeffCAF\u00c9-10",
    "blanks": "\u00a0\u3000CAF\u00c9-10 \n",
}


@pytest.mark.parametrize("typed", TYPED.values(), ids=TYPED)
def test_a_look_alike_is_the_same_code(shop: Shop, typed: str) -> None:
    """By the ORM, by Core and in bulk it is stored alike, found alike, and stored only once."""
    key = shop.voucher(typed, "10%")
    vouchers = shop.models.promotions.Voucher
    rows = sa.inspect(vouchers).local_table
    row = {**shop.rows("vouchers")[0], "id": key + 1, "code": typed}
    assert shop.rows("vouchers")[0]["code"] == CODE
    with shop.session() as session:
        assert session.scalars(sa.select(vouchers.id).where(vouchers.code == typed)).all() == [key]
    with pytest.raises(IntegrityError):
        shop.voucher(typed, "20%")
    for statement in (sa.insert(rows), sa.insert(vouchers)):
        with pytest.raises(IntegrityError), shop.session() as session:
            session.execute(statement, [row])
    with shop.session() as session:
        session.execute(sa.update(vouchers).values(code=typed))
    assert [row["code"] for row in shop.rows("vouchers")] == [CODE]


def test_codes_that_differ_in_an_accent_are_two(shop: Shop) -> None:
    """On MariaDB too, whose own collation takes them for the same."""
    plain, accented = shop.voucher("CAFE", "10%"), shop.voucher("CAF\u00c9", "20%")
    vouchers = shop.models.promotions.Voucher
    with shop.session() as session:
        for code, key in (("cafe", plain), ("caf\u00e9", accented)):
            found = sa.select(vouchers.id).where(vouchers.code == code)
            assert session.scalars(found).all() == [key]


@pytest.mark.parametrize("code", ["", " ", "\u200b", "\u3164\u2800", "x" * 65, "\ufdfa" * 4])
def test_a_code_that_is_empty_or_too_long_is_refused(shop: Shop, code: str) -> None:
    """As it is in its normal form."""
    with pytest.raises(ValueError, match="give at"):
        shop.models.promotions.Voucher(code=code)


def test_a_code_may_be_as_long_as_its_column(shop: Shop) -> None:
    shop.voucher("\u200b" * 100 + "e\u0301" * 64, "10%")
    assert shop.rows("vouchers")[0]["code"] == "\u00c9" * 64


@given(st.text(max_size=12))
def test_normalising_a_code_is_idempotent(text: str) -> None:
    code = voucher_code(text)
    assert voucher_code(code) == code


@pytest.mark.parametrize(
    "letter", ["\u00df", "\u0149", "\u0390", "\u01f0", "\u1fb3\u0323", "\ufb03"]
)
def test_a_letter_of_several_capitals_has_one_normal_form(letter: str) -> None:
    code = voucher_code(letter)
    assert voucher_code(code) == voucher_code(letter.upper()) == code
