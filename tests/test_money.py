"""Prices are whole minor units, and amounts exact, in the currency stored with the order."""

import pickle
import subprocess
import sys
from decimal import Decimal
from typing import Any
from uuid import UUID

import iso4217
import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.orm import Mapped, column_property, configure_mappers, mapped_column, synonym
from sqlalchemy.types import TypeDecorator

from flask_orders import (
    ConfigurationError,
    OrdersError,
    current_orders,
    declare_models,
    mapping,
    orders_bp,
)
from flask_orders.models.types import Money
from flask_orders.pricing import Cart, CartItem, Currency, PricedCart, PricedItem

from .support.apps import install, new_db
from .support.pricings import PlainPricing
from .support.requests import HOME, ORDERS
from .support.responses import body
from .support.shops import Shop


@pytest.mark.parametrize(
    ("currency", "price", "shipping", "quantity"),
    [
        ("USD", "0.0057", None, 300),
        ("USD", "0.004", None, 4000),
        ("USD", "1.00", "0.005", 1),
        ("JPY", "0.5", None, 2),
        ("KWD", "0.0005", None, 2),
    ],
)
def test_a_price_finer_than_the_smallest_coin_is_not_sold(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    currency: str,
    price: str,
    shipping: str | None,
    quantity: int,
) -> None:
    """Neither rounded up nor given away; the preview says the same."""
    monkeypatch.setitem(shop.app.config, "ORDERS_CURRENCY", currency)
    customer = shop.customer()
    cost = None if shipping is None else Decimal(shipping)
    product = shop.product(price, stock=10_000, shipping=cost)
    shop.cart(customer, {product: quantity})
    before = shop.everything()

    answer = shop.post(customer)

    assert (answer.status_code, body(answer)["code"]) == (409, "item_unavailable")
    seen = body(shop.get(customer, f"{ORDERS}preview/"))
    assert [item["reason"] for item in seen["unavailable"]] == ["no_price"]
    assert (seen["items"], seen["total_amount"]) == ([], Currency.of(currency).text(Decimal(0)))
    assert shop.everything() == before


@pytest.mark.parametrize(
    ("currency", "price", "quantity", "total"),
    [
        ("RSD", "150.52", 3, "451.56"),
        ("JPY", "1001", 3, "3003"),
        ("KWD", "0.005", 3, "0.015"),
        ("UYW", "0.0005", 3, "0.0015"),
    ],
)
def test_an_order_is_charged_to_the_last_minor_unit(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    currency: str,
    price: str,
    quantity: int,
    total: str,
) -> None:
    monkeypatch.setitem(shop.app.config, "ORDERS_CURRENCY", currency)
    customer = shop.customer()
    shop.cart(customer, {shop.product(price): quantity})
    order = shop.order(customer)
    assert (order["total_amount"], order["items"][0]["unit_price"]) == (total, price)
    assert shop.rows("orders")[0]["total_amount"] == Decimal(total)


