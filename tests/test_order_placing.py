"""`order_placing`: the shop's own code inside the order's transaction, which may refuse it."""

import gc
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.engine import URL

from flask_orders import ConfigurationError, Conflict, OrdersError, current_orders
from flask_orders.signals import order_placed, order_placing
from flask_orders.testing import Ledger, run_concurrently

from .support import servers
from .support.database import counted, nothing_changed
from .support.mugs import basket, make_mug_shop
from .support.openapi import OPENAPI, check_valid, resolved
from .support.requests import HOME, ORDERS, PREVIEW, SAVE
from .support.responses import body, outcomes, refused
from .support.shops import Shop

Receiver = Callable[..., None]


class FraudSuspected(OrdersError):
    """A refusal of the shop's own."""

    code, status, title = "fraud_suspected", 403, "The order needs a call"


def test_an_error_of_the_shop_s_own_is_checked_when_it_is_defined() -> None:
    with pytest.raises(TypeError, match=r"Nameless needs status, title: write code, status, title"):

        class Nameless(OrdersError):
            code = "nameless"

    # Until it is collected, it is a subclass, which openapi.json would list.
    gc.collect()

    class StillSuspected(FraudSuspected):
        """It has what its base has."""

    assert StillSuspected("x").problem()["code"] == "fraud_suspected"


class Suspended(FraudSuspected):
    """A refusal below another one of the shop's own."""

    code, title = "suspended", "The account is suspended"


class SuspendedToo(FraudSuspected):
    """The same refusal, from another module of the shop's."""

    code, title = Suspended.code, Suspended.title


def test_openapi_lists_the_errors_of_the_shop_s_own(mugs: Shop) -> None:
    """Each code once, however far the classes are derived, since generated clients refuse two."""
    document = body(mugs.app.test_client().get(OPENAPI))
    check_valid(document)
    codes = document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert codes.count("fraud_suspected") == codes.count("suspended") == 1
    refusal = resolved(document, document["paths"][ORDERS]["post"]["responses"]["403"])
    problem = refusal["content"]["application/problem+json"]
    listed = problem["schema"]["allOf"][1]["properties"]["code"]["enum"]
    assert listed.count("fraud_suspected") == listed.count("suspended") == 1
    assert refusal["description"].count("- `suspended`: The account is suspended.") == 1


@pytest.fixture(scope="module")
def module_shop(server_url: URL) -> Iterator[Shop]:
    with servers.fresh_database(server_url) as url:
        shop = make_mug_shop(url)
        shop.app.register_error_handler(500, lambda _error: ({"ours": True}, 500))
        yield shop
        shop.close()


@pytest.fixture
def mugs(module_shop: Shop) -> Shop:
    """The shop, with nothing in it."""
    module_shop.clear()
    return module_shop


@contextmanager
def receiving(*receivers: Receiver) -> Iterator[None]:
    for receiver in receivers:
        order_placing.connect(receiver)
    try:
        yield
    finally:
        for receiver in receivers:
            order_placing.disconnect(receiver)


def customers(shop: Shop) -> type[Any]:
    assert shop.models.Customer is not None
    return shop.models.Customer


def full_basket(shop: Shop, **values: Any) -> int:
    """A customer with two items in the cart: 3 and 1 of two mugs, 40.00."""
    items: list[dict[str, Any]] = [
        {"product_id": shop.product("10.00", stock=5), "quantity": 3, "engraving": "ANN"},
        {"product_id": shop.product("10.00", stock=5)},
    ]
    return basket(shop, *items, total_items=4, **values)


def write_everywhere(_app: Flask, order: Any, cart: Any, items: list[tuple[Any, Any]]) -> None:
    """Counters, loyalty points, options: what shops do in the middle of an order."""
    cart.total_items = 0
    cart.customer.points += int(order.total_amount)
    order.gift_note = f"{len(items)} mugs"
    for order_item, cart_item in items:
        order_item.engraving = cart_item.engraving
        cart_item.product.sold += order_item.quantity


