"""Shops with unusual models: what is ordered, stored and restocked."""

import enum
import itertools
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import ForeignKey, Numeric, String, event
from sqlalchemy.engine import URL
from sqlalchemy.orm import (
    Mapped,
    mapped_column,
    relationship,
    with_loader_criteria,
)
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.types import TypeDecorator

from flask_orders import declare_models
from flask_orders.testing import Ledger

from .support.apps import install, new_db
from .support.database import counted
from .support.responses import body
from .support.shops import Shop

PRICE = Numeric(12, 2)


class Shape:
    """A shop's own classes, made anew: a customer, a product, a cart and cart items.

    `item`, `product` and `cart` are further attributes of the classes, by their names.
    """

    def __init__(
        self,
        *,
        key: Any = sa.Integer,
        item_key: Any = None,
        product: Mapping[str, Any] | None = None,
        cart: Mapping[str, Any] | None = None,
        item: Mapping[str, Any] | None = None,
    ) -> None:
        self.db = db = new_db()

        class Customer(db.Model):
            __tablename__ = "customers"
            id: Mapped[int] = mapped_column(primary_key=True)

        self.Customer = Customer
        self.Product = self.model(
            "Product",
            "goods",
            key=key,
            **{
                "sku": mapped_column(String(20), nullable=True),
                "name": mapped_column(String(20), nullable=True),
                "price": mapped_column(PRICE),
                "stock": mapped_column(sa.Integer, nullable=True),
                "shipping": None,
                "active": True,
                **(product or {}),
            },
        )
        self.Cart = self.model(
            "Cart",
            "baskets",
            customer_id=mapped_column(ForeignKey("customers.id")),
            **{"voucher": None, **(cart or {})},
        )
        self.CartItem = self.model(
            "CartItem",
            "basket_rows",
            cart_id=mapped_column(ForeignKey("baskets.id")),
            product_id=mapped_column(item_key or key, ForeignKey("goods.id")),
            quantity=mapped_column(sa.Integer),
            cart=relationship("Cart"),
            product=relationship("Product"),
            **(item or {}),
        )

    def model(self, cls: str, table: str, /, *, key: Any = sa.Integer, **attributes: Any) -> Any:
        """A class of the shop's with a key."""
        base = {"__tablename__": table, "id": mapped_column(key, primary_key=True)}
        return type(cls, (self.db.Model,), {**base, **attributes})

    @contextmanager
    def open(self, url: URL, **given: Any) -> Iterator[Shop]:
        """The shop, with the library installed and one customer, 1."""
        classes = {"product": self.Product, "cart": self.Cart, "cart_item": self.CartItem, **given}
        models = declare_models(self.db, customer=self.Customer, **classes)
        app = install(self.db, url)
        with app.app_context():
            self.db.create_all()
        shop = Shop(app, self.db, models)
        shop.add(self.Customer(id=1))
        try:
            yield shop
        finally:
            shop.close()


def bought(shop: Shop) -> list[tuple[Any, int, Decimal]]:
    """Product, quantity and price of every order item, cheapest first."""
    rows = sorted(shop.rows("order_items"), key=lambda row: row["unit_price"])
    return [(row["product_id"], row["quantity"], row["unit_price"]) for row in rows]


def add_all(shop: Shop, *rows: Any) -> None:
    with shop.session() as session:
        session.add_all(rows)


def stock(shop: Shop) -> list[int | None]:
    return [row["stock"] for row in shop.rows("goods")]


