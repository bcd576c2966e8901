"""The plan of an order follows from its priced cart, and is written in full or not at all."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import FrozenInstanceError, dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from operator import itemgetter
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column

from flask_orders import (
    Conflict,
    Models,
    current_orders,
    declare_models,
)
from flask_orders.address_book import AddressBook, AddressRow, new_address
from flask_orders.audit import recomputed
from flask_orders.cart_items import ProductRow
from flask_orders.carts import CartSnapshot
from flask_orders.currency import Currency
from flask_orders.db.classify import is_conflict
from flask_orders.errors import IdempotencyKeyReused
from flask_orders.models import OrderItemMixin, OrderMixin
from flask_orders.models.contract import table
from flask_orders.offers import Offer, Voucher, price_cart
from flask_orders.plan import SET_BY_WRITER, OrderPlan, OrderPlanner, VoucherRemoval
from flask_orders.pricing import Cart, CartItem, PricedCart
from flask_orders.product_reader import ProductValues
from flask_orders.product_stock import CountedStock, StockChange
from flask_orders.promotions import Promotions
from flask_orders.receivers import PlacingReceivers
from flask_orders.service import components_of
from flask_orders.stock_columns import StockColumn, StockLevel
from flask_orders.writer import OrderWriter

from .support.apps import install, new_db
from .support.database import counted, nothing_changed
from .support.requests import HOME
from .support.shops import Shop

KEY = UUID(int=1)
NOW = datetime(2026, 11, 26, tzinfo=UTC)
CURRENCY = Currency.of("USD")
VOUCHER = Voucher(7, "TEN", "percentage", Decimal(10))
OFFER = Offer(3, "5% off", "percentage", Decimal(5))


@dataclass(frozen=True)
class Reference:
    """An `OrderReference`."""

    id: UUID = KEY
    customer_id: Any = "customer"


@dataclass(frozen=True)
class Product:
    price: Decimal
    stock: int | None
    shipping: Decimal = Decimal(0)
    version: int = 4


products = st.builds(
    Product,
    st.decimals(min_value=0, max_value=1_000, places=2),
    st.none() | st.integers(1, 100),
    st.decimals(min_value=0, max_value=10, places=2),
)


def cart_item(key: int, product_id: Any, product: Product, quantity: int) -> CartItem:
    return CartItem(
        key,
        product_id,
        product,
        quantity,
        sku="SKU",
        name="Name",
        list_price=product.price,
        shipping=product.shipping,
    )


@st.composite
def items(draw: st.DrawFn) -> tuple[CartItem, ...]:
    """Items of a few products, so that several items are of the same product."""
    listed = draw(st.lists(products, min_size=1, max_size=4))
    wanted = draw(
        st.lists(
            st.tuples(st.integers(0, len(listed) - 1), st.integers(1, 50)), min_size=1, max_size=8
        )
    )
    return tuple(
        cart_item(key, f"product {product}", listed[product], quantity)
        for key, (product, quantity) in enumerate(wanted, start=1)
    )


def snapshot(of: tuple[CartItem, ...], voucher: Any = None) -> CartSnapshot:
    read = {
        item.product_id: ProductRow(
            item.product,
            ProductValues("SKU", "Name", True, item.list_price, None, item.shipping, True),
            StockLevel(item.product.stock, is_held=item.product.stock is not None),
            item.product.version,
        )
        for item in of
    }
    keys = tuple((item.key,) for item in of)
    return CartSnapshot("cart", voucher, 9, None, keys, of, (), read)


def planned(models: Models, cart: CartSnapshot, priced: PricedCart, **extra: Any) -> OrderPlan:
    return OrderPlanner(models).plan(
        Reference(),
        cart,
        priced,
        AddressRow(5, HOME),
        sequence=2,
        now=NOW,
        extra=extra,
        has_receivers=False,
    )


def priced_cart(
    of: tuple[CartItem, ...], voucher: Voucher | None = None, offers: Sequence[Offer] = (OFFER,)
) -> PricedCart:
    priced, refusal = price_cart(of, offers, voucher, CURRENCY, NOW)
    assert refusal is None
    return priced


def default_models() -> Models:
    return declare_models(new_db())


DEFAULT = default_models()


@given(items(), st.none() | st.just(VOUCHER))
def test_a_plan_is_consistent_with_its_priced_cart(
    of: tuple[CartItem, ...], voucher: Voucher | None
) -> None:
    priced = priced_cart(of, voucher)
    plan = planned(DEFAULT, snapshot(of, None if voucher is None else voucher.id), priced)

    assert plan.cart_item_keys == tuple((item.key,) for item in of)
    assert [row["position"] for row in plan.items] == list(range(1, len(of) + 1))
    assert {row["order_id"] for row in plan.items} == {plan.order["id"]} == {plan.reference.id}
    assert len({row["id"] for row in plan.items}) == len(of)
    assert sum(row["quantity"] for row in plan.items) == plan.order["items_count"]
    amounts = recomputed([SimpleNamespace(**row) for row in plan.items])
    assert {name: plan.order[name] for name in amounts} == amounts
    assert amounts["total_amount"] == priced.total_amount
    assert plan.voucher is voucher
    assert plan.order["voucher_id"] == (None if voucher is None else voucher.id)
    assert plan.voucher_removal == (None if voucher is None else VoucherRemoval("cart", None))


@given(items())
def test_the_units_to_deduct_are_those_of_the_items_whose_stock_is_counted(
    of: tuple[CartItem, ...],
) -> None:
    plan = planned(DEFAULT, snapshot(of), priced_cart(of))

    deducted = Counter[Any]()
    for row in plan.items:
        if row["stock_deducted"]:
            deducted[row["product_id"]] += row["quantity"]
    assert {key: change.units for key, change in plan.stock.items()} == deducted
    assert set(deducted) == {item.product_id for item in of if item.product.stock is not None}


@given(items())
def test_every_row_is_complete(of: tuple[CartItem, ...]) -> None:
    plan = planned(DEFAULT, snapshot(of), priced_cart(of))

    assert plan.order.keys() == set(table(DEFAULT.Order).c.keys()) - SET_BY_WRITER
    for row in plan.items:
        assert row.keys() == set(table(DEFAULT.OrderItem).c.keys())


def test_a_plan_can_t_be_changed() -> None:
    of = (cart_item(1, 1, Product(Decimal(1), 1), 1),)
    plan = planned(DEFAULT, snapshot(of), priced_cart(of))
    with pytest.raises(FrozenInstanceError):
        plan.voucher = VOUCHER  # type: ignore[misc] # it is frozen


def test_the_next_versions_of_a_shop_s_rows_are_in_the_plan() -> None:
    db = new_db()

    class Article(db.Model):
        __tablename__ = "articles"
        id: Mapped[int] = mapped_column(primary_key=True)
        price: Mapped[Decimal]
        stock: Mapped[int]
        version: Mapped[int] = mapped_column()
        __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own
        sku = name = shipping = None
        active = True

    class Basket(db.Model):
        __tablename__ = "baskets"
        id: Mapped[int] = mapped_column(primary_key=True)
        customer_id: Mapped[str] = mapped_column(sa.String(255), unique=True)
        voucher: Mapped[str | None]
        version: Mapped[int] = mapped_column()
        __mapper_args__ = {  # noqa: RUF012 - SQLAlchemy's own
            "version_id_col": version,
            "version_id_generator": lambda version: version + 10,
        }

    models = declare_models(db, product=Article, cart=Basket)
    of = (cart_item(1, 1, Product(Decimal(1), 5), 2), cart_item(2, 1, Product(Decimal(1), 5), 1))
    plan = planned(models, snapshot(of, "TEN"), priced_cart(of))

    assert plan.stock == {1: StockChange(units=3, version=5)}
    assert plan.voucher_removal == VoucherRemoval("cart", version=19)


def gift_models(db: SQLAlchemy) -> Models:
    """Models with every kind of a column's default."""

    class Order(OrderMixin, db.Model):
        channel: Mapped[str] = mapped_column(sa.String(20), default="web")
        tags: Mapped[list[str]] = mapped_column(sa.JSON, default=lambda: ["new"])
        gift_note: Mapped[str | None] = mapped_column(sa.String(80))
        label: Mapped[str] = mapped_column(
            sa.String(80), default=lambda context: context.get_current_parameters()["number"]
        )
        weekday: Mapped[str] = mapped_column(sa.String(20), default=sa.func.lower("MONDAY"))
        source: Mapped[str] = mapped_column(sa.String(20), server_default="shop")

    class OrderItem(OrderItemMixin, db.Model):
        returned: Mapped[int] = mapped_column(default=0)

    return declare_models(db, order=Order, order_item=OrderItem)


