"""The demo's second half: what becomes of the orders.

Called by `demo_command`.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import current_app
from rich.console import Console

from ..sandbox import Callback, make_old, signed
from ..signatures import HEADER
from .client import API, CALLBACK, ORDERS, Customer, expect, send_callback
from .printing import print_answer, print_exchange, print_list, print_request


def pay_later(customer: Customer, console: Console, path: str) -> None:
    """Pay a saved order; the provider tells the shop twice, and it is paid once."""
    console.rule("[bold]Pay the saved order")
    answer = customer.call(303, "POST", f"{path}checkout/")
    print_exchange(console, "POST", f"{path}checkout/", None, answer)
    callback = payment_of(customer.get(path))
    for _ in range(2):
        tell_the_shop(customer.url, console, callback)
    payments = show_payments(customer, console, path, answer.headers["Location"], "paid")
    expect([payment["to_refund"] for payment in payments], [False], "list of refunds")


def cancel(customer: Customer, console: Console) -> None:
    """Check out, and think better of it: what was taken from the stock is there again."""
    console.rule("[bold]Cancel an order")
    before = stock(customer, console, "POT-IRON")
    path = check_out(customer, console, {"POT-IRON": 2})["order"]
    expect(stock(customer, console, "POT-IRON"), before - 2, "stock")
    print_request(console, "POST", f"{path}cancel/")
    answer = customer.call(200, "POST", f"{path}cancel/")
    print_answer(console, answer)
    show_status(console, answer.json(), "cancelled")
    expect(stock(customer, console, "POT-IRON"), before, "stock")


def pay_late(customer: Customer, console: Console) -> None:
    """Pay when the order has expired: the money is kept in mind, and is to be sent back."""
    console.rule("[bold]Pay too late")
    links = check_out(customer, console, {"BOOK": 1})
    path, payment = links["order"], links["payment"]
    order = customer.get(path)
    make_old(UUID(order["id"]))
    console.print("\nDays go by.")
    run(console, "orders", "expire")
    show_status(console, customer.get(path), "cancelled")
    tell_the_shop(customer.url, console, payment_of(order))
    payments = show_payments(customer, console, path, payment, "cancelled")
    expect([payment["to_refund"] for payment in payments], [True], "list of refunds")


def list_orders(customer: Customer, console: Console) -> None:
    """All of her orders, and those that are paid."""
    console.rule("[bold]Her orders")
    for path, count in ((ORDERS, 4), (f"{ORDERS}?status=paid", 1)):
        print_request(console, "GET", path)
        page = customer.get(path)
        print_list(console, page["results"])
        expect(page["count"], count, "number of orders")


def audit(console: Console) -> None:
    """Recompute every order of the shop; the command ends the demo if anything is off."""
    console.rule("[bold]Audit")
    run(console, "orders", "audit")


def check_out(customer: Customer, console: Console, items: Mapping[str, int]) -> dict[str, str]:
    """Order by her saved address; the paths of the order and of its payment."""
    customer.fill_cart(items)
    body = {"action": "checkout"}
    answer = customer.call(303, "POST", ORDERS, body)
    print_exchange(console, "POST", ORDERS, body, answer)
    links: dict[str, str] = answer.json()
    return links


def payment_of(order: Mapping[str, Any]) -> Callback:
    """What the payment provider is going to tell the shop once it has the money."""
    secret = current_app.config["PAYMENT_SECRET"]
    return signed(secret, order["id"], order["total_amount"], order["currency"])


def tell_the_shop(url: str, console: Console, callback: Callback) -> None:
    """The payment provider's part."""
    print_request(console, "POST", CALLBACK, callback.body.decode())
    console.print(f"{HEADER}: {callback.headers[HEADER]}", no_wrap=True, overflow="ellipsis")
    print_answer(console, send_callback(url, callback))


def show_payments(
    customer: Customer, console: Console, path: str, payment: str, status: str
) -> list[dict[str, Any]]:
    """What the page of the payment says now; the payments that have arrived."""
    answer = customer.call(200, "GET", payment)
    print_exchange(console, "GET", payment, None, answer)
    show_status(console, customer.get(path), status)
    payments: list[dict[str, Any]] = answer.json()["payments"]
    return payments


def show_status(console: Console, order: Mapping[str, Any], status: str) -> None:
    """Which has to be that one."""
    console.print(f"[bold]Order {order['number']}[/], {order['status']}")
    expect(order["status"], status, "status")


def stock(customer: Customer, console: Console, sku: str) -> int:
    """How many there are of a product."""
    products = customer.get(f"{API}/products/")["products"]
    left = next(product["stock"] for product in products if product["sku"] == sku)
    console.print(f"\n[bold]{sku}:[/] {left} in stock")
    return int(left)


def run(console: Console, *command: str) -> None:
    """Run one of the shop's commands, as cron would."""
    console.print(f"\n[bold cyan]flask {' '.join(command)}")
    current_app.cli.main(command, prog_name="flask", standalone_mode=False)
