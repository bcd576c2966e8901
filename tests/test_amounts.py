"""How a shop's prices are read: the amount that is meant, or no price, never a guess."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import URL
from sqlalchemy.orm import DeclarativeBase, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from flask_orders import ConfigurationError, current_orders, declare_models, mapping
from flask_orders.amounts import Exact, from_float, major_units, minor_units
from flask_orders.currency import TOO_MUCH, Currency
from flask_orders.models.column_types import amount_problem, quantity_problem, stock_problem

from .support.apps import install, new_db

USD, JPY, KWD, CLF = (Currency.of(code) for code in ("USD", "JPY", "KWD", "CLF"))
CURRENCIES = (USD, JPY, KWD, CLF)

currencies = st.sampled_from(CURRENCIES)
quanta = st.integers(0, 10**9)

# Half of the distance between two floats of 32 bits is less than half a cent up to here.
MOST_CENTS_IN_32_BITS = 2**17 * 100


def as_32_bits(value: float) -> float:
    (rounded,) = struct.unpack("f", struct.pack("f", value))
    return float(rounded)


def text(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"


class TestExact:
    @given(quanta, currencies)
    def test_a_whole_number_of_quanta_is_a_price(self, units: int, currency: Currency) -> None:
        assert Exact("price").amount(units * currency.quantum, currency) == units * currency.quantum

    @given(quanta, currencies)
    def test_what_is_finer_is_none(self, units: int, currency: Currency) -> None:
        amount = units * currency.quantum + currency.quantum / 10
        assert Exact("price").amount(amount, currency) is None
        # More than the noise of a float, while prices are small.
        if amount < 10**4 * currency.quantum:
            assert Exact("price", noisy=True).amount(amount, currency) is None

    @given(quanta)
    def test_the_noise_of_a_database_that_stores_floats_is_rounded_away(self, cents: int) -> None:
        amount = Decimal(cents) / 100
        assert Exact("price", noisy=True).amount(Decimal(float(amount)), USD) == amount
        if Decimal(float(amount)) != amount:
            assert Exact("price").amount(Decimal(float(amount)), USD) is None

    def test_it_has_the_currency_s_digits(self) -> None:
        assert text(Exact("price").amount(Decimal("1E+1"), USD)) == "10.00"
        assert text(Exact("price").amount(Decimal("10.0000"), USD)) == "10.00"
        assert text(Exact("price").amount(Decimal("10.00"), JPY)) == "10"
        assert text(Exact("shipping").amount(0, USD)) == "0.00"


class TestUnits:
    @given(quanta, currencies)
    def test_minor_units_are_the_currency_s(self, units: int, currency: Currency) -> None:
        assert minor_units("cents").amount(units, currency) == units * currency.quantum

    @given(st.integers(0, 10**12), currencies)
    def test_major_units_are_whole(self, units: int, currency: Currency) -> None:
        assert major_units("price").amount(units, currency) == units

    @pytest.mark.parametrize(
        ("decimals", "units", "currency", "expected"),
        [
            (None, 7999, USD, "79.99"),
            (None, 7999, JPY, "7999"),
            (None, 7999, KWD, "7.999"),
            (None, 7999, CLF, "0.7999"),
            (2, 150000, JPY, "1500"),
            (2, 150050, JPY, None),
            (2, 7999, KWD, "79.990"),
            (6, 79_990_000, USD, "79.99"),
            (6, 79_990_001, USD, None),
            (0, 80, USD, "80.00"),
            (12, 10**12 * 3, CLF, "3.0000"),
        ],
    )
    def test_a_fraction_of_the_shop_s_own(
        self, decimals: int | None, units: int, currency: Currency, expected: str | None
    ) -> None:
        assert text(minor_units("cents", decimals).amount(units, currency)) == expected

    def test_a_sum_of_integers_may_be_a_decimal(self) -> None:
        assert text(minor_units("cents").amount(Decimal("7999"), USD)) == "79.99"
        assert text(major_units("price").amount(Decimal("8E+1"), USD)) == "80.00"

    @given(st.integers(10**20, 10**60))
    def test_what_no_column_holds_is_none(self, units: int) -> None:
        assert minor_units("cents").amount(units, USD) is None
        assert minor_units("cents", 12).amount(units * 10**12 + 1, USD) is None

    @pytest.mark.parametrize("decimals", [-1, 13, 2.0, True, "2"])
    def test_decimals_are_a_small_whole_number(self, decimals: Any) -> None:
        with pytest.raises(ConfigurationError, match="whole number from 0 to 12"):
            minor_units("cents", decimals)


class TestFloats:
    @given(st.integers(0, MOST_CENTS_IN_32_BITS - 1))
    def test_every_price_of_two_decimals_comes_back_from_32_bits(self, cents: int) -> None:
        amount = Decimal(cents) / 100
        assert from_float("price").amount(as_32_bits(float(amount)), USD) == amount

    @given(st.integers(0, 10**13))
    def test_every_price_of_two_decimals_comes_back_from_64_bits(self, cents: int) -> None:
        amount = Decimal(cents) / 100
        assert from_float("price").amount(float(amount), USD) == amount

    @given(st.integers(0, 10**8), currencies)
    def test_every_price_of_any_currency_comes_back(self, units: int, currency: Currency) -> None:
        amount = units * currency.quantum
        assert from_float("price").amount(float(amount), currency) == amount

    @given(st.integers(0, 10**5), st.integers(1, 9))
    def test_what_the_noise_does_not_explain_is_none(self, cents: int, finer: int) -> None:
        amount = Decimal(cents) / 100 + Decimal(finer) / 1000
        assert from_float("price").amount(float(amount), USD) is None

    def test_whole_numbers_and_decimals_are_taken_too(self) -> None:
        assert text(from_float("price").amount(80, USD)) == "80.00"
        assert text(from_float("price").amount(Decimal("79.990000001"), USD)) == "79.99"


EACH = [Exact("price"), Exact("price", noisy=True), minor_units("price"), from_float("price")]


@pytest.mark.parametrize("kind", EACH, ids=repr)
@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "-Infinity", "-1", "1E+30"])
def test_what_is_no_amount_is_no_price(kind: Any, value: str) -> None:
    assert kind.amount(Decimal(value), USD) is None
    assert kind.amount(None, USD) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), -0.01, 1e30])
def test_a_float_that_is_no_amount_is_no_price(value: float) -> None:
    assert from_float("price").amount(value, USD) is None


def test_the_largest_price() -> None:
    largest = TOO_MUCH - USD.quantum
    assert Exact("price").amount(largest, USD) == largest
    assert Exact("price").amount(TOO_MUCH, USD) is None
    assert minor_units("price").amount(int(TOO_MUCH) * 100 - 1, USD) == largest
    assert minor_units("price").amount(int(TOO_MUCH) * 100, USD) is None


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Exact("Product.price"), 79.99),
        (Exact("Product.price"), "79.99"),
        (Exact("Product.price"), 7999),
        (Exact("Product.price"), True),
        (Exact("Product.price"), False),
        (minor_units("Product.price"), 7999.0),
        (minor_units("Product.price"), Decimal("79.99")),
        (minor_units("Product.price"), Decimal("80.00")),
        (minor_units("Product.price"), "7999"),
        (minor_units("Product.price"), True),
        (major_units("Product.price"), Decimal("1.5")),
        (from_float("Product.price"), "79.99"),
        (from_float("Product.price"), True),
        (from_float("Product.price"), b"1"),
    ],
)
def test_a_value_that_does_not_say_what_it_counts_is_a_misconfiguration(
    kind: Any, value: Any
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        kind.amount(value, USD)
    sentence = str(raised.value)
    assert sentence.startswith(f"Product.price is {value!r}, a {type(value).__name__}")
    for way in ("minor_units", "major_units", "from_float"):
        assert f"mapping.{way}(Product.price)" in sentence


def net_price(product: Any) -> Any:
    return product.price


def test_a_function_is_named_by_where_it_is() -> None:
    with pytest.raises(ConfigurationError, match=f"the function net_price of {__name__} returns"):
        Exact(net_price).amount(1.5, USD)


class Plain(TypeDecorator[Any]):
    impl = sa.Numeric
    cache_ok = True


class Cents(TypeDecorator[Any]):
    """Integers in the database, Decimals in Python."""

    impl = sa.Integer
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else Decimal(value) / 100


class Price:
    """A class of the shop's own for amounts."""


