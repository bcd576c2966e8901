"""`load=`: a function of the product may walk to its parents, and sells at their latest prices."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import ForeignKey, Numeric, String, event
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column, relationship, with_loader_criteria

from flask_orders import current_orders, declare_models, mapping

from .support.apps import new_db
from .support.database import counted, nothing_changed, refused_old_snapshot, server_of
from .support.requests import HOME, ORDERS
from .support.responses import body
from .support.shops import Shop, check_output, open_shop

db: Any = new_db()


class Country(db.Model):
    __tablename__ = "countries"
    id: Mapped[int] = mapped_column(primary_key=True)
    duty: Mapped[Decimal] = mapped_column(Numeric(10, 2))


class Brand(db.Model):
    __tablename__ = "brands"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(10), unique=True)
    country_id: Mapped[int] = mapped_column(ForeignKey("countries.id"))
    country: Mapped[Country] = relationship()


class Design(db.Model):
    __tablename__ = "designs"
    id: Mapped[int] = mapped_column(primary_key=True)
    brand_code: Mapped[str] = mapped_column(ForeignKey("brands.code"))
    base_price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    is_hidden: Mapped[bool] = mapped_column(default=False)
    brand: Mapped[Brand] = relationship()


class Fee(db.Model):
    __tablename__ = "fees"
    id: Mapped[int] = mapped_column(primary_key=True)
    shirt_id: Mapped[int] = mapped_column(ForeignKey("shirts.id"))
    amount: Mapped[Decimal] = mapped_column(Numeric(10, 2))


class Shirt(db.Model):
    __tablename__ = "shirts"
    id: Mapped[int] = mapped_column(primary_key=True)
    design_id: Mapped[int | None] = mapped_column(ForeignKey("designs.id"))
    design: Mapped[Design | None] = relationship(lazy="joined")
    fees: Mapped[list[Fee]] = relationship()


class Customer(db.Model):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)


def price_of(shirt: Shirt) -> Decimal | None:
    """A shirt's price lies in its design's row, its brand's country's, and those of its fees."""
    if shirt.design is None:
        return None
    fees = sum((fee.amount for fee in shirt.fees), Decimal(0))
    return shirt.design.base_price + shirt.design.brand.country.duty + fees


models = declare_models(
    db,
    customer=Customer,
    product=mapping.product(
        Shirt,
        sku=None,
        name=None,
        price=price_of,
        stock=None,
        load=(Shirt.design, Shirt.fees, Design.brand, Brand.country),
    ),
)


@pytest.fixture
def shop(database: URL) -> Iterator[Shop]:
    """Six shirts of six designs at 12.50 each: 10.00, a duty of 1.50, a fee of 1.00."""
    shop = open_shop(db, database, models)
    with shop.session() as session:
        session.add(Country(id=1, duty=Decimal("1.50")))
        session.add(Brand(id=1, code="B", country_id=1))
        session.flush()
        for key in range(1, 7):
            session.add(Design(id=key, brand_code="B", base_price=Decimal(10)))
            session.flush()
            session.add(Shirt(id=key, design_id=key))
            session.flush()
            session.add(Fee(shirt_id=key, amount=Decimal(1)))
        session.add(Customer(id=1))
    yield shop
    shop.close()


def change(shop: Shop, statement: Any) -> None:
    with shop.engine.begin() as connection:
        connection.execute(statement)


def test_each_kind_of_parent_is_read_by_one_statement_for_all_items(shop: Shop) -> None:
    shop.cart(1, {1: 1})
    shop.order(1)
    sent = {}
    for count in (1, 6):
        shop.fill(1, dict.fromkeys(range(count, 0, -1), 1))
        with counted(shop.engine) as statements:
            assert shop.post(1).status_code == 201
        sent[count] = [" ".join(statement.split()) for statement in statements]
    assert len(sent[1]) == len(sent[6]), "\n".join(sent[6])
    for found in ("designs WHERE", "designs_1 .*JOIN brands", "countries WHERE", "fees WHERE"):
        assert sum(bool(re.search(f"FROM .*{found}", one)) for one in sent[6]) == 1, found
    totals = [row["total_amount"] for row in shop.rows("orders")]
    assert sorted(totals) == [Decimal("12.50"), Decimal("12.50"), Decimal("75.00")]


def test_the_parents_are_locked_in_the_order_of_their_keys_after_the_products(shop: Shop) -> None:
    """Against changes of the shop's, and not against other orders."""
    share = "FOR SHARE OF designs"
    locks = {"postgresql": share, "mysql": share, "mariadb": "LOCK IN SHARE MODE", "sqlite": ""}
    shop.cart(1, {2: 1, 1: 1})
    with counted(shop.engine) as statements:
        assert shop.post(1).status_code == 201
    sent = [" ".join(statement.split()) for statement in statements]
    (products,) = [i for i, statement in enumerate(sent) if "FROM shirts" in statement]
    (parents,) = [i for i, statement in enumerate(sent) if "FROM designs WHERE" in statement]
    assert products < parents
    ending = f"ORDER BY designs.id {locks[server_of(shop.engine)]}".strip()
    assert sent[parents].endswith(ending), sent[parents]


