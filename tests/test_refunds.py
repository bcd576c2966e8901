"""Refunds: recorded once, never more than came in; what is owed back is a query."""

import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import URL

from flask_orders import OrdersError
from flask_orders.errors import OrderNotFound, RefundMismatch
from flask_orders.signals import order_refunded
from flask_orders.testing import Ledger, run_concurrently

from .support.database import nothing_changed
from .support.requests import NO_ORDER
from .support.shops import Shop, make_shop


@pytest.fixture
def order(shop: Shop) -> dict[str, Any]:
    """An order of 20.00 that awaits its payment."""
    customer = shop.customer()
    shop.cart(customer, {shop.product("10.00", stock=5): 2})
    return {**shop.order(customer), "customer": customer}


def pay(shop: Shop, order: dict[str, Any], reference: str = "pay-1", amount: str = "20.00") -> None:
    with shop.service() as orders:
        orders.record_payment(order["id"], reference, Decimal(amount))


def refund(shop: Shop, order: dict[str, Any], reference: str, amount: str, **options: Any) -> str:
    with shop.service() as orders:
        return orders.record_refund(order["id"], reference, Decimal(amount), **options).status


def cancel(shop: Shop, order: dict[str, Any]) -> None:
    with shop.service() as orders:
        orders.cancel(order["id"], by_shop=True)


def due(shop: Shop) -> list[tuple[str, str]]:
    with shop.service() as orders:
        return [(each.payment, f"{each.amount.normalize():f}") for each in orders.refunds_due()]


def references(shop: Shop) -> dict[str, str]:
    """The payment of each refund, by its reference."""
    payments = {row["id"]: row["reference"] for row in shop.rows("order_payments")}
    return {row["reference"]: payments[row["payment_id"]] for row in shop.rows("order_refunds")}


def test_a_refund_is_recorded_once(shop: Shop, order: dict[str, Any]) -> None:
    pay(shop, order)
    heard: list[tuple[str, str, Decimal]] = []

    def receive(_app: object, order: Any, refund: Any) -> None:
        heard.append((order.status, refund.reference, refund.amount))

    with order_refunded.connected_to(receive):
        statuses = {refund(shop, order, "re-1", "5.00", note="scratched") for _ in range(3)}
    assert statuses == {"paid"}
    assert heard == [("paid", "re-1", Decimal("5.00"))]
    (row,) = shop.rows("order_refunds")
    found = row["reference"], row["amount"], row["currency"], row["note"]
    assert found == ("re-1", Decimal("5.00"), "USD", "scratched")
    assert Ledger(shop.app).problems() == []


def test_never_more_than_came_in(shop: Shop, order: dict[str, Any]) -> None:
    pay(shop, order)
    refund(shop, order, "re-1", "15.00")
    with nothing_changed(shop), pytest.raises(RefundMismatch, match=r"its amount is 5\.01, not 5"):
        refund(shop, order, "re-9", "5.01")
    refund(shop, order, "re-2", "5.00")
    with nothing_changed(shop), pytest.raises(RefundMismatch):
        refund(shop, order, "re-3", "0.01")


@pytest.mark.parametrize(
    ("reference", "amount"), [("re-1", "5.01"), ("re-1", "4.99")], ids=["more", "less"]
)
def test_another_amount_under_the_same_reference(
    shop: Shop, order: dict[str, Any], reference: str, amount: str
) -> None:
    pay(shop, order)
    refund(shop, order, "re-1", "5.00")
    with nothing_changed(shop), pytest.raises(RefundMismatch, match="its amount"):
        refund(shop, order, reference, amount)


def test_another_order_s_reference(shop: Shop, order: dict[str, Any]) -> None:
    pay(shop, order)
    refund(shop, order, "re-1", "5.00")
    shop.fill(order["customer"], {shop.product("20.00"): 1})
    other = shop.order(order["customer"])
    pay(shop, other, "pay-2")
    with nothing_changed(shop), pytest.raises(RefundMismatch, match="its order"):
        refund(shop, other, "re-1", "5.00")


