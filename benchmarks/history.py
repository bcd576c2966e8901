"""Load the rows that a shop has after some years, in bulk."""

from typing import Any, LiteralString

from psycopg import Connection

CUSTOMERS = 20_000
# The first customers' carts start empty and are filled and ordered; the other carts never change.
BUYERS = 10_000
PRODUCTS = 20_000
VOUCHERS = 10_000

# Keys like the library's: ascending, and lower than those of new orders.
KEY: LiteralString = "('01900000-0000-7000-8000-' || lpad(to_hex({}), 12, '0'))::uuid"

CATALOGUE: tuple[LiteralString, ...] = (
    "INSERT INTO customers (id, email)"
    " SELECT n, 'c' || n || '@example.com' FROM generate_series(1, %(customers)s) n",
    "INSERT INTO products (id, sku, name, price, shipping, stock, active)"
    " SELECT n, 'SKU-' || n, 'Product ' || n, 1 + n %% 9000 / 100.0,"
    " CASE WHEN n %% 3 = 0 THEN 1.25 END, 100000000, true FROM generate_series(1, %(products)s) n",
    "INSERT INTO vouchers (id, code, discount_type, discount_value, usage, times_used, active)"
    " SELECT n, 'CODE-' || n, 'percentage', 10, 'multiple', 0, true"
    " FROM generate_series(1, %(vouchers)s) n",
    # One offer of ten is active: the first applies to every product, the others to fifty each.
    "INSERT INTO offers (id, title, discount_type, discount_value, active, first_order_only)"
    " SELECT n, 'Offer ' || n, 'percentage', 5 + n / 10 %% 20, n %% 10 = 1, false"
    " FROM generate_series(1, 1000) n",
    "INSERT INTO offer_products (offer_id, product_id)"
    " SELECT n, 1 + (n * 50 + k) %% %(products)s"
    " FROM generate_series(1, 1000) n, generate_series(0, 49) k WHERE n <> 1",
    "INSERT INTO carts (id, customer_id, voucher_id)"
    " SELECT n, n, NULL FROM generate_series(1, %(customers)s) n",
    "INSERT INTO cart_items (cart_id, product_id, quantity)"
    " SELECT n, 1 + (n + k) %% %(products)s, 1"
    " FROM generate_series(%(buyers)s + 1, %(customers)s) n, generate_series(1, 3) k",
    "INSERT INTO voucher_redemptions (voucher_id, customer_id)"
    " SELECT 1 + n %% %(vouchers)s, n FROM generate_series(%(buyers)s + 1, %(customers)s) n",
)

ORDERS: tuple[LiteralString, ...] = (
    "INSERT INTO order_addresses"
    " (id, customer_id, street_address, postal_code, city, state, country, fingerprint)"
    " SELECT n, n, n || ' Old St', '12345', 'Anytown', 'ON', 'CA', lpad(to_hex(n), 64, '0')"
    " FROM generate_series(1, least(%(customers)s, %(orders)s)) n",
    "INSERT INTO orders (id, number, sequence, customer_id, status, currency, currency_decimals,"
    " billing_address_id, billing_street_address, billing_postal_code, billing_city,"
    " billing_state, billing_country,"
    " voucher_id, voucher_code, items_count, subtotal, savings_on_items, discount_amount,"
    " amount_saved, shipping, total_amount, created, updated, written)"
    " SELECT " + KEY.format("n") + ", 'H' || n, n / %(customers)s + 1, customer,"
    " (ARRAY['delivered', 'delivered', 'delivered', 'paid', 'cancelled'])[1 + n %% 5], 'USD', 2,"
    " customer, customer || ' Old St', '12345', 'Anytown', 'ON', 'CA',"
    " 1 + n %% %(vouchers)s, 'CODE-' || 1 + n %% %(vouchers)s, 3, 30, 0, 3, 3, 0, 27, made, made,"
    " (extract(epoch FROM made) * 1000000)::bigint"
    " FROM (SELECT n, 1 + n %% %(customers)s AS customer,"
    "  now() - interval '1 second' * (%(orders)s - n) AS made"
    "  FROM generate_series(0, %(orders)s - 1) n) AS history",
    "INSERT INTO order_items (id, order_id, position, product_id, sku, name, quantity, list_price,"
    " unit_price, discount_amount, total_price, shipping, voucher_discount, offer_id, offer_title,"
    " stock_deducted)"
    " SELECT " + KEY.format("n * 3 + k") + ", " + KEY.format("n") + ", k, product,"
    " 'SKU-' || product, 'Product ' || product, 1, 10, 10, 0, 10, 0, 1, NULL, NULL, true"
    " FROM (SELECT n, k, 1 + (n * 7919::bigint + k) %% %(products)s AS product"
    "  FROM generate_series(0, %(orders)s - 1) n, generate_series(1, 3) k) AS history",
    # Keys are stored for a day.
    "INSERT INTO order_idempotency_keys"
    " (id, customer_id, key, fingerprint, checkout, order_id, payable, created)"
    " SELECT n, 1 + n %% %(customers)s, lpad(to_hex(n), 64, '0'), lpad(to_hex(n), 64, '0'), false,"
    " " + KEY.format("n") + ", true, now() FROM generate_series(1, least(%(orders)s, 86400)) n",
)

NUMBERED = (
    "customers",
    "products",
    "vouchers",
    "offers",
    "carts",
    "order_addresses",
    "order_idempotency_keys",
)


def load(connection: Connection[Any], orders: int) -> None:
    """Fill an empty shop; needs a superuser."""
    sizes = {
        "customers": max(CUSTOMERS, orders // 10),
        "products": PRODUCTS,
        "vouchers": VOUCHERS,
        "buyers": BUYERS,
        "orders": orders,
    }
    # The rows are consistent, so the checks of three million foreign keys are skipped.
    connection.execute("SET session_replication_role = replica")
    for statement in CATALOGUE + ORDERS:
        connection.execute(statement, sizes)
    connection.execute("RESET session_replication_role")
    for name in NUMBERED:
        connection.execute(
            "SELECT setval(pg_get_serial_sequence(%s, 'id'), 10000000)",
            (name,),
        )
