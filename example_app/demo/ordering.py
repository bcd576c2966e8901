"""The demo's first half: carts become orders.

Called by `demo_command`.
"""

from rich.console import Console

from .client import ADDRESS, API, ORDERS, Customer, expect
from .printing import print_amounts, print_cart, print_exchange, print_order, print_request

PREVIEW = f"{ORDERS}preview/"

SAVED = {"success": "Your Order has been saved"}


def checkout(customer: Customer, console: Console) -> None:
    """The request of the API's own documentation, with an address."""
    customer.fill_cart({"TEA-ASSAM": 3, "KETTLE-GOOSE": 1, "FILTERS": 2}, "WELCOME10")
    console.rule("[bold]Check out")
    print_cart(console, customer.get(f"{API}/cart/"))
    body = {"action": "checkout", "billing_address": ADDRESS}
    answer = customer.call(303, "POST", ORDERS, body)
    print_exchange(console, "POST", ORDERS, body, answer)
    links = answer.json()
    expect(links["payment"], answer.headers["Location"], "Location")
    payment = customer.call(200, "GET", answer.headers["Location"])
    print_exchange(console, "GET", answer.headers["Location"], None, payment)
    show_order(customer, console, links["order"])


def save_order(customer: Customer, console: Console) -> str:
    """To pay later, at the price that was shown; the order's path.

    She has an address by now, and it is not her first order any more.
    """
    customer.fill_cart({"CUP-BLUE": 4, "POT-GLASS": 1, "TASTING": 1, "FILTERS": 1}, "TENOFF")
    console.rule("[bold]Save the order for later")
    print_cart(console, customer.get(f"{API}/cart/"))
    print_request(console, "GET", PREVIEW)
    preview = customer.get(PREVIEW)
    print_amounts(console, preview)
    body = {"action": "save_order", "expected_total": preview["total_amount"]}
    answer = customer.call(201, "POST", ORDERS, body)
    print_exchange(console, "POST", ORDERS, body, answer)
    expect(answer.json(), SAVED, "body")
    show_order(customer, console, answer.headers["Location"])
    return answer.headers["Location"]


def be_refused(customer: Customer, console: Console) -> None:
    """Order with nothing in the cart."""
    console.rule("[bold]Order an empty cart")
    body = {"action": "checkout"}
    answer = customer.call(400, "POST", ORDERS, body)
    print_exchange(console, "POST", ORDERS, body, answer)
    expect(answer.json()["code"], "empty_cart", "code")


def show_order(customer: Customer, console: Console, path: str) -> None:
    """The order as it is answered, and the cart, which has to be empty."""
    print_order(console, customer.get(path))
    cart = customer.get(f"{API}/cart/")
    print_cart(console, cart)
    expect(cart, {"items": [], "voucher": None}, "cart")