def test_an_order_reads_the_same_whatever_becomes_of_its_currency(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later table of ISO 4217 may have other minor units, or no such currency any more."""
    monkeypatch.setitem(shop.app.config, "ORDERS_CURRENCY", "RSD")
    monkeypatch.setitem(shop.app.config, "ORDERS_OUTBOX", True)
    customer = shop.customer()
    shop.cart(customer, {shop.product("150.52"): 3})
    order = shop.order(customer)

    monkeypatch.setitem(shop.app.config, "ORDERS_CURRENCY", "USD")
    monkeypatch.setitem(iso4217.raw_table["RSD"], "CcyMnrUnts", "0")
    Currency.of.cache_clear()
    assert body(shop.get(customer, order["url"])) == order
    assert body(shop.get(customer, ORDERS))["results"] == [order]
    with shop.engine.begin() as connection:
        rows = shop.db.metadata.tables["orders"]
        connection.execute(sa.update(rows).values(currency="YUM"))
    assert body(shop.get(customer, order["url"])) == {**order, "currency": "YUM"}
    assert shop.send(customer, f"{order['url']}cancel/").status_code == 200
    events = [row["body"] for row in shop.rows("order_outbox")]
    assert [event.count('"total_amount": "451.56"') for event in events] == [1, 1]
    Currency.of.cache_clear()


@pytest.mark.parametrize("code", ["XAU", "XXX", "usd", "HRK", None, ["USD"]])
def test_a_currency_not_used_for_payment_is_refused_at_start(code: Any) -> None:
    app, db = Flask("shop"), SQLAlchemy()
    app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", ORDERS_CURRENCY=code)
    db.init_app(app)
    with pytest.raises(ConfigurationError, match=r"ORDERS_CURRENCY.*such as 'USD'"):
        app.register_blueprint(orders_bp)


def amounts_of(shop: Shop) -> list[sa.Column[Any]]:
    """Every column of an amount, in every table of the library."""
    tables = shop.db.metadata.sorted_tables
    return [column for rows in tables for column in rows.c if isinstance(column.type, Money)]


def test_every_amount_column_refuses_invalid_amounts(shop: Shop) -> None:
    """By its CHECK, for every writer: PostgreSQL's NUMERIC has NaN, above every number."""
    customer = shop.customer()
    product = shop.product(shipping=Decimal(1))
    shop.offer("1.00", product)
    shop.cart(customer, {product: 1}, shop.voucher("TEN", "10%"))
    order = shop.order(customer)
    with shop.service() as orders:
        orders.record_payment(UUID(order["id"]), "ref", Decimal(order["total_amount"]))
        orders.record_refund(order["id"], "back", Decimal("1.00"))
    columns = amounts_of(shop)
    assert len(columns) == 19
    wrong = ["-1", *(["'NaN'", "'Infinity'"] if shop.engine.dialect.name == "postgresql" else [])]
    for column in columns:
        for value in wrong:
            statement = sa.text(f"UPDATE {column.table.name} SET {column.name} = {value}")
            with pytest.raises(DBAPIError), shop.engine.begin() as connection:
                connection.execute(statement)


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "-Infinity", "0.00001", "1E+14"])
def test_an_amount_that_no_column_can_hold_is_refused_with_a_sentence(
    shop: Shop, amount: str
) -> None:
    with pytest.raises(StatementError, match=r"an amount (is finite|has at most 4 decimals)"):
        shop.product(amount)
    with pytest.raises(StatementError, match=r"an amount (is finite|has at most 4 decimals)"):
        shop.offer(amount)
    assert shop.rows("products") == shop.rows("offers") == []


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-1"])
def test_a_payment_of_no_amount_is_refused(shop: Shop, amount: str) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    order = shop.order(customer)
    with shop.service() as orders, pytest.raises(ValueError, match="above 0 and below"):
        orders.record_payment(UUID(order["id"]), "ref", Decimal(amount))
    assert shop.rows("order_payments") == []


def test_the_audit_reports_an_amount_that_is_nan(shop: Shop) -> None:
    """A table that was made before the CHECKs were may hold one."""
    if shop.engine.dialect.name != "postgresql":
        pytest.skip("only PostgreSQL's NUMERIC knows NaN")
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    shop.order(customer)
    constraint = "CONSTRAINT order_items_not_negative"
    with shop.engine.begin() as connection:
        condition = connection.scalar(
            sa.text(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
                " WHERE conname = 'order_items_not_negative'"
            )
        )
        connection.execute(sa.text(f"ALTER TABLE order_items DROP {constraint}"))
        connection.execute(sa.text("UPDATE order_items SET unit_price = 'NaN'"))
    try:
        with shop.service() as orders:
            found = list(orders.audit())
        assert [one[:2] for one in found] == ["I5", "I5"]
    finally:
        shop.clear()
        with shop.engine.begin() as connection:
            connection.execute(sa.text(f"ALTER TABLE order_items ADD {constraint} {condition}"))


def own_products(db: SQLAlchemy, **attributes: Any) -> type[Any]:
    """A product class of the shop's own, with a Numeric price unless another is given."""
    values = {
        "__tablename__": "product",
        "id": mapped_column(sa.Integer, primary_key=True),
        "sku": "P",
        "name": "P",
        "price": mapped_column(sa.Numeric, nullable=True),
        "shipping": None,
        "stock": None,
        "active": True,
        **attributes,
    }
    return type("Product", (db.Model,), values)


