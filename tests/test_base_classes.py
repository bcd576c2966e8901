"""The library's tables on the bases that shops have: their columns, schemas and conventions."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import URL
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

from flask_orders import ConfigurationError, declare_models
from flask_orders.models import OrderMixin

from .support.apps import new_db
from .support.shops import Shop, check_output, open_shop


def stamped() -> Any:
    """Columns that a row fills by itself, each in another way."""

    class Base(DeclarativeBase):
        tenant_id: Mapped[int] = mapped_column(default=7)
        trace: Mapped[str] = mapped_column(sa.String(36), default=lambda: str(uuid.uuid4()))
        source: Mapped[str] = mapped_column(sa.String(10), server_default="web")
        created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
        changed_at: Mapped[datetime | None] = mapped_column(onupdate=lambda: datetime.now(UTC))
        remark: Mapped[str | None] = mapped_column(sa.Text)

    return Base


def keyed() -> Any:
    """A primary key of the same name as the library's."""

    class Base(DeclarativeBase):
        id: Mapped[int] = mapped_column(primary_key=True)
        created: Mapped[datetime] = mapped_column(server_default=sa.func.now())

    return Base


def typed() -> Any:
    """Other types for the annotations that the library uses too."""

    class Base(DeclarativeBase):
        registry = sa.orm.registry(
            type_annotation_map={
                int: sa.BigInteger(),
                str: sa.Text(),
                bool: sa.SmallInteger(),
                uuid.UUID: sa.String(36),
            }
        )

    return Base


def named() -> Any:
    """Constraints named by the first column, or by nothing of the library's."""

    class Base(DeclarativeBase):
        metadata = sa.MetaData(
            naming_convention={
                "ix": "ix_%(column_0_label)s",
                "uq": "%(table_name)s_%(column_0_name)s_key",
                "ck": "check_%(constraint_name)s",
                "fk": "%(table_name)s_%(column_0_name)s_fkey",
                "pk": "%(table_name)s_pkey",
            }
        )

    return Base


def named_by_functions() -> Any:
    """Names that are worked out by the shop's own function."""

    def short(constraint: Any, rows: Any) -> str:
        return f"{rows.name}_{'_'.join(column.name for column in constraint.columns)[:40]}"

    class Base(DeclarativeBase):
        metadata = sa.MetaData(
            naming_convention={
                "short": short,
                "ix": "ix_%(column_0_N_label)s",
                "uq": "uq_%(short)s",
            }
        )

    return Base


def renamed() -> Any:
    """A table's name that follows from its class's."""

    class Base(DeclarativeBase):
        @declared_attr.directive
        def __tablename__(cls) -> str:  # noqa: N805 - a class
            return f"tbl_{cls.__name__.lower()}"

        @declared_attr.directive
        def __mapper_args__(cls) -> Any:  # noqa: N805 - a class
            return {"eager_defaults": True}

        @declared_attr
        def owner(cls) -> Mapped[str]:  # noqa: N805 - a class
            return mapped_column(sa.String(40), default=cls.__name__)

    return Base


def fast() -> Any:
    """Options of the tables of one database."""

    class Base(DeclarativeBase):
        __table_args__ = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}  # noqa: RUF012

    return Base


@contextmanager
def shop_on(db: Any, url: URL) -> Iterator[Shop]:
    """A shop whose customers are texts."""
    shop = open_shop(db, url, declare_models(db))
    yield shop
    with shop.app.app_context():
        db.drop_all()
    shop.close()


def orders_and_cancels(shop: Shop) -> dict[str, Any]:
    """Go through an order's life, which writes to every table but two; return the order's row."""
    product = shop.product("10.00", stock=5)
    voucher = shop.voucher("TEN", "10%", usage="once_per_customer")
    shop.offer("50%", product)
    shop.cart("ann", {product: 2}, voucher)
    answer = shop.post("ann", key="click")
    assert answer.status_code == 201, answer.text
    again = shop.post("ann", key="click")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert shop.post("ann").json["code"] == "empty_cart"  # type: ignore[index] # a problem
    assert shop.rows(table_name(shop, "Product"))[0]["stock"] == 3
    with shop.service() as orders:
        orders.cancel(answer.headers["Location"].split("/")[-2])
    assert shop.rows(table_name(shop, "Product"))[0]["stock"] == 5
    with shop.service() as orders:
        assert list(orders.audit()) == []
    (order,) = shop.rows(table_name(shop, "Order"))
    assert (order["total_amount"], order["status"]) == (9, "cancelled")
    assert check_output(shop) == "Everything is set up.\n"
    return order


def table_name(shop: Shop, name: str) -> str:
    return str(sa.inspect(getattr(shop.models, name)).local_table.key)


BASES = (stamped, keyed, typed, named, named_by_functions, renamed, fast)


@pytest.mark.parametrize("base", BASES)
def test_an_order_on_a_base(database: URL, base: Any) -> None:
    with shop_on(new_db(base()), database) as shop:
        orders_and_cancels(shop)
        for cls in shop.models.made:
            assert [column.name for column in sa.inspect(cls).primary_key] == ["id"]