class AsPrice(TypeDecorator[Any]):
    impl = sa.Numeric
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return Price()


class Unknown(TypeDecorator[Any]):
    """It can't be probed: it needs another value than the sample."""

    impl = sa.Numeric
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        raise LookupError


THREE = r"mapping.minor_units\(Product.price\).*major_units\(Product.price\).*from_float\("
ALONE = "holds the exact amount: write Product.price alone"
EXACT, MINOR, MAJOR, FLOAT = (
    kind("Product.price") for kind in (Exact, minor_units, major_units, from_float)
)


@pytest.mark.parametrize(
    ("kind", "type_", "problem"),
    [
        (EXACT, sa.Numeric(12, 2), None),
        (EXACT, sa.DECIMAL(12, 2), None),
        (EXACT, mysql.DECIMAL(12, 2), None),
        (EXACT, Plain(), None),
        (EXACT, Cents(), None),
        (EXACT, Unknown(), None),
        (EXACT, sa.types.NullType(), None),
        (EXACT, sa.Integer(), THREE),
        (EXACT, sa.BigInteger(), THREE),
        (EXACT, sa.Float(), THREE),
        (EXACT, sa.Float(asdecimal=True), THREE),
        (EXACT, sa.Double(), THREE),
        (EXACT, mysql.DOUBLE(), THREE),
        (EXACT, postgresql.REAL(), THREE),
        (EXACT, sa.Numeric(12, 2, asdecimal=False), THREE),
        (EXACT, postgresql.MONEY(), "returns a str: make it a Numeric"),
        (EXACT, sa.String(10), "returns a str: make it a Numeric"),
        (EXACT, AsPrice(), "returns a Price: .*a function of the object"),
        (EXACT, sa.Boolean(), "returns a bool: make it a Numeric"),
        (MINOR, sa.Integer(), None),
        (MAJOR, sa.SmallInteger(), None),
        (MINOR, sa.Boolean(), "returns a bool"),
        (MINOR, sa.Numeric(12, 2), ALONE),
        (MAJOR, Cents(), ALONE),
        (MINOR, sa.Float(), r"counts no units: write mapping.from_float\(Product.price\)"),
        (MINOR, postgresql.MONEY(), "returns a str"),
        (FLOAT, sa.Float(), None),
        (FLOAT, sa.Float(asdecimal=True), None),
        (FLOAT, mysql.DOUBLE(), None),
        (FLOAT, sa.Numeric(12, 2, asdecimal=False), None),
        (FLOAT, sa.Numeric(12, 2), ALONE),
        (FLOAT, sa.Integer(), THREE),
        (FLOAT, postgresql.MONEY(), "returns a str"),
    ],
)
def test_the_type_of_an_amount_s_column(kind: Any, type_: Any, problem: str | None) -> None:
    found = amount_problem(kind, type_)
    if problem is None:
        assert found is None
    else:
        with pytest.raises(AssertionError, match=problem):
            raise AssertionError(found)
        assert str(found).startswith(f"is a {type_!r}")


