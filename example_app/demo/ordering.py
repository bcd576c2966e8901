"""The demo's first half: carts are converted to orders."""

from rich.console import Console

from .client import ADDRESS, API, ORDERS, Customer, expect
from .printing import print_amounts, print_cart, print_exchange, print_order, print_request

PREVIEW = f"{ORDERS}preview/"

SAVED = {"success": "Your Order has been saved"}


def checkout(customer: Customer, console: Console) -> None:
    """Check out with a billing address: the request of the documentation."""
    customer.fill_cart({"TEA-ASSAM": 3, "KETTLE-GOOSE": 1, "FILTERS": 2}, "WELCOME10")
    console.rule("[bold]Check out")
    print_cart(console, customer.get(f"{API}/cart/"))
    body = {"action": "checkout", "billing_address": ADDRESS}
    response = customer.call(303, "POST", ORDERS, body)
    print_exchange(console, "POST", ORDERS, body, response)
    links = response.json()
    expect(links["payment"], response.headers["Location"], "Location")
    payment = customer.call(200, "GET", response.headers["Location"])
    print_exchange(console, "GET", response.headers["Location"], None, payment)
    show_order(customer, console, links["order"])


def save_order(customer: Customer, console: Console) -> str:
    """Save an order to pay later, at the previewed total; return its path.

    The customer has a saved address by now, and the offer for first orders no longer applies.
    """
    customer.fill_cart({"CUP-BLUE": 4, "POT-GLASS": 1, "TASTING": 1, "FILTERS": 1}, "TENOFF")
    console.rule("[bold]Save the order for later")
    print_cart(console, customer.get(f"{API}/cart/"))
    print_request(console, "GET", PREVIEW)
    preview = customer.get(PREVIEW)
    print_amounts(console, preview)
    body = {"action": "save_order", "expected_total": preview["total_amount"]}
    response = customer.call(201, "POST", ORDERS, body)
    print_exchange(console, "POST", ORDERS, body, response)
    expect(response.json(), SAVED, "body")
    show_order(customer, console, response.headers["Location"])
    return response.headers["Location"]


def order_empty_cart(customer: Customer, console: Console) -> None:
    """Order with an empty cart, which is refused."""
    console.rule("[bold]Order an empty cart")
    body = {"action": "checkout"}
    response = customer.call(400, "POST", ORDERS, body)
    print_exchange(console, "POST", ORDERS, body, response)
    expect(response.json()["code"], "empty_cart", "code")


def show_order(customer: Customer, console: Console, path: str) -> None:
    """Show the order, and the cart, which has to be empty."""
    print_order(console, customer.get(path))
    cart = customer.get(f"{API}/cart/")
    print_cart(console, cart)
    expect(cart, {"items": [], "voucher": None}, "cart")
