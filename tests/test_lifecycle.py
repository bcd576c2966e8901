"""The lifecycle of an order: it is paid, cancelled, delivered, or expires."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.engine import URL

import flask_orders
from flask_orders import OrdersError, OrderService
from flask_orders.promotions import Promotions
from flask_orders.settings import Settings
from flask_orders.testing import Ledger, run_concurrently

from .support.database import refused_old_snapshot
from .support.orders import age, heard
from .support.requests import CHECKOUT
from .support.responses import body
from .support.shops import Shop, make_shop

SIGNALS = ("order_placed", "order_paid", "order_cancelled", "order_delivered", "payment_unexpected")


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(OrdersError) as refusal:
        yield
    assert refusal.value.code == code


@pytest.fixture
def customer(shop: Shop) -> int:
    return shop.customer()


@pytest.fixture
def order(shop: Shop, customer: int) -> dict[str, Any]:
    """Two of a product of which there were five, with a voucher: 19.00."""
    voucher = shop.voucher("ONE", "1.00", usage="once_per_customer")
    shop.cart(customer, {shop.product("10.00", stock=5): 2}, voucher)
    return shop.order(customer)


def pay(shop: Shop, order: dict[str, Any], reference: str = "ref-1", amount: str = "19.00") -> str:
    with shop.service() as orders:
        return orders.record_payment(UUID(order["id"]), reference, Decimal(amount)).status


def stock(shop: Shop) -> int:
    (product,) = shop.rows("products")
    return int(product["stock"])


def status(shop: Shop) -> str:
    (order,) = shop.rows("orders")
    return str(order["status"])


def steps(shop: Shop) -> list[tuple[str, str, str]]:
    return [
        (row["from_status"], row["to_status"], row["actor"]) for row in shop.rows("order_events")
    ]


def test_a_saved_order_is_paid_later(shop: Shop, customer: int, order: dict[str, Any]) -> None:
    answer = shop.send(customer, f"{order['url']}checkout/")
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/pay/{order['id']}/"
    assert body(answer) == {"order": order["url"], "payment": f"/pay/{order['id']}/"}

    with heard() as received:
        assert pay(shop, order) == "paid"
    assert received == [("order_paid", "paid")]
    assert steps(shop) == [("awaiting_payment", "paid", "payment")]
    (payment,) = shop.rows("order_payments")
    assert (payment["reference"], payment["amount"], payment["currency"], payment["expected"]) == (
        *("ref-1", 19, "USD", True),
    )
    answer = shop.send(customer, f"{order['url']}checkout/")
    assert (answer.status_code, body(answer)["code"]) == (409, "order_not_payable")


def test_a_payment_may_be_recorded_any_number_of_times(shop: Shop, order: dict[str, Any]) -> None:
    with heard() as received:
        for _ in range(3):
            assert pay(shop, order) == "paid"
    assert received == [("order_paid", "paid")]
    assert len(shop.rows("order_payments")) == len(steps(shop)) == 1


@pytest.mark.parametrize(
    ("amount", "currency"),
    [("18.99", None), ("19.01", "USD"), ("19.0001", "usd"), ("0.0001", None), ("19.00", "EUR")],
)
def test_another_amount_or_currency_changes_nothing(
    shop: Shop, order: dict[str, Any], amount: str, currency: str | None
) -> None:
    before = shop.everything()
    with refused("payment_mismatch"), shop.service() as orders:
        orders.record_payment(UUID(order["id"]), "ref-1", Decimal(amount), currency=currency)
    assert shop.everything() == before


@pytest.mark.parametrize("reference", ["", "r" * 256])
def test_a_reference_has_1_to_255_characters(
    shop: Shop, order: dict[str, Any], reference: str
) -> None:
    before = shop.everything()
    with pytest.raises(ValueError, match="1 to 255"):
        pay(shop, order, reference)
    assert shop.everything() == before


@pytest.mark.parametrize("amount", ["19.00", 19.0, None])
def test_an_amount_is_a_decimal(shop: Shop, order: dict[str, Any], amount: Any) -> None:
    before = shop.everything()
    with pytest.raises(TypeError, match="Decimal"), shop.service() as orders:
        orders.record_payment(UUID(order["id"]), "ref-1", amount)
    assert shop.everything() == before


@pytest.mark.parametrize(
    "amount", ["0", "-19.00", "NaN", "sNaN", "Infinity", "-Infinity", "19.00001", "1E+14"]
)
def test_an_invalid_amount_is_refused(
    shop: Shop, customer: int, order: dict[str, Any], amount: str
) -> None:
    """Whether the order awaits a payment or not."""
    for call in ("", "cancel/"):
        if call:
            shop.send(customer, order["url"] + call)
        before = shop.everything()
        with pytest.raises(ValueError, match="a payment's amount"):
            pay(shop, order, amount=amount)
        assert shop.everything() == before


@pytest.mark.parametrize("currency", ["", "US", "DOLLAR", "U$D", "usd "])
def test_an_invalid_currency_is_refused(shop: Shop, order: dict[str, Any], currency: str) -> None:
    before = shop.everything()
    with pytest.raises(ValueError, match="ISO 4217"), shop.service() as orders:
        orders.record_payment(order["id"], "ref-1", Decimal("19.00"), currency=currency)
    assert shop.everything() == before


@pytest.mark.parametrize("currency", ["USD", "usd", "Usd"])
def test_a_currency_is_accepted_in_any_letter_case(
    shop: Shop, order: dict[str, Any], currency: str
) -> None:
    with shop.service() as orders:
        orders.record_payment(order["id"], "ref-1", Decimal("19.0000"), currency=currency)
    assert status(shop) == "paid"
    assert [row["currency"] for row in shop.rows("order_payments")] == ["USD"]


@pytest.mark.parametrize("notation", [str, lambda key: key.hex, lambda key: f"{{{key}}}"])
@pytest.mark.parametrize("upper", [False, True])
def test_an_order_s_id_may_be_text(
    shop: Shop, customer: int, order: dict[str, Any], notation: Any, upper: bool
) -> None:
    key = UUID(order["id"])
    text = notation(key).upper() if upper else notation(key)
    with shop.service() as orders:
        assert orders.get(customer, text).id == key
        assert orders.record_payment(text, "ref-1", Decimal("19.00")).status == "paid"
        assert orders.deliver(text).status == "delivered"
        with refused("order_not_cancellable"):
            orders.cancel(text)


@pytest.mark.parametrize("text", ["", "7", "no id", "0" * 33, "\x00"])
def test_a_text_that_is_no_uuid_is_an_unknown_order(shop: Shop, customer: int, text: str) -> None:
    with shop.service() as orders:
        for call in (
            partial(orders.get, customer, text),
            partial(orders.record_payment, text, "ref-1", Decimal(1)),
            partial(orders.cancel, text),
            partial(orders.deliver, text),
        ):
            with refused("order_not_found"):
                call()


@pytest.mark.parametrize("step", ["record_payment", "cancel", "deliver"])
def test_a_transition_made_meanwhile_is_returned(
    shop: Shop, order: dict[str, Any], step: str
) -> None:
    """In a transaction of the shop's that began earlier; on MariaDB it has an old snapshot."""
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("on SQLite a reader can't write once another transaction has written")
    arguments = ("ref-1", Decimal("19.00")) if step == "record_payment" else ()
    if step == "deliver":
        pay(shop, order)
    with shop.service() as orders:
        shop.db.session.execute(sa.select(shop.models.Order)).all()
        with shop.service() as others:
            done = getattr(others, step)(UUID(order["id"]), *arguments).status
        with refused_old_snapshot(shop.engine):
            assert getattr(orders, step)(UUID(order["id"]), *arguments).status == done
        shop.db.session.rollback()
        assert getattr(orders, step)(UUID(order["id"]), *arguments).status == done
    assert done == {"record_payment": "paid", "cancel": "cancelled", "deliver": "delivered"}[step]