def test_before_its_payment(shop: Shop, order: dict[str, Any]) -> None:
    """A webhook that comes too early fails, and is sent again by the provider."""
    with nothing_changed(shop), pytest.raises(RefundMismatch):
        refund(shop, order, "re-1", "5.00")
    pay(shop, order)
    refund(shop, order, "re-1", "5.00")


def test_an_unknown_order(shop: Shop) -> None:
    unknown = {"id": NO_ORDER.rstrip("/").rpartition("/")[2]}
    with pytest.raises(OrderNotFound):
        refund(shop, unknown, "re-1", "5.00")


@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "Infinity", "0.00001", "1e20"])
def test_what_is_no_amount(shop: Shop, order: dict[str, Any], amount: str) -> None:
    pay(shop, order)
    with nothing_changed(shop), pytest.raises(ValueError, match="a refund's amount"):
        refund(shop, order, "re-1", amount)


def test_which_payment_is_refunded(shop: Shop, order: dict[str, Any]) -> None:
    """The one that has to be, unless another is named."""
    pay(shop, order)
    pay(shop, order, "pay-2", "30.00")
    assert due(shop) == [("pay-2", "30")]
    refund(shop, order, "re-1", "12.00")
    refund(shop, order, "re-2", "4.00", payment="pay-1")
    refund(shop, order, "re-3", "18.00")
    refund(shop, order, "re-4", "16.00")
    expected = {"re-1": "pay-2", "re-2": "pay-1", "re-3": "pay-2", "re-4": "pay-1"}
    assert references(shop) == expected
    assert due(shop) == []
    with nothing_changed(shop), pytest.raises(RefundMismatch, match="its payment"):
        refund(shop, order, "re-5", "1.00", payment="pay-3")


def test_what_is_due(shop: Shop, order: dict[str, Any]) -> None:
    """Unexpected payments, and those of cancelled orders, less what was refunded."""
    assert due(shop) == []
    pay(shop, order)
    assert due(shop) == []
    refund(shop, order, "re-1", "5.00")
    assert due(shop) == []
    cancel(shop, order)
    assert due(shop) == [("pay-1", "15")]
    pay(shop, order, "pay-2", "7.50")
    assert due(shop) == [("pay-1", "15"), ("pay-2", "7.5")]
    refund(shop, order, "re-2", "15.00")
    assert due(shop) == [("pay-2", "7.5")]
    listed = shop.app.test_cli_runner().invoke(args=["orders", "refunds"])
    assert listed.exit_code == 1
    assert order["number"] in listed.output
    assert "pay-2    7.50    USD" in listed.output
    assert "Refunds due: 1." in listed.output
    refund(shop, order, "re-3", "7.50")
    listed = shop.app.test_cli_runner().invoke(args=["orders", "refunds"])
    assert (listed.exit_code, listed.output) == (0, "Refunds due: 0.\n")
    assert Ledger(shop.app).problems() == []


def test_a_payment_in_another_currency(shop: Shop, order: dict[str, Any]) -> None:
    """Its refund is in that currency, to its last decimal."""
    cancel(shop, order)
    with shop.service() as orders:
        orders.record_payment(order["id"], "pay-1", Decimal("12.345"), currency="KWD")
    assert due(shop) == [("pay-1", "12.345")]
    refund(shop, order, "re-1", "12.345")
    assert [row["currency"] for row in shop.rows("order_refunds")] == ["KWD"]
    assert due(shop) == []