class TestReadsGoThroughTheMapper:
    """What a mapper or the session's criteria hide is neither ordered nor charged nor deleted."""

    def test_items_saved_for_later_by_a_sibling_class_stay(self, database: URL) -> None:
        shape = Shape(
            item={
                "kind": mapped_column(String(10)),
                "__mapper_args__": {"polymorphic_on": "kind", "polymorphic_identity": "row"},
            }
        )
        in_cart = type("InCart", (shape.CartItem,), polymorphic("cart"))
        saved = type("SavedForLater", (shape.CartItem,), polymorphic("saved"))
        with shape.open(database, cart_item=in_cart) as shop:
            cart, cheap, dear = (
                shape.Cart(id=1, customer_id=1),
                shape.Product(id=1, price=Decimal(10), stock=5),
                shape.Product(id=2, price=Decimal(500), stock=5),
            )
            rows = in_cart(product=cheap, quantity=1), saved(product=dear, quantity=1)
            for row in rows:
                row.cart = cart
            add_all(shop, *rows)

            previewed = body(shop.get(1, "/api/v1/i/orders/preview/"))
            assert shop.post(1).status_code == 201

            assert previewed["total_amount"] == "10.00"
            assert bought(shop) == [(1, 1, Decimal("10.00"))]
            assert [row["kind"] for row in shop.rows("basket_rows")] == ["saved"]
            assert stock(shop) == [4, 5]

    def test_a_cart_of_a_sibling_class_is_no_cart(self, database: URL) -> None:
        shape = Shape(
            cart={
                "kind": mapped_column(String(10)),
                "__mapper_args__": {"polymorphic_on": "kind", "polymorphic_identity": "any"},
            }
        )
        open_cart = type("OpenCart", (shape.Cart,), polymorphic("open"))
        wishes = type("Wishlist", (shape.Cart,), polymorphic("wishes"))
        with shape.open(database, cart=open_cart) as shop:
            product = shape.Product(id=1, price=Decimal(10), stock=5)
            wished = shape.CartItem(cart=wishes(customer_id=1), product=product, quantity=3)
            add_all(shop, wished)
            assert body(shop.post(1))["code"] == "empty_cart"
            add_all(shop, open_cart(id=9, customer_id=1))
            add_all(shop, shape.CartItem(cart_id=9, product_id=1, quantity=1))

            assert shop.post(1).status_code == 201

            assert bought(shop) == [(1, 1, Decimal("10.00"))]
            assert [row["quantity"] for row in shop.rows("basket_rows")] == [3]

    def test_a_product_of_a_sibling_class_is_gone(self, database: URL) -> None:
        shape = Shape(
            product={
                "kind": mapped_column(String(10)),
                "__mapper_args__": {"polymorphic_on": "kind", "polymorphic_identity": "any"},
            }
        )
        goods = type("Goods", (shape.Product,), polymorphic("goods"))
        drafts = type("Draft", (shape.Product,), polymorphic("draft"))
        with shape.open(database, product=goods) as shop:
            draft = drafts(id=1, price=Decimal(10), stock=5)
            cart = shape.Cart(customer_id=1)
            add_all(shop, shape.CartItem(cart=cart, product=draft, quantity=1))

            refused = body(shop.post(1))

            assert [line["reason"] for line in refused["items"]] == ["gone"]

    @pytest.mark.parametrize("hidden", ["item", "product", "cart"])
    def test_rows_hidden_by_the_session_s_criteria_are_ignored(
        self, database: URL, hidden: str
    ) -> None:
        """Soft delete and tenants, by `with_loader_criteria` in a `do_orm_execute` event."""
        deleted = {"deleted": mapped_column(sa.Boolean, default=False)}
        shape = Shape(**{hidden: deleted})
        cls = {"item": shape.CartItem, "product": shape.Product, "cart": shape.Cart}[hidden]
        with shape.open(database) as shop:

            @event.listens_for(shop.db.session, "do_orm_execute")
            def hide(state: Any) -> None:
                if state.is_select:
                    state.statement = state.statement.options(
                        with_loader_criteria(cls, lambda one: one.deleted.is_(False))
                    )

            add_all(
                shop,
                *(
                    shape.Product(
                        id=key, price=Decimal(price), stock=5, **deleted_if(hidden, "product", key)
                    )
                    for key, price in ((1, 10), (2, 500))
                ),
                *(
                    shape.Cart(id=key, customer_id=1, **deleted_if(hidden, "cart", key))
                    for key in ((1, 2) if hidden == "cart" else (1,))
                ),
                *(
                    shape.CartItem(
                        cart_id=key if hidden == "cart" else 1,
                        product_id=key,
                        quantity=1,
                        **deleted_if(hidden, "item", key),
                    )
                    for key in (1, 2)
                ),
            )
            answer = shop.post(1)
            if hidden == "product":
                (line,) = body(answer)["items"]
                assert (line["reason"], line["available"]) == ("gone", 0)
            else:
                assert answer.status_code == 201, answer.text
                assert bought(shop) == [(1, 1, Decimal("10.00"))]
                assert [row["product_id"] for row in shop.rows("basket_rows")] == [2]