def test_a_reference_belongs_to_one_order(shop: Shop, customer: int, order: dict[str, Any]) -> None:
    pay(shop, order)
    shop.fill(customer, {shop.product("19.00"): 1})
    other = shop.order(customer)
    before = shop.everything()
    with refused("payment_mismatch"):
        pay(shop, other)
    assert shop.everything() == before
    # Letter case and trailing blanks are part of it, on every database.
    assert pay(shop, other, "REF-1 ") == "paid"


def test_a_payment_of_a_cancelled_order_is_recorded_and_signalled(
    shop: Shop, customer: int, order: dict[str, Any]
) -> None:
    shop.send(customer, f"{order['url']}cancel/")
    with heard() as received:
        for _ in range(2):
            assert pay(shop, order) == "cancelled"
    assert received == [("payment_unexpected", "cancelled")]
    (payment,) = shop.rows("order_payments")
    assert (payment["amount"], payment["expected"]) == (19, False)


@pytest.mark.parametrize("was", ["cancelled", "paid", "delivered"])
@pytest.mark.parametrize(
    ("amount", "currency"), [("18.99", None), ("0.0001", "usd"), ("19.00", "eur"), ("1900", "JPY")]
)
def test_any_amount_for_an_order_not_awaiting_payment_is_recorded(
    shop: Shop, order: dict[str, Any], was: str, amount: str, currency: str | None
) -> None:
    """With its own currency, so that the shop knows what to refund."""
    with shop.session() as session:
        session.execute(sa.update(shop.models.Order).values(status=was))
    with heard() as received, shop.service() as orders:
        for _ in range(2):
            orders.record_payment(order["id"], "late", Decimal(amount), currency=currency)
    assert received == [("payment_unexpected", was)]
    (payment,) = shop.rows("order_payments")
    assert (payment["amount"], payment["currency"], payment["expected"]) == (
        Decimal(amount),
        (currency or "USD").upper(),
        False,
    )
    assert status(shop) == was


