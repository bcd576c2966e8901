"""The demo's second half: orders are paid, cancelled, expired, refunded, listed and audited."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import current_app
from rich.console import Console

from flask_orders import current_orders

from ..payments import record_refund
from ..sandbox import Callback, backdate, signed
from ..signatures import HEADER
from .client import API, CALLBACK, ORDERS, Customer, expect, send_callback
from .printing import print_exchange, print_list, print_request, print_response


def pay_later(customer: Customer, console: Console, path: str) -> None:
    """Pay a saved order: the callback is sent twice, the payment recorded once."""
    console.rule("[bold]Pay the saved order")
    response = customer.call(303, "POST", f"{path}checkout/")
    print_exchange(console, "POST", f"{path}checkout/", None, response)
    callback = payment_of(customer.get(path))
    for _ in range(2):
        report_payment(customer.url, console, callback)
    payments = show_payments(customer, console, path, response.headers["Location"], "paid")
    expect([payment["to_refund"] for payment in payments], [False], "list of refunds")


def cancel(customer: Customer, console: Console) -> None:
    """Check out, then cancel: the units that were deducted are restocked."""
    console.rule("[bold]Cancel an order")
    before = stock(customer, console, "POT-IRON")
    path = check_out(customer, console, {"POT-IRON": 2})["order"]
    expect(stock(customer, console, "POT-IRON"), before - 2, "stock")
    print_request(console, "POST", f"{path}cancel/")
    response = customer.call(200, "POST", f"{path}cancel/")
    print_response(console, response)
    show_status(console, response.json(), "cancelled")
    expect(stock(customer, console, "POT-IRON"), before, "stock")


def pay_late(customer: Customer, console: Console) -> str:
    """Pay an order that has expired: the payment is recorded, and a refund is due.

    Returns the order's path.
    """
    console.rule("[bold]Pay too late")
    links = check_out(customer, console, {"BOOK": 1})
    path, payment = links["order"], links["payment"]
    order = customer.get(path)
    backdate(UUID(order["id"]))
    console.print("\nSeveral days later ...")
    expect(run(console, "orders", "expire"), 0, "exit code")
    show_status(console, customer.get(path), "cancelled")
    report_payment(customer.url, console, payment_of(order))
    payments = show_payments(customer, console, path, payment, "cancelled")
    expect([payment["to_refund"] for payment in payments], [True], "list of refunds")
    return path


def refund(customer: Customer, console: Console, path: str) -> None:
    """Refund the late payment, once, and look the order up by the number that a customer says."""
    console.rule("[bold]Refund, and answer the customer")
    order = customer.get(path)
    key = UUID(order["id"])
    expect(run(console, "orders", "refunds"), 1, "exit code")
    for due in [due for due in current_orders.refunds_due() if due.order_id == key]:
        for _ in range(2):
            record_refund(key, f"refund-of-{due.payment}", due.amount, due.payment)
    left = [due for due in current_orders.refunds_due() if due.order_id == key]
    expect(left, [], "list of refunds")
    said = order["number"].replace("-", "").lower()
    expect(run(console, "orders", "show", said), 0, "exit code")


def list_orders(customer: Customer, console: Console) -> None:
    """List all of the customer's orders, then the paid ones."""
    console.rule("[bold]The customer's orders")
    for path, count in ((ORDERS, 4), (f"{ORDERS}?status=paid", 1)):
        print_request(console, "GET", path)
        page = customer.get(path)
        print_list(console, page["results"])
        expect(page["count"], count, "number of orders")


def audit(console: Console) -> None:
    """Recompute every order of the shop; the command ends the demo if it finds a problem."""
    console.rule("[bold]Audit")
    expect(run(console, "orders", "audit"), 0, "exit code")


def check_out(customer: Customer, console: Console, items: Mapping[str, int]) -> dict[str, str]:
    """Order with the saved address; return the paths of the order and of its payment."""
    customer.fill_cart(items)
    body = {"action": "checkout"}
    response = customer.call(303, "POST", ORDERS, body)
    print_exchange(console, "POST", ORDERS, body, response)
    links: dict[str, str] = response.json()
    return links


def payment_of(order: Mapping[str, Any]) -> Callback:
    """Return the callback that the payment provider sends once it has the money."""
    secret = current_app.config["PAYMENT_SECRET"]
    return signed(secret, order["id"], order["total_amount"], order["currency"])


def report_payment(url: str, console: Console, callback: Callback) -> None:
    """Send the callback, as the payment provider does."""
    print_request(console, "POST", CALLBACK, callback.body.decode())
    console.print(f"{HEADER}: {callback.headers[HEADER]}", no_wrap=True, overflow="ellipsis")
    print_response(console, send_callback(url, callback))


def show_payments(
    customer: Customer, console: Console, path: str, payment: str, status: str
) -> list[dict[str, Any]]:
    """Show the payment page and the order's status; return the recorded payments."""
    response = customer.call(200, "GET", payment)
    print_exchange(console, "GET", payment, None, response)
    show_status(console, customer.get(path), status)
    payments: list[dict[str, Any]] = response.json()["payments"]
    return payments


def show_status(console: Console, order: Mapping[str, Any], status: str) -> None:
    """Print the order's status, which has to be this one."""
    console.print(f"[bold]Order {order['number']}[/], {order['status']}")
    expect(order["status"], status, "status")


def stock(customer: Customer, console: Console, sku: str) -> int:
    """Return a product's stock."""
    products = customer.get(f"{API}/products/")["products"]
    left = next(product["stock"] for product in products if product["sku"] == sku)
    console.print(f"\n[bold]{sku}:[/] {left} in stock")
    return int(left)


def run(console: Console, *command: str) -> int:
    """Run a command of the shop, as cron or support would; return its exit code."""
    console.print(f"\n[bold cyan]flask {' '.join(command)}")
    try:
        current_app.cli.main(command, prog_name="flask", standalone_mode=False)
    except SystemExit as end:
        return int(end.code or 0)
    return 0