def deleted_if(hidden: str, name: str, key: int) -> dict[str, Any]:
    """The second row of the class that is looked at is deleted."""
    return {"deleted": key == 2} if hidden == name else {}


def polymorphic(identity: str) -> dict[str, Any]:
    return {"__mapper_args__": {"polymorphic_identity": identity}}


class PrefixedText(TypeDecorator[str]):
    """ "prd_7", stored as "7"."""

    impl = String(20)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else value.removeprefix("prd_")

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else f"prd_{value}"


class Plan(enum.Enum):
    """Keys that Python can't sort."""

    SMALL = "small"
    LARGE = "large"


KEYS: dict[str, tuple[Any, Any, Any]] = {
    "prefixed": (PrefixedText, "prd_7", "prd_12"),
    "enum": (sa.Enum(Plan), Plan.SMALL, Plan.LARGE),
    "date": (
        sa.Date,
        datetime(2026, 1, 1, tzinfo=UTC).date(),
        datetime(2026, 1, 2, tzinfo=UTC).date(),
    ),
    "uuid": (sa.Uuid, uuid.UUID(int=1), uuid.UUID(int=2)),
    "uuid as text": (sa.Uuid(as_uuid=False), str(uuid.UUID(int=10)), str(uuid.UUID(int=11))),
}


@pytest.mark.parametrize("name", KEYS)
class TestKeysOfAnyType:
    def test_cancelled_and_expired_orders_restock(self, database: URL, name: str) -> None:
        type_, first, second = KEYS[name]
        shape = Shape(key=type_)
        with shape.open(database) as shop:
            add_all(
                shop,
                shape.Product(id=first, price=Decimal(10), stock=9),
                shape.Product(id=second, price=Decimal(5), stock=4),
                shape.Cart(id=1, customer_id=1),
            )
            ledger = Ledger(shop.app)
            for cancel in (cancel_by_customer, expire_all):
                for key, quantity in ((first, 2), (second, 3)):
                    shop.add(shape.CartItem(cart_id=1, product_id=key, quantity=quantity))
                    ledger.put(key, quantity)
                assert shop.post(1).status_code == 201
                assert sorted(stock(shop), key=str) == [1, 7]

                cancel(shop)

                assert sorted(stock(shop), key=str) == [4, 9]
            assert ledger.problems() == []


def cancel_by_customer(shop: Shop) -> None:
    (order,) = shop.rows("orders")
    assert shop.send(1, f"/api/v1/i/orders/{order['id']}/cancel/").status_code == 200


def expire_all(shop: Shop) -> None:
    with shop.session() as session:
        session.execute(
            sa.update(shop.models.Order).values(created=datetime.now(UTC) - timedelta(days=9))
        )
    result = shop.app.test_cli_runner().invoke(args=["orders", "expire"])
    assert result.exit_code == 0, result.output


def test_the_audit_names_a_stock_that_became_null(database: URL) -> None:
    shape = Shape()
    with shape.open(database) as shop:
        add_all(
            shop,
            shape.Product(id=1, price=Decimal(10), stock=9),
            shape.Product(id=2, price=Decimal(10), stock=None),
            shape.Cart(id=1, customer_id=1),
        )
        add_all(shop, *(shape.CartItem(cart_id=1, product_id=key, quantity=1) for key in (1, 2)))
        assert shop.post(1).status_code == 201
        ledger = Ledger(shop.app)
        with shop.service() as orders:
            assert list(orders.audit()) == []
        with shop.session() as session:
            session.execute(sa.update(shape.Product).values(stock=None))
        with shop.service() as orders:
            (problem,) = orders.audit()
        assert problem.startswith("I1: the stock of product 1 is NULL")
        assert any(found.startswith("I1: of product 1") for found in ledger.problems())