def test_a_second_payment_is_recorded_and_signalled(shop: Shop, order: dict[str, Any]) -> None:
    pay(shop, order)
    with heard() as received:
        assert pay(shop, order, "ref-2") == "paid"
    assert received == [("payment_unexpected", "paid")]
    assert [row["expected"] for row in shop.rows("order_payments")] == [True, False]


def test_cancelling_releases_stock_and_voucher_once(
    shop: Shop, customer: int, order: dict[str, Any]
) -> None:
    assert stock(shop) == 3
    ledger = Ledger(shop.app)
    with heard() as received:
        first, again = (shop.send(customer, f"{order['url']}cancel/") for _ in range(2))
    assert first.status_code == again.status_code == 200
    assert body(first)["status"] == "cancelled"
    assert body(first) == body(again) == body(shop.get(customer, order["url"]))
    assert {**order, "status": "cancelled"} == {**body(first), "updated": order["updated"]}
    assert received == [("order_cancelled", "cancelled")]
    assert stock(shop) == 5
    assert shop.rows("vouchers")[0]["times_used"] == 0
    assert shop.rows("voucher_redemptions") == []
    assert steps(shop) == [("awaiting_payment", "cancelled", "customer")]
    assert ledger.problems() == []

    # The voucher may be used again.
    product, voucher = shop.rows("products")[0]["id"], shop.rows("vouchers")[0]["id"]
    shop.fill(customer, {product: 2}, voucher)
    assert shop.order(customer)["total_amount"] == "19.00"


def test_a_paid_order_is_cancelled_by_the_shop_only(
    shop: Shop, customer: int, order: dict[str, Any]
) -> None:
    pay(shop, order)
    before = shop.everything()
    answer = shop.send(customer, f"{order['url']}cancel/")
    assert (answer.status_code, body(answer)["code"]) == (409, "order_not_cancellable")
    assert shop.everything() == before
    with refused("order_not_cancellable"), shop.service() as orders:
        orders.cancel(UUID(order["id"]))
    with shop.service() as orders:
        assert orders.cancel(UUID(order["id"]), by_shop=True, note="broken").status == "cancelled"
    assert stock(shop) == 5
    assert steps(shop)[1:] == [("paid", "cancelled", "shop")]
    assert [row["note"] for row in shop.rows("order_events")] == ["ref-1", "broken"]


def test_units_that_were_not_deducted_are_not_restocked(shop: Shop, customer: int) -> None:
    shop.cart(customer, {shop.product(stock=None): 2})
    order = shop.order(customer)
    with shop.session() as session:
        session.execute(sa.update(shop.models.Product).values(stock=7))
    assert shop.send(customer, f"{order['url']}cancel/").status_code == 200
    assert stock(shop) == 7


