"""On PostgreSQL an order is written by one statement, to the same rows as step by step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import CacheStats
from sqlalchemy.orm import Mapped, mapped_column, reconstructor
from sqlalchemy.orm.attributes import set_committed_value

from flask_orders import (
    BillingAddress,
    ConfigurationError,
    Models,
    current_orders,
    declare_models,
    mapping,
)
from flask_orders.models import (
    AddressMixin,
    OrderItemMixin,
    OrderMixin,
    ProductMixin,
)

from .support import servers
from .support.apps import new_db
from .support.database import counted
from .support.overtaken import overtaken_order
from .support.pacing import Paced, paced
from .support.requests import ADDRESS, HOME, ORDERS, PREVIEW, SAVE
from .support.shops import Shop, make_shop, open_shop
from .support.writers import stepwise

# What two orders of the same cart differ in.
OF_ONE_ORDER = {"id", "order_id", "number", "customer_id", "billing_address_id", "written"}


@pytest.fixture(scope="module")
def postgresql_url() -> Iterator[URL]:
    with servers.required(servers.server("postgresql")) as url:
        yield url


@pytest.fixture
def empty(postgresql_url: URL) -> Iterator[URL]:
    with servers.fresh_database(postgresql_url) as url:
        yield url


@contextmanager
def shop_of(url: URL, make_models: Callable[[Any], Models], **options: Any) -> Iterator[Shop]:
    db = new_db()
    shop = open_shop(db, url, make_models(db), **options)
    yield shop
    shop.close()


def changes(statements: list[str]) -> list[str]:
    """The statements that change rows."""
    return [sent for sent in statements if sent.startswith(("WITH", "INSERT", "UPDATE", "DELETE"))]


def written(shop: Shop, customer: str, **request: Any) -> tuple[list[Any], list[str]]:
    """Order the customer's cart; return the order's rows, and what was sent to change rows."""
    with shop.app.app_context(), counted(shop.engine) as statements:
        placed = current_orders.place(customer, checkout=False, **request)
    orders = [row for row in shop.rows("orders") if row["id"] == placed.order_id]
    items = [row for row in shop.rows("order_items") if row["order_id"] == placed.order_id]
    items.sort(key=lambda row: row["position"])
    rows = [
        {name: value for name, value in row.items() if name not in OF_ONE_ORDER}
        for row in (*orders, *items)
    ]
    return rows, changes(statements)


def every_plain_type(db: Any) -> Models:
    """Own columns of every type that JSON can carry, and defaults of one name in three tables."""

    def own_columns() -> dict[str, Any]:
        return {
            "source": mapped_column(sa.String(20), default=lambda: "web"),
            "channel": mapped_column(sa.String(20), default="shop"),
            "weekday": mapped_column(sa.String(20), default=sa.func.lower("MONDAY")),
            "branch": mapped_column(sa.String(20), server_default="main"),
        }

    types: dict[str, Any] = {
        "text": sa.Text(),
        "short": sa.String(300),
        "whole": sa.BigInteger(),
        "exact": sa.Numeric(20, 6),
        "flag": sa.Boolean(),
        "day": sa.Date(),
        "moment": sa.DateTime(timezone=True),
        "local": sa.DateTime(),
        "key": sa.Uuid(),
        "spelled": sa.Uuid(as_uuid=False),
    }
    order = type(
        "Order",
        (OrderMixin, db.Model),
        {**own_columns(), **{n: mapped_column(t, nullable=True) for n, t in types.items()}},
    )
    item = type("OrderItem", (OrderItemMixin, db.Model), own_columns())
    address = type("Address", (AddressMixin, db.Model), own_columns())
    return declare_models(db, order=order, order_item=item, address=address)


@pytest.fixture(scope="module")
def plain_shop(postgresql_url: URL) -> Iterator[Shop]:
    with (
        servers.fresh_database(postgresql_url) as url,
        shop_of(url, every_plain_type) as shop,
    ):
        yield shop


# What PostgreSQL stores: no NUL, no half of a surrogate pair.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=200)
amounts = st.decimals(min_value=0, max_value=Decimal("9999999.99"), places=2)
own_values = st.fixed_dictionaries(
    {},
    optional={
        "text": st.none() | texts,
        "short": texts,
        "whole": st.integers(-(2**63), 2**63 - 1),
        "exact": st.decimals(min_value=-(10**13), max_value=10**13, places=6),
        "flag": st.booleans(),
        "day": st.dates(),
        "moment": st.datetimes(timezones=st.just(UTC)),
        "local": st.datetimes(),
        "key": st.uuids(),
        "spelled": st.uuids().map(str),
        "channel": st.sampled_from(["phone", "web"]),
    },
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.tuples(texts, amounts, amounts | st.none(), st.integers(1, 9)), min_size=1),
    own_values,
    st.sampled_from(["multiple", "single", "once_per_customer", None]),
)
def test_both_writers_write_the_same_rows(
    plain_shop: Shop,
    products: list[tuple[str, Decimal, Decimal | None, int]],
    extra: dict[str, Any],
    usage: str | None,
) -> None:
    shop = plain_shop
    shop.clear()
    units = {
        shop.product(str(price), stock=100, name=name, shipping=shipping): count
        for name, price, shipping, count in products
    }
    shop.offer("5%", next(iter(units)))
    for customer, code in (("ann", "A"), ("ben", "B")):
        voucher = None if usage is None else shop.voucher(code, "10%", usage=usage)
        shop.cart(customer, units, voucher)

    by_one, sent = written(shop, "ann", billing_address=HOME, extra=extra)
    with stepwise():
        by_steps, steps = written(shop, "ben", billing_address=HOME, extra=extra)

    assert len(sent) == 1 < len(steps)
    for one, other in zip(by_one, by_steps, strict=True):
        for each in (one, other):
            each.pop("created", None)
            each.pop("updated", None)
            each.pop("voucher_id", None)
            each.pop("voucher_code", None)
        assert one == other
    for name in ("order_addresses", "voucher_redemptions"):
        rows = shop.rows(name)
        kept = [
            {key: row[key] for key in row if key not in {"id", "customer_id", "voucher_id"}}
            for row in rows
        ]
        assert all(row == kept[0] for row in kept)
    assert {row["stock"] for row in shop.rows("products")} == {
        100 - 2 * count for count in units.values()
    }
    assert shop.rows("cart_items") == []
    assert all(row["voucher_id"] is None for row in shop.rows("carts"))


def column_type(type_: Any, value: Any) -> Callable[[Any], Models]:
    def make_models(db: Any) -> Models:
        class OrderItem(OrderItemMixin, db.Model):
            own: Mapped[Any] = mapped_column(type_, default=lambda: value)

        return declare_models(db, order_item=OrderItem)

    return make_models


def with_context(db: Any) -> Models:
    class OrderItem(OrderItemMixin, db.Model):
        own: Mapped[Any] = mapped_column(
            sa.String(40), default=lambda context: context.get_current_parameters()["name"]
        )

    return declare_models(db, order_item=OrderItem)


# SQLAlchemy works out a function of its context at the INSERT alone.
NOT_IN_ONE = {
    "json": (column_type(sa.JSON(), {"a": [1, None]}), {"a": [1, None]}),
    "enum": (column_type(sa.Enum("new", "old", name="state"), "old"), "old"),
    "array": (column_type(postgresql.ARRAY(sa.Integer), [1, 2]), [1, 2]),
    "float": (column_type(sa.Float(), 0.1), 0.1),
    "bytes": (column_type(sa.LargeBinary(), b"\x00\xff"), b"\x00\xff"),
    "context": (with_context, "Lamp"),
}


@pytest.mark.parametrize("name", NOT_IN_ONE)
def test_what_one_statement_can_not_carry_is_written_step_by_step(empty: URL, name: str) -> None:
    make_models, expected = NOT_IN_ONE[name]
    with shop_of(empty, make_models) as shop:
        shop.cart("ann", {shop.product(name="Lamp"): 1, shop.product(name="Lamp"): 2})
        (_, *items), sent = written(shop, "ann", billing_address=HOME)
    assert [row["own"] for row in items] == [expected] * 2
    assert len(sent) > 1


def test_a_text_that_is_too_long_is_refused_and_not_cut_off(empty: URL) -> None:
    """As by an INSERT: a conversion to VARCHAR(3) would cut it off."""

    def make_models(db: Any) -> Models:
        class OrderItem(OrderItemMixin, db.Model):
            own: Mapped[str] = mapped_column(sa.String(3), default=lambda: "abcd")

        return declare_models(db, order_item=OrderItem)

    with shop_of(empty, make_models) as shop:
        shop.cart("ann", {shop.product(): 1})
        with pytest.raises(sa.exc.DataError, match="too long"):
            written(shop, "ann", billing_address=HOME)
        assert shop.rows("orders") == []


def touched(*, by_context: bool) -> Callable[[Any], Models]:
    """Columns that each UPDATE sets, in every table of the shop's that an order updates."""

    def of_context(context: Any) -> str:
        return f"order of {len(context.get_current_parameters()) > 0}"

    def own_columns() -> dict[str, Any]:
        return {
            "touched_by": mapped_column(
                sa.String(20),
                default="shop",
                onupdate=of_context if by_context else lambda: "order of True",
            ),
            "touched_as": mapped_column(sa.String(20), default="shop", onupdate="order"),
            "times": mapped_column(sa.Integer, default=0, onupdate=sa.text("times + 1")),
        }

    def make_models(db: Any) -> Models:
        product: Any = type("Product", (ProductMixin, db.Model), own_columns())
        basket = {
            "__tablename__": "carts",
            "id": mapped_column(sa.Integer, primary_key=True),
            "customer_id": mapped_column(sa.String(50), unique=True),
            "voucher_id": mapped_column(sa.String(50)),
        }
        cart: Any = type("Cart", (db.Model,), {**basket, **own_columns()})

        class CartItem(db.Model):
            __tablename__ = "cart_items"
            id: Mapped[int] = mapped_column(primary_key=True)
            cart_id: Mapped[int] = mapped_column(sa.ForeignKey("carts.id"))
            product_id: Mapped[int] = mapped_column(sa.ForeignKey("products.id"))
            quantity: Mapped[int]

        return declare_models(
            db,
            product=product,
            cart=mapping.cart(cart, customer=cart.customer_id, voucher=cart.voucher_id),
            cart_item=CartItem,
        )

    return make_models