def test_what_a_receiver_writes_is_part_of_the_order(mugs: Shop) -> None:
    """Versioned rows too, whether the order itself changes them (stock, voucher) or not."""
    mugs.voucher("TEN", "10%")
    customer = full_basket(mugs, voucher="TEN")
    with receiving(write_everywhere):
        order = mugs.order(customer)

    assert order["total_amount"] == "36.00"
    (written,) = mugs.rows("orders")
    assert (written["gift_note"], mugs.rows("customers")[0]["points"]) == ("2 mugs", 36)
    items = sorted(mugs.rows("order_items"), key=lambda item: int(item["position"]))
    assert [item["engraving"] for item in items] == ["ANN", None]
    (cart,) = mugs.rows("baskets")
    assert (cart["total_items"], cart["voucher"], cart["version"]) == (0, None, 2)
    found = [(mug["sold"], mug["stock"], mug["version"]) for mug in mugs.rows("mugs")]
    assert found == [(3, 2, 3), (1, 4, 3)]
    assert mugs.rows("basket_items") == []


def test_a_receiver_gets_the_order_as_it_is_written(mugs: Shop) -> None:
    """Within the transaction: the cart is still full, the stock is deducted already."""
    customer, seen = full_basket(mugs), list[Any]()

    def receive(app: Flask, order: Any, cart: Any, items: list[tuple[Any, Any]]) -> None:
        assert app is mugs.app
        assert (order.status, order.customer_id) == ("awaiting_payment", customer)
        assert [item.id for item in cart.items] == [cart_item.id for _, cart_item in items]
        assert [item.product_id for item in order.items] == [
            cart_item.product_id for _, cart_item in items
        ]
        seen.extend((item.quantity, row.quantity, row.product.stock) for item, row in items)

    with receiving(receive):
        assert mugs.post(customer).status_code == 201
    assert seen == [(3, 3, 2), (1, 1, 4)]


@pytest.mark.parametrize(
    "statements", [lambda shop: sa.delete(shop.models.Offer), lambda shop: sa.text("SELECT 1")]
)
def test_a_receiver_may_send_statements_of_its_own(mugs: Shop, statements: Any) -> None:
    """Core and text, with a savepoint around it."""
    mugs.offer("5%")
    customer = full_basket(mugs)

    def receive(_app: Flask, **_given: Any) -> None:
        with mugs.db.session.begin_nested():
            mugs.db.session.execute(statements(mugs))

    with receiving(receive):
        assert mugs.post(customer).status_code == 201


def refuse(_app: Flask, order: Any, cart: Any, **_items: Any) -> None:
    raise FraudSuspected("Please call us.", limit="30.00")


def fail(_app: Flask, **_given: Any) -> None:
    raise ZeroDivisionError


def test_a_receiver_refuses_the_order_with_an_error_of_the_shop_s_own(mugs: Shop) -> None:
    """What other receivers have written before is undone too; the key may be used again."""
    customer = full_basket(mugs)
    with receiving(write_everywhere, refuse), nothing_changed(mugs):
        problem = refused(mugs.post(customer, key="k"), 403, "fraud_suspected")
        told = (problem["title"], problem["detail"], problem["limit"])
        assert told == ("The order needs a call", "Please call us.", "30.00")
    assert mugs.post(customer, key="k").status_code == 201


def test_any_other_error_is_the_shop_s_own(mugs: Shop) -> None:
    customer = full_basket(mugs)
    with receiving(write_everywhere, fail), nothing_changed(mugs):
        answer = mugs.post(customer)
        assert (answer.status_code, body(answer)) == (500, {"ours": True})


def test_receivers_inside_the_shop_s_own_transaction(mugs: Shop) -> None:
    """A refusal leaves what is pending there, and nothing of the receivers'."""
    customer = full_basket(mugs)
    with mugs.app.app_context(), receiving(write_everywhere):
        mugs.db.session.add(customers(mugs)(email="pending@example.com"))
        with receiving(refuse), pytest.raises(FraudSuspected):
            current_orders.convert(customer, billing_address=HOME)
        order: Any = current_orders.convert(customer, billing_address=HOME)
        mugs.db.session.commit()
        assert order.gift_note == "2 mugs"
    assert [row["points"] for row in mugs.rows("customers")] == [40, 0]
    assert [row["sold"] for row in mugs.rows("mugs")] == [3, 1]


def test_a_refused_order_leaves_the_shop_s_own_transaction_as_it_was(mugs: Shop) -> None:
    customer = full_basket(mugs)
    with mugs.app.app_context(), receiving(write_everywhere, refuse), nothing_changed(mugs):
        with pytest.raises(FraudSuspected):
            current_orders.convert(customer, billing_address=HOME)
        mugs.db.session.commit()