def test_deleted_products_and_vouchers_are_not_released(
    shop: Shop, customer: int, order: dict[str, Any]
) -> None:
    with shop.session() as session:
        session.execute(sa.delete(shop.models.Product))
        session.execute(sa.delete(shop.models.Voucher))
    answer = shop.send(customer, f"{order['url']}cancel/")
    assert (answer.status_code, body(answer)["status"]) == (200, "cancelled")


def test_a_paid_order_is_delivered(shop: Shop, order: dict[str, Any]) -> None:
    order_id = UUID(order["id"])
    with refused("order_not_deliverable"), shop.service() as orders:
        orders.deliver(order_id)
    pay(shop, order)
    with heard() as received, shop.service() as orders:
        assert orders.deliver(order_id, note="by bike").status == "delivered"
        assert orders.deliver(order_id).status == "delivered"
    assert received == [("order_delivered", "delivered")]
    assert steps(shop)[1:] == [("paid", "delivered", "shop")]
    with refused("order_not_cancellable"), shop.service() as orders:
        orders.cancel(order_id, by_shop=True)


@pytest.mark.parametrize(
    ("call", "status", "what_to_do"),
    [
        ("checkout", "delivered", "The items of a cancelled order can be ordered again"),
        ("checkout", "cancelled", "The items of a cancelled order can be ordered again"),
        ("cancel", "paid", "ask the shop to cancel it or for a return"),
        ("cancel", "delivered", "ask the shop to cancel it or for a return"),
    ],
)
def test_a_refusal_says_what_to_do(
    shop: Shop, customer: int, order: dict[str, Any], status: str, call: str, what_to_do: str
) -> None:
    with shop.session() as session:
        session.execute(sa.update(shop.models.Order).values(status=status))
    detail = body(shop.send(customer, f"{order['url']}{call}/"))["detail"]
    assert detail.startswith(f"The order's status is {status}: ")
    assert what_to_do in detail


@pytest.mark.parametrize("call", ["record_payment", "cancel", "deliver"])
def test_an_order_that_does_not_exist(shop: Shop, call: str) -> None:
    arguments = ("ref-1", Decimal(1)) if call == "record_payment" else ()
    with refused("order_not_found"), shop.service() as orders:
        getattr(orders, call)(uuid4(), *arguments)


@pytest.mark.parametrize("call", ["", "cancel/", "checkout/"])
def test_another_customer_s_order_is_not_found(
    shop: Shop, order: dict[str, Any], call: str
) -> None:
    before = shop.everything()
    send = shop.send if call else shop.get
    stranger = shop.customer()
    theirs = send(stranger, order["url"] + call)
    unknown = send(stranger, order["url"].replace(order["id"], str(uuid4())) + call)
    assert theirs.status_code == unknown.status_code == 404
    assert theirs.data == unknown.data
    assert {**shop.everything(), "customers": before["customers"]} == before


def test_a_zero_total_order_is_paid_at_checkout(shop: Shop, customer: int) -> None:
    shop.cart(customer, {shop.product("5.00"): 1}, shop.voucher("ALL", "100%"))
    with heard() as received:
        answer = shop.post(customer, CHECKOUT)
    (order,) = shop.rows("orders")
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/api/v1/i/orders/{order['id']}/"
    assert body(answer) == {"order": answer.headers["Location"], "payment": None}
    assert order["status"] == "paid"
    assert received == [("order_placed", "paid"), ("order_paid", "paid")]
    assert steps(shop) == [("awaiting_payment", "paid", "customer")]
    assert shop.rows("order_payments") == []


def test_a_saved_zero_total_order_is_paid_at_checkout(shop: Shop, customer: int) -> None:
    shop.cart(customer, {shop.product("0.00"): 1})
    order = shop.order(customer)
    assert order["status"] == "awaiting_payment"
    answer = shop.send(customer, f"{order['url']}checkout/")
    again = shop.send(customer, f"{order['url']}checkout/")
    assert (answer.status_code, answer.headers["Location"]) == (303, order["url"])
    assert (again.status_code, again.headers["Location"]) == (303, order["url"])
    assert body(again) == body(answer) == {"order": order["url"], "payment": None}
    assert status(shop) == "paid"
    assert steps(shop) == [("awaiting_payment", "paid", "customer")]


