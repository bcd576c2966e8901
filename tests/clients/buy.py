"""Buys what is in the cart, by the client that openapi-python-client makes of openapi.json."""

import sys

from client import AuthenticatedClient
from client.api.orders import create_order, list_orders, preview_order
from client.models import (
    BillingAddress,
    CheckedOut,
    CountryName,
    CreateOrder,
    CreateOrderAction,
    Page,
    Preview,
)

url, token, key = sys.argv[1:]
with AuthenticatedClient(base_url=url, token=token) as orders:
    preview = preview_order.sync(client=orders)
    if not isinstance(preview, Preview):
        raise SystemExit(f"no preview: {preview}")
    home = BillingAddress(
        street_address="123 Main St",
        postal_code="K1A 0B1",
        city="Ottawa",
        state="ON",
        country=CountryName.CANADA,
    )
    wanted = CreateOrder(
        action=CreateOrderAction.CHECKOUT,
        billing_address=home,
        expected_total=preview.total_amount,
    )
    placed = create_order.sync(client=orders, body=wanted, idempotency_key=key)
    if not isinstance(placed, CheckedOut):
        raise SystemExit(f"no order: {placed}")
    page = list_orders.sync(client=orders, limit=1)
    if not isinstance(page, Page):
        raise SystemExit(f"no page: {page}")
    order = page.results[0]
    print(order.id, order.status, order.total_amount, order.items[0].product.sku)