@pytest.mark.parametrize(
    ("type_", "is_quantity", "is_stock"),
    [
        (sa.Integer(), True, True),
        (sa.BigInteger(), True, True),
        (mysql.INTEGER(unsigned=True), True, True),
        (sa.Numeric(10, 2), False, True),
        (sa.Numeric(10, 2, asdecimal=False), False, False),
        (sa.Float(), False, False),
        (mysql.DOUBLE(), False, False),
        (sa.String(5), False, False),
        (sa.Boolean(), False, False),
        (postgresql.MONEY(), False, False),
        (sa.types.NullType(), True, True),
    ],
    ids=repr,
)
def test_the_type_of_a_count_s_column(type_: Any, is_quantity: bool, is_stock: bool) -> None:
    for problem, is_right in (
        (quantity_problem(type_), is_quantity),
        (stock_problem(type_), is_stock),
    ):
        assert (problem is None) == is_right
        assert problem is None or "whole units: make it an Integer" in problem


def test_naming_an_attribute_or_an_expression_configures_no_mapper() -> None:
    """Or a class of a module that comes later would be missed for good."""

    class Base(DeclarativeBase):
        pass

    class Product(Base):
        __tablename__ = "products"
        id = mapped_column(sa.Integer, primary_key=True)
        cents = mapped_column(sa.Integer)
        brand_id = mapped_column(sa.ForeignKey("brands.id"))
        brand = relationship("Brand")

    for part in (Product.cents, Product.cents * 2, sa.func.coalesce(Product.cents, 0)):
        assert "minor_units(" in str(amount_problem(Exact(part), sa.Integer()))
        with pytest.raises(ConfigurationError):
            Exact(part).amount(1.5, USD)
    assert not sa.inspect(Product).configured
    assert str(amount_problem(Exact(Product.cents), sa.Integer())).count("(Product.cents)") == 3


