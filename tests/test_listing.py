"""The list of a customer's orders: its pages, its filter, and what it costs."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import sqlalchemy as sa
from flask_jwt_extended import create_access_token
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import URL
from sqlalchemy.orm import with_loader_criteria

from flask_orders import current_orders
from flask_orders.models import Models
from flask_orders.pagination import MOST_ITEMS, Page
from flask_orders.pricing import AMOUNTS
from flask_orders.status import STATUSES

from .hosts.drivers import UuidKeys
from .support import servers
from .support.apps import make_app
from .support.database import counted
from .support.requests import ORDERS
from .support.responses import body
from .support.shops import Shop


def stored(models: Models, customer: Any, statuses: Sequence[str], items: int = 1) -> list[Any]:
    """Rows of orders with these statuses, the oldest first, as a shop's import might make them."""
    now = datetime.now(UTC)
    return [
        models.Order(
            id=uuid4(),
            number=uuid4().hex[:16],
            sequence=sequence,
            customer_id=customer,
            status=status,
            currency="USD",
            currency_decimals=2,
            created=now,
            updated=now,
            **{f"billing_{name}": "-" for name in ("street_address", "postal_code", "city")},
            billing_state="",
            billing_country="CA",
            **{**dict.fromkeys(AMOUNTS, Decimal(0)), "items_count": items},
            items=[
                models.OrderItem(
                    id=uuid4(),
                    position=position,
                    sku="S",
                    name="N",
                    quantity=1,
                    stock_deducted=False,
                    **dict.fromkeys(("list_price", "unit_price", "discount_amount"), Decimal(0)),
                    **dict.fromkeys(("total_price", "shipping", "voucher_discount"), Decimal(0)),
                )
                for position in range(items)
            ],
        )
        for sequence, status in enumerate(statuses, start=1)
    ]


def has_ordered(shop: Shop, customer: int, *statuses: str) -> list[str]:
    """Give the customer orders; their numbers, the newest first."""
    rows = stored(shop.models, customer, statuses)
    numbers = [row.number for row in reversed(rows)]
    with shop.session() as session:
        session.add_all(rows)
    return numbers


def page(shop: Shop, customer: int, query: str = "") -> dict[str, Any]:
    answer = shop.get(customer, ORDERS + query)
    assert answer.status_code == 200, answer.text
    return body(answer)


def numbers(page: dict[str, Any]) -> list[str]:
    return [order["number"] for order in page["results"]]


def walk(shop: Shop, customer: int, first: dict[str, Any], link: str) -> Iterator[dict[str, Any]]:
    """The page and those that follow it by the link."""
    yield first
    while first[link] is not None:
        first = body(shop.get(customer, first[link]))
        yield first


@pytest.fixture
def customer(shop: Shop) -> int:
    return shop.customer()


def test_the_newest_order_is_first_and_each_equals_its_own_page(shop: Shop, customer: int) -> None:
    product = shop.product()
    shop.cart(customer, {product: 1})
    orders = [shop.order(customer)]
    for units in (2, 3):
        shop.fill(customer, {product: units, shop.product(): 1})
        orders.insert(0, shop.order(customer))

    listed = page(shop, customer)

    assert listed == {"count": 3, "next": None, "previous": None, "results": orders}


def test_no_orders(shop: Shop, customer: int) -> None:
    empty: dict[str, Any] = {"count": 0, "next": None, "previous": None, "results": []}
    assert page(shop, customer) == page(shop, customer, "?status=paid&limit=1") == empty


@pytest.mark.parametrize(
    ("query", "length"), [("", 20), ("?limit=1", 1), ("?limit=100", 100), ("?limit=101", 100)]
)
def test_a_page_has_20_orders_and_100_at_most(
    shop: Shop, customer: int, query: str, length: int
) -> None:
    made = has_ordered(shop, customer, *["paid"] * 103)
    found = page(shop, customer, query)
    assert (found["count"], numbers(found)) == (103, made[:length])
    (limit,) = parse_qs(urlsplit(found["next"]).query)["limit"]
    assert int(limit) == length