def test_a_zero_total_order_with_a_key_is_replayed(shop: Shop, customer: int) -> None:
    shop.cart(customer, {shop.product("0.00"): 1})
    headers = {**shop.token(customer), "Idempotency-Key": "k"}
    first, again = (shop.post(customer, CHECKOUT, headers=headers) for _ in range(2))
    assert first.headers["Location"] == again.headers["Location"]
    assert first.data == again.data
    assert again.headers["Idempotent-Replayed"] == "true"


def test_without_a_payment_endpoint_a_saved_order_can_not_be_checked_out(database: URL) -> None:
    shop = make_shop(database, ORDERS_PAYMENT_ENDPOINT=None)
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    order = shop.order(customer)
    answer = shop.send(customer, f"{order['url']}checkout/")
    assert (answer.status_code, body(answer)["code"]) == (500, "misconfigured")
    shop.close()


@pytest.mark.parametrize("batch", ["-1", "0", "10001"])
def test_a_batch_size_out_of_range_is_refused(shop: Shop, batch: str) -> None:
    result = shop.app.test_cli_runner().invoke(args=["orders", "expire", "--batch", batch])
    assert result.exit_code == 2
    assert "is not in the range 1<=x<=10000" in result.output


def test_orders_that_are_not_paid_in_time_expire(shop: Shop) -> None:
    product = shop.product(stock=10)
    voucher = shop.voucher("TEN", "1.00", usage_limit=10)
    orders = []
    for _ in range(5):
        customer = shop.customer()
        shop.cart(customer, {product: 1}, voucher)
        orders.append(shop.order(customer))
    late, paid = [order["id"] for order in orders[:3]], orders[3]
    age(shop, 72.1, *late, paid["id"])
    age(shop, 71.9, orders[4]["id"])
    pay(shop, paid, amount="9.00")
    ledger = Ledger(shop.app)

    with heard() as received:
        result = shop.app.test_cli_runner().invoke(args=["orders", "expire", "--batch", "2"])

    assert result.exit_code == 0, result.output
    assert "Orders cancelled: 3." in result.output
    assert received == [("order_cancelled", "cancelled")] * 3
    found = {row["id"]: row["status"] for row in shop.rows("orders")}
    assert [found[UUID(order["id"])] for order in orders] == [
        *(["cancelled"] * 3),
        "paid",
        "awaiting_payment",
    ]
    assert steps(shop)[1:] == [("awaiting_payment", "cancelled", "expiry")] * 3
    assert stock(shop) == 8
    assert shop.rows("vouchers")[0]["times_used"] == 2
    assert ledger.problems() == []
    result = shop.app.test_cli_runner().invoke(args=["orders", "expire"])
    assert "Orders cancelled: 0." in result.output


def test_a_zero_total_order_does_not_expire(shop: Shop, customer: int) -> None:
    shop.cart(customer, {shop.product("0.00"): 1})
    order = shop.order(customer)
    age(shop, 1000, order["id"])
    with shop.service() as orders:
        assert orders.expire() == 0
    result = shop.app.test_cli_runner().invoke(args=["orders", "expire"])
    assert "Orders cancelled: 0." in result.output
    assert status(shop) == "awaiting_payment"
    assert shop.send(customer, f"{order['url']}checkout/").status_code == 303
    assert status(shop) == "paid"


def late_orders(shop: Shop, count: int, product: int | None = None) -> list[dict[str, Any]]:
    """Orders that are not paid in time, each of a product of its own; all in one second."""
    made = []
    for number in range(count):
        customer = shop.customer()
        voucher = shop.voucher(f"V{number}", "1.00")
        shop.cart(customer, {product or shop.product(stock=5): 2}, voucher)
        made.append(shop.order(customer))
    age(shop, 73, *(order["id"] for order in made))
    return made


def expire(shop: Shop, *options: str) -> Any:
    return shop.app.test_cli_runner().invoke(args=["orders", "expire", *options])


def statuses(shop: Shop, orders: list[dict[str, Any]]) -> list[str]:
    found = {row["id"]: row["status"] for row in shop.rows("orders")}
    return [found[UUID(order["id"])] for order in orders]