class TestTextKeysThatOnlyTheDatabaseHoldsEqual:
    """`ABC-1` and `abc-1` are one product under a case-insensitive collation, the default one of
    MariaDB; there blanks at the end do not count either."""

    @pytest.fixture
    def insensitive(self, database: URL) -> URL:
        if database.get_backend_name() == "postgresql":
            pytest.skip("PostgreSQL compares texts byte by byte by default")
        return database

    @staticmethod
    def shape() -> Shape:
        key = String(20).with_variant(String(20, collation="NOCASE"), "sqlite")
        return Shape(key=key)

    def test_keys_equal_in_the_database_are_one_product(self, insensitive: URL) -> None:
        shape = self.shape()
        with shape.open(insensitive) as shop:
            product = shape.Product(id="ABC-1", price=Decimal(10), stock=5)
            add_all(shop, product, shape.Cart(id=1, customer_id=1))
            shop.add(shape.CartItem(cart_id=1, product_id="abc-1", quantity=1))
            shop.add(shape.CartItem(cart_id=1, product_id="ABC-1", quantity=1))
            shop.add(self.offer(shop))

            order = shop.order(1)

            assert order["total_amount"] == "18.00"
            assert {item["product"]["id"] for item in order["items"]} == {"ABC-1"}
            assert stock(shop) == [3]
            cancel_by_customer(shop)
            assert stock(shop) == [5]

    @staticmethod
    def offer(shop: Shop) -> Any:
        """10 % off, linked by a key that is spelled in another way."""
        offer = shop.models.Offer(title="Ten", discount_type="percentage", discount_value=10)
        key = shop.add(offer)
        links = shop.models.offer_products
        with shop.engine.begin() as connection:
            connection.execute(links.insert().values(offer_id=key, product_id="aBc-1"))
        return shop.models.Voucher(code="UNUSED", discount_type="fixed", discount_value=Decimal(1))

    def test_a_product_whose_key_was_respelled_is_restocked(self, insensitive: URL) -> None:
        shape = self.shape()
        with shape.open(insensitive) as shop:
            add_all(
                shop,
                shape.Product(id="abc-1", price=Decimal(10), stock=5),
                shape.Cart(id=1, customer_id=1),
            )
            shop.add(shape.CartItem(cart_id=1, product_id="abc-1", quantity=2))
            assert shop.post(1).status_code == 201
            with shop.engine.begin() as connection:
                if insensitive.get_backend_name() != "sqlite":
                    connection.exec_driver_sql("SET foreign_key_checks=0")
                connection.execute(sa.update(shape.Product.__table__).values(id="ABC-1"))

            cancel_by_customer(shop)

            assert stock(shop) == [5]


class TestNamesThatAreNotThere:
    def test_a_product_without_sku_and_name_has_null_everywhere(self, database: URL) -> None:
        shape = Shape()
        with shape.open(database) as shop:
            add_all(
                shop,
                shape.Product(id=1, price=Decimal(10), stock=1),
                shape.Cart(id=1, customer_id=1),
            )
            shop.add(shape.CartItem(cart_id=1, product_id=1, quantity=2))
            nothing = {"id": 1, "sku": None, "name": None}

            (refused,) = body(shop.post(1))["items"]
            assert refused["product"] == nothing
            with shop.session() as session:
                session.execute(sa.update(shape.CartItem).values(quantity=1))
            (previewed,) = body(shop.get(1, "/api/v1/i/orders/preview/"))["items"]
            assert previewed["product"] == nothing
            (item,) = shop.order(1)["items"]

            assert item["product"] == nothing
            (row,) = shop.rows("order_items")
            assert (row["sku"], row["name"]) == (None, None)

    def test_an_integer_sku_is_text_everywhere(self, database: URL) -> None:
        shape = Shape(product={"sku": mapped_column(sa.Integer)})
        with shape.open(database) as shop:
            add_all(
                shop,
                shape.Product(id=1, sku=42, name="A", price=Decimal(10), stock=1),
                shape.Cart(id=1, customer_id=1),
            )
            shop.add(shape.CartItem(cart_id=1, product_id=1, quantity=2))
            (refused,) = body(shop.post(1))["items"]
            with shop.session() as session:
                session.execute(sa.update(shape.CartItem).values(quantity=1))
            (previewed,) = body(shop.get(1, "/api/v1/i/orders/preview/"))["items"]
            (item,) = shop.order(1)["items"]
            skus = {one["product"]["sku"] for one in (refused, previewed, item)}
            assert skus == {"42"}