def test_a_preview_calls_no_receiver(mugs: Shop) -> None:
    customer = full_basket(mugs)
    with receiving(fail), nothing_changed(mugs):
        assert body(mugs.get(customer, PREVIEW))["total_amount"] == "40.00"


def test_a_refused_order_calls_no_receiver(mugs: Shop) -> None:
    customer = full_basket(mugs)
    with receiving(fail), nothing_changed(mugs):
        refused(mugs.post(customer, {**SAVE, "expected_total": "39.99"}), 409, "price_changed")


def test_a_receiver_of_another_app_is_not_called(mugs: Shop) -> None:
    customer = full_basket(mugs)
    with order_placing.connected_to(fail, sender=Flask("another")):
        assert mugs.post(customer).status_code == 201


WRITE = r"INSERT INTO|DELETE FROM|UPDATE \w+ SET"


def test_without_receivers_nothing_more_is_sent(mugs: Shop) -> None:
    customers = [full_basket(mugs) for _ in range(2)]
    counts = []
    for customer, receivers in zip(customers, [(), (lambda _app, **_given: None,)], strict=True):
        with counted(mugs.engine) as statements, receiving(*receivers):
            assert mugs.post(customer).status_code == 201
        # On PostgreSQL the writes differ too.
        counts.append(sum(re.search(WRITE, sent) is None for sent in statements))
    # The products, the order, its items, and whether the cart is still there.
    assert counts[1] == counts[0] + 4


def deleting_an_item(shop: Shop, items: list[tuple[Any, Any]], **_given: Any) -> None:
    shop.db.session.delete(items[0][1])


def deleting_an_item_by_statement(shop: Shop, items: list[tuple[Any, Any]], **_given: Any) -> None:
    item = shop.models.CartItem
    shop.db.session.execute(sa.delete(item).where(item.id == items[1][1].id))


def deleting_the_cart(shop: Shop, cart: Any, items: list[tuple[Any, Any]], **_given: Any) -> None:
    for _, cart_item in items:
        shop.db.session.delete(cart_item)
    shop.db.session.delete(cart)


def discounting(_shop: Shop, order: Any, **_given: Any) -> None:
    order.total_amount -= 5


def discounting_an_item(_shop: Shop, items: list[tuple[Any, Any]], **_given: Any) -> None:
    items[1][0].unit_price = 1


def paying(_shop: Shop, order: Any, **_given: Any) -> None:
    order.status = "paid"


def leaving_an_item_out(_shop: Shop, order: Any, **_given: Any) -> None:
    order.items.pop()


def committing(shop: Shop, **_given: Any) -> None:
    shop.db.session.commit()


def committing_from_a_savepoint(shop: Shop, **_given: Any) -> None:
    shop.db.session.begin_nested()
    shop.db.session.commit()


def rolling_back(shop: Shop, **_given: Any) -> None:
    shop.db.session.rollback()