@pytest.mark.parametrize("price", ["NaN", "Infinity", "-Infinity", "-1", "0.0057", None])
def test_invalid_prices_in_a_shop_s_own_column_are_not_sold(
    database: URL, price: str | None
) -> None:
    """A NUMERIC without a precision takes NaN and Infinity on PostgreSQL."""
    if price in ("NaN", "Infinity", "-Infinity") and database.get_backend_name() != "postgresql":
        pytest.skip("only PostgreSQL's NUMERIC knows NaN and Infinity")
    db = new_db()
    numeric = sa.Numeric(18, 4) if database.get_backend_name() == "mysql" else sa.Numeric()
    product = own_products(db, price=mapped_column(numeric, nullable=True))
    models = declare_models(db, product=product)
    app = install(db, database)
    with app.app_context():
        db.create_all()
        value = None if price is None else Decimal(price)
        item = models.CartItem(product=product(id=1, price=value), quantity=1)
        db.session.add(models.Cart(customer_id="ann", items=[item]))
        db.session.commit()
        assert current_orders.preview("ann").unavailable[0]["reason"] == "no_price"
        with pytest.raises(OrdersError, match="Nothing was ordered"):
            current_orders.convert("ann", billing_address=HOME)
        db.session.remove()
        db.engine.dispose()


def test_a_large_price_in_a_shop_s_own_numeric_is_sold_on_sqlite(database: URL) -> None:
    """Where a NUMERIC is a float: 12345678.90 comes back with some noise in the tenth decimal."""
    db = new_db()
    numeric = sa.Numeric(18, 4) if database.get_backend_name() == "mysql" else sa.Numeric()
    product = own_products(db, price=mapped_column(numeric))
    models = declare_models(db, product=product)
    app = install(db, database)
    with app.app_context():
        db.create_all()
        item = models.CartItem(product=product(id=1, price=Decimal("12345678.90")), quantity=1)
        db.session.add(models.Cart(customer_id="ann", items=[item]))
        db.session.commit()
        order = current_orders.convert("ann", billing_address=HOME)
        assert order.total_amount == Decimal("12345678.90")
        db.session.remove()
        db.engine.dispose()


def test_a_property_that_returns_a_float_is_a_misconfiguration() -> None:
    """It can't be known when the class is declared."""
    db = new_db()
    product = own_products(db, price=property(lambda self: 9.99))
    models = declare_models(db, product=product)
    app = install(db)
    with app.app_context():
        db.create_all()
        item = models.CartItem(product=product(id=1), quantity=1)
        db.session.add(models.Cart(customer_id="ann", items=[item]))
        db.session.commit()
        with pytest.raises(ConfigurationError, match=r"price is 9\.99, a float.*from_float"):
            current_orders.convert("ann", billing_address=HOME)
        db.session.rollback()
        assert not db.session.scalars(sa.select(models.Order)).all()
        found = app.test_cli_runner().invoke(args=["orders", "check"]).output
        assert "price is 9.99, a float" in found
        db.session.remove()
        db.engine.dispose()


class ShopPricing(PlainPricing):
    """A pricing of the shop's own, whose amounts are not what they should be."""

    def __init__(self, **amounts: Any) -> None:
        self._amounts = amounts

    def price(self, cart: Cart, now: Any) -> PricedCart:
        discount = self._amounts.pop("discount", None)
        items = [PricedItem.of(item, cart.currency, **self._amounts) for item in cart.items]
        return PricedCart.of(items, cart.currency, discount=discount)


class UnroundedPricing(ShopPricing):
    """One that makes its items itself."""

    def price(self, cart: Cart, now: Any) -> PricedCart:
        items = tuple(PricedItem(item, **self._amounts) for item in cart.items)
        return PricedCart(cart.currency, items)


NAN, INFINITE = Decimal("NaN"), Decimal("Infinity")
FREE = {"shipping": Decimal(0)}