@pytest.mark.parametrize("by_context", [False, True])
@pytest.mark.usefixtures("each_writer")
def test_the_shop_s_onupdate_columns_are_set(database: URL, by_context: bool) -> None:
    with shop_of(database, touched(by_context=by_context)) as shop:
        shop.voucher("TEN", "10%")
        cart = shop.add(shop.models.Cart(customer_id="ann", voucher_id="TEN"))
        shop.add(shop.models.CartItem(cart_id=cart, product_id=shop.product(), quantity=1))
        written(shop, "ann", billing_address=HOME)
        for name in ("products", "carts"):
            (row,) = shop.rows(name)
            found = row["touched_by"], row["touched_as"], row["times"]
            assert found == ("order of True", "order", 1), name


def test_nothing_is_compiled_anew(postgresql_url: URL) -> None:
    with (
        servers.fresh_database(postgresql_url) as url,
        shop_of(url, lambda db: declare_models(db)) as shop,
    ):
        compiled: list[str] = []

        def collect(_c: Any, _cursor: Any, statement: str, _p: Any, context: Any, _m: Any) -> None:
            if context.cache_hit is CacheStats.CACHE_MISS:
                compiled.append(statement)

        for lines in (3, 1, 40):
            products = {shop.product(): 1 for _ in range(lines)}
            customer = f"customer {lines}"
            shop.cart(customer, products, shop.voucher(f"V{lines}", "10%"))
            event.listen(shop.engine, "before_cursor_execute", collect)
            with shop.app.app_context():
                current_orders.place(customer, billing_address=HOME)
            event.remove(shop.engine, "before_cursor_execute", collect)
            assert compiled == [] or lines == 3, compiled
            compiled.clear()