def next_minute(version: datetime | None) -> datetime:
    return (version or datetime(2026, 1, 1)) + timedelta(minutes=1)  # noqa: DTZ001 - the column's


VERSIONS: dict[str, tuple[Any, Callable[[Any], Any] | None]] = {
    "integer": (sa.Integer, None),
    "uuid": (sa.Uuid, lambda _: uuid.uuid4()),
    "timestamp": (sa.DateTime, next_minute),
}


@pytest.mark.parametrize("name", VERSIONS)
class TestVersionedRows:
    """A form that was opened before the order must not overwrite the stock."""

    @staticmethod
    def versioned(name: str) -> dict[str, Any]:
        type_, generator = VERSIONS[name]
        version = mapped_column("row_version", type_, nullable=False)
        arguments = {"version_id_col": version}
        if generator is not None:
            arguments["version_id_generator"] = generator  # type: ignore[assignment] # a function
        return {"version": version, "__mapper_args__": arguments}

    def test_an_order_and_its_cancellation_increment_the_product_s_version(
        self, database: URL, name: str
    ) -> None:
        shape = Shape(product=self.versioned(name))
        with shape.open(database) as shop:
            for key in (1, 2):
                shop.add(shape.Product(id=key, price=Decimal(10), stock=9))
            shop.add(shape.Cart(id=1, customer_id=1))
            add_all(shop, *(shape.CartItem(cart_id=1, product_id=k, quantity=2) for k in (1, 2)))
            for change in (lambda: shop.post(1), lambda: cancel_by_customer(shop)):
                before = [row["row_version"] for row in shop.rows("goods")]
                with shop.app.app_context():
                    opened = shop.db.session.get(shape.Product, 1)
                    shop.db.session.commit()
                    # As a form that holds the object over the other's transaction.
                    shop.db.session.refresh(opened)
                    held = sa.inspect(opened).dict.copy()
                    shop.db.session.rollback()
                    change()
                    shop.db.session.remove()
                    stale = shape.Product(**{k: held[k] for k in ("id", "price", "version")})
                    sa.orm.make_transient_to_detached(stale)
                    shop.db.session.add(stale)
                    stale.stock = 100
                    with pytest.raises(StaleDataError):
                        shop.db.session.flush()
                    shop.db.session.rollback()
                    shop.db.session.remove()
                after = [row["row_version"] for row in shop.rows("goods")]
                assert all(old != new for old, new in zip(before, after, strict=True))
            if name == "integer":
                assert after == [3, 3]
            assert stock(shop) == [9, 9]

    def test_removing_the_voucher_increments_the_cart_s_version(
        self, database: URL, name: str
    ) -> None:
        shape = Shape(
            cart={**self.versioned(name), "voucher": mapped_column(String(20), nullable=True)}
        )
        with shape.open(database) as shop:
            shop.voucher("TEN", "10%")
            shop.add(shape.Product(id=1, price=Decimal(10), stock=9))
            shop.add(shape.Cart(id=1, customer_id=1, voucher="TEN"))
            shop.add(shape.CartItem(cart_id=1, product_id=1, quantity=1))
            (before,) = shop.rows("baskets")
            assert shop.order(1)["total_amount"] == "9.00"
            (after,) = shop.rows("baskets")
            assert after["voucher"] is None
            assert before["row_version"] != after["row_version"]


@pytest.mark.parametrize("nullable", [True, False])
def test_an_empty_code_is_no_voucher(database: URL, nullable: bool) -> None:
    """As in a column with default="", which need not be nullable: the code is taken off as ""."""
    shape = Shape(cart={"voucher": mapped_column(String(20), nullable=nullable, default="")})
    with shape.open(database) as shop:
        shop.voucher("TEN", "10%")
        shop.add(shape.Product(id=1, price=Decimal(10), stock=9))
        shop.add(shape.Cart(id=1, customer_id=1))
        for code, total in (("", "10.00"), ("  ", "10.00"), ("TEN", "9.00"), ("", "10.00")):
            with shop.session() as session:
                cart = session.get_one(shape.Cart, 1)
                cart.voucher = code or cart.voucher
                session.add(shape.CartItem(cart_id=1, product_id=1, quantity=1))
            assert shop.order(1)["total_amount"] == total
        assert [row["voucher"] for row in shop.rows("baskets")] == [None if nullable else ""]


