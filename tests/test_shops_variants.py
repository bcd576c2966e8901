"""A shop of variants without foreign keys, with prices, vouchers and delivery costs of its own."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import URL, make_url

from flask_orders import ConfigurationError, current_orders
from flask_orders.models.contract import table
from flask_orders.signals import order_placing
from flask_orders.testing import Ledger, run_concurrently

from . import hosts
from .hosts.drivers import Buyer, running
from .hosts.driving.variants import Variants
from .support.database import counted, nothing_changed
from .support.requests import HOME, PREVIEW
from .support.responses import outcomes, refused

THREADS = 6


@pytest.fixture(scope="module")
def module_host(server_url: URL) -> Iterator[Any]:
    with running("variants", server_url) as host:
        yield host


def test_installing_costs_45_lines_and_eight_parts_at_most() -> None:
    assert hosts.added_lines("variants") <= 45
    assert hosts.parts("variants") <= 8


def test_nothing_is_wrong_with_it(host: Variants) -> None:
    host.put(host.customer(), host.product())
    assert host.problems() == []


def test_no_class_and_no_table_of_the_shop_and_the_library_become_one(host: Variants) -> None:
    """The shop's Order, Voucher and OrderEvent are defined after declare_models, and found."""
    shop = host.module
    with host.app.app_context():
        models = current_orders.models
        voucher = shop.Voucher(code="A", percent=Decimal(5), uses_left=1)
        event = shop.OrderEvent(what="called")
        shop.db.session.add(shop.Order(caller="Ann", voucher=voucher, events=[event]))
        shop.db.session.commit()
        assert [order.caller for order in voucher.orders] == ["Ann"]
        assert type(event.order) is shop.Order
    assert (table(models.Order).name, table(shop.Order).name) == ("fo_orders", "orders")
    assert set(table(shop.Order).c.keys()) == {"id", "caller", "voucher_id"}
    assert set(table(shop.OrderEvent).c.keys()) == {"id", "order_id", "what"}
    assert host.rows("fo_orders") == []


@pytest.mark.parametrize("commit", [True, False])
def test_the_parent_s_price_is_today_s(host: Variants, *, commit: bool) -> None:
    """Whatever the session has read before, also in a transaction of the shop's own."""
    if host.engine.dialect.name == "sqlite" and not commit:
        pytest.skip("on SQLite a reader can't become a writer once somebody else has written")
    buyer, product = host.customer(), host.product("10.00")
    host.put(buyer, product)
    session = host.module.db.session
    with host.app.app_context():
        seen = session.get(host.module.Variant, product)
        assert seen.current_price == Decimal("10.00")
        host.reprice(product, "12.00")
        if commit:
            session.commit()
            placed = current_orders.place(buyer.key, billing_address=HOME)
            order = session.get(current_orders.models.Order, placed.order_id)
        else:
            order = current_orders.convert(buyer.key, billing_address=HOME)
        assert order.total_amount == Decimal("12.00")
        session.rollback()


def test_a_price_that_changes_meanwhile_is_the_old_or_the_new_one(host: Variants) -> None:
    """And the customer who has named the highest total never pays more."""
    product = host.product("10.00", stock=THREADS)
    buyers = [host.customer() for _ in range(THREADS)]
    for buyer in buyers:
        host.put(buyer, product)

    def order(buyer: Buyer) -> Any:
        return host.order(buyer, expected_total="10.50")

    answers = run_concurrently(
        *[lambda b=buyer: order(b) for buyer in buyers],
        lambda: host.reprice(product, "10.50"),
        lambda: host.reprice(product, "11.00"),
    )
    assert set(outcomes(answers[:THREADS])) <= {201, "price_changed"}
    totals = {row["total_amount"] for row in host.rows("fo_orders")}
    assert totals <= {Decimal("10.00"), Decimal("10.50")}


CARTS = st.fixed_dictionaries(
    {
        "lines": st.lists(
            st.tuples(
                st.decimals("0.01", "200", places=2),  # the product
                st.decimals("0", "20", places=2),  # the variant
                st.integers(1, 9),
            ),
            min_size=1,
            max_size=4,
        ),
        "delivery": st.sampled_from(["pickup", "standard", "express"]),
        "percent": st.none() | st.decimals("0.1", "100", places=1),
        "minimum": st.decimals("0", "300", places=2),
    }
)


