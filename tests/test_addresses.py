"""Billing addresses: which are accepted, which are refused, and when two are equal."""

import json
import time
import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flask_orders import BillingAddress, OrdersError
from flask_orders.texts import clean

from .support.requests import ADDRESS, HOME
from .support.responses import body
from .support.shops import Shop


@pytest.fixture
def customer(shop: Shop) -> int:
    customer = shop.customer()
    shop.cart(customer, {shop.product(stock=None): 1})
    return customer


def order_again(shop: Shop, customer: int, **body: Any) -> dict[str, Any]:
    shop.fill(customer, {shop.product(): 1})
    return shop.order(customer, **body)


@pytest.mark.parametrize(
    ("given", "stored"),
    [(12345, "12345"), ("K1A 0B1", "K1A 0B1"), ("01234", "01234"), (" 01234 ", "01234")],
)
def test_a_postal_code_is_stored_as_text(
    shop: Shop, customer: int, given: Any, stored: str
) -> None:
    order = shop.order(customer, billing_address={**ADDRESS, "postal_code": given})
    assert order["billing_address"]["postal_code"] == stored


@pytest.mark.parametrize(
    ("given", "code", "answered"),
    [
        ("Canada", "CA", "Canada"),
        ("cANADA", "CA", "Canada"),
        ("Viet Nam", "VN", "Vietnam"),
        ("Vietnam", "VN", "Vietnam"),
        ("Socialist Republic of Viet Nam", "VN", "Vietnam"),
        ("Cura\u00e7ao", "CW", "Cura\u00e7ao"),
        ("Curac\u0327ao", "CW", "Cura\u00e7ao"),
        ("curacao", "CW", "Cura\u00e7ao"),
        ("Russia", "RU", "Russian Federation"),
        ("C\u00f4te d\u2019Ivoire", "CI", "C\u00f4te d'Ivoire"),
        ("Ivory Coast", "CI", "C\u00f4te d'Ivoire"),
        ("St Lucia", "LC", "Saint Lucia"),
        ("Trinidad & Tobago", "TT", "Trinidad and Tobago"),
        ("Turkey", "TR", "T\u00fcrkiye"),
        ("The Netherlands", "NL", "Netherlands"),
        ("Republic of Ireland", "IE", "Ireland"),
    ],
)
def test_a_country_is_stored_as_its_code(
    shop: Shop, customer: int, given: str, code: str, answered: str
) -> None:
    order = shop.order(customer, billing_address={**ADDRESS, "country": given})
    assert order["billing_address"]["country"] == answered
    assert shop.rows("orders")[0]["billing_country"] == code


@pytest.mark.parametrize(
    ("given", "hint"),
    [("CA", "'Canada'"), ("can", "'Canada'"), ("Canadaa", "'Canada'"), ("Atlantis", "full name")],
)
def test_a_country_must_be_a_full_name(shop: Shop, customer: int, given: str, hint: str) -> None:
    answer = shop.post(
        customer, {"action": "checkout", "billing_address": {**ADDRESS, "country": given}}
    )
    assert answer.status_code == 400
    assert hint in body(answer)["errors"]["billing_address.country"][0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("street_address", ""),
        ("street_address", "   "),
        ("street_address", "x" * 256),
        ("street_address", None),
        ("street_address", 7),
        ("street_address", "a\x00b"),
        ("street_address", "a\ufffeb"),
        ("street_address", "a\U000e0fffb\ufdd0"),
        ("street_address", "a\u2066b"),
        ("street_address", "a" + "\u0301" * 1020),
        ("street_address", "a\u202eb"),
        ("street_address", "a\ud800b"),
        ("postal_code", True),
        ("postal_code", 1.5),
        ("postal_code", -1),
        ("postal_code", ""),
        ("city", ""),
        ("city", []),
        ("city", "a\nb"),
        ("city", "a\tb"),
        ("city", "\u200b"),
        ("city", "\u3164"),
        ("city", "\u2800"),
        ("city", "\ufe0f"),
        ("city", "\u00ad\u115f \u2060"),
        ("city", "\U000e0100"),
        ("city", "\u0301"),
        ("street_address", "\n"),
        ("state", "\u0301"),
        ("state", 7),
        ("country", "\u3164"),
        ("country", ""),
        ("country", {}),
        ("id", 1),
        ("customer_id", 1),
    ],
)
def test_a_bad_field_is_named(shop: Shop, customer: int, field: str, value: Any) -> None:
    before = shop.everything()
    answer = shop.post(
        customer, {"action": "checkout", "billing_address": {**ADDRESS, field: value}}
    )
    assert (answer.status_code, body(answer)["code"]) == (400, "invalid_request")
    assert list(body(answer)["errors"]) == [f"billing_address.{field}"]
    assert shop.everything() == before


@pytest.mark.parametrize("address", [[], "Main St", 1, True])
def test_an_address_must_be_an_object(shop: Shop, customer: int, address: Any) -> None:
    answer = shop.post(customer, {"action": "checkout", "billing_address": address})
    assert (answer.status_code, body(answer)["code"]) == (400, "invalid_request")
    assert list(body(answer)["errors"]) == ["billing_address"]


