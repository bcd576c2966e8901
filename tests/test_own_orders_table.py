"""A shop whose own orders table already has orders: it lives on beside the library's tables."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column, relationship

from flask_orders import declare_models

from .support.apps import install, new_db
from .support.shops import Shop, check_output, open_shop

# The operations that autogenerate writes for a new table.
NEW_TABLE = {"add_table", "add_index"}


def shop_of_old(db: Any) -> SimpleNamespace:
    """The shop's classes, which have the names and the tables of the library's."""

    class User(db.Model):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        orders = relationship("Order", back_populates="user", order_by="Order.id")

    class Order(db.Model):
        __tablename__ = "orders"
        id: Mapped[int] = mapped_column(primary_key=True)
        user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"), index=True)
        number: Mapped[str] = mapped_column(sa.String(20), unique=True)
        total: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2))
        user = relationship("User", back_populates="orders")
        items = relationship("OrderItem", back_populates="order")

    class OrderItem(db.Model):
        __tablename__ = "order_items"
        id: Mapped[int] = mapped_column(primary_key=True)
        order_id: Mapped[int] = mapped_column(sa.ForeignKey("orders.id"))
        name: Mapped[str] = mapped_column(sa.String(50))
        order = relationship("Order", back_populates="items")

    return SimpleNamespace(User=User, Order=Order, OrderItem=OrderItem)


@pytest.fixture
def old(database: URL) -> tuple[Any, SimpleNamespace, URL]:
    """The shop's `db` and classes, with an order in its tables; nothing of the library's yet."""
    db = new_db()
    classes = shop_of_old(db)
    engine = sa.create_engine(database)
    db.metadata.create_all(engine)
    with sa.orm.Session(engine) as session, session.begin():
        item = classes.OrderItem(name="Lamp")
        order = classes.Order(number="2019-1", total=Decimal("19.90"), items=[item])
        session.add(classes.User(id=1, orders=[order]))
    engine.dispose()
    return db, classes, database


def differences(shop: Shop) -> list[tuple[str, str]]:
    """What `flask db migrate` would write: each operation, and its table."""
    with shop.engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), shop.db.metadata)
    return [(operation, getattr(of, "table", of).name) for operation, of in found]


def test_a_migration_writes_nothing_but_the_library_s_tables(
    old: tuple[Any, SimpleNamespace, URL],
) -> None:
    db, classes, url = old
    models = declare_models(db, customer=classes.User, table_prefix="fo_")
    shop = Shop(install(db, url), db, models)
    written = differences(shop)
    assert {operation for operation, _ in written} <= NEW_TABLE
    assert all(name.startswith("fo_") for _, name in written)
    assert {name for _, name in written} == set(db.metadata.tables) - {
        *("users", "orders", "order_items")
    }
    with shop.app.app_context():
        db.create_all()
    assert differences(shop) == []
    shop.close()


def test_both_kinds_of_orders_side_by_side(old: tuple[Any, SimpleNamespace, URL]) -> None:
    db, classes, url = old
    models = declare_models(db, customer=classes.User, table_prefix="fo_")
    shop = open_shop(db, url, models)
    shop.cart(1, {shop.product("10.00"): 2})
    order = shop.order(1)
    assert order["total_amount"] == "20.00"
    with shop.session() as session:
        user = session.get_one(classes.User, 1)
        assert [(one.number, one.total) for one in user.orders] == [("2019-1", Decimal("19.90"))]
        assert [item.name for item in user.orders[0].items] == ["Lamp"]
        (new,) = session.scalars(sa.select(models.Order))
        assert (str(new.id), new.customer_id, len(new.items)) == (order["id"], 1, 1)
        user.orders.append(classes.Order(number="2026-1", total=Decimal(1)))
    assert len(shop.rows("orders")) == 2
    assert len(shop.rows("fo_orders")) == 1
    assert check_output(shop) == "Everything is set up.\n"
    shop.close()
