"""Load the rows that a shop has after some years, in bulk."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain, islice
from typing import Any
from uuid import UUID

import sqlalchemy as sa

CUSTOMERS = 20_000
# The first customers' carts start empty and are filled and ordered; the other carts never change.
BUYERS = 10_000
PRODUCTS = 20_000
VOUCHERS = 10_000
OFFERS = 1_000
# Idempotency keys are stored for a day.
KEYS = 86_400

BATCH = 5_000

STATUSES = ("delivered", "delivered", "delivered", "paid", "cancelled")

Rows = Iterator[dict[str, Any]]


def load(engine: sa.Engine, tables: Mapping[str, sa.Table], orders: int) -> None:
    """Fill an empty shop."""
    customers = max(CUSTOMERS, orders // 10)
    with engine.begin() as connection:
        for name, rows in chain(_catalogue(customers), _orders(customers, orders)):
            while batch := list(islice(rows, BATCH)):
                connection.execute(sa.insert(tables[name]), batch)


def _catalogue(customers: int) -> Iterator[tuple[str, Rows]]:
    numbers = range(1, customers + 1)
    yield "customers", ({"id": n, "email": f"c{n}@example.com"} for n in numbers)
    yield "products", map(_product, range(1, PRODUCTS + 1))
    yield "vouchers", map(_voucher, range(1, VOUCHERS + 1))
    yield "offers", map(_offer, range(1, OFFERS + 1))
    # The first offer applies to every product, the others to fifty each.
    yield (
        "offer_products",
        (
            {"offer_id": n, "product_id": 1 + (n * 50 + k) % PRODUCTS}
            for n in range(2, OFFERS + 1)
            for k in range(50)
        ),
    )
    yield "carts", ({"id": n, "customer_id": n, "voucher_id": None} for n in numbers)
    onlookers = range(BUYERS + 1, customers + 1)
    yield (
        "cart_items",
        (
            {"cart_id": n, "product_id": 1 + (n + k) % PRODUCTS, "quantity": 1}
            for n in onlookers
            for k in (1, 2, 3)
        ),
    )
    yield (
        "voucher_redemptions",
        ({"voucher_id": 1 + n % VOUCHERS, "customer_id": n} for n in onlookers),
    )


def _product(n: int) -> dict[str, Any]:
    return {
        "id": n,
        "sku": f"SKU-{n}",
        "name": f"Product {n}",
        "price": 1 + Decimal(n % 9000) / 100,
        "shipping": Decimal("1.25") if n % 3 == 0 else None,
        "stock": 100_000_000,
        "active": True,
    }


def _voucher(n: int) -> dict[str, Any]:
    return {
        "id": n,
        "code": f"CODE-{n}",
        "discount_type": "percentage",
        "discount_value": 10,
        "usage": "multiple",
        "times_used": 0,
        "active": True,
    }


def _offer(n: int) -> dict[str, Any]:
    return {
        "id": n,
        "title": f"Offer {n}",
        "discount_type": "percentage",
        "discount_value": 5 + n // 10 % 20,
        "active": n % 10 == 1,
        "first_order_only": False,
    }


def _orders(customers: int, orders: int) -> Iterator[tuple[str, Rows]]:
    end = datetime.now(UTC)
    yield "order_addresses", map(_address, range(1, min(customers, orders) + 1))
    made = ((n, end - timedelta(seconds=orders - n)) for n in range(orders))
    yield "orders", (_order(n, customers, time) for n, time in made)
    yield "order_items", (_item(n, k) for n in range(orders) for k in (1, 2, 3))
    numbers = range(1, min(orders, KEYS) + 1)
    yield "order_idempotency_keys", (_key(n, customers, end) for n in numbers)


def _uuid(n: int) -> UUID:
    """Return a key like the library's: ascending, and lower than those of new orders."""
    return UUID(f"01900000-0000-7000-8000-{n:012x}")


def _street(n: int) -> dict[str, str]:
    return {
        "street_address": f"{n} Old St",
        "postal_code": "12345",
        "city": "Anytown",
        "state": "ON",
        "country": "CA",
    }


def _address(n: int) -> dict[str, Any]:
    return {"id": n, "customer_id": n, "fingerprint": f"{n:064x}", **_street(n)}


def _order(n: int, customers: int, made: datetime) -> dict[str, Any]:
    customer = 1 + n % customers
    return {
        "id": _uuid(n),
        "number": f"H{n}",
        "sequence": n // customers + 1,
        "customer_id": customer,
        "status": STATUSES[n % len(STATUSES)],
        "currency": "USD",
        "currency_decimals": 2,
        "billing_address_id": customer,
        **{f"billing_{name}": text for name, text in _street(customer).items()},
        "voucher_id": 1 + n % VOUCHERS,
        "voucher_code": f"CODE-{1 + n % VOUCHERS}",
        "items_count": 3,
        "subtotal": 30,
        "savings_on_items": 0,
        "discount_amount": 3,
        "amount_saved": 3,
        "shipping": 0,
        "total_amount": 27,
        "created": made,
        "updated": made,
        "written": int(made.timestamp() * 1_000_000),
    }


def _item(n: int, k: int) -> dict[str, Any]:
    product = 1 + (n * 7919 + k) % PRODUCTS
    return {
        "id": _uuid(n * 3 + k),
        "order_id": _uuid(n),
        "position": k,
        "product_id": product,
        "sku": f"SKU-{product}",
        "name": f"Product {product}",
        "quantity": 1,
        "list_price": 10,
        "unit_price": 10,
        "discount_amount": 0,
        "total_price": 10,
        "shipping": 0,
        "voucher_discount": 1,
        "offer_id": None,
        "offer_title": None,
        "stock_deducted": True,
    }


def _key(n: int, customers: int, made: datetime) -> dict[str, Any]:
    return {
        "id": n,
        "customer_id": 1 + n % customers,
        "key": f"{n:064x}",
        "fingerprint": f"{n:064x}",
        "checkout": False,
        "order_id": _uuid(n - 1),
        "payable": True,
        "created": made,
    }