@pytest.mark.parametrize(
    ("field", "given", "stored"),
    [
        ("street_address", "\u200f\u05e8\u05d7\u05d5\u05d1 5\u200e", "\u05e8\u05d7\u05d5\u05d1 5"),
        ("street_address", "\u05e8\u05d7\u05d5\u05d1\u200f 5", "\u05e8\u05d7\u05d5\u05d1\u200f 5"),
        (
            "street_address",
            "\u0645\u06cc\u200c\u062f\u0627\u0646",
            "\u0645\u06cc\u200c\u062f\u0627\u0646",
        ),
        ("street_address", "12 Main St\r\nApt\t4\n", "12 Main St Apt 4"),
        ("street_address", "1\u2028\x85\x0b2", "1 2"),
        ("city", "\ufeff\u3164\u2800 Anytown\u200b\u00a0\n", "Anytown"),
        ("city", "\U00032000\U00033479", "\U00032000\U00033479"),
        ("city", "Z\u0323\u0302" * 85, "\u1e92\u0302" * 85),
        ("state", None, ""),
        ("state", "\u200b", ""),
    ],
)
def test_text_is_stored_as_it_is_read(
    shop: Shop, customer: int, field: str, given: str | None, stored: str
) -> None:
    """Without what is not seen at its ends, on one line, in NFC; any letter is taken."""
    order = shop.order(customer, billing_address={**ADDRESS, field: given})
    assert order["billing_address"][field] == stored
    assert shop.rows("orders")[0][f"billing_{field}"] == stored


LEFT_OUT: Any = object()


@pytest.mark.parametrize("code", [LEFT_OUT, None, "", "\u200b"])
@pytest.mark.parametrize("country", ["Hong Kong", "Qatar", "Panama"])
def test_a_country_without_postal_codes_needs_none(
    shop: Shop, customer: int, country: str, code: str | None
) -> None:
    address = {**ADDRESS, "country": country, "postal_code": code}
    if code is LEFT_OUT:
        del address["postal_code"]
    order = shop.order(customer, billing_address=address)
    assert order["billing_address"]["postal_code"] == ""


@pytest.mark.parametrize("code", [LEFT_OUT, None, "", " "])
def test_a_country_with_postal_codes_needs_one(shop: Shop, customer: int, code: str | None) -> None:
    """It is named beside the other fields at fault."""
    before = shop.everything()
    address = {**ADDRESS, "city": "", "postal_code": code}
    if code is LEFT_OUT:
        del address["postal_code"]
    answer = shop.post(customer, {"action": "save_order", "billing_address": address})
    assert answer.status_code == 400
    errors = body(answer)["errors"]
    assert set(errors) == {"billing_address.city", "billing_address.postal_code"}
    assert "Canada has postal codes" in errors["billing_address.postal_code"][0]
    assert shop.everything() == before


def test_a_long_text_is_refused_before_it_is_normalised(shop: Shop, customer: int) -> None:
    """The work for a run of combining marks does not grow with the square of its length."""
    address = {**ADDRESS, "street_address": "a" + "\u0301\u0323" * 3900}
    request = json.dumps({"action": "save_order", "billing_address": address}, ensure_ascii=False)
    begun = time.process_time()
    for _ in range(10):
        answer = shop.post(customer, data=request.encode(), content_type="application/json")
        assert list(body(answer)["errors"]) == ["billing_address.street_address"]
    assert time.process_time() - begun < 0.4


def test_a_state_may_be_empty(shop: Shop, customer: int) -> None:
    order = shop.order(customer, billing_address={**ADDRESS, "state": "", "country": "Monaco"})
    assert order["billing_address"]["state"] == ""


def test_an_equal_address_is_reused(shop: Shop, customer: int) -> None:
    shop.order(customer, billing_address={**ADDRESS, "city": "Stra\u00dfe"})
    order_again(
        shop,
        customer,
        billing_address={**ADDRESS, "city": " STRASSE ", "street_address": "123  main ST"},
    )
    assert len(shop.rows("order_addresses")) == 1
    assert len({order["billing_address_id"] for order in shop.rows("orders")}) == 1


def test_another_address_is_another_row(shop: Shop, customer: int) -> None:
    shop.order(customer)
    order_again(shop, customer, billing_address={**ADDRESS, "city": "Othertown"})
    assert len(shop.rows("order_addresses")) == 2


def test_another_customer_s_equal_address_is_another_row(shop: Shop, customer: int) -> None:
    shop.order(customer)
    other = shop.customer()
    shop.cart(other, {shop.product(): 1})
    shop.order(other)
    assert [row["customer_id"] for row in shop.rows("order_addresses")] == [customer, other]


def test_the_address_used_last_is_the_saved_address(shop: Shop, customer: int) -> None:
    shop.order(customer, billing_address={**ADDRESS, "city": "First"})
    order_again(shop, customer, billing_address={**ADDRESS, "city": "Second"})
    order_again(shop, customer, billing_address={**ADDRESS, "city": "First"})
    last = order_again(shop, customer, billing_address=None)
    assert last["billing_address"]["city"] == "First"