@pytest.mark.parametrize("name", VERSIONS)
@pytest.mark.parametrize("polymorphic_load", [None, "*"])
def test_products_in_joined_inheritance(
    database: URL, name: str, polymorphic_load: str | None
) -> None:
    """Price and version are in the base's table, the stock in the subclass's."""
    versioned = TestVersionedRows.versioned(name)
    arguments = versioned.pop("__mapper_args__")
    kind = mapped_column(String(10))
    shape = Shape(
        product={
            **versioned,
            "kind": kind,
            "stock": None,
            "__mapper_args__": {
                **arguments,
                "polymorphic_on": kind,
                "polymorphic_identity": "any",
                "with_polymorphic": polymorphic_load,
            },
        }
    )
    book = type(
        "Book",
        (shape.Product,),
        {
            "__tablename__": "books",
            "book_id": mapped_column(ForeignKey("goods.id"), primary_key=True),
            "stock": mapped_column(sa.Integer),
            **polymorphic("book"),
        },
    )
    with shape.open(database, product=book) as shop:
        for key in (1, 2):
            shop.add(book(id=key, price=Decimal(10), stock=9))
        shop.add(shape.Product(id=3, price=Decimal(500)))
        shop.add(shape.Cart(id=1, customer_id=1))
        add_all(shop, *(shape.CartItem(cart_id=1, product_id=k, quantity=2) for k in (1, 2)))
        versions = [[row["row_version"] for row in shop.rows("goods")]]

        assert shop.order(1)["total_amount"] == "40.00"
        assert [row["stock"] for row in shop.rows("books")] == [7, 7]
        versions.append([row["row_version"] for row in shop.rows("goods")])
        cancel_by_customer(shop)
        assert [row["stock"] for row in shop.rows("books")] == [9, 9]
        versions.append([row["row_version"] for row in shop.rows("goods")])
        for before, after in itertools.pairwise(versions):
            assert [old != new for old, new in zip(before, after, strict=True)] == [1, 1, 0]

        # One that is no book can't be bought, and one book too many neither.
        for key, reason, left in ((3, "gone", 0), (1, "out_of_stock", 9)):
            shop.add(shape.CartItem(id=key * 10, cart_id=1, product_id=key, quantity=10))
            (refused,) = body(shop.post(1))["items"]
            assert (refused["reason"], refused["available"]) == (reason, left)
            with shop.session() as session:
                session.execute(sa.delete(shape.CartItem))
        assert len(shop.rows("orders")) == 1