def test_the_defaults_of_a_shop_s_own_columns_are_in_the_plan() -> None:
    """Only the INSERT can work out an SQL expression, a server default, or a context's function."""
    models = gift_models(new_db())
    of = (cart_item(1, 1, Product(Decimal(1), 1), 1),)
    plan = planned(models, snapshot(of), priced_cart(of), gift_note="For Ann", channel="phone")

    own = {name: plan.order[name] for name in ("channel", "tags", "gift_note")}
    assert own == {"channel": "phone", "tags": ["new"], "gift_note": "For Ann"}
    assert planned(models, snapshot(of), priced_cart(of)).order["channel"] == "web"
    assert not plan.order.keys() & {"label", "weekday", "source"}
    assert [row["returned"] for row in plan.items] == [0]


@contextmanager
def gift_shop(url: URL) -> Iterator[SQLAlchemy]:
    """The `db` of a shop with these models, in its app context; Ann has a cart."""
    db = new_db()
    models = gift_models(db)
    with install(db, url).app_context():
        db.create_all()
        product = models.Product(sku="A", name="A", price=Decimal(3))
        row = models.CartItem(product=product, quantity=2)
        db.session.add(models.Cart(customer_id="ann", items=[row]))
        db.session.commit()
        yield db
        db.session.remove()
        db.engine.dispose()