@pytest.mark.parametrize(
    ("pricing", "sentence"),
    [
        (ShopPricing(unit_price=NAN), "NaN is no amount of USD"),
        (ShopPricing(unit_price=INFINITE), "Infinity is no amount of USD"),
        (ShopPricing(list_price=Decimal("sNaN")), "sNaN is no amount of USD"),
        (ShopPricing(shipping=NAN), "NaN is no amount of USD"),
        (ShopPricing(unit_price=9.99), "9.99 is a float.*give a Decimal"),
        (ShopPricing(discount=lambda _: NAN), "NaN is no amount of USD"),
        (ShopPricing(shipping=Decimal(-1)), r"ShopPricing.price returned shipping.*PricedItem.of"),
        (ShopPricing(list_price=Decimal(-1)), r"ShopPricing.price returned list_price"),
        (ShopPricing(unit_price=Decimal(12)), r"below unit_price 12.*pass.*list_price="),
        (
            UnroundedPricing(list_price=Decimal("0.0057"), unit_price=Decimal("0.0057"), **FREE),
            r"UnroundedPricing.price returned list_price Decimal\('0.0057'\)",
        ),
        (UnroundedPricing(list_price=Decimal(1), unit_price=NAN, **FREE), "returned unit_price"),
    ],
)
def test_an_own_pricing_that_returns_no_amount_is_a_misconfiguration(
    pricing: ShopPricing, sentence: str
) -> None:
    """It names the pricing or the amount; nothing is written, and the preview says the same."""
    db = new_db()
    models = declare_models(db)
    app = install(db, pricing=pricing)
    with app.app_context():
        db.create_all()
        product = models.Product(sku="A", name="A", price=Decimal(10))
        item = models.CartItem(product=product, quantity=2)
        db.session.add(models.Cart(customer_id="ann", items=[item]))
        db.session.commit()
        with pytest.raises(ConfigurationError, match=sentence):
            current_orders.convert("ann", billing_address=HOME)
        db.session.rollback()
        assert not db.session.scalars(sa.select(models.Order)).all()
        assert len(db.session.scalars(sa.select(models.CartItem)).all()) == 1
        db.session.remove()
        db.engine.dispose()


prices = st.decimals(min_value=0, max_value=10_000, places=4)


@given(prices, st.integers(1, 10_000), st.sampled_from(["USD", "JPY", "KWD", "UYW"]))
def test_whatever_is_sold_has_a_unit_price_that_can_be_paid(
    price: Decimal, quantity: int, code: str
) -> None:
    currency = Currency.of(code)
    if currency.is_price(price):
        line = CartItem(1, 1, object(), quantity, list_price=price)
        priced = PricedItem.of(line, currency)
        assert priced.unit_price == price
        assert priced.total_price == price * quantity
        assert priced.unit_price % currency.quantum == 0


class Cents(TypeDecorator[Decimal]):
    """Exact: an integer in the database, a Decimal in Python."""

    impl = sa.Integer
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else Decimal(value).scaleb(-2)


class AsFloat(TypeDecorator[float]):
    """Not exact any more once it is read."""

    impl = sa.Numeric
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else float(value)


class Plain(TypeDecorator[float]):
    impl = sa.Float
    cache_ok = True


INEXACT: list[Any] = [
    sa.Float(),
    sa.Float(asdecimal=True),
    sa.Double(),
    sa.REAL(),
    mysql.DOUBLE(),
    sa.Numeric(10, 2, asdecimal=False),
    postgresql.MONEY(),
    sa.String(10),
    AsFloat(),
    Plain(),
]


@pytest.mark.parametrize("type_", INEXACT, ids=repr)
@pytest.mark.parametrize("name", ["price", "shipping"])
@pytest.mark.parametrize("behind", ["column", "synonym"])
def test_an_inexact_amount_is_refused_when_declared(type_: Any, name: str, behind: str) -> None:
    """Before anything is ordered, with what to do, and without configuring a mapper."""
    db = new_db()
    column = mapped_column("amount", type_, nullable=True)
    own = {name: column} if behind == "column" else {"amount": column, name: synonym("amount")}
    product = own_products(db, **own)
    way_out = "mapping.from_float|which returns a str: make it a Numeric"
    with pytest.raises(ConfigurationError, match=rf"{name}: Product\.\w+ is a .*({way_out})"):
        declare_models(db, product=product)
    assert not sa.inspect(product).configured
    assert "orders" not in db.metadata.tables


