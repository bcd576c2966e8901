"""No table is both the shop's and the library's, whichever is declared first."""

from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

from flask_orders import ConfigurationError, Models, current_orders, declare_models

from .support.apps import install, new_db
from .support.database import nothing_changed
from .support.requests import HOME
from .support.shops import Shop


def merging() -> Any:
    class Base(DeclarativeBase):
        __table_args__ = {"extend_existing": True}  # noqa: RUF012

    return Base


def merging_by_a_function() -> Any:
    class Base(DeclarativeBase):
        @declared_attr.directive
        def __table_args__(cls) -> Any:  # noqa: N805 - a class
            return (sa.CheckConstraint("1 = 1"), {"extend_existing": True})

    return Base


def merging_in_a_schema() -> Any:
    class Base(DeclarativeBase):
        __table_args__ = {"schema": "shop", "extend_existing": True}  # noqa: RUF012

    return Base


MERGING = pytest.mark.parametrize("base", [merging, merging_by_a_function, merging_in_a_schema])


def own_orders(db: Any) -> Any:
    class Order(db.Model):
        __tablename__ = "orders"
        id: Mapped[int] = mapped_column(primary_key=True)
        total: Mapped[Decimal | None] = mapped_column(sa.Numeric(10, 2))

    return Order


@MERGING
def test_the_shop_s_table_came_first(base: Any) -> None:
    db = new_db(base())
    order = own_orders(db)
    with pytest.raises(ConfigurationError, match=r"already has a table 'orders'.*table_prefix"):
        declare_models(db)
    assert len(db.metadata.tables) == 1
    assert {column.name for column in order.__table__.c} == {"id", "total"}
    models = declare_models(db, table_prefix="fo_")
    assert models.Order.__tablename__ == "fo_orders"
    assert list(models.merged_tables()) == []


@MERGING
def test_the_shop_s_table_comes_later(base: Any) -> None:
    db = new_db(base())
    declare_models(db)
    with pytest.raises(ConfigurationError, match=r"'(shop\.)?orders' with id, total.*table_prefix"):
        own_orders(db)


def test_a_later_table_that_is_not_merged_is_refused_by_sqlalchemy() -> None:
    db = new_db()
    declare_models(db)
    with pytest.raises(InvalidRequestError, match="Table 'orders' is already defined"):
        own_orders(db)


def test_a_later_table_without_a_class() -> None:
    """Nothing announces it: it is refused by the first order, and by the command."""
    db = new_db()
    models = declare_models(db)
    note = sa.Column("note", sa.Text)
    sa.Table("order_items", db.metadata, note, extend_existing=True)
    app = install(db)
    shop = Shop(app, db, models)
    with app.app_context():
        db.create_all()
        product = models.Product(sku="A", name="A", price=Decimal(3))
        item = models.CartItem(product=product, quantity=1)
        db.session.add(models.Cart(customer_id="ann", items=[item]))
        db.session.commit()
        with (
            nothing_changed(shop),
            pytest.raises(ConfigurationError, match=r"'order_items' with note.*table_prefix='fo_'"),
        ):
            current_orders.convert("ann", billing_address=HOME)
        db.session.rollback()
    found = app.test_cli_runner().invoke(args=["orders", "check"])
    assert found.exit_code == 1
    assert "'order_items' with note" in found.output


def test_a_table_of_another_schema_is_another_table() -> None:
    db = new_db(merging_in_a_schema())
    sa.Table("orders", db.metadata, sa.Column("id", sa.Integer, primary_key=True))
    models = declare_models(db)
    assert {rows.key for rows in map(table_of, models.made)} < set(db.metadata.tables)
    assert table_of(models.Order).key == "shop.orders"
    assert models.offer_products.key == "shop.offer_products"


def test_the_shop_may_add_to_the_library_s_classes() -> None:
    """By a subclass in the same table, or by a column."""
    db = new_db(merging())
    models = declare_models(db)

    class GiftOrder(models.Order):
        gift_note: Mapped[str | None] = mapped_column(sa.Text)

    models.Product.weight = mapped_column(sa.Integer)

    class Unrelated(db.Model):
        __tablename__ = "unrelated"
        id: Mapped[int] = mapped_column(primary_key=True)

    assert list(models.merged_tables()) == []
    assert {"weight"} < set(table_of(models.Product).c.keys())


@pytest.mark.parametrize("name", ["offer_products", "order_events", "vouchers"])
def test_every_table_is_looked_for_before_any_is_declared(name: str) -> None:
    db = new_db()
    sa.Table(name, db.metadata, sa.Column("id", sa.Integer, primary_key=True))
    with pytest.raises(ConfigurationError, match=f"already has a table '{name}'"):
        declare_models(db)
    assert set(db.metadata.tables) == {name}
    if name != "order_events":
        assert isinstance(declare_models(db, promotions=False), Models)


def table_of(cls: Any) -> sa.Table:
    found: sa.Table = sa.inspect(cls).local_table
    return found
