"""The commands for support: an order is found by the number that a customer reads out."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

from flask_orders.errors import OrderNotFound
from flask_orders.keys import as_number, new_number
from flask_orders.testing import Ledger

from .support.database import nothing_changed
from .support.orders import age
from .support.shops import Shop, make_shop


def run(shop: Shop, *arguments: str) -> tuple[int, str]:
    result = shop.app.test_cli_runner().invoke(args=["orders", *arguments])
    return result.exit_code, result.output


@pytest.fixture
def order(shop: Shop) -> dict[str, Any]:
    """An order of 19.00, which is paid, with a voucher."""
    customer = shop.customer()
    lamp = shop.product("10.00", stock=5, name="Lamp [bold]")
    shop.cart(customer, {lamp: 2}, shop.voucher("ONE", "1.00"))
    made = {**shop.order(customer), "customer": customer}
    with shop.service() as orders:
        orders.record_payment(made["id"], "pay-1", Decimal("19.00"))
    return made


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("7K3QM-0ZT4B", "7K3QM-0ZT4B"),
        ("7k3qm0zt4b", "7K3QM-0ZT4B"),
        (" 7k3 qm-0zt 4b ", "7K3QM-0ZT4B"),
        ("OI23L-4567O", "01231-45670"),
    ],
)
def test_a_number_as_a_person_says_it(said: str, number: str) -> None:
    assert as_number(said) == number


@pytest.mark.parametrize("said", ["", "7K3QM", "7K3QM-0ZT4BX", "7K3QM-0ZT4U", "7K3QM-0ZT4\u00e9"])
def test_what_is_no_number(said: str) -> None:
    with pytest.raises(OrderNotFound):
        as_number(said)


def test_every_number_is_read_as_itself() -> None:
    for _ in range(100):
        number = new_number()
        assert as_number(number) == as_number(number.lower().replace("-", "")) == number


def test_an_order_is_shown(shop: Shop, order: dict[str, Any]) -> None:
    with shop.service() as orders:
        orders.record_payment(order["id"], "pay-2", Decimal("3.00"))
        orders.record_refund(order["id"], "re-1", Decimal("3.00"), note="twice")
    with nothing_changed(shop):
        code, output = run(shop, "show", order["number"].lower().replace("-", ""))
    assert code == 0
    for text in (order["number"], "Lamp [bold]", "pay-1", "pay-2", "re-1", "twice", "Anytown"):
        assert text in output
    assert [line for line in output.splitlines() if line.endswith(":")] == [
        f"Order {order['number']}:",
        "Items:",
        "Payments:",
        "Refunds:",
        "Events:",
    ]


def test_as_json_it_has_what_the_api_returns_and_more(shop: Shop, order: dict[str, Any]) -> None:
    code, output = run(shop, "show", order["number"], "--json")
    shown = json.loads(output)
    assert code == 0
    api = shop.get(order["customer"], order["url"]).json
    assert api is not None
    assert {name: shown[name] for name in api if name != "url"} == {
        name: value for name, value in api.items() if name != "url"
    }
    (payment,) = shown["payments"]
    assert (payment["reference"], payment["amount"], payment["expected"]) == (
        "pay-1",
        "19.00",
        True,
    )
    (event,) = shown["events"]
    assert (event["from"], event["to"], event["actor"]) == ("awaiting_payment", "paid", "payment")
    assert shown["outbox"] == []


def test_money_in_a_currency_that_iso_4217_does_not_know(shop: Shop, order: dict[str, Any]) -> None:
    with shop.service() as orders:
        orders.record_payment(order["id"], "pay-2", Decimal("0.0030"), currency="XBT")
    _, output = run(shop, "show", order["number"], "--json")
    [_, payment] = json.loads(output)["payments"]
    assert (payment["amount"], payment["currency"]) == ("0.003", "XBT")
    code, output = run(shop, "refunds", "--json")
    assert code == 1
    assert [(due["amount"], due["currency"]) for due in json.loads(output)] == [("0.003", "XBT")]


def test_events_that_are_not_delivered_are_shown(database: URL) -> None:
    shop = make_shop(database, ORDERS_OUTBOX=True)
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    number = shop.order(customer)["number"]
    _, output = run(shop, "show", number, "--json")
    assert [event["type"] for event in json.loads(output)["outbox"]] == [
        "flask-orders.order-placed"
    ]
    assert "flask-orders.order-placed" in run(shop, "show", number)[1]
    with shop.session() as session:
        session.execute(sa.update(shop.models.OutboxEvent).values(due=None))
    _, output = run(shop, "show", number, "--json")
    [event] = json.loads(output)["outbox"]
    assert (event["due"], event["set_aside"]) == (None, True)
    shop.close()


@pytest.mark.parametrize("command", ["show", "cancel", "deliver"])
@pytest.mark.parametrize("number", ["00000-00000", "what?"])
def test_an_unknown_number(shop: Shop, command: str, number: str) -> None:
    code, output = run(shop, command, number)
    assert (code, output) == (1, f"Error: there is no order {number}.\n")


def test_orders_are_listed(shop: Shop, order: dict[str, Any]) -> None:
    other = shop.customer()
    shop.cart(other, {shop.product("5.00"): 1})
    saved = shop.order(other)
    age(shop, 48, saved["id"])

    def numbers(*options: str) -> list[str]:
        code, output = run(shop, "list", "--json", *options)
        assert code == 0
        return [row["number"] for row in json.loads(output)]

    assert numbers() == [order["number"], saved["number"]]
    assert numbers("--limit", "1") == [order["number"]]
    assert numbers("--status", "awaiting_payment") == [saved["number"]]
    assert numbers("--customer", str(other)) == [saved["number"]]
    assert numbers("--customer", "nobody") == []
    day = order["created"][:10]
    assert numbers("--since", day) == [order["number"]]
    assert numbers("--until", day) == [saved["number"]]
    _, output = run(shop, "list", "--csv")
    rows = list(csv.DictReader(io.StringIO(output)))
    assert [(row["number"], row["total"], row["currency"]) for row in rows] == [
        (order["number"], "19.00", "USD"),
        (saved["number"], "5.00", "USD"),
    ]
    _, output = run(shop, "list")
    assert output.splitlines()[0] == "Orders:"
    assert output.splitlines()[-1] == "Orders: 2."
    assert run(shop, "list", "--status", "lost")[0] == 2


def test_an_order_is_cancelled_and_its_payment_due(shop: Shop, order: dict[str, Any]) -> None:
    code, output = run(shop, "cancel", order["number"].lower(), "--note", "broken")
    assert code == 0
    assert (
        output == f"The order {order['number']} is cancelled.\nRefund 19.00 USD: payment pay-1.\n"
    )
    (event,) = [row for row in shop.rows("order_events") if row["to_status"] == "cancelled"]
    assert (event["actor"], event["note"]) == ("shop", "broken")
    assert shop.rows("products")[0]["stock"] == 5
    assert Ledger(shop.app).problems() == []
    code, output = run(shop, "refunds")
    assert code == 1
    assert order["number"] in output
    assert json.loads(run(shop, "refunds", "--json")[1])[0]["amount"] == "19.00"


def test_an_order_is_delivered(shop: Shop, order: dict[str, Any]) -> None:
    code, output = run(shop, "deliver", order["number"], "--note", "parcel 42")
    assert (code, output) == (0, f"The order {order['number']} is delivered.\n")
    with nothing_changed(shop):
        code, output = run(shop, "cancel", order["number"])
    assert code == 1
    assert output.startswith("Error: ")
    assert order["number"] not in json.dumps([row["note"] for row in shop.rows("order_events")])


def test_in_a_terminal_it_is_a_table_of_rich() -> None:
    """And a product's name is no markup."""
    code = "from flask_orders.cli.tables import print_table as p; p('Items', [{'name': '[bold]x'}])"
    ours, its = pty.openpty()
    done = subprocess.run([sys.executable, "-c", code], stdout=its, check=True)
    os.close(its)
    printed = os.read(ours, 10_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "[bold]x" in printed
    assert "\u2502" in printed
