"""Carts without rows in shops of other shapes: their keys, prices, stock and receivers."""

from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column

from flask_orders import ConfigurationError, current_orders, declare_models, mapping
from flask_orders.errors import ItemUnavailable
from flask_orders.pricing import Cart, PricedCart, PricedItem
from flask_orders.signals import order_placing
from flask_orders.testing import run_concurrently

from .support.apps import new_db
from .support.database import nothing_changed
from .support.keys import Prefixed, Typed
from .support.mugs import make_mug_shop
from .support.people import close
from .support.requests import HOME
from .support.session_carts import place
from .support.shops import Shop, open_shop
from .support.stocks import COUNTED, WAYS, stocked_shop


class Code(StrEnum):
    TEA = "t"
    MUG = "m"


# A key type, a key, how a session has it, and what is no product there.
KINDS: dict[str, tuple[Callable[[], Any], Any, str, list[Any]]] = {
    "uuid": (sa.Uuid, UUID(int=7), str(UUID(int=7)), ["7", UUID(int=8), 7, None]),
    "uuid as text": (lambda: sa.Uuid(as_uuid=False), str(UUID(int=7)), str(UUID(int=7)), ["7", 7]),
    "text": (lambda: sa.String(20), "prd_7", "prd_7", ["prd_8", "x" * 30, "a\0", "", 7, True]),
    "prefixed": (Prefixed, "cus_7", "cus_7", ["7", 7, "cus_07", "cus_x", "prd_7"]),
    "untold": (Typed, UUID(int=7), str(UUID(int=7)), ["7", "x"]),
    "enum": (lambda: sa.Enum(Code), Code.TEA, "TEA", ["MUG", Code.MUG, "tea", ""]),
    "enum by value": (
        lambda: sa.Enum(Code, values_callable=lambda codes: [code.value for code in codes]),
        Code.TEA,
        "t",
        ["m", ""],
    ),
    "integer": (sa.Integer, 7, "7", [True, 7.0, "07", 2**40, Decimal(7)]),
}


def keyed_shop(url: URL, type_: Any) -> Shop:
    """A shop whose products have keys of this type."""
    db = new_db()

    class Customer(db.Model):
        __tablename__ = "customers"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str] = mapped_column(sa.String(100))

    class Thing(db.Model):
        __tablename__ = "things"
        key: Mapped[Any] = mapped_column(type_, primary_key=True, autoincrement=False)
        price: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2))
        stock: Mapped[int]

    product = mapping.product(Thing, sku=None, name=None)
    return open_shop(db, url, declare_models(db, customer=Customer, product=product))


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_of_any_type_and_its_text(database: URL, kind: str) -> None:
    type_, key, text, wrong = KINDS[kind]
    shop = keyed_shop(database, type_())
    shop.add(shop.models.Product(key=key, price=Decimal("2.50"), stock=9))
    customer = shop.customer()
    for given in wrong:
        with nothing_changed(shop), pytest.raises(ItemUnavailable) as refused:
            place(shop, customer, {given: 1})
        assert [item["reason"] for item in refused.value.extensions["items"]] == ["gone"]
    place(shop, customer, {key: 2}, "key")
    place(shop, customer, {text: 3}, "text")
    assert [order["total_amount"] for order in shop.rows("orders")] == [Decimal(5), Decimal("7.5")]
    assert [item["product_id"] for item in shop.rows("order_items")] == [key, key]
    assert [row["stock"] for row in shop.rows("things")] == [4]
    close(shop)


# A type for which each kind of database takes other spellings than "Tea" for equal, and three of
# those; "Tea" may be stored in a fourth one.
RESPELLED: dict[str, tuple[Any, tuple[str, str, str]]] = {
    "sqlite": (sa.String(20, "NOCASE"), ("tea", "TEA", "tEA")),
    "postgresql": (sa.CHAR(9), ("Tea", "Tea ", "Tea  ")),
    "mysql": (sa.String(20, "utf8mb4_general_ci"), ("tea", "Tea ", "te\u00e1")),
    "mariadb": (sa.String(20, "utf8mb4_general_ci"), ("tea", "Tea ", "te\u00e1")),
}


def test_keys_that_the_database_takes_for_equal_are_one_product(database: URL) -> None:
    """They are one item, so that the stock is compared with all of its units."""
    type_, (one, other, third) = RESPELLED[database.get_backend_name()]
    shop = keyed_shop(database, type_)
    customer = shop.customer()
    for name in ("Tea", "Mug"):
        shop.add(shop.models.Product(key=name, price=Decimal(10), stock=5))
    with nothing_changed(shop):
        with pytest.raises(ItemUnavailable) as refused:
            place(shop, customer, {one: 3, other: 3, "Mug": 1})
        (item,) = refused.value.extensions["items"]
        assert (item["reason"], item["requested"]) == ("out_of_stock", 6)
        with shop.app.app_context():
            priced = current_orders.preview(customer, items={third: 2, "Coffee": 1})
            assert (priced.items_count, len(priced.unavailable)) == (2, 1)
            shop.db.session.rollback()
    place(shop, customer, {one: 3, other: 2, "Mug": 1})
    items = {row["product_id"].rstrip(): row["quantity"] for row in shop.rows("order_items")}
    assert items == {"Tea": 5, "Mug": 1}
    stock = {row["key"].rstrip(): row["stock"] for row in shop.rows("things")}
    assert stock == {"Tea": 0, "Mug": 4}
    close(shop)


