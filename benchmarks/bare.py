"""A yardstick: a bare Flask view that sends the library's statements through SQLAlchemy Core.

On MySQL and MariaDB it is in READ COMMITTED and leaves the wait for locks as it is.

It has no JWT, marshmallow, ORM, retries or checks. It uses one transaction without savepoints,
which are needed only to catch errors inside of it.
"""

from time import perf_counter
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from flask import Flask, request
from sqlalchemy import delete, exists, func, insert, or_, select, update

from flask_orders.db.typing import Query

from .arithmetic import CartItem, priced
from .contenders import Contender
from .stage import Purchase, Stage, columns_of, reflected


def bare(stage: Stage) -> Contender:
    """Return the contender that POSTs a purchase to the bare view."""
    has_arrays = stage.server == "postgresql"
    level = {"isolation_level": "READ COMMITTED"} if stage.server == "mysql" else {}
    engine = sa.create_engine(stage.url, **level)
    # Elsewhere an amount, a time or a UUID is not read without the types of the models.
    tables = reflected(engine) if has_arrays else dict(stage.tables)
    client = _app(engine, _View(tables, has_arrays=has_arrays)).test_client()

    def place(purchase: Purchase) -> tuple[float, UUID]:
        body = {"customer_id": purchase.customer_id, "address": purchase.address}
        started = perf_counter()
        answer = client.post("/orders/", json=body)
        seconds = perf_counter() - started
        if answer.status_code != 201:
            raise RuntimeError(answer.text)
        return seconds, UUID(answer.json["id"]) if answer.json else UUID(int=0)

    return place


def _app(engine: sa.Engine, view: "_View") -> Flask:
    app = Flask("bare")

    @app.post("/orders/")
    def create_order() -> tuple[dict[str, Any], int]:
        body = request.get_json()
        with engine.begin() as connection:
            order_id = view.place(connection, body["customer_id"], body["address"])
            return {"id": order_id}, 201

    return app