class TestRowsThatHangOnCartItems:
    """They go the way that the shop's own `session.delete(item)` sends them."""

    @staticmethod
    def order(shop: Shop, shape: Shape, *rows: Any) -> None:
        """Order a cart of two items, 1 and 2, on which the rows hang."""
        shop.add(shape.Product(id=1, price=Decimal(10), stock=9))
        shop.add(shape.Cart(id=1, customer_id=1))
        for key in (1, 2):
            shop.add(shape.CartItem(id=key, cart_id=1, product_id=1, quantity=1))
        for row in rows:
            shop.add(row)
        answer = shop.post(1)
        assert answer.status_code == 201, answer.text
        assert shop.rows("basket_rows") == []

    def test_options_and_their_files_are_deleted_by_orm_cascades(self, database: URL) -> None:
        """The database has no ON DELETE; files lie below options, the deepest rows go first."""
        shape = Shape(item={"options": relationship("Option", cascade="all, delete-orphan")})
        option = shape.model(
            "Option",
            "options",
            item_id=mapped_column(ForeignKey("basket_rows.id"), nullable=False),
            files=relationship("File", cascade="all, delete-orphan"),
        )
        file = shape.model(
            "File", "files", option_id=mapped_column(ForeignKey("options.id"), nullable=False)
        )
        with shape.open(database) as shop:
            rows = [
                option(id=1, item_id=1),
                option(id=2, item_id=2),
                file(option_id=1),
                file(option_id=2),
            ]
            self.order(shop, shape, *rows)
            assert (shop.rows("options"), shop.rows("files")) == ([], [])

    def test_only_the_rows_of_these_items_and_of_that_class_are_deleted(
        self, database: URL
    ) -> None:
        shape = Shape(item={"options": relationship("Engraving", cascade="all, delete-orphan")})
        extra = shape.model(
            "Extra",
            "extras",
            item_id=mapped_column(ForeignKey("basket_rows.id", ondelete="SET NULL"), nullable=True),
            kind=mapped_column(String(10)),
            __mapper_args__={"polymorphic_on": "kind", "polymorphic_identity": "extra"},
        )
        engraving = type("Engraving", (extra,), polymorphic("engraving"))
        note = type("Note", (extra,), polymorphic("note"))
        with shape.open(database) as shop:
            shop.add(shape.Customer(id=2))
            shop.add(shape.Product(id=7, price=Decimal(10), stock=9))
            shop.add(shape.Cart(id=2, customer_id=2))
            shop.add(shape.CartItem(id=9, cart_id=2, product_id=7, quantity=1))
            shop.add(engraving(id=3, item_id=9))
            shop.add(shape.Product(id=1, price=Decimal(10), stock=9))
            shop.add(shape.Cart(id=1, customer_id=1))
            shop.add(shape.CartItem(id=1, cart_id=1, product_id=1, quantity=1))
            shop.add(engraving(id=1, item_id=1))
            shop.add(note(id=2, item_id=1))
            assert shop.post(1).status_code == 201
            left = [(row["id"], row["kind"], row["item_id"]) for row in shop.rows("extras")]
            assert left == [(2, "note", None), (3, "engraving", 9)]

    @pytest.mark.parametrize("related", [False, True])
    @pytest.mark.parametrize("ondelete", [None, "SET NULL"])
    def test_the_shop_s_old_order_rows_stay(
        self, database: URL, *, related: bool, ondelete: str | None
    ) -> None:
        shape = Shape(item={"old_rows": relationship("OldRow")} if related else {})
        old = shape.model(
            "OldRow",
            "old_rows",
            item_id=mapped_column(ForeignKey("basket_rows.id", ondelete=ondelete), nullable=True),
        )
        with shape.open(database) as shop:
            self.order(shop, shape, old(id=1, item_id=1), old(id=2, item_id=2))
            assert [row["item_id"] for row in shop.rows("old_rows")] == [None, None]

    def test_a_row_that_no_cascade_names_stays_though_the_database_would_delete_it(
        self, database: URL
    ) -> None:
        shape = Shape(item={"old_rows": relationship("OldRow")})
        old = shape.model(
            "OldRow",
            "old_rows",
            item_id=mapped_column(ForeignKey("basket_rows.id", ondelete="CASCADE"), nullable=True),
        )
        with shape.open(database) as shop:
            self.order(shop, shape, old(id=1, item_id=1))
            assert [row["item_id"] for row in shop.rows("old_rows")] == [None]

    def test_deletes_by_the_database_are_left_to_it(self, database: URL) -> None:
        shape = Shape()
        option = shape.model(
            "Option",
            "options",
            item_id=mapped_column(ForeignKey("basket_rows.id", ondelete="CASCADE"), nullable=False),
        )
        with shape.open(database) as shop:
            self.order(shop, shape, option(item_id=1), option(item_id=2))
            assert shop.rows("options") == []

    @pytest.mark.parametrize("ondelete", [None, "CASCADE", "SET NULL"])
    def test_items_may_point_to_items(self, database: URL, ondelete: str | None) -> None:
        """A gift of, a part of: to those of the same cart, and from one that is not ordered."""
        foreign_key = ForeignKey("basket_rows.id", ondelete=ondelete)
        shape = Shape(item={"gift_of_id": mapped_column(foreign_key, nullable=True)})
        with shape.open(database) as shop:
            shop.add(shape.Product(id=1, price=Decimal(10), stock=9))
            shop.add(shape.Cart(id=1, customer_id=1))
            rows = ((1, None), (2, 1), (3, 2))
            for key, gift in rows:
                shop.add(
                    shape.CartItem(id=key, cart_id=1, product_id=1, quantity=1, gift_of_id=gift)
                )
            answer = shop.post(1)
            assert answer.status_code == 201, answer.text
            assert shop.rows("basket_rows") == []
            assert stock(shop) == [6]

    def test_tags_are_detached_and_stay(self, database: URL) -> None:
        shape = Shape()
        tag = shape.model("Tag", "tags")
        links = sa.Table(
            "item_tags",
            shape.db.metadata,
            sa.Column("item_id", ForeignKey("basket_rows.id"), primary_key=True),
            sa.Column("tag_id", ForeignKey("tags.id"), primary_key=True),
        )
        shape.CartItem.tags = relationship(tag, secondary=links)
        with shape.open(database) as shop:
            shop.add(shape.Product(id=1, price=Decimal(10), stock=9))
            shop.add(shape.Cart(id=1, customer_id=1))
            shop.add(shape.CartItem(id=1, cart_id=1, product_id=1, quantity=1, tags=[tag(id=5)]))
            assert shop.post(1).status_code == 201
            assert shop.rows("item_tags") == []
            assert [row["id"] for row in shop.rows("tags")] == [5]

    def test_a_row_owned_by_an_item_is_deleted_after_it(self, database: URL) -> None:
        shape = Shape(
            item={
                "design_id": mapped_column(ForeignKey("designs.id"), nullable=True),
                "design": relationship("Design", cascade="all, delete-orphan", single_parent=True),
            }
        )
        design = shape.model("Design", "designs")
        with shape.open(database) as shop:
            shop.add(shape.Product(id=1, price=Decimal(10), stock=9))
            shop.add(shape.Cart(id=1, customer_id=1))
            shop.add(design(id=8))
            shop.add(shape.CartItem(cart_id=1, product_id=1, quantity=1, design=design(id=7)))
            shop.add(shape.CartItem(cart_id=1, product_id=1, quantity=1))
            assert shop.post(1).status_code == 201
            assert [row["id"] for row in shop.rows("designs")] == [8]

    def test_a_cascade_to_the_product_is_not_followed(self, database: URL) -> None:
        shape = Shape()
        shape.CartItem.again = relationship(
            shape.Product, cascade="all", overlaps="product", viewonly=False
        )
        with shape.open(database) as shop:
            self.order(shop, shape)
            assert stock(shop) == [7]
            assert "remove 'delete' from its cascade" in problems(shop)

    def test_rows_that_can_be_neither_deleted_nor_detached_are_named_by_check(
        self, database: URL
    ) -> None:
        shape = Shape()
        shape.model(
            "Reservation",
            "reservations",
            item_id=mapped_column(ForeignKey("basket_rows.id"), nullable=False),
        )
        with shape.open(database) as shop:
            assert "rows of 'reservations' point to CartItem by item_id" in problems(shop)

    def test_the_number_of_statements_depends_on_the_tables_alone(self, database: URL) -> None:
        shape = Shape(item={"options": relationship("Option", cascade="all, delete-orphan")})
        option = shape.model(
            "Option",
            "options",
            item_id=mapped_column(ForeignKey("basket_rows.id"), nullable=False),
        )
        with shape.open(database) as shop:
            shop.add(shape.Product(id=1, price=Decimal(10), stock=99))
            shop.add(shape.Cart(id=1, customer_id=1))
            sent = []
            for number in (1, 1, 7):
                for _ in range(number):
                    key = shop.add(shape.CartItem(cart_id=1, product_id=1, quantity=1))
                    add_all(shop, option(item_id=key), option(item_id=key))
                with counted(shop.engine) as statements:
                    assert shop.post(1).status_code == 201
                sent.append(len(statements))
            assert shop.rows("options") == []
        assert sent[1] == sent[2]


def problems(shop: Shop) -> str:
    return str(shop.app.test_cli_runner().invoke(args=["orders", "check"]).output)
