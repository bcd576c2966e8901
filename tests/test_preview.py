"""The preview equals the order that would be made; an order's ETag tells whether it changed."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask_jwt_extended import create_access_token
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column

from flask_orders import declare_models

from .hosts.drivers import DRIVERS, WITH_ENDPOINTS
from .support import servers
from .support.apps import install, make_app
from .support.database import counted, nothing_changed
from .support.requests import ORDERS, PREVIEW, SAVE
from .support.responses import body
from .support.shops import Shop

# What an order has that a preview can't have, and the other way round.
ORDER_ONLY = {"id", "number", "url", "status", "created", "updated", "billing_address"}
PREVIEW_ONLY = {"unavailable", "voucher_refusal", "changed", "refusal"}

NOTHING = {
    "currency": "USD",
    "items": [],
    "items_count": 0,
    "voucher": None,
    "subtotal": "0.00",
    "savings_on_items": "0.00",
    "discount_amount": "0.00",
    "amount_saved": "0.00",
    "shipping": "0.00",
    "total_amount": "0.00",
    "unavailable": [],
    "voucher_refusal": None,
    "changed": None,
    "refusal": {
        "code": "empty_cart",
        "detail": "Your cart is empty. Add an item to it, then order again.",
    },
}


def preview(shop: Shop, customer: int, query: str = "") -> dict[str, Any]:
    with nothing_changed(shop):
        answer = shop.get(customer, PREVIEW + query)
    assert answer.status_code == 200, answer.text
    return body(answer)


def in_common(answer: dict[str, Any]) -> dict[str, Any]:
    """Without what only an order or only a preview has, and the items' own keys."""
    items = [{**item, "id": None} for item in answer["items"]]
    shared = answer.keys() - ORDER_ONLY - PREVIEW_ONLY
    return {**{name: answer[name] for name in shared}, "items": items}


@pytest.fixture
def customer(shop: Shop) -> int:
    """A customer with two lines, an offer and a voucher in the cart: 153.87."""
    customer = shop.customer()
    lamp = shop.product("79.99", stock=5, shipping=Decimal("4.90"), sku="LAMP")
    bulb = shop.product("3.33", stock=None, sku="BULB")
    shop.offer("10%", lamp, title="Lamps")
    shop.cart(customer, {lamp: 2, bulb: 3}, shop.voucher("SPRING", "5.00", usage="single"))
    return customer


def test_the_preview_equals_the_order_made_next(shop: Shop, customer: int) -> None:
    seen = preview(shop, customer)
    items = [row["id"] for row in shop.rows("cart_items")]
    order = shop.order(customer, expected_total=seen["total_amount"])

    assert seen.keys() - PREVIEW_ONLY == order.keys() - ORDER_ONLY
    assert in_common(seen) == in_common(order)
    assert (seen["total_amount"], seen["voucher"]) == ("153.87", {"code": "SPRING"})
    assert [item["id"] for item in seen["items"]] == items
    assert {name: seen[name] for name in PREVIEW_ONLY} == {
        "unavailable": [],
        "voucher_refusal": None,
        "changed": None,
        "refusal": None,
    }


@pytest.mark.parametrize("name", WITH_ENDPOINTS)
def test_the_preview_equals_the_order_in_an_existing_shop(server_url: URL, name: str) -> None:
    with servers.fresh_database(server_url) as url:
        host = DRIVERS[name](url)
        host.create_all()
        buyer = host.customer()
        for units in (1, 2):
            host.put(buyer, host.product(), units)
        before = host.everything()
        seen = host.call("GET", PREVIEW, buyer)
        assert host.everything() == before
        made = host.order(buyer, expected_total=seen["total_amount"])
        order = host.call("GET", made.headers["Location"], buyer)
        # The shop may show fields of its own that a preview has not.
        shown = {name: order[name] for name in order if name in seen or name in ORDER_ONLY}
        assert in_common(seen) == in_common(shown)
        assert seen["items_count"] == 3
        host.close()