def break_restocking(shop: Shop, order: dict[str, Any]) -> None:
    """Fill the stock up to where the product's CHECK, or its column, refuses any more."""
    product, table = order["items"][0]["product"]["id"], shop.db.metadata.tables["products"]
    with shop.engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            # SQLite takes any number: a trigger is the shop's own rule there.
            connection.exec_driver_sql(
                "CREATE TRIGGER refuse BEFORE UPDATE OF stock ON products "
                f"WHEN new.id = {product} BEGIN SELECT RAISE(ABORT, 'full at 123 Main St'); END"
            )
        else:
            connection.execute(
                sa.update(table).where(table.c.id == product).values(stock=2**31 - 1)
            )


@pytest.fixture
def own_shop(database: URL) -> Iterator[Shop]:
    shop = make_shop(database)
    yield shop
    shop.close()


@pytest.mark.parametrize("batch", ["1", "100"])
def test_an_order_that_can_not_be_cancelled_does_not_stop_expiring(
    own_shop: Shop, batch: str, caplog: pytest.LogCaptureFixture
) -> None:
    shop, orders = own_shop, late_orders(own_shop, 5)
    break_restocking(shop, orders[1])
    ledger = Ledger(shop.app)

    result = expire(shop, "--batch", batch)

    assert result.exit_code == 1, (result.output, result.exception)
    assert "Orders cancelled: 4." in result.output
    (named,) = [line for line in result.output.splitlines() if line.startswith("- ")]
    assert f"The order {orders[1]['number']} could not be cancelled: " in named
    assert f"the order {orders[1]['number']} could not be cancelled" in caplog.text
    for text in ("Main St", "Anytown", "@example.com"):
        assert text not in result.output + caplog.text
    expected = ["cancelled"] * 5
    expected[1] = "awaiting_payment"
    assert statuses(shop, orders) == expected
    assert len(steps(shop)) == 4
    assert [row["times_used"] for row in shop.rows("vouchers")] == [0, 1, 0, 0, 0]
    assert ledger.problems() == []

    # It is named again the next time, and nothing else is changed.
    before = shop.everything()
    assert expire(shop, "--batch", batch).exit_code == 1
    assert shop.everything() == before


class Releasing(Promotions):
    """A shop's own pricing, which can't release the vouchers in `refused`."""

    def __init__(self, shop: Shop, refused: set[str]) -> None:
        super().__init__(shop.db.session, shop.models)
        self.refused = refused

    def release(self, voucher: Any, order: Any) -> None:
        super().release(voucher, order)
        if voucher.code in self.refused:
            raise LookupError("the coupon of c7@example.com is gone")


def test_a_shop_s_release_that_raises_does_not_stop_expiring(own_shop: Shop) -> None:
    shop, orders, refused = own_shop, late_orders(own_shop, 4), {"V0", "V3"}
    shop.app.extensions["orders"] = OrderService(
        shop.db.session,
        shop.models,
        lambda: Settings.of(shop.app.config),
        Releasing(shop, refused),
    )

    result = expire(shop)

    assert result.exit_code == 1
    assert "Orders cancelled: 2." in result.output
    assert result.output.count("could not be cancelled: LookupError.") == 2
    assert "@example.com" not in result.output
    waiting, cancelled = "awaiting_payment", "cancelled"
    assert statuses(shop, orders) == [waiting, cancelled, cancelled, waiting]


def test_two_concurrent_expires_though_one_order_can_not_be_cancelled(own_shop: Shop) -> None:
    shop, orders = own_shop, late_orders(own_shop, 8)
    break_restocking(shop, orders[3])
    ledger = Ledger(shop.app)

    results = run_concurrently(*[partial(expire, shop, "--batch", "3")] * 2)

    assert 1 in [result.exit_code for result in results]
    assert [result.output for result in results if result.exit_code not in (0, 1)] == []
    # What one of them has skipped while the other one held it is left to the next run.
    again = expire(shop)
    assert again.exit_code == 1
    assert again.output.count("could not be cancelled") == 1
    expected = ["cancelled"] * 8
    expected[3] = "awaiting_payment"
    assert statuses(shop, orders) == expected
    assert len(steps(shop)) == 7
    assert ledger.problems() == []


