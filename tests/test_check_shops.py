"""`flask orders check` inspects a shop's own tables, rows and classes before the first customer."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_jwt_extended import JWTManager
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column, with_loader_criteria

from flask_orders import declare_models, orders_bp

from .support import servers
from .support.checks import check

WELL = (0, "Everything is set up.\n")


class OldShop:
    """A shop whose tables were there before, in the fewest words."""

    def __init__(self, url: URL, **cart_customer: Any) -> None:
        self.app, self.db = Flask("old"), SQLAlchemy()
        self.app.config.update(
            SQLALCHEMY_DATABASE_URI=url.render_as_string(hide_password=False),
            SQLALCHEMY_ENGINE_OPTIONS={"hide_parameters": True},
            JWT_SECRET_KEY="s" * 32,
            ORDERS_PAYMENT_ENDPOINT="pay",
        )
        db = self.db

        class Article(db.Model):
            __tablename__ = "article"
            id: Mapped[int] = mapped_column(primary_key=True)
            title: Mapped[str] = mapped_column(sa.String(50))
            price: Mapped[Decimal | None] = mapped_column("net", sa.Numeric(18, 6))
            active: Mapped[bool] = mapped_column(default=True)
            stock: Mapped[int | None]
            name = sa.orm.synonym("title")
            sku = sa.orm.synonym("title")
            shipping = None

        class Basket(db.Model):
            __tablename__ = "basket"
            id: Mapped[int] = mapped_column(primary_key=True)
            kind: Mapped[str] = mapped_column(sa.String(10), default="basket")
            hidden: Mapped[bool] = mapped_column(default=False)
            customer_id: Mapped[str | None] = mapped_column("owner", sa.String(50), **cart_customer)
            voucher = None
            __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "base"}  # noqa: RUF012

        class OpenBasket(Basket):
            __mapper_args__ = {"polymorphic_identity": "basket"}  # noqa: RUF012

        class WishList(Basket):
            __mapper_args__ = {"polymorphic_identity": "wishes"}  # noqa: RUF012

        class Row(db.Model):
            __tablename__ = "basket_row"
            id: Mapped[int] = mapped_column(primary_key=True)
            basket_id: Mapped[int] = mapped_column(sa.ForeignKey(Basket.id), index=True)
            article_id: Mapped[int] = mapped_column(sa.ForeignKey(Article.id))
            quantity: Mapped[int] = mapped_column(default=1)
            cart = sa.orm.synonym("basket_id")
            product = sa.orm.synonym("article_id")

        self.Article, self.Basket, self.Row = Article, OpenBasket, Row
        self.WishList = WishList
        db.init_app(self.app)
        JWTManager(self.app)
        declare_models(db, product=Article, cart=OpenBasket, cart_item=Row)
        self.app.register_blueprint(orders_bp)
        self.app.add_url_rule("/pay/<uuid:order_id>", "pay", lambda order_id: "")
        with self.app.app_context():
            db.create_all()

    def add(self, *rows: Any) -> None:
        with self.app.app_context():
            self.db.session.add_all(rows)
            self.db.session.commit()

    def run(self, statement: str) -> None:
        with self.app.app_context(), self.db.engine.begin() as connection:
            connection.exec_driver_sql(statement)

    def check(self) -> tuple[int, str]:
        """Run the command, which must change nothing."""
        before = self.everything()
        found = check(self.app)
        assert self.everything() == before
        return found

    def everything(self) -> dict[str, list[Any]]:
        with self.app.app_context(), self.db.engine.connect() as connection:
            return {
                name: [tuple(map(str, row)) for row in connection.execute(sa.select(table))]
                for name, table in self.db.metadata.tables.items()
            }

    def close(self) -> None:
        with self.app.app_context():
            self.db.session.remove()
            self.db.engine.dispose()


@contextmanager
def emptied(shop: OldShop) -> Iterator[OldShop]:
    try:
        yield shop
    finally:
        with shop.app.app_context(), shop.db.engine.begin() as connection:
            for table in reversed(shop.db.metadata.sorted_tables):
                connection.execute(table.delete())


@pytest.fixture(scope="module", params=[{"unique": True}, {"index": True}])
def session_shop(request: pytest.FixtureRequest, server_url: URL) -> Iterator[OldShop]:
    with servers.fresh_database(server_url) as url:
        shop = OldShop(url, **request.param)
        yield shop
        shop.close()


@pytest.fixture
def shop(session_shop: OldShop) -> Iterator[OldShop]:
    """The shop, with nothing in it."""
    with emptied(session_shop):
        yield session_shop


@pytest.fixture
def changing_shop(database: URL) -> Iterator[OldShop]:
    """A shop whose tables a test may change."""
    shop = OldShop(database, unique=True)
    yield shop
    shop.close()


unique = pytest.mark.parametrize("session_shop", [{"unique": True}], indirect=True)
not_unique = pytest.mark.parametrize("session_shop", [{"index": True}], indirect=True)


def selected(shop: OldShop, output: str) -> list[Any]:
    """Run the SELECT that a sentence ends with."""
    (statement,) = re.findall(r"(?:they|some) are: (SELECT .*)", output)
    with shop.app.app_context(), shop.db.engine.connect() as connection:
        return list(connection.execute(sa.text(statement)))


@unique
def test_a_shop_s_own_complete_tables_have_no_problems(shop: OldShop) -> None:
    shop.add(
        shop.Article(title="Tea", price=Decimal("79.99")),
        shop.Article(title="A draft", price=None, active=False),
        shop.Basket(customer_id="ann"),
        shop.Basket(customer_id=None),
        shop.Basket(customer_id=None),
    )
    assert shop.check() == WELL


def test_a_shop_s_own_tables_may_have_another_character_set(database: URL) -> None:
    """Their text is the shop's own to choose; what customers type goes into the library's."""
    if database.get_backend_name() != "mysql":
        pytest.skip("only MySQL and MariaDB have tables in an encoding of their own")
    shop = OldShop(database, unique=True)
    shop.run("ALTER TABLE article CONVERT TO CHARACTER SET latin1")
    assert shop.check() == WELL
    shop.close()


@not_unique
def test_customers_with_two_carts_are_counted_and_listed(shop: OldShop) -> None:
    """Wish lists in the carts' table are no carts, and closed carts have no customer."""
    owners = ("ann", "ann", "ben", "ben", "ben", "cem", None, None)
    shop.add(
        *(shop.Basket(customer_id=owner) for owner in owners),
        *(shop.WishList(customer_id="cem") for _ in range(3)),
    )
    code, output = shop.check()
    assert (code, output.count("\n")) == (1, 2), output
    assert "add unique=True to OpenBasket.customer_id" in output
    assert "2 customer(s) have more than one open cart" in output
    assert sorted(map(tuple, selected(shop, output))) == [("ann", 2), ("ben", 3)]


