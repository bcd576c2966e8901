"""The other yardstick: ten statements written by hand for PostgreSQL and sent by psycopg.

This is the cost of an order in the database alone: no HTTP, no framework, no mapping.
"""

from time import perf_counter
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import Connection, sql

from .arithmetic import CartItem, priced
from .contenders import Contender
from .stage import Purchase, Stage, columns_of

CUSTOMER = """
SELECT id, (SELECT coalesce(max(sequence), 0) FROM orders WHERE customer_id = %(customer_id)s)
FROM customers WHERE id = %(customer_id)s
"""

CART = """
SELECT carts.id, carts.voucher_id, item.id, item.product_id, item.quantity
FROM carts JOIN cart_items AS item ON item.cart_id = carts.id
WHERE carts.customer_id = %(customer_id)s ORDER BY item.id FOR UPDATE
"""

PRODUCTS = """
SELECT id, sku, name, price, shipping FROM products
WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""

OFFERS = """
SELECT offers.id, title, discount_value, product_id
FROM offer_products AS link JOIN offers ON offers.id = link.offer_id
WHERE active AND product_id = ANY(%(products)s)
    AND (NOT first_order_only
        OR NOT EXISTS (SELECT FROM orders WHERE customer_id = %(customer_id)s))
UNION ALL
SELECT offers.id, title, discount_value, NULL
FROM offers
WHERE active AND NOT EXISTS (SELECT FROM offer_products WHERE offer_id = offers.id)
    AND (NOT first_order_only
        OR NOT EXISTS (SELECT FROM orders WHERE customer_id = %(customer_id)s))
"""

ADDRESS = """
INSERT INTO order_addresses
    (customer_id, street_address, postal_code, city, state, country, fingerprint)
VALUES (%(customer_id)s, %(street_address)s, %(postal_code)s, %(city)s, %(state)s, %(country)s,
    %(fingerprint)s)
ON CONFLICT (customer_id, fingerprint) DO UPDATE SET fingerprint = excluded.fingerprint
RETURNING id
"""

STOCK = """
UPDATE products SET stock = stock - sold.quantity
FROM unnest(%(keys)s::bigint[], %(units)s::int[]) AS sold (id, quantity)
WHERE products.id = ANY(%(keys)s) AND products.id = sold.id AND stock >= sold.quantity
"""

VOUCHER = """
UPDATE vouchers SET times_used = times_used + 1
WHERE id = %s AND active AND (usage_limit IS NULL OR times_used < usage_limit)
RETURNING code, discount_value
"""

CLEARED = """
WITH emptied AS (DELETE FROM cart_items WHERE id = ANY(%s))
UPDATE carts SET voucher_id = NULL WHERE id = %s
"""


def handwritten(stage: Stage) -> Contender:
    """Return the contender that places a purchase on an open connection."""
    connection: Connection[Any] = psycopg.connect(stage.dsn)

    def place(purchase: Purchase) -> tuple[float, UUID]:
        started = perf_counter()
        with connection.transaction():
            order_id = _place(connection, purchase)
        return perf_counter() - started, order_id

    return place


def _place(connection: Connection[Any], purchase: Purchase) -> UUID:
    customer = {"customer_id": purchase.customer_id}
    (_, last) = _row(connection, CUSTOMER, customer)
    found = connection.execute(CART, customer).fetchall()
    cart_id, voucher_id = found[0][:2]
    wanted = [row[3] for row in found]
    known = {row[0]: row[1:] for row in connection.execute(PRODUCTS, (wanted,))}
    bought = [CartItem(item, key, units, *known[key]) for _, _, item, key, units in found]
    offers = connection.execute(OFFERS, {**customer, "products": wanted}).fetchall()
    address, fingerprint = columns_of(purchase.address)
    (address_id,) = _row(connection, ADDRESS, {**customer, **address, "fingerprint": fingerprint})
    deducted = connection.execute(
        STOCK, {"keys": wanted, "units": [item.quantity for item in bought]}
    )
    if deducted.rowcount != len(bought):
        raise RuntimeError("out of stock")
    code, percent = _row(connection, VOUCHER, (voucher_id,))
    order, items = priced(bought, offers, percent)
    row = {
        **order,
        **customer,
        "sequence": last + 1,
        "billing_address_id": address_id,
        **{f"billing_{name}": text for name, text in address.items()},
        "voucher_id": voucher_id,
        "voucher_code": code,
    }
    connection.execute(_insert("orders", row), row)
    connection.cursor().executemany(_insert("order_items", items[0]), items)
    connection.execute(CLEARED, ([item.item_id for item in bought], cart_id))
    key: UUID = order["id"]
    return key


def _row(connection: Connection[Any], query: LiteralString, parameters: Any) -> Any:
    row = connection.execute(query, parameters).fetchone()
    if row is None:
        raise RuntimeError(f"nothing found: {query}")
    return row


def _insert(table: str, row: dict[str, Any]) -> sql.Composed:
    return sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(map(sql.Placeholder, row)),
    )