class _View:
    """Send the library's statements in the library's order."""

    def __init__(self, tables: dict[str, sa.Table], *, has_arrays: bool) -> None:
        self._has_arrays = has_arrays
        self._customers, self._orders = tables["customers"].c, tables["orders"]
        self._carts, self._cart_items = tables["carts"], tables["cart_items"]
        self._products, self._items = tables["products"], tables["order_items"]
        self._vouchers, self._redemptions = tables["vouchers"], tables["voucher_redemptions"]
        self._offers, self._links = tables["offers"], tables["offer_products"]
        self._addresses = tables["order_addresses"]

    def place(self, connection: sa.Connection, customer_id: int, address: dict[str, Any]) -> UUID:
        connection.execute(select(*self._customers).where(self._customers.id == customer_id)).one()
        columns, fingerprint = columns_of(address)
        last, address_id = connection.execute(self._customer_state(customer_id, fingerprint)).one()
        if self._has_arrays:
            connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        cart = connection.execute(self._cart(customer_id)).one()
        bought = self._bought(connection, cart.id)
        found = connection.execute(self._promotions(cart.voucher_id, list(bought), customer_id))
        voucher, *_ = rows = found.all()
        offers = [row[-4:] for row in rows if row.offer_id is not None]
        order, items = priced(list(bought.values()), offers, voucher.discount_value)
        if address_id is None:
            row = {"customer_id": customer_id, "fingerprint": fingerprint, **columns}
            made = connection.execute(insert(self._addresses).values(row))
            address_id = made.inserted_primary_key[0]  # type: ignore[index] # of one row
        self._deduct_stock(connection, bought)
        self._redeem(connection, voucher)
        row = {
            **order,
            "sequence": last + 1,
            "customer_id": customer_id,
            "billing_address_id": address_id,
            **{f"billing_{name}": text for name, text in columns.items()},
            "voucher_id": voucher.id,
            "voucher_code": voucher.code,
        }
        connection.execute(insert(self._orders), [row])
        connection.execute(insert(self._items), items)
        self._empty(connection, cart.id, [item.item_id for item in bought.values()])
        key: UUID = order["id"]
        return key

    def _customer_state(self, customer_id: int, fingerprint: str) -> Query:
        orders, rows = self._orders.c, self._addresses.c
        last = select(func.coalesce(func.max(orders.sequence), 0)).where(
            orders.customer_id == customer_id
        )
        address = select(rows.id).where(
            rows.customer_id == customer_id, rows.fingerprint == fingerprint
        )
        return select(last.scalar_subquery(), address.scalar_subquery()).where(
            self._customers.id == customer_id
        )

    def _cart(self, customer_id: int) -> Query:
        carts = self._carts.c
        query = select(carts.id, carts.voucher_id).where(carts.customer_id == customer_id)
        return query.with_for_update()

    def _bought(self, connection: sa.Connection, cart_id: int) -> dict[int, CartItem]:
        items, products = self._cart_items.c, self._products.c
        found = connection.execute(
            select(items.product_id, items.id, items.quantity)
            .where(items.cart_id == cart_id)
            .order_by(items.id)
            .with_for_update()
        ).all()
        wanted = {row.product_id: row for row in found}
        locked = connection.execute(
            select(products.id, products.sku, products.name, products.price, products.shipping)
            .where(self._in_values(products.id, sorted(wanted)))
            .order_by(products.id)
            .with_for_update(key_share=True)
        )
        known = {row.id: row for row in locked}
        return {
            key: CartItem(row.id, key, row.quantity, *known[key][1:]) for key, row in wanted.items()
        }

    def _promotions(self, voucher_id: int, products: list[int], customer_id: int) -> Query:
        """Select the voucher, whether the customer has used it, and an offer, in each row."""
        redemptions, offers, links = self._redemptions.c, self._offers.c, self._links.c
        used = exists().where(
            redemptions.voucher_id == self._vouchers.c.id, redemptions.customer_id == customer_id
        )
        has_ordered = exists().where(self._orders.c.customer_id == customer_id)
        is_wanted = (offers.active, or_(~offers.first_order_only, ~has_ordered))
        fields = (
            offers.discount_type,
            offers.valid_from,
            offers.valid_to,
            offers.id.label("offer_id"),
            offers.title,
            offers.discount_value,
        )
        for_these = (
            select(*fields, links.product_id)
            .join(self._links, links.offer_id == offers.id)
            .where(self._in_values(links.product_id, products), *is_wanted)
        )
        for_all = select(*fields, sa.null()).where(
            ~exists().where(links.offer_id == offers.id), *is_wanted
        )
        offer = sa.union_all(for_these, for_all).subquery()
        voucher = select(self._vouchers, used.label("is_used")).where(
            self._vouchers.c.id == voucher_id
        )
        terms = voucher.subquery()
        joined = select(terms, offer).outerjoin_from(terms, offer, sa.true())
        return joined.order_by(offer.c.offer_id)

    def _deduct_stock(self, connection: sa.Connection, bought: dict[int, CartItem]) -> None:
        products = self._products.c
        units = {key: item.quantity for key, item in bought.items()}
        statement = update(self._products).where(self._in_values(products.id, list(units)))
        of_row: sa.ColumnElement[Any] = sa.case(units, value=products.id)
        if self._has_arrays:
            arrays = _array(products.id, [*units]), _array(products.stock, [*units.values()])
            deducted = func.unnest(*arrays).table_valued("key", "units").render_derived()
            statement, of_row = statement.where(products.id == deducted.c.key), deducted.c.units
        changed = connection.execute(
            statement.where(products.stock >= of_row).values(stock=products.stock - of_row)
        )
        if changed.rowcount != len(bought):
            raise RuntimeError("out of stock")

    def _redeem(self, connection: sa.Connection, voucher: Any) -> None:
        vouchers = self._vouchers.c
        same = [
            vouchers[name].is_not_distinct_from(getattr(voucher, name))
            for name in (
                "discount_type",
                "discount_value",
                "usage",
                "usage_limit",
                "minimum_order_value",
                "valid_from",
                "valid_to",
                "active",
            )
        ]
        changed = connection.execute(
            update(self._vouchers)
            .where(vouchers.id == voucher.id, *same)
            .values(times_used=vouchers.times_used + 1)
        )
        if changed.rowcount != 1:
            raise RuntimeError("the voucher was changed")

    def _empty(self, connection: sa.Connection, cart_id: int, items: list[int]) -> None:
        rows = self._cart_items
        deleted = connection.execute(delete(rows).where(self._in_values(rows.c.id, items)))
        if deleted.rowcount != len(items):
            raise RuntimeError("the cart was changed")
        connection.execute(
            update(self._carts).where(self._carts.c.id == cart_id).values(voucher_id=None)
        )

    def _in_values(self, column: sa.ColumnElement[Any], values: list[Any]) -> Any:
        return column == sa.any_(_array(column, values)) if self._has_arrays else column.in_(values)


def _array(column: sa.ColumnElement[Any], values: list[Any]) -> sa.ColumnElement[Any]:
    return sa.literal(values, sa.ARRAY(column.type))