@contextmanager
def stored(database: URL, type_: Any, values: list[Any]) -> Iterator[list[Any]]:
    """Yield values as they come back from a column of this type."""
    engine, metadata = sa.create_engine(database), sa.MetaData()
    rows = sa.Table(
        "prices", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("p", type_)
    )
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(rows.insert(), [{"id": i, "p": v} for i, v in enumerate(values, 1)])
        yield list(connection.scalars(sa.select(rows.c.p).order_by(rows.c.id)))
    engine.dispose()


PRICES = [Decimal(cents) / 100 for cents in (*range(0, 3000, 7), 7999, 123_456, 999_999)]


@pytest.mark.parametrize("type_", [sa.Float(), sa.Float(53), sa.Double(), sa.REAL()], ids=repr)
def test_prices_come_back_from_a_column_of_floats(database: URL, type_: Any) -> None:
    with stored(database, type_, [float(price) for price in PRICES]) as found:
        assert [from_float("p").amount(value, USD) for value in found] == PRICES


def test_prices_come_back_from_a_column_of_decimals(database: URL) -> None:
    """SQLite stores them as floats; this type rounds what it reads to ten decimals."""
    noisy = database.get_backend_name() == "sqlite"
    large = [Decimal("12345678.90"), Decimal("99999999.99")]
    with stored(database, sa.Numeric(18, 10), [*PRICES, *large]) as found:
        assert [Exact("p", noisy).amount(value, USD) for value in found] == [*PRICES, *large]


def test_a_sum_of_integers_is_read_as_units(database: URL) -> None:
    engine = sa.create_engine(database)
    with engine.connect() as connection:
        one, other = (sa.select(sa.literal(n).label("cents")) for n in (7000, 999))
        both = sa.union_all(one, other).subquery()
        value = connection.scalar(sa.select(sa.func.sum(both.c.cents)))
    engine.dispose()
    assert text(minor_units("cents").amount(value, USD)) == "79.99"


@pytest.mark.parametrize("type_", [sa.Float(), sa.REAL(), sa.Float(24), sa.Double()])
def test_a_float_is_read_in_full(database: URL, type_: Any) -> None:
    """MariaDB sends six digits of a FLOAT: 12345.67 would be sold at 12345.70."""
    db = new_db()
    values = {
        "__tablename__": "product",
        "id": mapped_column(sa.Integer, primary_key=True),
        "price": mapped_column(type_),
    }
    product: Any = type("Product", (db.Model,), values)
    price = mapping.from_float(product.price)
    mapped = mapping.product(product, sku=None, name=None, price=price, stock=None)
    models = declare_models(db, product=mapped)
    app = install(db, database)
    prices = ["12345.67", "19.99", "0.10", "99999.99", "79.95"]
    with app.app_context():
        db.create_all()
        for key, text in enumerate(prices, start=1):
            db.session.add(product(id=key, price=float(text)))
        db.session.flush()
        items = [models.CartItem(product_id=key, quantity=1) for key in range(1, 6)]
        db.session.add(models.Cart(customer_id="ann", items=items))
        db.session.commit()
        priced = current_orders.preview("ann")
        assert [str(item.unit_price) for item in priced.items] == prices
        db.session.remove()
        db.engine.dispose()