def test_a_shop_without_a_customer_class(database: URL) -> None:
    app, db = make_app(database)
    with app.app_context():
        db.create_all()
        headers = {"Authorization": f"Bearer {create_access_token('ann')}"}
    answer = app.test_client().get(PREVIEW, headers=headers)
    assert body(answer) == {**NOTHING, "customer": {"id": "ann"}}
    with app.app_context():
        db.engine.dispose()


def test_no_cart_and_an_empty_one(shop: Shop) -> None:
    customer = shop.customer()
    nothing = {**NOTHING, "customer": {"id": customer}}
    assert preview(shop, customer) == nothing
    shop.cart(customer, {})
    assert preview(shop, customer) == nothing


def test_the_preview_waits_for_no_lock(shop: Shop, customer: int) -> None:
    """Another transaction holds every row that a conversion would lock."""
    with shop.session() as others, ThreadPoolExecutor(1) as pool:
        for name in ("carts", "cart_items", "products", "vouchers"):
            table = shop.db.metadata.tables[name]
            assert others.execute(sa.select(table).with_for_update()).all()
        others.execute(sa.update(shop.models.Product).values(price=1))
        asked = pool.submit(shop.get, customer, PREVIEW)
        try:
            answer = asked.result(timeout=2)
        finally:
            # Else the thread would wait for ever.
            others.rollback()
    assert (answer.status_code, body(answer)["total_amount"]) == (200, "153.87")


def test_its_statements_only_read_and_are_as_many_for_any_length(shop: Shop) -> None:
    counts = set()
    for lines in (1, 5, 50):
        customer = shop.customer()
        voucher = shop.voucher(f"V{customer}", "10%", usage="once_per_customer")
        shop.cart(customer, {shop.product(): 1 for _ in range(lines)}, voucher)
        with counted(shop.engine) as statements:
            assert len(body(shop.get(customer, PREVIEW))["items"]) == lines
        assert [text for text in statements if not text.startswith("SELECT")] == []
        assert [text for text in statements if "FOR UPDATE" in text or "SHARE" in text] == []
        counts.add(len(statements))
    assert len(counts) == 1


def test_unavailable_items_are_named_and_left_out(shop: Shop) -> None:
    customer, gone = shop.customer(), shop.product()
    good, short = shop.product("10.00"), shop.product(stock=2, sku="SHORT", name="Short")
    inactive = shop.product(active=False)
    shop.cart(customer, {good: 1, short: 3, inactive: 1, gone: 1})
    with shop.session() as session:
        session.delete(session.get_one(shop.models.Product, gone))

    seen = preview(shop, customer)

    assert [item["product"]["id"] for item in seen["items"]] == [good]
    assert (seen["items_count"], seen["total_amount"]) == (1, "10.00")
    keys = [row["id"] for row in shop.rows("cart_items")]
    assert seen["unavailable"][0] == {
        "id": keys[1],
        "product": {"id": short, "sku": "SHORT", "name": "Short"},
        "requested": 3,
        "available": 2,
        "reason": "out_of_stock",
    }
    received = [(line["id"], line["reason"]) for line in seen["unavailable"]]
    assert received == [*zip(keys[1:], ("out_of_stock", "inactive", "gone"), strict=True)]
    assert seen["unavailable"][2]["product"] is None
    # The same as the refusal says.
    assert body(shop.post(customer))["items"] == seen["unavailable"]


def test_a_voucher_that_can_not_be_used_is_left_out(shop: Shop) -> None:
    customer = shop.customer()
    past = datetime.now(UTC) - timedelta(hours=1)
    shop.cart(customer, {shop.product("10.00"): 2}, shop.voucher("OLD", "10%", valid_to=past))
    seen = preview(shop, customer)
    assert (seen["voucher"], seen["voucher_refusal"]) == (None, "expired")
    assert (seen["discount_amount"], seen["total_amount"]) == ("0.00", "20.00")
    assert body(shop.post(customer))["reason"] == "expired"


