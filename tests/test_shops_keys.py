"""Keys of any type in every class, and references to unique columns that are no keys."""

import enum
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import ForeignKey, LargeBinary, Numeric, String
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column

from flask_orders import declare_models
from flask_orders.testing import Ledger, run_concurrently

from .support.apps import install, new_db
from .support.database import counted, nothing_changed, wait_for_lock_wait
from .support.keys import Prefixed
from .support.requests import ORDERS, SAVE
from .support.responses import body, outcomes, refused
from .support.shops import Shop

THREADS = 6


class Size(enum.Enum):
    """Keys that Python can't sort."""

    SMALL = "small"
    LARGE = "large"


def uuid_text(number: int) -> str:
    return str(uuid.UUID(int=number))


KEYS: dict[str, tuple[Any, list[Any]]] = {
    "uuid as text": (sa.Uuid(as_uuid=False), [uuid_text(10), uuid_text(11)]),
    "uuid in a text column": (String(36), [uuid_text(10), uuid_text(11)]),
    "prefixed": (Prefixed(), ["cus_7", "cus_12"]),
    "enum": (sa.Enum(Size), [Size.SMALL, Size.LARGE]),
    "date": (sa.Date(), [date(2026, 1, 1), date(2026, 1, 2)]),
    "binary": (
        LargeBinary(16).with_variant(mysql.VARBINARY(16), "mysql", "mariadb"),
        [uuid.UUID(int=10).bytes, uuid.UUID(int=11).bytes],
    ),
}

# The first of the keys as JSON has it, and as a token may name it.
SPELLED = {
    "uuid as text": uuid_text(10),
    "uuid in a text column": uuid_text(10),
    "prefixed": "cus_7",
    "enum": "Size.SMALL",
    "date": "2026-01-01",
    "binary": uuid.UUID(int=10).hex,
}

ROLES = ("customer", "product", "cart", "cart_item")


class Rows:
    """A shop whose classes have keys of these types, an integer if none is given."""

    def __init__(self, **types: Any) -> None:
        self.db = db = new_db()
        key = {role: types.get(role, sa.Integer()) for role in ROLES}

        class Customer(db.Model):
            __tablename__ = "customers"
            id = mapped_column(key["customer"], primary_key=True)

        class Product(db.Model):
            __tablename__ = "goods"
            id = mapped_column(key["product"], primary_key=True)
            sku: Mapped[str | None] = mapped_column(String(20))
            name: Mapped[str | None] = mapped_column(String(20))
            price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
            stock: Mapped[int | None]

        class Cart(db.Model):
            __tablename__ = "baskets"
            id = mapped_column(key["cart"], primary_key=True)
            customer_id = mapped_column(ForeignKey("customers.id"), unique=True)

        class CartItem(db.Model):
            __tablename__ = "basket_rows"
            id = mapped_column(key["cart_item"], primary_key=True)
            cart_id = mapped_column(ForeignKey("baskets.id"), index=True)
            product_id = mapped_column(ForeignKey("goods.id"))
            quantity: Mapped[int]

        self.Customer, self.Product, self.Cart, self.CartItem = Customer, Product, Cart, CartItem

    @contextmanager
    def open(self, url: URL, customer: Any) -> Iterator[Shop]:
        """Yield the shop; every request names this customer."""
        models = declare_models(
            self.db,
            customer=self.Customer,
            product=self.Product,
            cart=self.Cart,
            cart_item=self.CartItem,
        )
        app = install(self.db, url, jwt=False, current_customer=lambda: customer)
        with app.app_context():
            self.db.create_all()
        shop = Shop(app, self.db, models)
        try:
            yield shop
        finally:
            shop.close()


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("role", ROLES)
def test_an_order_with_a_key_of_any_type(database: URL, role: str, name: str) -> None:
    """Ordered, seen by its customer and restocked, by keys as the shop's own columns hold them."""
    type_, keys = KEYS[name]
    rows = Rows(**{role: type_})
    key = {each: keys if each == role else [1, 2] for each in ROLES}
    customer = key["customer"][0]
    with rows.open(database, SPELLED[name] if role == "customer" else 1) as shop:
        shop.add(rows.Customer(id=customer))
        for product in key["product"]:
            shop.add(rows.Product(id=product, price=Decimal(10), stock=5))
        shop.add(rows.Cart(id=key["cart"][0], customer_id=customer))
        for item, product in zip(key["cart_item"], key["product"], strict=True):
            shop.add(rows.CartItem(id=item, cart_id=key["cart"][0], product_id=product, quantity=2))
        ledger = Ledger(shop.app)

        order = body(shop.app.test_client().get(ordered(shop)))

        assert order["total_amount"] == "40.00"
        named = {
            "customer": order["customer"]["id"],
            "product": order["items"][0]["product"]["id"],
        }
        assert named.get(role, SPELLED[name]) == SPELLED[name]
        assert [row["customer_id"] for row in shop.rows("orders")] == [customer]
        bought = [row["product_id"] for row in shop.rows("order_items")]
        assert sorted(bought, key=str) == sorted(key["product"], key=str)
        assert shop.rows("basket_rows") == []
        assert [row["stock"] for row in shop.rows("goods")] == [3, 3]
        url = f"{order['url']}cancel/"
        assert shop.app.test_client().post(url, json={}).status_code == 200
        assert [row["stock"] for row in shop.rows("goods")] == [5, 5]
        assert ledger.problems() == []