def test_statements_stay_prepared(empty: URL) -> None:
    """psycopg forgets those of a connection at any ROLLBACK; it prepares what is sent six times."""
    one_connection = {"pool_size": 1, "max_overflow": 0}
    shop = make_shop(empty, SQLALCHEMY_ENGINE_OPTIONS=one_connection)
    customer, product = shop.customer(), shop.product(stock=1000)
    shop.cart(customer, {product: 1}, shop.voucher("TEN", "10%"))
    for _ in range(8):
        shop.order(customer)
        assert shop.get(customer, ORDERS).status_code == 200
        assert shop.get(customer, PREVIEW).status_code == 200
        shop.fill(customer, {product: 1})
    with shop.engine.connect() as connection:
        found = connection.execute(sa.text("SELECT statement FROM pg_prepared_statements"))
        statements = " ".join(found.scalars())
    shop.close()
    written, listed = "INSERT INTO order_items", "ORDER BY orders.sequence DESC"
    for one in (written, listed, "FROM carts", "FOR NO KEY UPDATE OF products"):
        assert one in statements, one


@pytest.mark.usefixtures("each_writer")
def test_an_address_that_others_order_with_meanwhile(shop: Shop) -> None:
    """It is inserted by another request, and their foreign keys hold it: no wait, one row."""
    if shop.engine.dialect.name != "postgresql":
        pytest.skip("the locks are PostgreSQL's")
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    request = Paced(partial(shop.post, customer, SAVE), 4)
    with paced(shop.engine, request):
        request.start()
        assert request.was_paused
        shop.add(address_of(shop, customer))
        with shop.engine.connect() as others:
            address = sa.inspect(shop.models.Address).local_table
            others.execute(sa.select(address.c.id).with_for_update(read=True, key_share=True))
            request.go_on()
            request.thread.join(4)
            assert not request.thread.is_alive()
    assert request.answer.status_code == 201, request.answer.text
    assert len(shop.rows("order_addresses")) == 1, shop.rows("order_addresses")
    assert len(shop.rows("orders")) == 1


