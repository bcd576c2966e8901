"""The shop

Revision ID: 0001
Create Date: 2026-11-23 21:22:35
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# SQLite numbers the rows of an INTEGER primary key only, and has no exact decimals: an amount is
# a whole number of 1/10000 there.
key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
money = sa.Numeric(18, 4).with_variant(sa.BigInteger(), "sqlite")
# MySQL and MariaDB would take "Ref" and "ref " for the same. Each reads its own of these comments.
exact = "/*M!100600 utf8mb4_nopad_bin */ /*!80017 utf8mb4_0900_bin */"
exact_text = sa.String(255).with_variant(sa.String(255, collation=exact), "mysql", "mariadb")
exact_code = sa.String(64).with_variant(sa.String(64, collation=exact), "mysql", "mariadb")


def upgrade():
    op.create_table(
        "customers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customers")),
        sa.UniqueConstraint("email", name=op.f("uq_customers_email")),
    )
    op.create_table(
        "offers",
        sa.Column("id", key, nullable=False),
        sa.Column("title", sa.String(length=255), nullable=False),
        sa.Column("discount_type", sa.String(length=10), nullable=False),
        sa.Column("discount_value", money, nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True)),
        sa.Column("valid_to", sa.DateTime(timezone=True)),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("first_order_only", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "discount_value BETWEEN 0 AND 999999999999999999", name=op.f("ck_offers_not_negative")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_offers")),
    )
    op.create_index(op.f("ix_offers_active"), "offers", ["active"])
    op.create_table(
        "products",
        sa.Column("id", key, nullable=False),
        sa.Column("sku", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("price", money, nullable=False),
        sa.Column("shipping", money),
        sa.Column("stock", sa.Integer()),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "price BETWEEN 0 AND 999999999999999999 AND shipping BETWEEN 0 AND 999999999999999999 AND stock BETWEEN 0 AND 999999999999999999",
            name=op.f("ck_products_not_negative"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_products")),
        sa.UniqueConstraint("sku", name=op.f("uq_products_sku")),
    )
    op.create_table(
        "vouchers",
        sa.Column("id", key, nullable=False),
        sa.Column("code", exact_code, nullable=False),
        sa.Column("discount_type", sa.String(length=10), nullable=False),
        sa.Column("discount_value", money, nullable=False),
        sa.Column("usage", sa.String(length=20), nullable=False),
        sa.Column("usage_limit", sa.Integer()),
        sa.Column("times_used", sa.Integer(), nullable=False),
        sa.Column("minimum_order_value", money),
        sa.Column("valid_from", sa.DateTime(timezone=True)),
        sa.Column("valid_to", sa.DateTime(timezone=True)),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "discount_value BETWEEN 0 AND 999999999999999999 AND minimum_order_value BETWEEN 0 AND 999999999999999999 AND times_used BETWEEN 0 AND 999999999999999999",
            name=op.f("ck_vouchers_not_negative"),
        ),
        sa.CheckConstraint(
            "times_used <= usage_limit", name=op.f("ck_vouchers_times_used_within_limit")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vouchers")),
        sa.UniqueConstraint("code", name=op.f("uq_vouchers_code")),
    )
    op.create_table(
        "carts",
        sa.Column("id", key, nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.Column("voucher_id", key),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["customers.id"],
            name=op.f("fk_carts_customer_id_customers"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["voucher_id"],
            ["vouchers.id"],
            name=op.f("fk_carts_voucher_id_vouchers"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_carts")),
        sa.UniqueConstraint("customer_id", name=op.f("uq_carts_customer_id")),
        sa.UniqueConstraint("voucher_id", "id", name=op.f("uq_carts_voucher_id_id")),
    )
    op.create_table(
        "offer_products",
        sa.Column("id", key, nullable=False),
        sa.Column("offer_id", key, nullable=False),
        sa.Column("product_id", key, nullable=True),
        sa.ForeignKeyConstraint(
            ["offer_id"],
            ["offers.id"],
            name=op.f("fk_offer_products_offer_id_offers"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["products.id"],
            name=op.f("fk_offer_products_product_id_products"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_offer_products")),
        sa.UniqueConstraint(
            "offer_id", "product_id", name=op.f("uq_offer_products_offer_id_product_id")
        ),
        sa.UniqueConstraint(
            "product_id", "offer_id", name=op.f("uq_offer_products_product_id_offer_id")
        ),
    )
    op.create_table(
        "order_addresses",
        sa.Column("id", key, nullable=False),
        sa.Column("street_address", sa.String(length=255), nullable=False),
        sa.Column("postal_code", sa.String(length=32), nullable=False),
        sa.Column("city", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=255), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["customers.id"],
            name=op.f("fk_order_addresses_customer_id_customers"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_addresses")),
        sa.UniqueConstraint(
            "customer_id", "fingerprint", name=op.f("uq_order_addresses_customer_id_fingerprint")
        ),
    )
    op.create_table(
        "order_idempotency_keys",
        sa.Column("id", key, nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("checkout", sa.Boolean(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("payable", sa.Boolean(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["customers.id"],
            name=op.f("fk_order_idempotency_keys_customer_id_customers"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_idempotency_keys")),
        sa.UniqueConstraint(
            "customer_id", "key", name=op.f("uq_order_idempotency_keys_customer_id_key")
        ),
    )
    op.create_index(
        op.f("ix_order_idempotency_keys_created"), "order_idempotency_keys", ["created"]
    )
    op.create_table(
        "voucher_redemptions",
        sa.Column("id", key, nullable=False),
        sa.Column("voucher_id", key, nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["customers.id"],
            name=op.f("fk_voucher_redemptions_customer_id_customers"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["voucher_id"],
            ["vouchers.id"],
            name=op.f("fk_voucher_redemptions_voucher_id_vouchers"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_voucher_redemptions")),
        sa.UniqueConstraint(
            "customer_id", "voucher_id", name=op.f("uq_voucher_redemptions_customer_id_voucher_id")
        ),
        sa.UniqueConstraint("voucher_id", "id", name=op.f("uq_voucher_redemptions_voucher_id_id")),
    )
    op.create_table(
        "cart_items",
        sa.Column("id", key, nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("cart_id", key, nullable=False),
        sa.Column("product_id", key),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_cart_items_quantity_positive")),
        sa.ForeignKeyConstraint(
            ["cart_id"], ["carts.id"], name=op.f("fk_cart_items_cart_id_carts"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["products.id"],
            name=op.f("fk_cart_items_product_id_products"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cart_items")),
        sa.UniqueConstraint("cart_id", "product_id", name=op.f("uq_cart_items_cart_id_product_id")),
        sa.UniqueConstraint("product_id", "id", name=op.f("uq_cart_items_product_id_id")),
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.String(length=16), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("currency_decimals", sa.SmallInteger(), nullable=False),
        sa.Column("billing_street_address", sa.String(length=255), nullable=False),
        sa.Column("billing_postal_code", sa.String(length=32), nullable=False),
        sa.Column("billing_city", sa.String(length=255), nullable=False),
        sa.Column("billing_state", sa.String(length=255), nullable=False),
        sa.Column("billing_country", sa.String(length=2), nullable=False),
        sa.Column("voucher_code", sa.String(length=64)),
        sa.Column("items_count", sa.Integer(), nullable=False),
        sa.Column("subtotal", money, nullable=False),
        sa.Column("savings_on_items", money, nullable=False),
        sa.Column("discount_amount", money, nullable=False),
        sa.Column("amount_saved", money, nullable=False),
        sa.Column("shipping", money, nullable=False),
        sa.Column("total_amount", money, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
        sa.Column("written", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.Integer()),
        sa.Column("billing_address_id", key),
        sa.Column("voucher_id", key),
        sa.CheckConstraint(
            "discount_amount <= subtotal", name=op.f("ck_orders_discount_within_subtotal")
        ),
        sa.CheckConstraint("items_count > 0", name=op.f("ck_orders_items_count_positive")),
        sa.CheckConstraint(
            "subtotal BETWEEN 0 AND 999999999999999999 AND savings_on_items BETWEEN 0 AND 999999999999999999 AND discount_amount BETWEEN 0 AND 999999999999999999 AND amount_saved BETWEEN 0 AND 999999999999999999 AND shipping BETWEEN 0 AND 999999999999999999 AND total_amount BETWEEN 0 AND 999999999999999999",
            name=op.f("ck_orders_not_negative"),
        ),
        sa.ForeignKeyConstraint(
            ["billing_address_id"],
            ["order_addresses.id"],
            name=op.f("fk_orders_billing_address_id_order_addresses"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["customers.id"],
            name=op.f("fk_orders_customer_id_customers"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["voucher_id"],
            ["vouchers.id"],
            name=op.f("fk_orders_voucher_id_vouchers"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint(
            "billing_address_id", "id", name=op.f("uq_orders_billing_address_id_id")
        ),
        sa.UniqueConstraint("customer_id", "sequence", name=op.f("uq_orders_customer_id_sequence")),
        sa.UniqueConstraint("number", name=op.f("uq_orders_number")),
        sa.UniqueConstraint("voucher_id", "id", name=op.f("uq_orders_voucher_id_id")),
    )
    op.create_index(op.f("ix_orders_status"), "orders", ["status", "created"])
    op.create_table(
        "order_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("from_status", sa.String(length=20), nullable=False),
        sa.Column("to_status", sa.String(length=20), nullable=False),
        sa.Column("actor", sa.String(length=20), nullable=False),
        sa.Column("note", sa.Text()),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["orders.id"],
            name=op.f("fk_order_events_order_id_orders"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_events")),
        sa.UniqueConstraint("order_id", "id", name=op.f("uq_order_events_order_id_id")),
    )
    op.create_table(
        "order_outbox",
        sa.Column("id", key, nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["orders.id"],
            name=op.f("fk_order_outbox_order_id_orders"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_outbox")),
        sa.UniqueConstraint("order_id", "id", name=op.f("uq_order_outbox_order_id_id")),
    )
    op.create_index(op.f("ix_order_outbox_due"), "order_outbox", ["due"])
    op.create_table(
        "order_payments",
        sa.Column("id", key, nullable=False),
        sa.Column("reference", exact_text, nullable=False),
        sa.Column("amount", money, nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("received", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expected", sa.Boolean(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "amount BETWEEN 0 AND 999999999999999999", name=op.f("ck_order_payments_not_negative")
        ),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["orders.id"],
            name=op.f("fk_order_payments_order_id_orders"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_payments")),
        sa.UniqueConstraint("order_id", "id", name=op.f("uq_order_payments_order_id_id")),
        sa.UniqueConstraint("reference", name=op.f("uq_order_payments_reference")),
    )
    op.create_index(op.f("ix_order_payments_expected"), "order_payments", ["expected", "id"])
    op.create_table(
        "order_refunds",
        sa.Column("id", key, nullable=False),
        sa.Column("reference", exact_text, nullable=False),
        sa.Column("amount", money, nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text()),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", key, nullable=False),
        sa.CheckConstraint(
            "amount BETWEEN 0 AND 999999999999999999", name=op.f("ck_order_refunds_not_negative")
        ),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["orders.id"],
            name=op.f("fk_order_refunds_order_id_orders"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"],
            ["order_payments.id"],
            name=op.f("fk_order_refunds_payment_id_order_payments"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_refunds")),
        sa.UniqueConstraint("order_id", "id", name=op.f("uq_order_refunds_order_id_id")),
        sa.UniqueConstraint("payment_id", "id", name=op.f("uq_order_refunds_payment_id_id")),
        sa.UniqueConstraint("reference", name=op.f("uq_order_refunds_reference")),
    )
    op.create_table(
        "order_items",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sku", sa.Text()),
        sa.Column("name", sa.Text()),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("list_price", money, nullable=False),
        sa.Column("unit_price", money, nullable=False),
        sa.Column("discount_amount", money, nullable=False),
        sa.Column("total_price", money, nullable=False),
        sa.Column("shipping", money, nullable=False),
        sa.Column("voucher_discount", money, nullable=False),
        sa.Column("offer_title", sa.Text()),
        sa.Column("stock_deducted", sa.Boolean(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("product_id", key),
        sa.Column("offer_id", key),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_order_items_quantity_positive")),
        sa.CheckConstraint(
            "list_price BETWEEN 0 AND 999999999999999999 AND unit_price BETWEEN 0 AND 999999999999999999 AND discount_amount BETWEEN 0 AND 999999999999999999 AND total_price BETWEEN 0 AND 999999999999999999 AND shipping BETWEEN 0 AND 999999999999999999 AND voucher_discount BETWEEN 0 AND 999999999999999999",
            name=op.f("ck_order_items_not_negative"),
        ),
        sa.ForeignKeyConstraint(
            ["offer_id"],
            ["offers.id"],
            name=op.f("fk_order_items_offer_id_offers"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["orders.id"],
            name=op.f("fk_order_items_order_id_orders"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["products.id"],
            name=op.f("fk_order_items_product_id_products"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_items")),
        sa.UniqueConstraint("offer_id", "id", name=op.f("uq_order_items_offer_id_id")),
        sa.UniqueConstraint("order_id", "position", name=op.f("uq_order_items_order_id_position")),
        sa.UniqueConstraint("product_id", "id", name=op.f("uq_order_items_product_id_id")),
    )


def downgrade():
    op.drop_table("order_items")
    op.drop_table("order_refunds")
    op.drop_table("order_payments")
    op.drop_table("order_outbox")
    op.drop_table("order_events")
    op.drop_table("orders")
    op.drop_table("cart_items")
    op.drop_table("voucher_redemptions")
    op.drop_table("order_idempotency_keys")
    op.drop_table("order_addresses")
    op.drop_table("offer_products")
    op.drop_table("carts")
    op.drop_table("vouchers")
    op.drop_table("products")
    op.drop_table("offers")
    op.drop_table("customers")