def test_the_total_is_the_shop_s_own_to_the_cent(host: Variants) -> None:
    """Prices, voucher and delivery, in the preview and in the order, over many carts."""

    @settings(max_examples=60 if host.engine.dialect.name == "sqlite" else 15, deadline=None)
    @given(CARTS)
    def is_the_same(cart: dict[str, Any]) -> None:
        buyer = fill(host, cart)
        own = Decimal(host.call("GET", "/cart", buyer)["total"])
        preview = host.call("GET", PREVIEW, buyer)
        assert Decimal(preview["total_amount"]) == own
        assert host.order(buyer, expected_total=str(own)).status_code == 201
        (order,) = host.rows("fo_orders")
        items = host.rows("fo_order_items")
        assert order["total_amount"] == own
        assert sum(item["shipping"] for item in items) == order["shipping"]
        assert sum(item["voucher_discount"] for item in items) == order["discount_amount"]

    is_the_same()


def fill(host: Variants, cart: dict[str, Any]) -> Buyer:
    """Give a new customer this cart; nothing else is in the shop."""
    host.clear()
    buyer = host.customer()
    for base_price, surcharge, quantity in cart["lines"]:
        parent = host.insert("products", title="A", base_price=base_price, published=True)
        host.put(buyer, host.variant(parent, surcharge), quantity)
    host.call("PUT", "/cart", buyer, {"delivery": cart["delivery"]})
    if cart["percent"] is not None:
        host.voucher("CODE", 1, percent=str(cart["percent"]), minimum=str(cart["minimum"]))
        host.apply(buyer, "CODE")
    return buyer


def test_a_cancellation_gives_the_use_of_the_voucher_back(host: Variants) -> None:
    buyer = host.customer()
    host.voucher("TEN", limit=1)
    host.put(buyer, host.product("10.00"))
    host.apply(buyer, "TEN")
    url = host.order(buyer).headers["Location"]
    assert (host.uses_left(), host.stock()) == ([0], [9])
    for _ in range(2):
        assert host.request("POST", f"{url}cancel/", buyer).status_code == 200
    assert (host.uses_left(), host.stock()) == ([1], [10])


def test_a_voucher_that_is_gone_is_refused_and_shown_in_the_preview(host: Variants) -> None:
    buyer = host.customer()
    host.voucher("TEN", limit=1)
    host.put(buyer, host.product("10.00"))
    host.apply(buyer, "TEN")
    host.change(host.tables["vouchers"].delete())
    with nothing_changed(host):
        assert refused(host.order(buyer), 409, "voucher_not_applicable")["reason"] == "used_up"
    preview = host.call("GET", PREVIEW, buyer)
    assert (preview["voucher_refusal"], preview["total_amount"]) == ("used_up", "10.00")


def test_variants_of_one_product_are_items_of_their_own(host: Variants) -> None:
    """What is bought is the variant, though the line's `product` is the parent."""
    buyer, first = host.customer(), host.product("10.00")
    second = host.variant(host.parent(first), Decimal("2.00"))
    host.put(buyer, first)
    host.put(buyer, second, 2)
    seen = host.call("GET", host.order(buyer).headers["Location"], buyer)
    assert [(item["product"]["id"], item["unit_price"]) for item in seen["items"]] == [
        (first, "10.00"),
        (second, "11.75"),
    ]
    assert all(item["product"]["name"].endswith(", M") for item in seen["items"])


def test_twenty_lines_send_no_more_statements_than_two(host: Variants) -> None:
    assert statements_for(host, 2) == statements_for(host, 20)


def statements_for(host: Variants, count: int) -> int:
    buyer = host.customer()
    for _ in range(count):
        host.put(buyer, host.product())
    with counted(host.engine) as statements:
        assert host.order(buyer).status_code == 201
    return len(statements)


def test_the_staff_s_forms_are_still_protected(host: Variants) -> None:
    client = host.app.test_client()
    with nothing_changed(host):
        assert client.post("/office/telephone", data={"caller": "Ann"}).status_code == 400


def test_stock_and_vouchers_add_up_after_a_rush(host: Variants) -> None:
    """Simultaneous orders of variants of one product, with one voucher."""
    first = host.product("10.00", stock=4)
    second = host.variant(host.parent(first), Decimal("1.00"), stock=4)
    host.voucher("THREE", limit=3)
    buyers = [host.customer() for _ in range(THREADS)]
    for number, buyer in enumerate(buyers):
        for variant in (first, second) if number % 2 else (second, first):
            host.put(buyer, variant)
        host.apply(buyer, "THREE")
    ledger = Ledger(host.app)

    answers = run_concurrently(*[lambda b=buyer: host.order(b) for buyer in buyers])

    assert outcomes(answers) == {201: 3, "voucher_not_applicable": THREADS - 3}
    assert (host.stock(), host.uses_left()) == ([1, 1], [0])
    assert ledger.problems() == []


