"""Print requests, responses, carts and orders, for a terminal of 80 columns."""

import json
from collections.abc import Mapping
from typing import Any

import requests
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

INDENT = (0, 0, 0, 2)

HEADINGS = ("List\nprice", "Unit\nprice", "Qty", "Saved", "Total", "Ship-\nping", "Voucher")

AMOUNTS = {
    "subtotal": "Subtotal",
    "shipping": "Shipping",
    "discount_amount": "Voucher discount",
    "total_amount": "Total",
    "savings_on_items": "Saved by offers",
    "amount_saved": "Saved in total",
}


def print_exchange(
    console: Console, method: str, path: str, body: Any, response: requests.Response
) -> None:
    """Print a request and its response."""
    print_request(console, method, path, None if body is None else json.dumps(body))
    print_response(console, response)
    console.print_json(response.text)


def print_request(console: Console, method: str, path: str, body: str | None = None) -> None:
    """Print a request; its body is JSON."""
    console.print(f"\n[bold cyan]{method} {escape(path)}")
    if body is not None:
        console.print_json(body)


def print_response(console: Console, response: requests.Response) -> None:
    """Print a response's status and Location."""
    console.print(f"[bold yellow]{response.status_code} {response.reason}")
    if "Location" in response.headers:
        console.print(f"Location: {escape(response.headers['Location'])}")


def print_cart(console: Console, cart: Mapping[str, Any]) -> None:
    """Print the cart's items and voucher."""
    console.print("\n[bold]Cart" if cart["items"] else "\n[bold]Cart:[/] empty")
    for item in cart["items"]:
        console.print(f"  {item['quantity']} x {escape(item['product']['name'])}")
    if cart["voucher"] is not None:
        console.print(f"  voucher {escape(cart['voucher']['code'])}")


def print_order(console: Console, order: Mapping[str, Any]) -> None:
    """Print the order: its items with their offers, then every amount."""
    address = order["billing_address"]
    console.print(f"\n[bold]Order {order['number']}[/], {order['status']}")
    console.print(
        escape(
            f"Bill to: {address['street_address']}, {address['postal_code']} {address['city']}, "
            f"{address['state']}, {address['country']}"
        )
    )
    console.print(_items(order["items"]))
    print_amounts(console, order)


def print_amounts(console: Console, order: Mapping[str, Any]) -> None:
    """Print every amount of an order or of a preview."""
    console.print(Padding(_amounts(order), INDENT))


def print_list(console: Console, orders: list[Mapping[str, Any]]) -> None:
    """Print a table of orders."""
    table = Table("Order", "Status", box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("Total", justify="right")
    for order in orders:
        table.add_row(
            order["number"], order["status"], f"{order['total_amount']} {order['currency']}"
        )
    console.print(table)


def _items(items: list[Mapping[str, Any]]) -> Table:
    table = Table("Item", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for item in items:
        offer = "" if item["offer"] is None else f"\n  {item['offer']['title']}"
        table.add_row(
            escape(item["product"]["name"] + offer),
            item["list_price"],
            item["unit_price"],
            str(item["quantity"]),
            item["discount_amount"],
            item["total_price"],
            item["shipping"],
            item["voucher_discount"],
        )
    return table


def _amounts(order: Mapping[str, Any]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column(justify="right")
    for name, label in AMOUNTS.items():
        voucher = f" ({order['voucher']['code']})" if name == "discount_amount" else ""
        style = "bold" if name in ("total_amount", "amount_saved") else None
        grid.add_row(escape(label + voucher), f"{order[name]} {order['currency']}", style=style)
    return grid