def ordered(shop: Shop) -> str:
    """Order the cart; return the order's URL."""
    answer = shop.app.test_client().post(ORDERS, json=SAVE)
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


class ByUniqueColumns:
    """A shop whose foreign keys lead to unique columns: an e-mail, a code, an SKU."""

    def __init__(self, text: Any) -> None:
        self.db = db = new_db()

        class Customer(db.Model):
            __tablename__ = "customers"
            id: Mapped[int] = mapped_column(primary_key=True)
            email = mapped_column(text, unique=True, nullable=False)

        class Product(db.Model):
            __tablename__ = "goods"
            id: Mapped[int] = mapped_column(primary_key=True)
            sku = mapped_column(text, unique=True, nullable=False)
            name: Mapped[str] = mapped_column(String(20), default="A")
            price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
            stock: Mapped[int]

        class Cart(db.Model):
            __tablename__ = "baskets"
            id: Mapped[int] = mapped_column(primary_key=True)
            code = mapped_column(text, unique=True, nullable=False)
            email = mapped_column(
                text, ForeignKey("customers.email", onupdate="CASCADE"), unique=True
            )

        class CartItem(db.Model):
            __tablename__ = "basket_rows"
            id: Mapped[int] = mapped_column(primary_key=True)
            cart_code = mapped_column(
                text, ForeignKey("baskets.code", onupdate="CASCADE"), index=True
            )
            product_sku = mapped_column(text, ForeignKey("goods.sku", onupdate="CASCADE"))
            quantity: Mapped[int]

        self.Customer, self.Product, self.Cart, self.CartItem = Customer, Product, Cart, CartItem

    @contextmanager
    def open(self, url: URL) -> Iterator[Shop]:
        """Yield the shop with two customers, each with an empty cart."""
        models = declare_models(
            self.db,
            customer=self.Customer,
            product=self.Product,
            cart=self.Cart,
            cart_item=self.CartItem,
        )
        app = install(self.db, url)
        with app.app_context():
            self.db.create_all()
        shop = Shop(app, self.db, models)
        for key, name in ((1, "ann"), (2, "bob")):
            shop.add(self.Customer(id=key, email=f"{name}@example.com"))
            shop.add(self.Cart(id=key, code=f"{name}-cart", email=f"{name}@example.com"))
        try:
            yield shop
        finally:
            shop.close()

    def put(self, shop: Shop, quantities: Mapping[str, int], cart: str = "ann-cart") -> None:
        for sku, quantity in quantities.items():
            shop.add(self.CartItem(cart_code=cart, product_sku=sku, quantity=quantity))


# What a case-insensitive collation is on each database that has one by default or at all.
INSENSITIVE = String(50).with_variant(String(50, collation="NOCASE"), "sqlite")


@pytest.fixture
def unique() -> ByUniqueColumns:
    return ByUniqueColumns(String(50))


def test_rows_are_found_by_the_unique_columns(database: URL, unique: ByUniqueColumns) -> None:
    with unique.open(database) as shop:
        for key, price in ((1, "10.00"), (2, "3.00")):
            shop.add(unique.Product(id=key, sku=f"S-{key}", price=Decimal(price), stock=5))
        unique.put(shop, {"S-1": 2, "S-2": 1})
        unique.put(shop, {"S-2": 4}, "bob-cart")
        ledger = Ledger(shop.app)

        order = shop.order(1)

        assert order["total_amount"] == "23.00"
        assert [item["product"]["id"] for item in order["items"]] == [1, 2]
        assert [row["quantity"] for row in shop.rows("basket_rows")] == [4]
        assert [row["stock"] for row in shop.rows("goods")] == [3, 4]
        assert shop.send(1, f"{order['url']}cancel/").status_code == 200
        assert [row["stock"] for row in shop.rows("goods")] == [5, 5]
        assert ledger.problems() == []


def test_the_number_of_statements_does_not_depend_on_the_items(
    database: URL, unique: ByUniqueColumns
) -> None:
    with unique.open(database) as shop:
        counts = set()
        for count in (1, 4, 16):
            for number in range(count):
                sku = f"S-{count}-{number}"
                shop.add(unique.Product(sku=sku, price=Decimal(1), stock=5))
                unique.put(shop, {sku: 1})
            with counted(shop.engine) as statements:
                assert shop.post(1).status_code == 201
            counts.add(len(statements))
        assert len(counts - {max(counts)}) <= 1, counts