def test_an_address_removed_from_the_address_book_is_not_the_saved_address(
    shop: Shop, customer: int
) -> None:
    """Deleted, or given to another customer: then it is that of the order before."""
    for city in ("First", "Second", "Third"):
        order_again(shop, customer, billing_address={**ADDRESS, "city": city})
    first, second, third = [row["id"] for row in shop.rows("order_addresses")]
    other = shop.customer()
    with shop.session() as session:
        session.delete(session.get_one(shop.models.Address, third))
        session.get_one(shop.models.Address, second).customer_id = other
    assert order_again(shop, customer, billing_address=None)["billing_address"]["city"] == "First"

    with shop.session() as session:
        session.delete(session.get_one(shop.models.Address, first))
    shop.fill(customer, {shop.product(): 1})
    before = shop.everything()
    answer = shop.post(customer, {"action": "save_order"})
    assert (answer.status_code, body(answer)["code"]) == (400, "billing_address_required")
    assert shop.everything() == before


def test_the_newest_of_unused_addresses_is_the_saved_address(shop: Shop, customer: int) -> None:
    entry = {**ADDRESS, "postal_code": "12345", "country": "CA"}
    for city in ("First", "Second"):
        shop.add(shop.models.Address(customer_id=customer, **{**entry, "city": city}))
    shop.add(shop.models.Address(customer_id=shop.customer(), **{**entry, "city": "Theirs"}))
    assert shop.order(customer, billing_address=None)["billing_address"]["city"] == "Second"


def test_an_unused_address_can_be_the_saved_address(shop: Shop, customer: int) -> None:
    address = shop.models.Address(
        customer_id=customer,
        street_address="1 Bay St",
        postal_code="K1A 0B1",
        city="Ottawa",
        state="ON",
        country="CA",
    )
    key = shop.add(address)
    assert shop.order(customer, billing_address=None)["billing_address"]["city"] == "Ottawa"
    assert shop.rows("orders")[0]["billing_address_id"] == key


def test_an_entry_written_by_the_shop_is_reused(shop: Shop, customer: int) -> None:
    entry = {**ADDRESS, "postal_code": "12345", "country": "CA"}
    key = shop.add(shop.models.Address(customer_id=customer, **{**entry, "city": "Oldtown"}))
    with shop.session() as session:
        session.get_one(shop.models.Address, key).city = "Anytown"

    shop.order(customer)

    assert [row["id"] for row in shop.rows("order_addresses")] == [key]


def test_an_address_made_in_python_is_normalised_like_one_from_a_request(
    shop: Shop, customer: int
) -> None:
    shop.order(customer, billing_address={**ADDRESS, "city": "Montr\u00e9al"})
    shop.fill(customer, {shop.product(): 1})
    with shop.service() as orders:
        code: Any = 12345
        typed = BillingAddress("123\nMain  St", code, "\u200bMONTRE\u0301AL ", "ca", "ca")
        order = orders.convert(customer, billing_address=typed)
        assert (order.billing_city, order.billing_country) == ("MONTR\u00c9AL", "CA")
    assert len(shop.rows("order_addresses")) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("street_address", ""),
        ("street_address", None),
        ("city", "\u3164"),
        ("city", "x" * 256),
        ("state", "a\nb"),
        ("postal_code", ""),
        ("postal_code", True),
        ("country", "Narnia"),
        ("country", "ZZ"),
    ],
)
def test_an_address_made_in_python_is_refused_like_one_from_a_request(
    field: str, value: Any
) -> None:
    with pytest.raises(OrdersError) as raised:
        replace(HOME, **{field: value})
    assert raised.value.code == "invalid_request"
    assert list(raised.value.extensions["errors"]) == [f"billing_address.{field}"]


def test_all_invalid_fields_are_named_together() -> None:
    with pytest.raises(OrdersError) as raised:
        BillingAddress("", "", "", "", "Narnia")
    assert len(raised.value.extensions["errors"]) == 3


def test_an_order_can_use_an_entry_written_by_the_shop(shop: Shop, customer: int) -> None:
    """Whatever its own forms let in: the customer could not correct it."""
    entry = {**ADDRESS, "street_address": " ", "postal_code": "", "country": "XK"}
    shop.add(shop.models.Address(customer_id=customer, **entry))
    shop.order(customer, billing_address=None)
    order = shop.rows("orders")[0]
    assert (order["billing_street_address"], order["billing_country"]) == (" ", "XK")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_normalising_is_idempotent(text: str) -> None:
    try:
        cleaned = clean(text, 255, keep_line_breaks=True)
    except ValueError:
        return
    assert clean(cleaned, 255) == cleaned


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=10))
@example("\u1fb3\u0323")
def test_addresses_that_differ_only_in_letter_case_are_equal(city: str) -> None:
    """By Unicode's canonical caseless matching: whatever folds to the same letters."""
    try:
        address = replace(HOME, city=f"x{city}")
        folded = replace(HOME, city=unicodedata.normalize("NFD", f"x{city}").casefold())
    except OrdersError:
        return
    assert address.fingerprint == folded.fingerprint