def test_an_order_with_tables_named_by_flask_sqlalchemy(database: URL) -> None:
    with shop_on(SQLAlchemy(), database) as shop:
        orders_and_cancels(shop)


def test_the_base_s_own_columns_are_filled(database: URL) -> None:
    with shop_on(new_db(stamped()), database) as shop:
        order = orders_and_cancels(shop)
        assert (order["tenant_id"], order["source"], order["remark"]) == (7, "web", None)
        assert order["created_at"] is not None
        assert order["changed_at"] is not None, "an order that was cancelled has been changed"
        (item,) = shop.rows("order_items")
        assert uuid.UUID(item["trace"]) != uuid.UUID(order["trace"])
        for name in ("order_events", "order_idempotency_keys", "order_addresses"):
            for row in shop.rows(name):
                assert row["tenant_id"] == 7


def test_the_types_of_the_library_s_columns_are_its_own() -> None:
    plain, other = (declare_models(new_db(base)) for base in (None, typed()))
    for one, its in zip(plain.made, other.made, strict=True):
        types = [[repr(column.type) for column in cls.__table__.c] for cls in (one, its)]
        assert types[0] == types[1]


def not_null(column: Any) -> Any:
    class Base(DeclarativeBase):
        tenant_id = column

    return new_db(Base)


@pytest.mark.parametrize("given", [{}, {"order": "WebOrder"}])
def test_a_column_that_nothing_fills_is_refused(given: dict[str, str]) -> None:
    """And again, however often: the tables are half declared."""
    db = not_null(mapped_column(sa.Integer, nullable=False))
    classes: Any = {}
    if given:
        classes["order"] = type("WebOrder", (OrderMixin, db.Model), {"__tablename__": "web"})
    for _ in range(2):
        with pytest.raises(ConfigurationError) as raised:
            declare_models(db, **classes)
        message = str(raised.value)
        assert "a column 'tenant_id', NOT NULL without a default" in message
        assert "give it a default=" in message
        assert "class Own: tenant_id: ..." in message
        assert "class Product(Own, db.Model)" in message


@pytest.mark.parametrize(
    "column",
    [
        mapped_column(sa.Integer, nullable=True),
        mapped_column(sa.Integer, nullable=False, default=1),
        mapped_column(sa.Integer, nullable=False, server_default="1"),
        mapped_column(sa.Integer, sa.Computed("1"), nullable=False),
    ],
)
def test_a_column_that_is_filled_is_accepted(column: Any) -> None:
    assert declare_models(not_null(column)).Order.tenant_id is not None  # type: ignore[attr-defined] # the base's


def test_a_key_beside_the_library_s_is_refused() -> None:
    db = not_null(mapped_column(sa.Integer, primary_key=True))
    with pytest.raises(ConfigurationError, match=r"'tenant_id', a primary key of its own"):
        declare_models(db)


@pytest.mark.parametrize("name", ["customer_id", "order_id", "product_id", "voucher_id"])
def test_a_column_that_the_library_adds_is_refused(name: str) -> None:
    class Base(DeclarativeBase):
        pass

    setattr(Base, name, mapped_column(sa.Integer, nullable=True))
    with pytest.raises(ConfigurationError, match=f"has a column '{name}' of your own"):
        declare_models(new_db(Base))


@contextmanager
def schema(url: URL, tmp_path: Path) -> Iterator[tuple[str, Any]]:
    """A schema of its own, and what an engine needs for it."""
    if url.get_backend_name() == "sqlite":
        yield "shop", lambda connection: connection.execute(f"ATTACH '{tmp_path}/shop.db' AS shop")
        return
    name = f"{url.database}_shop"
    charset = "" if url.get_backend_name() == "postgresql" else " CHARACTER SET utf8mb4"
    admin = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA {name}{charset}"))
    try:
        yield name, lambda connection: None
    finally:
        cascade = " CASCADE" if url.get_backend_name() == "postgresql" else ""
        with admin.connect() as connection:
            connection.execute(sa.text(f"DROP SCHEMA {name}{cascade}"))


@pytest.mark.parametrize("where", ["metadata", "table_args"])
def test_an_order_in_a_schema(database: URL, tmp_path: Path, where: str) -> None:
    with schema(database, tmp_path) as (name, prepare):

        class InMetadata(DeclarativeBase):
            metadata = sa.MetaData(schema=name)

        class InTables(DeclarativeBase):
            __table_args__ = {"schema": name}  # noqa: RUF012

        db = new_db(InMetadata if where == "metadata" else InTables)

        @sa.event.listens_for(sa.pool.Pool, "connect")
        def attach(connection: Any, _record: Any) -> None:
            prepare(connection)

        try:
            with shop_on(db, database) as shop:
                orders_and_cancels(shop)
                assert {rows.schema for rows in db.metadata.tables.values()} == {name}
        finally:
            sa.event.remove(sa.pool.Pool, "connect", attach)