def test_what_python_takes_for_equal_is_not_added_up(shop: Shop) -> None:
    """1, True and 1.0 are one key of a dict; a count of -1 takes nothing off another one."""
    customer, product = shop.customer(), shop.product(stock=9)
    for items in ({str(product): 1, True: 1}, {product + 0.0: 1, str(product): 1}):
        with nothing_changed(shop), pytest.raises(ItemUnavailable):
            place(shop, customer, items)
    for wrong in (-1, 0, None, "1", 1.0, True):
        with nothing_changed(shop), pytest.raises(ItemUnavailable) as refused:
            place(shop, customer, {product: 3, str(product): wrong})
        (item,) = refused.value.extensions["items"]
        assert item["reason"] == "invalid_quantity"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"items": [{"id": 1, "qty": 2}]}, r"items=\{item\['id'\]"),
        ({"items": "12"}, "items= is a str"),
        ({"key": UUID(int=7)}, r"idempotency_key= is a UUID: pass its text"),
        ({"key": 7}, r"idempotency_key= is a int: pass its text, str\(7\)"),
    ],
)
def test_arguments_of_other_types_are_refused(
    shop: Shop, arguments: dict[str, Any], line: str
) -> None:
    """A list of two-key dicts would be a dict of garbage; Flask's session keeps a UUID a UUID."""
    customer, product = shop.customer(), shop.product()
    with nothing_changed(shop), pytest.raises(ConfigurationError, match=line):
        place(shop, customer, **{"items": {product: 1}, **arguments})


class Prices:
    """Prices by product, and a shipping by order; it records the carts."""

    def __init__(self) -> None:
        self.carts: list[Cart] = []

    def price(self, cart: Cart, now: Any) -> PricedCart:
        self.carts.append(cart)
        items = [PricedItem.of(item, cart.currency) for item in cart.items]
        shipping = Decimal(5) if cart.extra.get("gift_note") else Decimal(3)
        return PricedCart.of(items, cart.currency, shipping=shipping)

    def redeem(self, voucher: Any, order: Any) -> None:
        """Nothing is stored."""

    def release(self, voucher: Any, order: Any) -> None:
        """Nothing is stored."""


def test_a_pricing_of_its_own_is_given_the_cart_without_rows(database: URL) -> None:
    prices = Prices()
    shop = make_mug_shop(database, pricing=prices)
    customer = shop.customer()
    mug = shop.add(shop.models.Product(sku="M", name="M", price=Decimal(10), stock=9))
    place(shop, customer, {str(mug): 2}, voucher="TWO", extra={"gift_note": "To Ann"})
    (cart,) = prices.carts
    assert (cart.row, cart.voucher, cart.customer_id) == (None, "TWO", customer)
    assert cart.billing_address == HOME
    (item,) = cart.items
    assert (item.row, item.product_id, item.list_price) == (None, mug, Decimal(10))
    (order,) = shop.rows("orders")
    assert (order["shipping"], order["gift_note"]) == (Decimal(5), "To Ann")
    close(shop)


def test_order_placing_has_no_cart_and_a_pair_for_each_item(database: URL) -> None:
    shop = make_mug_shop(database)
    customer = shop.customer()
    mugs = [
        shop.add(shop.models.Product(sku=sku, name=sku, price=Decimal(10), stock=9)) for sku in "AB"
    ]
    seen: list[Any] = []

    @order_placing.connect_via(shop.app)
    def count(_app: Any, order: Any, cart: Any, items: Any) -> None:
        seen.append((cart, [(each.sku, row) for each, row in items]))
        for each, _row in items:
            each.engraving = "From the session"
            shop.db.session.get_one(shop.models.Product, each.product_id).sold += each.quantity

    place(shop, customer, {mugs[0]: 2, mugs[1]: 1})

    assert seen == [(None, [("A", None), ("B", None)])]
    assert [row["engraving"] for row in shop.rows("order_items")] == ["From the session"] * 2
    # The order deducts the stock at version 2, the receiver counts at version 3.
    found = [(row["stock"], row["sold"], row["version"]) for row in shop.rows("mugs")]
    assert found == [(7, 2, 3), (8, 1, 3)]
    close(shop)


@pytest.mark.parametrize("way", [name for name in COUNTED if not WAYS[name].is_taken_in_cart])
def test_each_kind_of_stock_sells_out_once(database: URL, way: str) -> None:
    """Six customers want the last three units of two products, in opposite orders."""
    with stocked_shop(database, way) as shop:
        keys = [shop.stocked(1, 3), shop.stocked(2, 3)]
        customers = [shop.customer() for _ in range(6)]

        def click(customer: Any, items: Any) -> Any:
            try:
                return place(shop, customer, items).payable
            except ItemUnavailable:
                return False

        made = run_concurrently(
            *(
                partial(click, customer, {str(key): 1 for key in (keys if i % 2 else keys[::-1])})
                for i, customer in enumerate(customers)
            )
        )

        assert [shop.left(key) for key in keys] == [0, 0]
        assert (sum(made), len(shop.rows("orders"))) == (3, 3)