@not_unique
def test_carts_that_the_shop_s_criteria_hide_are_not_counted(shop: OldShop) -> None:
    shop.add(shop.Basket(customer_id="ann"), shop.Basket(customer_id="ann", hidden=True))

    def hide(state: Any) -> None:
        if state.is_select:
            state.statement = state.statement.options(
                with_loader_criteria(shop.Basket, lambda cls: cls.hidden.is_(False))
            )

    sa.event.listen(shop.db.session, "do_orm_execute", hide)
    try:
        code, output = shop.check()
    finally:
        sa.event.remove(shop.db.session, "do_orm_execute", hide)
    assert (code, output.count("\n")) == (1, 1), output
    assert "add unique=True to OpenBasket.customer_id" in output


def test_a_partial_index_keeps_carts_single_only_if_it_leaves_nothing_but_null_out(
    database: URL,
) -> None:
    if database.get_backend_name() == "mysql":
        pytest.skip("MySQL and MariaDB have no partial indexes")
    shop = OldShop(database, index=True)
    shop.run("CREATE UNIQUE INDEX one_open ON basket (owner) WHERE hidden IS NOT TRUE")
    assert "add unique=True" in shop.check()[1]
    shop.run("CREATE UNIQUE INDEX one ON basket (owner) WHERE owner IS NOT NULL")
    assert shop.check() == WELL
    shop.close()


def test_a_missing_index_on_the_items_cart_is_named(database: URL) -> None:
    if database.get_backend_name() == "mysql":
        pytest.skip("MySQL and MariaDB make an index for every foreign key")
    shop = OldShop(database, unique=True)
    shop.run("DROP INDEX ix_basket_row_basket_id")
    # An index that begins with another column finds no cart's items.
    shop.run("CREATE INDEX other ON basket_row (article_id, basket_id)")
    code, output = shop.check()
    assert (code, output.count("\n")) == (1, 1), output
    assert "add index=True to Row.basket_id" in output
    shop.run("CREATE INDEX by_basket ON basket_row (basket_id, article_id)")
    assert shop.check() == WELL
    shop.close()


@unique
def test_prices_that_can_not_be_charged_are_counted_and_listed(shop: OldShop) -> None:
    wrong: list[Any] = ["0.0057", "79.999", "-1.00", None]
    if shop.app.config["SQLALCHEMY_DATABASE_URI"].startswith("postgresql"):
        wrong += ["NaN"]
    right = ["0", "0.10", "19.99", "79.99", "1234567.89", "100"]
    prices = [None if text is None else Decimal(text) for text in right + wrong]
    shop.add(*(shop.Article(title=str(price), price=price) for price in prices))
    shop.add(shop.Article(title="withdrawn", price=Decimal("0.001"), active=False))

    code, output = shop.check()

    assert (code, output.count("\n")) == (1, 1), output
    assert f"{len(wrong)} product(s) can't be sold" in output
    assert "finer than 0.01 USD" in output
    assert len(selected(shop, output)) == len(wrong)


@unique
def test_float_noise_is_no_fraction_of_a_cent(shop: OldShop) -> None:
    """SQLite stores a Numeric as a float; what the ORM reads is what is charged."""
    shop.add(shop.Article(title="sum", price=Decimal("0.30")))
    shop.run("UPDATE article SET net = 0.1 + 0.2")
    assert shop.check() == WELL


def test_a_view_instead_of_a_table_is_named(changing_shop: OldShop) -> None:
    """An order can't lock it."""
    shop = changing_shop
    shop.run("DROP TABLE basket_row")
    shop.run(
        "CREATE VIEW basket_row AS SELECT 1 AS id, 1 AS basket_id, 1 AS article_id, 1 AS quantity"
    )
    code, output = shop.check()
    assert code == 1
    assert "'basket_row' is a view" in output


def test_orm_listeners_that_are_bypassed_are_a_note_and_no_problem(changing_shop: OldShop) -> None:
    shop = changing_shop
    shop.Article.__versioned__ = {}
    for cls, event in ((shop.Article, "after_update"), (shop.Row, "before_delete")):
        sa.event.listen(cls, event, lambda *_: None)
    # Nothing of a cart is changed where it has no voucher, and nothing is inserted.
    sa.event.listen(shop.Basket, "before_update", lambda *_: None)
    sa.event.listen(shop.Row, "before_insert", lambda *_: None)

    code, output = shop.check()

    assert code == 0
    article, row, last = output.splitlines()
    assert article.startswith("Note: an order does not go through Article's after_update listeners")
    assert "versions (SQLAlchemy-Continuum)" in article
    assert row.startswith("Note: an order does not go through Row's before_delete listeners")
    assert last == "Everything is set up."