def test_texts_that_only_the_database_holds_equal(database: URL) -> None:
    """Every reference is spelled in another case than the column to which it refers."""
    if database.get_backend_name() == "postgresql":
        pytest.skip("PostgreSQL compares texts byte by byte by default")
    unique = ByUniqueColumns(INSENSITIVE)
    with unique.open(database) as shop:
        with shop.session() as session:
            session.execute(
                sa.update(unique.Cart).where(unique.Cart.id == 1).values(email="ANN@example.com")
            )
        shop.add(unique.Product(id=1, sku="ABC-1", price=Decimal(10), stock=5))
        unique.put(shop, {"abc-1": 1}, "ANN-cart")
        unique.put(shop, {"ABC-1": 2}, "ann-CART")

        order = shop.order(1)

        assert order["total_amount"] == "30.00"
        assert {item["product"]["sku"] for item in order["items"]} == {"ABC-1"}
        assert shop.rows("basket_rows") == []
        assert [row["stock"] for row in shop.rows("goods")] == [2]


def test_one_cart_many_clicks_and_carts_in_opposite_order(
    database: URL, unique: ByUniqueColumns
) -> None:
    with unique.open(database) as shop:
        skus = [f"S-{number}" for number in range(4)]
        for sku in skus:
            shop.add(unique.Product(sku=sku, price=Decimal(1), stock=9))
        for _ in range(3):
            unique.put(shop, dict.fromkeys(skus, 1))
            unique.put(shop, dict.fromkeys(reversed(skus), 1), "bob-cart")
            clicks = [lambda: shop.post(1), lambda: shop.post(2)] * (THREADS // 2)
            found = outcomes(run_concurrently(*clicks))
            assert found[201] >= 2
            assert set(found) <= {201, "empty_cart"}
        assert len(shop.rows("orders")) == 6
        assert [row["stock"] for row in shop.rows("goods")] == [3] * 4


@pytest.mark.parametrize("change", ["the item got a new product", "the product got a new sku"])
def test_a_product_that_is_new_when_the_items_are_read(
    database: URL, unique: ByUniqueColumns, change: str
) -> None:
    """The order waits for the item's lock, and finds a product that its statement has not seen."""
    if database.get_backend_name() == "sqlite":
        pytest.skip("SQLite locks the whole database at BEGIN IMMEDIATE")
    with unique.open(database) as shop:
        shop.add(unique.Product(id=1, sku="OLD", price=Decimal(10), stock=5))
        unique.put(shop, {"OLD": 2})
        with shop.session() as session, ThreadPoolExecutor() as pool:
            if change == "the item got a new product":
                session.add(unique.Product(id=2, sku="NEW", price=Decimal(7), stock=5))
                session.flush()
                session.execute(sa.update(unique.CartItem).values(product_sku="NEW"))
            else:
                session.execute(sa.update(unique.Product).values(sku="NEW", price=Decimal(7)))
            answer = pool.submit(shop.post, 1)
            wait_for_lock_wait(shop)
            session.commit()
        assert answer.result().status_code == 201, answer.result().text
        (item,) = shop.rows("order_items")
        assert (item["sku"], item["unit_price"], item["quantity"]) == ("NEW", Decimal(7), 2)
        assert shop.rows("basket_rows") == []


def test_the_customer_is_the_cart_and_items_refer_to_the_e_mail(
    database: URL, unique: ByUniqueColumns
) -> None:
    """No cart table, and an item that refers to the customer by a unique column."""
    db = unique.db

    class Wish(db.Model):
        __tablename__ = "wishes"
        id: Mapped[int] = mapped_column(primary_key=True)
        email = mapped_column(String(50), ForeignKey("customers.email"), index=True)
        sku = mapped_column(String(50), ForeignKey("goods.sku"))
        quantity: Mapped[int] = mapped_column(default=1)

    models = declare_models(
        db, customer=unique.Customer, product=unique.Product, cart=unique.Customer, cart_item=Wish
    )
    app = install(db, database)
    with app.app_context():
        db.create_all()
    shop = Shop(app, db, models)
    for key in (1, 2):
        shop.add(unique.Product(sku=f"S-{key}", price=Decimal(key), stock=9))
    for email in ("ann@example.com", "bob@example.com"):
        shop.add(unique.Customer(email=email))
        shop.add(Wish(email=email, sku="S-1", quantity=2))
        shop.add(Wish(email=email, sku="S-2"))

    found = outcomes(run_concurrently(*[lambda: shop.post(1)] * THREADS))

    assert found[201] >= 1
    assert set(found) <= {201, "empty_cart"}
    assert [row["total_amount"] for row in shop.rows("orders")] == [Decimal(4)]
    assert [row["email"] for row in shop.rows("wishes")] == ["bob@example.com"] * 2
    assert [row["stock"] for row in shop.rows("goods")] == [7, 8]
    shop.close()


def test_an_item_without_a_product_is_gone(database: URL, unique: ByUniqueColumns) -> None:
    with unique.open(database) as shop:
        shop.add(unique.CartItem(cart_code="ann-cart", product_sku=None, quantity=1))
        with nothing_changed(shop):
            (item,) = refused(shop.post(1), 409, "item_unavailable")["items"]
            assert item["reason"] == "gone"