@pytest.mark.parametrize(
    ("expected", "changed"),
    [
        ("153.87", None),
        ("153.8700", None),
        ("153.86", {"expected": "153.86", "actual": "153.87"}),
        ("154", {"expected": "154.00", "actual": "153.87"}),
        ("0", {"expected": "0.00", "actual": "153.87"}),
    ],
)
def test_another_total_than_expected(
    shop: Shop, customer: int, expected: str, changed: dict[str, str] | None
) -> None:
    seen = preview(shop, customer, f"?expected_total={expected}")
    assert (seen["changed"], seen["total_amount"]) == (changed, "153.87")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("expected_total=ten", "expected_total"),
        ("expected_total=", "expected_total"),
        ("expected_total=-1", "expected_total"),
        ("expected_total=1e3", "expected_total"),
        ("expected_total=NaN", "expected_total"),
        ("expected_total=1.23456", "expected_total"),
        ("expected_total=1%00", "expected_total"),
        ("expected_total=%EF%BC%91", "expected_total"),
        ("expected_total=1&expected_total=1", "expected_total"),
        ("total=1", "total"),
    ],
)
def test_a_query_that_is_wrong(shop: Shop, customer: int, query: str, field: str) -> None:
    with nothing_changed(shop):
        answer = shop.get(customer, f"{PREVIEW}?{query}")
    assert (answer.status_code, body(answer)["code"]) == (400, "invalid_request")
    assert list(body(answer)["errors"]) == [field]


def is_refused_alike(shop: Shop, customer: int, query: str = "", **fields: Any) -> dict[str, Any]:
    """The preview, whose refusal must be the one that the order itself meets."""
    seen = preview(shop, customer, query)
    with nothing_changed(shop):
        answer = shop.post(customer, {**SAVE, **fields})
    assert seen["refusal"] == {name: body(answer)[name] for name in ("code", "detail")}
    return seen


def test_more_items_than_can_be_ordered(shop: Shop, customer: int) -> None:
    """None of them is priced: there is no end to what a cart may hold."""
    shop.app.config["ORDERS_MAX_ITEMS"] = 1
    try:
        seen = is_refused_alike(shop, customer)
    finally:
        del shop.app.config["ORDERS_MAX_ITEMS"]
    assert (seen["items"], seen["total_amount"]) == ([], "0.00")
    assert seen["refusal"]["code"] == "invalid_request"
    assert "at most 1 items" in seen["refusal"]["detail"]


@pytest.mark.parametrize(
    ("price", "quantity"), [("99999999999999.00", 2), ("50000000000000.00", 2), ("0.01", 2**31 - 1)]
)
def test_an_order_that_is_too_large(shop: Shop, price: str, quantity: int) -> None:
    customer = shop.customer()
    one = {shop.product("0.01", stock=None): 1}
    shop.cart(customer, {shop.product(price, stock=None): quantity, **one})
    seen = is_refused_alike(shop, customer)
    assert seen["refusal"]["code"] == "invalid_request"
    assert "can't be as large" in seen["refusal"]["detail"]
    assert seen["items_count"] == quantity + 1


def test_whatever_would_refuse_the_order_is_named(shop: Shop, customer: int) -> None:
    assert preview(shop, customer)["refusal"] is None
    assert preview(shop, customer, "?expected_total=153.87")["refusal"] is None
    assert preview(shop, customer, "?expected_total=153.88")["refusal"] is None
    is_refused_alike(shop, customer, "?expected_total=153.86", expected_total="153.86")

    empty = shop.customer()
    is_refused_alike(shop, empty)
    shop.cart(empty, {})
    is_refused_alike(shop, empty)

    other, old = shop.customer(), shop.voucher("OLD", "10%", active=False)
    shop.cart(other, {shop.product(): 1}, old)
    assert is_refused_alike(shop, other)["refusal"]["code"] == "voucher_not_applicable"
    shop.fill(other, {shop.product(active=False): 1}, old)
    assert is_refused_alike(shop, other)["refusal"]["code"] == "item_unavailable"