def test_the_outbox_has_it(database: URL) -> None:
    shop = make_shop(database, ORDERS_OUTBOX=True)
    customer = shop.customer()
    shop.cart(customer, {shop.product("20.00"): 1})
    order = shop.order(customer)
    pay(shop, order)
    refund(shop, order, "re-1", "5.00")
    events = [json.loads(row["body"]) for row in shop.rows("order_outbox")]
    shop.close()
    assert [event["type"] for event in events] == [
        "flask-orders.order-placed",
        "flask-orders.order-paid",
        "flask-orders.order-refunded",
    ]
    assert events[2]["data"]["refund"] == {"reference": "re-1", "amount": "5.00", "currency": "USD"}
    assert events[2]["data"]["order"]["number"] == order["number"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"order_payments": {"expected": False}}, "no payment for it is recorded"),
        ({"orders": {"status": "awaiting_payment"}}, "which is awaiting_payment"),
        ({"order_payments": {"amount": Decimal(19)}}, "is not the total"),
        ({"order_refunds": {"amount": Decimal(21)}}, "more than the payment"),
        ({"order_refunds": {"currency": "EUR"}}, "its payment's order and currency"),
    ],
    ids=["unpaid", "awaited", "amount", "too much", "currency"],
)
def test_the_audit_compares_paid_refunded_and_status(
    shop: Shop, order: dict[str, Any], change: dict[str, dict[str, Any]], problem: str
) -> None:
    pay(shop, order)
    refund(shop, order, "re-1", "5.00")
    assert Ledger(shop.app).problems() == []
    for name, values in change.items():
        with shop.engine.begin() as connection:
            connection.execute(shop.db.metadata.tables[name].update().values(values))
    (found,) = Ledger(shop.app).problems()
    assert found.startswith("I9: ")
    assert problem in found


amounts = st.integers(1, 2500).map(lambda cents: str(Decimal(cents) / 100))


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.sampled_from(["pay", "refund", "cancel"]), amounts), max_size=12))
def test_whatever_comes_in_whatever_order(sqlite_shop: Shop, steps: list[tuple[str, str]]) -> None:
    """What is due is what a cancelled order's payments and unexpected ones were, less refunds."""
    shop = sqlite_shop
    shop.clear()
    customer = shop.customer()
    shop.cart(customer, {shop.product("10.00", stock=5): 2})
    order = {**shop.order(customer), "customer": customer}
    for number, (step, amount) in enumerate(steps):
        try:
            if step == "pay":
                pay(shop, order, f"pay-{number}", amount)
            elif step == "refund":
                refund(shop, order, f"re-{number}", amount)
            else:
                cancel(shop, order)
        except OrdersError:
            pass
        assert Ledger(shop.app).problems() == []
    (row,) = shop.rows("orders")
    left: dict[str, Any] = {}
    for payment in shop.rows("order_payments"):
        back = sum(
            r["amount"] for r in shop.rows("order_refunds") if r["payment_id"] == payment["id"]
        )
        if (not payment["expected"] or row["status"] == "cancelled") and payment["amount"] > back:
            left[payment["reference"]] = payment["amount"] - back
    assert dict(due(shop)) == {key: f"{amount.normalize():f}" for key, amount in left.items()}


@pytest.fixture(scope="module")
def sqlite_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    path = tmp_path_factory.mktemp("refunds") / "shop.sqlite3"
    shop = make_shop(URL.create("sqlite", database=str(path)))
    yield shop
    shop.close()


def test_racing_refunds(shop: Shop, order: dict[str, Any]) -> None:
    """Eight at a time, each recorded twice, for more than there is."""
    pay(shop, order)
    ledger = Ledger(shop.app)

    def one(number: int) -> str:
        for _ in range(20):
            try:
                return refund(shop, order, f"re-{number % 4}", "6.00")
            except OrdersError as error:
                return error.code
            except sa.exc.DBAPIError:
                continue  # SQLite: somebody else has the lock
        return "gave up"

    answers = Counter(run_concurrently(*[partial(one, number) for number in range(8)]))
    assert answers.keys() <= {"paid", "refund_mismatch"}
    assert len(shop.rows("order_refunds")) == 3
    assert ledger.problems() == []


def test_keys_as_text(shop: Shop, order: dict[str, Any]) -> None:
    pay(shop, order)
    with shop.service() as orders:
        found = orders.record_refund(UUID(order["id"]).hex, "re-1", Decimal("5.00"))
        assert str(found.id) == order["id"]