WRONG = [
    ("csrf.exempt(orders_bp)", "pass", "CSRFProtect refuses every POST"),
    (
        "register_blueprint(orders_bp, pricing=ShopPricing())",
        "register_blueprint(orders_bp)",
        "Cart.delivery looks like shipping, and no order takes it into account",
    ),
    (
        "register_blueprint(orders_bp, pricing=ShopPricing())",
        "register_blueprint(orders_bp)",
        "mean nothing to the default pricing",
    ),
    ("load=Variant.product,", "", "load=Variant.product"),
]


@pytest.mark.parametrize(("line", "other", "problem"), WRONG)
def test_a_line_that_is_left_out_is_named_by_check(
    database: URL, line: str, other: str, problem: str
) -> None:
    wrong = Variants(database, replacing={line: other})
    wrong.create_all()
    wrong.product()
    assert problem in " ".join(wrong.problems())
    wrong.close()


REFUSED = [
    (" product=CartLine.variant_id", "", r"product: no foreign key leads from CartLine to Variant"),
    ("cart=CartLine.cart_id,", "", r"cart: no foreign key leads from CartLine to Cart"),
    ("customer=Cart.account_id,", "", r"customer: no foreign key leads from Cart to Account"),
    ("load=Variant.product", "load=Variant.product_id", r"load: .* is no relationship"),
    ("price=Variant.current_price,", "", r"price: Variant has no attribute 'price'"),
    ("ShopPricing())", "ShopPricing)", r"is a class: pass an object"),
]


@pytest.mark.parametrize(("line", "other", "error"), REFUSED)
def test_a_line_that_is_wrong_is_refused_at_the_start(line: str, other: str, error: str) -> None:
    with pytest.raises(ConfigurationError, match=error):
        Variants(make_url("sqlite://"), replacing={line: other})


# The voucher is found by the cart's row, and the mapping does not name it.
BY_ROW = {
    ", voucher=Cart.voucher_code": "",
    "find_voucher(cart.voucher)": "find_voucher(cart.row.voucher_code)",
    "if cart.voucher is not None": "if cart.row.voucher_code is not None",
}


def test_a_pricing_may_find_the_voucher_itself(database: URL) -> None:
    """Then a receiver takes it off the cart; a preview names a refusal all the same."""
    host = Variants(database, replacing=BY_ROW)
    host.create_all()
    assert host.problems() == []
    buyer = host.customer()
    host.voucher("TEN", limit=1)
    host.put(buyer, host.product("10.00"))
    host.apply(buyer, "TEN")

    def take_off(_app: Any, cart: Any, **_rest: Any) -> None:
        cart.voucher_code = None

    host.change(host.tables["vouchers"].update().values(uses_left=0))
    preview = host.call("GET", PREVIEW, buyer)
    assert (preview["voucher_refusal"], preview["items"]) == ("used_up", [])
    host.change(host.tables["vouchers"].update().values(uses_left=1))
    with order_placing.connected_to(take_off, host.app):
        assert host.order(buyer).status_code == 201
    assert (host.uses_left(), host.rows("carts")[0]["voucher_code"]) == ([0], None)
    assert host.rows("fo_orders")[0]["total_amount"] == Decimal("9.00")
    host.close()


REFUSING = """
from flask_orders import OrdersError

class NoExpress(OrdersError):
    code, status, title = "no_express", 409, "Not on Sundays"

def refuse(cart):
    if cart.row.delivery == "express":
        raise NoExpress("We deliver from Monday on.")

"""


def test_a_refusal_of_the_shop_s_own_pricing_is_in_the_preview(database: URL) -> None:
    """As it is in the answer to an order."""
    refusing = {
        "items = [PricedItem.of(": "refuse(cart); items = [PricedItem.of(",
        "class ShopPricing": REFUSING + "class ShopPricing",
    }
    host = Variants(database, replacing=refusing)
    host.create_all()
    buyer = host.customer()
    host.put(buyer, host.product("10.00"))
    host.call("PUT", "/cart", buyer, {"delivery": "express"})
    with nothing_changed(host):
        problem = refused(host.order(buyer), 409, "no_express")
        preview = host.call("GET", PREVIEW, buyer)
    assert (preview["refusal"]["code"], preview["items"]) == ("no_express", [])
    assert preview["refusal"]["detail"] == problem["detail"]
    host.close()