def removing_the_session(shop: Shop, **_given: Any) -> None:
    shop.db.session.remove()


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (deleting_an_item, "has deleted the cart or an item"),
        (deleting_an_item_by_statement, "has deleted the cart or an item"),
        (deleting_the_cart, "has deleted the cart or an item"),
        (discounting, r"has changed Order.total_amount: .* pricing="),
        (discounting_an_item, r"has changed OrderItem.unit_price: "),
        (paying, r"has changed Order.status: "),
        (leaving_an_item_out, r"has changed Order.items: "),
        (committing, "has committed or rolled back"),
        (committing_from_a_savepoint, "has committed or rolled back"),
        (rolling_back, "has committed or rolled back"),
        (removing_the_session, "has committed or rolled back"),
    ],
)
def test_a_receiver_that_takes_the_order_apart_is_a_misconfiguration(
    mugs: Shop, mistake: Receiver, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    """At once: running it again would not help. Nothing is ordered, nothing is lost."""
    customer, calls = full_basket(mugs), list[Any]()

    def receive(_app: Flask, **given: Any) -> None:
        calls.append(given)
        mistake(mugs, **given)

    with receiving(write_everywhere, receive), nothing_changed(mugs):
        refused(mugs.post(customer), 500, "misconfigured")
    assert len(calls) == 1
    assert re.search(sentence, caplog.text)
    assert mugs.post(customer).status_code == 201


def test_what_receivers_leave_pending_is_written_before_the_cart_is_emptied(mugs: Shop) -> None:
    """In a session that does not flush by itself too."""
    customer = full_basket(mugs)

    def receive(_app: Flask, **given: Any) -> None:
        deleting_an_item(mugs, **given)

    with mugs.app.app_context(), mugs.db.session.no_autoflush:
        with receiving(write_everywhere, receive), nothing_changed(mugs):
            with pytest.raises(ConfigurationError, match="has deleted the cart or an item"):
                current_orders.convert(customer, billing_address=HOME)
            mugs.db.session.rollback()
        with receiving(write_everywhere):
            current_orders.convert(customer, billing_address=HOME)
            mugs.db.session.commit()
    assert mugs.rows("baskets")[0]["total_items"] == 0


def test_a_cart_deleted_by_a_statement_is_noticed_too(mugs: Shop) -> None:
    """In a shop without foreign keys; here its items are moved to another cart first."""
    customer = full_basket(mugs)
    other = mugs.add(mugs.models.Cart(customer_id=mugs.customer()))

    def receive(_app: Flask, cart: Any, items: list[tuple[Any, Any]], **_given: Any) -> None:
        item, carts = mugs.models.CartItem, mugs.models.Cart
        moving = sa.update(item).values(cart_id=other)
        mugs.db.session.execute(moving, execution_options={"synchronize_session": False})
        mugs.db.session.execute(sa.delete(carts).where(carts.id == cart.id))

    with receiving(receive), nothing_changed(mugs):
        refused(mugs.post(customer), 500, "misconfigured")


def test_a_conflict_in_a_receiver_goes_round_again(mugs: Shop) -> None:
    """The receivers run again with the order; what they wrote the first time is undone."""
    customer, calls = full_basket(mugs), list[Any]()

    def conflict_at_first(_app: Flask, order: Any, **_given: Any) -> None:
        calls.append(order)  # The first attempt's object is still there in the second.
        if len(calls) == 1:
            raise Conflict

    with receiving(write_everywhere, conflict_at_first):
        assert mugs.post(customer).status_code == 201
    assert len(calls) == 2
    assert mugs.rows("customers")[0]["points"] == 40
    assert [mug["sold"] for mug in mugs.rows("mugs")] == [3, 1]
    assert len(mugs.rows("orders")) == 1


def test_deadlocks_of_receivers_are_retried(mugs: Shop) -> None:
    """Each locks the other's customer: both orders are made, and every point is there."""
    buyers, customer_class = [full_basket(mugs), full_basket(mugs)], customers(mugs)

    def cross(_app: Flask, order: Any, **_given: Any) -> None:
        ordered = sorted(buyers, key=lambda key: key != order.customer_id)
        for key in ordered:
            row = mugs.db.session.get_one(
                customer_class, key, with_for_update=True, populate_existing=True
            )
            row.points += 1
            mugs.db.session.flush()

    ledger = Ledger(mugs.app)
    with receiving(cross):
        answers = run_concurrently(*[lambda c=c: mugs.post(c) for c in buyers])
    assert outcomes(answers) == {201: 2}
    assert ledger.problems() == []
    assert [row["points"] for row in mugs.rows("customers")] == [2, 2]


def test_simultaneous_clicks_count_once(mugs: Shop) -> None:
    """What receivers write belongs to the one order that is made."""
    customer = full_basket(mugs)
    ledger = Ledger(mugs.app)
    with receiving(write_everywhere):
        answers = run_concurrently(*[lambda: mugs.post(customer)] * 4)
    assert set(outcomes(answers)) <= {201, "empty_cart"}
    assert ledger.problems() == []
    assert len(mugs.rows("orders")) == 1
    assert mugs.rows("customers")[0]["points"] == 40
    assert [mug["sold"] for mug in mugs.rows("mugs")] == [3, 1]


def test_order_placed_follows_the_commit(mugs: Shop) -> None:
    customer, received = full_basket(mugs), list[str]()

    def placing(_app: Flask, **_given: Any) -> None:
        received.append("placing")

    def placed(_app: Flask, order: Any) -> None:
        received.append(f"placed, {order.total_amount:.2f}")

    with receiving(placing), order_placed.connected_to(placed):
        assert mugs.post(customer).status_code == 201
    assert received == ["placing", "placed, 40.00"]