def test_a_status(shop: Shop, customer: int) -> None:
    made = has_ordered(shop, customer, "paid", "cancelled", "paid", "delivered", "paid")
    first = page(shop, customer, "?status=paid&limit=2")
    assert (first["count"], numbers(first)) == (3, [made[0], made[2]])
    second = page(shop, customer, first["next"].removeprefix(ORDERS))
    assert (second["count"], numbers(second), second["next"]) == (3, [made[4]], None)
    assert page(shop, customer, "?status=awaiting_payment")["count"] == 0


def test_the_links_lead_through_all_pages_and_back(shop: Shop, customer: int) -> None:
    made = has_ordered(shop, customer, *["paid"] * 7)
    there = list(walk(shop, customer, page(shop, customer, "?limit=3"), "next"))
    assert [numbers(one) for one in there] == [made[:3], made[3:6], made[6:]]
    assert [one["count"] for one in there] == [7, 7, 7]
    back = list(walk(shop, customer, there[-1], "previous"))
    assert [numbers(one) for one in back] == [made[6:], made[3:6], made[:3]]
    assert (there[0]["previous"], back[-1]["previous"]) == (None, None)


def test_a_last_page_that_is_full_has_no_next(shop: Shop, customer: int) -> None:
    has_ordered(shop, customer, *["paid"] * 4)
    assert page(shop, customer, "?limit=2&offset=2")["next"] is None
    assert page(shop, customer, "?limit=4")["next"] is None


@pytest.mark.parametrize("query", ["?limit=2", "?limit=2&status=awaiting_payment"])
def test_new_orders_do_not_shift_the_pages(shop: Shop, customer: int, query: str) -> None:
    product = shop.product(stock=None)
    shop.cart(customer, {product: 1})
    made = [shop.order(customer)["number"]]
    for _ in range(4):
        shop.fill(customer, {product: 1})
        made.insert(0, shop.order(customer)["number"])

    seen = []
    for one in walk(shop, customer, page(shop, customer, query), "next"):
        seen += numbers(one)
        assert one["count"] == 5
        last = one
        shop.fill(customer, {product: 1})
        shop.order(customer)

    assert seen == made
    back = [numbers(one) for one in walk(shop, customer, last, "previous")]
    assert back == [made[4:], made[2:4], made[:2]]
    assert page(shop, customer, query)["count"] == 8


def test_beyond_the_end_there_is_the_count(shop: Shop, customer: int) -> None:
    made = has_ordered(shop, customer, *["paid"] * 3)
    found = page(shop, customer, "?offset=4&limit=2")
    assert (found["count"], found["results"], found["next"]) == (3, [], None)
    assert numbers(body(shop.get(customer, found["previous"]))) == made[1:]


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("status=x", ["status"]),
        ("status=", ["status"]),
        ("status=PAID", ["status"]),
        ("status=paid%00", ["status"]),
        ("status=%ff", ["status"]),
        ("limit=0", ["limit"]),
        ("limit=-1", ["limit"]),
        ("limit=abc", ["limit"]),
        ("limit=", ["limit"]),
        ("limit=1.5", ["limit"]),
        ("limit=1e1", ["limit"]),
        ("limit=%00", ["limit"]),
        ("limit=1%00", ["limit"]),
        ("limit=%EF%BC%91", ["limit"]),
        ("limit=9999999999999999999999", ["limit"]),
        ("offset=-1", ["offset"]),
        ("offset=9999999999", ["offset"]),
        ("until=0", ["until"]),
        ("until=x", ["until"]),
        ("before=0", ["before"]),
        ("before=x", ["before"]),
        ("after=-1", ["after"]),
        ("after=", ["after"]),
        ("page=2", ["page"]),
        ("customer_id=1", ["customer_id"]),
        ("limit=1&limit=2", ["limit"]),
        ("limit=x&status=y", ["limit", "status"]),
    ],
)
def test_a_query_that_is_wrong(shop: Shop, customer: int, query: str, fields: list[str]) -> None:
    answer = shop.get(customer, f"{ORDERS}?{query}")
    assert (answer.status_code, body(answer)["code"]) == (400, "invalid_request")
    assert sorted(body(answer)["errors"]) == fields
    assert answer.mimetype == "application/problem+json"


def test_the_list_has_only_the_customer_s_own_orders(shop: Shop, customer: int) -> None:
    other = shop.customer()
    made = has_ordered(shop, customer, "paid", "cancelled")
    theirs = has_ordered(shop, other, "paid", "paid", "paid")
    assert (page(shop, customer)["count"], numbers(page(shop, customer))) == (2, made)
    assert (page(shop, other)["count"], numbers(page(shop, other))) == (3, theirs)