def test_an_order_has_the_defaults_of_a_shop_s_own_columns(database: URL) -> None:
    with gift_shop(database) as db:
        order: Any = current_orders.convert("ann", billing_address=HOME)
        db.session.commit()

        found = (order.channel, order.tags, order.gift_note, order.weekday, order.source)
        assert found == ("web", ["new"], None, "monday", "shop")
        assert order.label == order.number
        assert [item.returned for item in order.items] == [0]


def test_values_of_the_shop_s_own_columns_are_stored_and_belong_to_the_request(
    database: URL,
) -> None:
    """Another value under the same key is another request."""
    with gift_shop(database):

        def place(**extra: str) -> Any:
            keyed: dict[str, Any] = {"billing_address": HOME, "idempotency_key": "k"}
            return current_orders.place("ann", **keyed, extra=extra)

        placed = place(gift_note="For Ann")
        assert place(gift_note="For Ann").replayed
        with pytest.raises(IdempotencyKeyReused):
            place(gift_note="For Ben")

        order: Any = current_orders.get("ann", placed.order_id)
        assert order.gift_note == "For Ann"


@contextmanager
def plan_of(shop: Shop, pricing: str) -> Iterator[tuple[OrderPlan, OrderWriter]]:
    """A plan of the only customer's cart, with the locks, and what writes it."""
    customer = shop.customer()
    voucher = shop.voucher("TEN", "10%")
    shop.cart(customer, {shop.product(): 2, shop.product(): 1}, voucher)
    with shop.app.app_context():
        orders, session, models = current_orders, shop.db.session, shop.models
        cart = components_of(orders).carts.read(customer, 10)
        assert cart is not None
        priced = priced_cart(cart.items, replace(VOUCHER, id=voucher), offers=())
        plan = OrderPlanner(models).plan(
            Reference(customer_id=customer),
            cart,
            priced,
            AddressRow(None, HOME),
            sequence=1,
            now=NOW,
            extra={},
            has_receivers=False,
        )
        addresses, products = AddressBook(session, models, None), table(models.Product).c
        stock = CountedStock(session, models.Product, products.id, StockColumn(products.stock))
        receivers = PlacingReceivers(session, models, components_of(orders).carts)
        prices = Promotions(session, models) if pricing == "the library's" else NoVouchers()
        yield plan, OrderWriter(session, models, addresses, stock, prices, receivers)
        session.rollback()


class NoVouchers:
    """A `Pricing` that is asked for no price, and whose vouchers have no limit."""

    def price(self, cart: Cart, now: Any) -> PricedCart:
        raise NotImplementedError

    def redeem(self, voucher: Any, order: Any) -> None:
        assert voucher.code == "TEN"

    def release(self, voucher: Any, order: Any) -> None:
        raise NotImplementedError


# With a pricing of the shop's own PostgreSQL too has to write step by step.
each_pricing = pytest.mark.parametrize("pricing", ["the library's", "the shop's"])


@each_pricing
def test_a_plan_is_written_as_it_is(shop: Shop, pricing: str) -> None:
    with plan_of(shop, pricing) as (plan, writer), counted(shop.engine) as statements:
        writer.write(plan)
        if shop.engine.dialect.name == "postgresql":
            assert (len(statements) == 1) is (pricing == "the library's"), statements
        shop.db.session.commit()
    (order,) = shop.rows("orders")
    items = sorted(shop.rows("order_items"), key=itemgetter("position"))
    assert {name: order[name] for name in plan.order} == plan.order
    for item, row in zip(items, plan.items, strict=True):
        assert {name: item[name] for name in row} == row
    assert shop.rows("cart_items") == []
    assert [cart["voucher_id"] for cart in shop.rows("carts")] == [None]
    stock = {row["id"]: row["stock"] for row in shop.rows("products")}
    assert stock == {key: 10 - change.units for key, change in plan.stock.items()}


@each_pricing
@pytest.mark.parametrize(
    "wrong",
    [
        {"stock": {4_000_000: StockChange(1)}},
        {"cart_item_keys": ((4_000_000,),)},
        {"voucher_removal": VoucherRemoval(4_000_000, None)},
    ],
    ids=["stock", "cart items", "voucher"],
)
def test_a_row_that_is_not_as_planned_is_a_conflict(
    shop: Shop, wrong: dict[str, Any], pricing: str
) -> None:
    with plan_of(shop, pricing) as (plan, writer), nothing_changed(shop):
        with pytest.raises(Conflict), shop.db.session.begin_nested():
            writer.write(replace(plan, **wrong))
        shop.db.session.rollback()


@each_pricing
def test_an_address_that_is_there_by_now_is_a_conflict(shop: Shop, pricing: str) -> None:
    with plan_of(shop, pricing) as (plan, writer):
        with shop.session() as others:
            row = new_address(plan.reference.customer_id, HOME)
            others.execute(sa.insert(shop.models.Address).values(**row))
        with pytest.raises((Conflict, sa.exc.DBAPIError)) as conflict:
            writer.write(plan)
        shop.db.session.rollback()
    assert is_conflict(conflict.value)
    assert shop.rows("orders") == []