@pytest.mark.parametrize(
    "type_",
    [sa.Numeric(10, 2), sa.DECIMAL(10, 2), mysql.DECIMAL(10, 2), Cents(), Money()],
    ids=repr,
)
def test_an_exact_amount_is_accepted(type_: Any) -> None:
    db = new_db()
    product = own_products(db, price=mapped_column(type_), shipping=mapped_column(type_))
    assert declare_models(db, product=product).Product is product


def test_an_expression_that_returns_a_float_is_refused() -> None:
    db = new_db()
    product = own_products(db, price=column_property(sa.literal_column("1.5", sa.Float)))
    with pytest.raises(ConfigurationError, match=r"price: .* is a Float.*mapping\.from_float"):
        declare_models(db, product=product)


@pytest.mark.parametrize("type_", [sa.Numeric(10, 2), sa.Float(), sa.String(5)], ids=repr)
def test_a_quantity_that_counts_no_whole_units_is_refused(type_: Any) -> None:
    db = new_db()
    product = own_products(db)

    class Cart(db.Model):
        __tablename__ = "cart"
        id: Mapped[int] = mapped_column(primary_key=True)
        customer_id: Mapped[str] = mapped_column(sa.String(20))
        voucher = None

    class CartItem(db.Model):
        __tablename__ = "cart_item"
        id: Mapped[int] = mapped_column(primary_key=True)
        cart: Mapped[int] = mapped_column(sa.ForeignKey(Cart.id))
        product: Mapped[int] = mapped_column(sa.ForeignKey("product.id"))
        quantity: Mapped[Any] = mapped_column(type_)

    with pytest.raises(ConfigurationError, match=r"quantity: .* is a .*make it an Integer"):
        declare_models(db, product=product, cart=Cart, cart_item=CartItem)


@pytest.mark.parametrize("type_", [sa.Integer(), sa.BigInteger(), sa.SmallInteger()], ids=repr)
def test_integers_are_no_price_until_it_is_said_what_they_count(type_: Any) -> None:
    """If they are cents, a customer would pay a hundredfold."""
    db = new_db()
    product = own_products(db, price=mapped_column(type_), shipping=mapped_column(type_))
    with pytest.raises(ConfigurationError) as raised:
        declare_models(db, product=product)
    for name in ("price", "shipping"):
        for way in ("minor_units", "major_units", "from_float"):
            assert f"mapping.{way}(Product.{name})" in str(raised.value)
    said = mapping.product(
        product,
        price=mapping.minor_units(product.price),
        shipping=mapping.major_units(product.shipping),
    )
    models = declare_models(db, product=said)
    app = install(db)
    with app.app_context():
        db.create_all()
        item = models.CartItem(product=product(id=1, price=999, shipping=3), quantity=2)
        db.session.add(models.Cart(customer_id="ann", items=[item]))
        db.session.commit()
        order = current_orders.convert("ann", billing_address=HOME)
        assert (order.subtotal, order.shipping) == (Decimal("19.98"), Decimal("3.00"))
        db.session.remove()
        db.engine.dispose()


@pytest.mark.server
def test_the_metadata_can_be_pickled_into_another_process() -> None:
    """Before and after it was used, and by a process that has imported nothing yet."""
    db = new_db()
    models = declare_models(db)
    assert models.Offer
    configure_mappers()
    assert pickle.loads(pickle.dumps(Money)) is Money
    engine = sa.create_engine("sqlite://")
    db.metadata.create_all(engine)
    engine.dispose()
    reading = (
        "import pickle, sys; metadata = pickle.load(sys.stdin.buffer)\n"
        "column = metadata.tables['orders'].c.total_amount\n"
        "print(repr(column.type), repr(metadata.tables['orders'].c.created.type), end='')"
    )
    read = subprocess.run(
        [sys.executable, "-c", reading],
        input=pickle.dumps(db.metadata),
        capture_output=True,
        check=True,
    )
    assert read.stdout.decode() == f"{Money()!r} DateTime(timezone=True)"


def test_the_tables_can_be_copied() -> None:
    db = new_db()
    declare_models(db)
    copied = sa.MetaData()
    for rows in db.metadata.sorted_tables:
        rows.to_metadata(copied)
    again = pickle.loads(pickle.dumps(copied))
    assert isinstance(again.tables["orders"].c.total_amount.type, Money)