def test_a_customer_who_is_gone(shop: Shop, customer: int) -> None:
    has_ordered(shop, customer, "paid")
    with shop.session() as session:
        session.execute(sa.delete(shop.db.metadata.tables["customers"]))
    assert shop.get(customer, ORDERS).status_code == 401
    assert shop.app.test_client().get(ORDERS).status_code == 401


@pytest.mark.parametrize("call", ["", "preview/"])
def test_a_deleted_customer_in_a_shop_without_a_user_lookup(server_url: URL, call: str) -> None:
    with servers.fresh_database(server_url) as url:
        host = UuidKeys(url)
        host.create_all()
        buyer = host.customer()
        assert host.request("GET", ORDERS + call, buyer).status_code == 200
        host.change(sa.delete(host.tables["users"]))
        assert host.request("GET", ORDERS + call, buyer).status_code == 401
        host.close()


def test_two_statements_whatever_the_length(shop: Shop, customer: int) -> None:
    rows = stored(shop.models, customer, ["paid"] * 103, items=3)
    with shop.session() as session:
        session.add_all(rows)
    for query in ("?limit=1", "?limit=5", "?limit=100", "?status=paid&limit=100&offset=3"):
        with counted(shop.engine) as statements:
            assert page(shop, customer, query)["results"]
        # Before them, the shop looks the user up.
        assert len(statements) == 3, statements


def test_a_shop_without_a_customer_class(database: URL) -> None:
    app, db = make_app(database)
    with app.app_context():
        db.create_all()
        models = current_orders.models
        rows = stored(models, "ann", ["paid", "cancelled", "paid"])
        db.session.add_all([*rows, *stored(models, "Ann", ["paid"])])
        made = [row.number for row in reversed(rows)]
        db.session.commit()
        tokens = {name: create_access_token(name) for name in ("ann", "bob")}
    with app.app_context():
        engine = db.engine

    def listed(name: str, query: str = "") -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {tokens[name]}"}
        return body(app.test_client().get(ORDERS + query, headers=headers))

    with counted(engine) as statements:
        first = listed("ann", "?limit=2")
    assert len(statements) == 2, statements
    assert (first["count"], numbers(first)) == (3, made[:2])
    assert numbers(listed("ann", first["next"].removeprefix(ORDERS))) == made[2:]
    assert numbers(listed("ann", "?status=cancelled")) == [made[1]]
    assert listed("ann", "?offset=9")["count"] == 3
    assert listed("bob") == {"count": 0, "next": None, "previous": None, "results": []}
    engine.dispose()


def has_sizes(shop: Shop, customer: int, *sizes: int) -> None:
    """Give the customer orders with so many items, the oldest first."""
    with shop.session() as session:
        for sequence, size in enumerate(sizes, start=1):
            (row,) = stored(shop.models, customer, ["paid"], items=size)
            row.sequence = sequence
            session.add(row)


def sizes(page: dict[str, Any]) -> list[int]:
    return [len(order["items"]) for order in page["results"]]


def test_a_page_ends_at_1000_items_and_has_one_order_at_least(shop: Shop, customer: int) -> None:
    has_sizes(shop, customer, 1, 2, 500, 500, 1, 1200, 999, 1, 1)

    there = list(walk(shop, customer, page(shop, customer), "next"))

    assert [sizes(one) for one in there] == [[1, 1], [999], [1200], [1, 500], [500, 2, 1]]
    assert [one["count"] for one in there] == [9] * 5
    back = list(walk(shop, customer, there[-1], "previous"))
    assert [sizes(one) for one in back] == [[500, 2, 1], [1, 500], [1200], [1, 999], [1]]