def test_a_late_payment_of_an_expired_order_is_recorded(shop: Shop, order: dict[str, Any]) -> None:
    age(shop, 73, order["id"])
    with shop.service() as orders:
        assert orders.expire() == 1
        assert orders.expire() == 0
    with heard() as received:
        assert pay(shop, order) == "cancelled"
    assert received == [("payment_unexpected", "cancelled")]


def test_a_failure_leaves_the_shop_s_pending_changes(shop: Shop, order: dict[str, Any]) -> None:
    pay(shop, order)
    customer = shop.models.Customer
    assert customer is not None
    with shop.app.app_context():
        session = shop.db.session
        session.add(customer(email="pending@example.com"))
        with refused("order_not_cancellable"):
            flask_orders.current_orders.cancel(UUID(order["id"]))
        with pytest.raises(ValueError, match="above 0"):
            flask_orders.current_orders.record_payment(UUID(order["id"]), "r", Decimal(0))
        session.commit()
    assert [row["email"] for row in shop.rows("customers")][1:] == ["pending@example.com"]
    assert status(shop) == "paid"


def test_signals_wait_for_the_shop_s_commit(shop: Shop, customer: int) -> None:
    """A savepoint that is rolled back takes its signals along, and so does the transaction."""
    shop.cart(customer, {shop.product("10.00"): 1})
    with shop.app.app_context(), heard() as received:
        session, orders = shop.db.session, flask_orders.current_orders
        address = flask_orders.BillingAddress("123 Main St", "12345", "Anytown", "", "CA")
        orders.convert(customer, billing_address=address)
        session.rollback()
        made = orders.convert(customer, billing_address=address)
        with session.begin_nested() as savepoint:
            orders.record_payment(made.id, "ref-1", Decimal(10))
            savepoint.rollback()
        with session.begin_nested():
            orders.cancel(made.id)
        assert received == []
        session.commit()
    assert received == [("order_placed", "cancelled"), ("order_cancelled", "cancelled")]
    assert status(shop) == "cancelled"


HOME = flask_orders.BillingAddress("123 Main St", "12345", "Anytown", "", "CA")


def test_signals_of_a_transaction_that_is_a_with_block(shop: Shop, customer: int) -> None:
    shop.cart(customer, {shop.product("10.00"): 1})
    with shop.app.app_context(), heard() as received:
        session, orders = shop.db.session, flask_orders.current_orders
        with session.begin():
            order_id = orders.convert(customer, billing_address=HOME).id
            orders.record_payment(order_id, "ref-1", Decimal(10))
        with session.begin():
            orders.deliver(order_id)
    assert received == [
        ("order_placed", "paid"),
        ("order_paid", "paid"),
        ("order_delivered", "delivered"),
    ]


def test_the_receivers_have_a_session_of_their_own(shop: Shop, customer: int) -> None:
    """What one of them writes or leaves open is not in the shop's, and nothing there expires."""
    shop.cart(customer, {shop.product("10.00"): 1})
    customers = shop.models.Customer
    assert customers is not None
    seen = []

    def receive(_app: Flask, order: Any) -> None:
        seen.append(shop.db.session())
        shop.db.session.add(customers(email="receiver@example.com"))
        shop.db.session.commit()
        shop.db.session.add(customers(email="left@example.com"))

    with shop.app.app_context(), flask_orders.signals.order_placed.connected_to(receive):
        session = shop.db.session()
        session.expire_on_commit = False
        order = flask_orders.current_orders.convert(customer, billing_address=HOME)
        session.commit()
        assert seen != [session]
        assert shop.db.session() is session
        assert not session.in_transaction()
        assert not sa.inspect(order).expired
    assert "receiver@example.com" in (emails := [row["email"] for row in shop.rows("customers")])
    assert "left@example.com" not in emails


def test_a_connection_that_breaks_under_a_receiver(shop: Shop, customer: int) -> None:
    shop.cart(customer, {shop.product("10.00"): 1})
    received = []

    def receive(_app: Flask, order: Any) -> None:
        received.append(order.id)
        if len(received) == 1:
            driver: Any = shop.db.session.connection().connection.dbapi_connection
            driver.close()

    with flask_orders.signals.order_placed.connected_to(receive):
        assert shop.post(customer).status_code == 201
    assert received == [row["id"] for row in shop.rows("orders")]
