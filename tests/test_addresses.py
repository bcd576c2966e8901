"""The billing address: what is taken, what is refused, and when two are the same."""

from typing import Any

import pytest

from .shops import ADDRESS, Shop, body


@pytest.fixture
def customer(shop: Shop) -> int:
    customer = shop.customer()
    shop.cart(customer, {shop.product(stock=None): 1})
    return customer


def order_again(shop: Shop, customer: int, **body: Any) -> dict[str, Any]:
    shop.fill(customer, {shop.product(): 1})
    return shop.order(customer, **body)


@pytest.mark.parametrize(
    ("given", "kept"),
    [(12345, "12345"), ("K1A 0B1", "K1A 0B1"), ("01234", "01234"), (" 01234 ", "01234")],
)
def test_a_postal_code_is_kept_as_text(shop: Shop, customer: int, given: Any, kept: str) -> None:
    order = shop.order(customer, billing_address={**ADDRESS, "postal_code": given})
    assert order["billing_address"]["postal_code"] == kept


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
    ],
)
def test_a_country_is_kept_by_its_code(
    shop: Shop, customer: int, given: str, code: str, answered: str
) -> None:
    order = shop.order(customer, billing_address={**ADDRESS, "country": given})
    assert order["billing_address"]["country"] == answered
    assert shop.rows("orders")[0]["billing_country"] == code


@pytest.mark.parametrize(
    ("given", "hint"),
    [("CA", "'Canada'"), ("can", "'Canada'"), ("Canadaa", "'Canada'"), ("Atlantis", "full name")],
)
def test_a_country_that_is_no_full_name(shop: Shop, customer: int, given: str, hint: str) -> None:
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
        ("street_address", "a\nb"),
        ("street_address", "a\x00b"),
        ("street_address", "a\u202eb"),
        ("street_address", "a\ud800b"),
        ("postal_code", True),
        ("postal_code", 1.5),
        ("postal_code", -1),
        ("postal_code", ""),
        ("city", ""),
        ("city", []),
        ("state", None),
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
def test_an_address_that_is_no_object(shop: Shop, customer: int, address: Any) -> None:
    answer = shop.post(customer, {"action": "checkout", "billing_address": address})
    assert (answer.status_code, body(answer)["code"]) == (400, "invalid_request")
    assert list(body(answer)["errors"]) == ["billing_address"]


def test_a_state_may_be_empty(shop: Shop, customer: int) -> None:
    order = shop.order(customer, billing_address={**ADDRESS, "state": "", "country": "Monaco"})
    assert order["billing_address"]["state"] == ""


def test_an_equal_address_is_used_again(shop: Shop, customer: int) -> None:
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


def test_the_address_used_last_is_the_saved_one(shop: Shop, customer: int) -> None:
    shop.order(customer, billing_address={**ADDRESS, "city": "First"})
    order_again(shop, customer, billing_address={**ADDRESS, "city": "Second"})
    order_again(shop, customer, billing_address={**ADDRESS, "city": "First"})
    last = order_again(shop, customer, billing_address=None)
    assert last["billing_address"]["city"] == "First"


def test_an_address_that_has_left_the_address_book_is_not_the_saved_one(
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


def test_of_addresses_that_were_never_used_the_newest_is_the_saved_one(
    shop: Shop, customer: int
) -> None:
    entry = {**ADDRESS, "postal_code": "12345", "country": "CA"}
    for city in ("First", "Second"):
        shop.add(shop.models.Address(customer_id=customer, **{**entry, "city": city}))
    shop.add(shop.models.Address(customer_id=shop.customer(), **{**entry, "city": "Theirs"}))
    assert shop.order(customer, billing_address=None)["billing_address"]["city"] == "Second"


def test_an_address_that_was_never_used_is_a_saved_one_too(shop: Shop, customer: int) -> None:
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


def test_an_entry_that_the_host_made_or_edited_is_found_again(shop: Shop, customer: int) -> None:
    entry = {**ADDRESS, "postal_code": "12345", "country": "CA"}
    key = shop.add(shop.models.Address(customer_id=customer, **{**entry, "city": "Oldtown"}))
    with shop.session() as session:
        session.get_one(shop.models.Address, key).city = "Anytown"

    shop.order(customer)

    assert [row["id"] for row in shop.rows("order_addresses")] == [key]