def test_what_is_available_is_never_negative(database: URL) -> None:
    """A shop's own table may let the stock go below zero."""
    db = SQLAlchemy()

    class Product(db.Model):
        id: Mapped[int] = mapped_column(primary_key=True)
        sku: Mapped[str] = mapped_column(sa.String(20))
        name: Mapped[str] = mapped_column(sa.String(20))
        price: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2))
        shipping: Mapped[Decimal | None] = mapped_column(sa.Numeric(10, 2))
        stock: Mapped[int]
        active: Mapped[bool]

    models = declare_models(db, product=Product)
    app = install(db, database)
    with app.app_context():
        db.create_all()
        product = Product(sku="S", name="N", price=Decimal(1), stock=-3, active=True)
        item = models.CartItem(product=product, quantity=1)
        db.session.add(models.Cart(customer_id="ann", items=[item]))
        db.session.commit()
        headers = {"Authorization": f"Bearer {create_access_token('ann')}"}
        engine = db.engine
    seen = body(app.test_client().get(PREVIEW, headers=headers))
    request = SAVE
    refused = app.test_client().post(ORDERS, headers=headers, json=request)
    engine.dispose()
    assert (refused.status_code, body(refused)["code"]) == (409, "item_unavailable")
    assert body(refused)["items"] == seen["unavailable"]
    assert [(line["available"], line["reason"]) for line in seen["unavailable"]] == [
        (0, "out_of_stock")
    ]


def test_a_preview_without_a_customer(shop: Shop, customer: int) -> None:
    with shop.app.app_context():
        expired = create_access_token(str(customer), expires_delta=timedelta(hours=-1))
    headers = {"Authorization": f"Bearer {expired}"}
    assert shop.app.test_client().get(PREVIEW).status_code == 401
    assert shop.app.test_client().get(PREVIEW, headers=headers).status_code == 401
    with shop.session() as session:
        session.execute(sa.delete(shop.db.metadata.tables["customers"]))
    assert shop.get(customer, PREVIEW).status_code == 401


def test_the_path_without_its_slash_works_too(shop: Shop, customer: int) -> None:
    assert shop.get(customer, PREVIEW.rstrip("/")).data == shop.get(customer, PREVIEW).data


def test_an_order_that_has_changed_has_another_etag(shop: Shop, customer: int) -> None:
    order = shop.order(customer)
    first = shop.get(customer, order["url"])
    tag = first.headers["ETag"]
    assert shop.get(customer, order["url"]).headers["ETag"] == tag
    unchanged = shop.get(customer, order["url"], **{"If-None-Match": f'"other", {tag}'})
    assert (unchanged.status_code, unchanged.data) == (304, b"")
    assert unchanged.headers["ETag"] == tag

    with shop.service() as orders:
        orders.record_payment(UUID(order["id"]), "ref-1", Decimal(order["total_amount"]))

    changed = shop.get(customer, order["url"], **{"If-None-Match": tag})
    assert (changed.status_code, body(changed)["status"]) == (200, "paid")
    assert changed.headers["ETag"] != tag
    again = shop.get(customer, order["url"], **{"If-None-Match": changed.headers["ETag"]})
    assert again.status_code == 304


def test_an_etag_does_not_reveal_another_customer_s_order(shop: Shop, customer: int) -> None:
    order = shop.order(customer)
    tag = shop.get(customer, order["url"]).headers["ETag"]
    stranger = shop.customer()
    for match in (tag, "*"):
        answer = shop.get(stranger, order["url"], **{"If-None-Match": match})
        assert answer.status_code == 404