def test_the_preview_locks_no_parent(shop: Shop) -> None:
    shop.cart(1, {1: 1})
    with counted(shop.engine) as statements:
        assert body(shop.get(1, f"{ORDERS}preview/"))["total_amount"] == "12.50"
    assert not [one for one in statements if "FOR SHARE" in one or "SHARE MODE" in one]


def test_a_transaction_that_has_read_the_parent_before_sells_at_its_latest_price(
    shop: Shop,
) -> None:
    """On MariaDB every plain read of that transaction sees the older snapshot."""
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("on SQLite a reader can't become a writer once somebody else has written")
    shop.cart(1, {1: 2})
    with shop.app.app_context():
        shirt = db.session.get(Shirt, 1)
        assert price_of(shirt) == Decimal("12.50")
        change(shop, sa.update(Design).where(Design.id == 1).values(base_price=Decimal(20)))
        with refused_old_snapshot(shop.engine):
            order = current_orders.convert(1, billing_address=HOME)
            assert order.total_amount == Decimal("45.00")
            db.session.commit()
            (row,) = shop.rows("orders")
            assert row["total_amount"] == Decimal("45.00")


def test_a_product_without_its_parent_has_none(shop: Shop) -> None:
    """Its foreign key is NULL, or the session's criteria hide the parent."""

    @event.listens_for(shop.db.session, "do_orm_execute")
    def hide(state: Any) -> None:
        if state.is_select:
            state.statement = state.statement.options(
                with_loader_criteria(Design, Design.is_hidden.is_(False))
            )

    change(shop, sa.update(Design).where(Design.id == 1).values(is_hidden=True))
    change(shop, sa.update(Shirt).where(Shirt.id == 2).values(design_id=None))
    shop.cart(1, {1: 1, 2: 1, 3: 1})
    try:
        with nothing_changed(shop):
            refused = body(shop.post(1))["items"]
    finally:
        event.remove(shop.db.session, "do_orm_execute", hide)
    found = [(item["product"]["id"], item["reason"]) for item in refused]
    assert found == [(1, "no_price"), (2, "no_price")]


@pytest.mark.parametrize(
    ("load", "fix"),
    [
        ("Design.brand", "load=(Shirt.<a relationship>, Design.brand)"),
        ("Design.brand, Shirt.design", "load=(Shirt.<a relationship>, Design.brand)"),
        ("Shirt.design_id", "write load=Shirt.<its relationship>"),
    ],
)
def test_a_relationship_to_which_nothing_leads_is_named(database: URL, load: str, fix: str) -> None:
    """By `flask orders check`: what a lambda returns is known when all modules are there."""
    own_db = new_db()

    class Brand(own_db.Model):
        __tablename__ = "brands"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Design(own_db.Model):
        __tablename__ = "designs"
        id: Mapped[int] = mapped_column(primary_key=True)
        brand_id: Mapped[int] = mapped_column(ForeignKey("brands.id"))
        brand: Mapped[Any] = relationship(Brand)

    class Shirt(own_db.Model):
        __tablename__ = "shirts"
        id: Mapped[int] = mapped_column(primary_key=True)
        sku = name = stock = None
        price = Decimal(10)
        design_id: Mapped[int] = mapped_column(ForeignKey("designs.id"))
        design: Mapped[Any] = relationship(Design)

    attributes = {"Design": Design, "Shirt": Shirt}
    product = mapping.product(Shirt, load=lambda: eval(load, attributes))
    shop = open_shop(own_db, database, declare_models(own_db, product=product))
    with shop.session() as session:
        item = shop.models.CartItem(product=Shirt(id=1, design=Design(brand=Brand())), quantity=1)
        session.add(shop.models.Cart(customer_id="ann", items=[item]))
    assert fix in check_output(shop)
    with nothing_changed(shop):
        assert body(shop.post("ann"))["code"] == "misconfigured"
    shop.close()