def address_of(shop: Shop, customer: int) -> Any:
    return shop.models.Address(customer_id=customer, **asdict(BillingAddress(**ADDRESS)))


def test_an_order_that_is_converted_and_not_committed_is_not_lost(database: URL) -> None:
    """`place` would roll it back, and refuses."""
    with shop_of(database, lambda db: declare_models(db)) as shop:
        shop.cart("ann", {shop.product(): 1})
        shop.cart("ben", {shop.product(): 1})
        with shop.app.app_context():
            current_orders.convert("ann", billing_address=HOME)
            with pytest.raises(ConfigurationError, match="uncommitted changes"):
                current_orders.place("ben", billing_address=HOME)
            shop.db.session.commit()
        (order,) = shop.rows("orders")
        assert order["customer_id"] == "ann"


def test_two_orders_are_converted_in_one_transaction(database: URL) -> None:
    with shop_of(database, lambda db: declare_models(db)) as shop:
        products = shop.product(stock=5), shop.product(stock=5)
        shop.cart("ann", dict.fromkeys(products, 1))
        shop.cart("ben", dict.fromkeys(products, 2))
        with shop.service() as orders:
            for customer in ("ann", "ben"):
                orders.convert(customer, billing_address=HOME)
        assert [row["stock"] for row in shop.rows("products")] == [2, 2]
        assert len(shop.rows("orders")) == 2


def test_a_violated_constraint_is_named_in_the_log(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback does not tell which part of the statement it was."""
    if shop.engine.dialect.name != "postgresql":
        pytest.skip("elsewhere the traceback tells the statement")
    caplog.set_level("INFO", "flask_orders")
    assert overtaken_order(shop).status_code == 201
    assert sorted(row["sequence"] for row in shop.rows("orders")) == [1, 2, 3]
    assert "conflict: IntegrityError 23505 (orders_customer_id_sequence_key)" in caplog.messages


@pytest.mark.parametrize("by", ["load", "reconstructor", "nothing"])
def test_what_the_shop_does_when_a_product_is_loaded_counts(database: URL, by: str) -> None:
    """The order costs what its preview says, though columns are read without objects elsewhere."""

    def make_models(db: Any) -> Models:
        def halve(product: Any, *_context: Any) -> None:
            set_committed_value(product, "price", product.price / 2)

        own: dict[str, Any] = {"halve": reconstructor(halve)} if by == "reconstructor" else {}
        product: Any = type("Product", (ProductMixin, db.Model), own)
        if by == "load":
            event.listen(product, "load", halve)
            event.listen(product, "refresh", halve)
        return declare_models(db, product=product)

    with shop_of(database, make_models) as shop:
        shop.cart("ann", {shop.product("10.00"): 1})
        with shop.app.app_context():
            preview = current_orders.preview("ann").total_amount
        written(shop, "ann", billing_address=HOME)
        (order,) = shop.rows("orders")
    assert order["total_amount"] == preview == (10 if by == "nothing" else 5)