def test_orders_beyond_the_1000_items_are_not_read(shop: Shop, customer: int) -> None:
    has_sizes(shop, customer, *[300] * 5)
    read = 0

    def count(_item: Any, _context: Any) -> None:
        nonlocal read
        read += 1

    sa.event.listen(shop.models.OrderItem, "load", count)
    try:
        assert sizes(page(shop, customer)) == [300] * (MOST_ITEMS // 300)
    finally:
        sa.event.remove(shop.models.OrderItem, "load", count)
    assert read == 900


@pytest.mark.parametrize("link", ["next", "previous"])
def test_no_order_is_skipped_while_earlier_ones_leave_the_list(
    shop: Shop, customer: int, link: str
) -> None:
    """A client that cancels, or pays, whatever it finds awaiting payment finds all of it."""
    made = has_ordered(shop, customer, *["awaiting_payment"] * 7)
    first = page(shop, customer, "?status=awaiting_payment&limit=2")
    if link == "previous":
        *_, first = walk(shop, customer, first, "next")
        made.reverse()

    seen = []
    for one in walk(shop, customer, first, link):
        assert numbers(one)
        seen += numbers(one) if link == "next" else numbers(one)[::-1]
        for order in one["results"]:
            assert shop.send(customer, f"{order['url']}cancel/").status_code == 200
        # Meanwhile others are made, and expire.
        with shop.session() as session:
            newest = session.scalar(sa.select(sa.func.max(shop.models.Order.sequence)))
            (new,) = stored(shop.models, customer, ["awaiting_payment"])
            new.sequence = (newest or 0) + 1
            session.add(new)

    assert seen == made


def test_the_neighbours_of_a_page_that_has_become_empty(shop: Shop, customer: int) -> None:
    made = has_ordered(shop, customer, *["paid"] * 4)
    order = shop.models.Order

    def becomes_cancelled(*orders: str) -> None:
        with shop.session() as session:
            session.execute(
                sa.update(order).where(order.number.in_(orders)).values(status="cancelled")
            )

    first = page(shop, customer, "?status=paid&limit=2")
    becomes_cancelled(*made[2:])
    empty = body(shop.get(customer, first["next"]))
    assert (empty["count"], empty["results"], empty["next"]) == (2, [], None)
    assert numbers(body(shop.get(customer, empty["previous"]))) == made[:2]

    becomes_cancelled(*made)
    with shop.session() as session:
        session.execute(sa.update(order).where(order.number == made[3]).values(status="paid"))
    empty = page(shop, customer, "?status=paid&after=1")
    assert (empty["count"], empty["results"], empty["previous"]) == (1, [], None)
    assert numbers(body(shop.get(customer, empty["next"]))) == [made[3]]


def test_the_customer_is_read_by_the_mapper(shop: Shop, customer: int) -> None:
    """A shop that hides rows by with_loader_criteria hides them from the list too."""
    customers = shop.models.Customer
    assert customers is not None
    has_ordered(shop, customer, "paid")

    def hide(state: Any) -> None:
        criteria = with_loader_criteria(customers, lambda cls: cls.email == "x")
        state.statement = state.statement.options(criteria)

    wanted = Page(status=None, limit=1, offset=0, up_to_sequence=None, before=None, after=None)
    with shop.service() as orders:
        assert orders.page(customer, wanted) is not None
        session = shop.db.session()
        sa.event.listen(session, "do_orm_execute", hide)
        try:
            assert orders.page(customer, wanted) is None
        finally:
            sa.event.remove(session, "do_orm_execute", hide)


@given(
    statuses=st.lists(st.sampled_from(STATUSES), max_size=12),
    status=st.none() | st.sampled_from(STATUSES),
    limit=st.none() | st.integers(1, 14),
    offset=st.none() | st.integers(0, 14),
)
@settings(
    max_examples=25,
    deadline=None,
    database=None,
    derandomize=True,
    # Each example has a customer of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_page_is_a_slice(
    shop: Shop, statuses: list[str], status: str | None, limit: int | None, offset: int | None
) -> None:
    customer = shop.customer()
    made = has_ordered(shop, customer, *statuses)
    wanted = [
        number
        for number, its_status in zip(made, reversed(statuses), strict=True)
        if status in (None, its_status)
    ]
    query = {"status": status, "limit": limit, "offset": offset}
    text = "&".join(f"{name}={value}" for name, value in query.items() if value is not None)
    start, length = offset or 0, limit or 20

    found = page(shop, customer, f"?{text}")

    assert (found["count"], numbers(found)) == (len(wanted), wanted[start : start + length])
    assert (found["next"] is not None) == (start + length < len(wanted))
    assert (found["previous"] is not None) == (start > 0 and bool(wanted))
    pages = walk(shop, customer, found, "next")
    assert [number for one in pages for number in numbers(one)] == wanted[start:]
