"""A constraint of the shop that refuses every order is named in the log, without retries."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.orm import mapped_column

from .support.shops import Shop, make_shop


def not_null(order: Any) -> None:
    order.warehouse = mapped_column(sa.String(20), nullable=False)


def check(order: Any) -> None:
    order.__table__.append_constraint(sa.CheckConstraint("items_count > 1", name="not_so_few"))


def unique(order: Any) -> None:
    """By a name that the server makes."""
    order.__table__.append_constraint(sa.UniqueConstraint("currency"))


def foreign_key_from_the_order(order: Any) -> None:
    sa.Table("warehouses", order.metadata, sa.Column("id", sa.Integer, primary_key=True))
    order.warehouse = mapped_column(sa.ForeignKey("warehouses.id"), default=7)


def foreign_key_to_the_cart_item(order: Any) -> None:
    sa.Table(
        "engravings",
        order.metadata,
        sa.Column("item_id", sa.ForeignKey("cart_items.id"), primary_key=True),
        sa.Column("text", sa.String(20)),
    )


CASES: dict[Callable[[Any], None], tuple[str, str]] = {
    not_null: ("orders", "give the column a default"),
    check: ("orders", "let it allow such rows"),
    unique: ("orders", "add a column that distinguishes two orders"),
    foreign_key_from_the_order: ("orders", "make sure that the row exists"),
    foreign_key_to_the_cart_item: ("engravings", "ON DELETE CASCADE or SET NULL"),
}


@pytest.mark.parametrize("constrain", CASES, ids=[case.__name__ for case in CASES])
def test_it_is_named_with_a_fix_and_the_order_is_not_tried_again(
    database: URL,
    caplog: pytest.LogCaptureFixture,
    constrain: Callable[[Any], None],
) -> None:
    table, fix = CASES[constrain]
    shop = make_shop(database, create_tables=False)
    constrain(shop.models.Order)
    with shop.app.app_context():
        shop.db.create_all()
    customer = shop.customer()
    if constrain is unique:
        shop.cart(customer, {shop.product(): 1})
        assert shop.post(customer).status_code == 201
        shop.fill(customer, {shop.product(): 1})
    else:
        shop.cart(customer, {shop.product(): 1})
    if constrain is foreign_key_to_the_cart_item:
        engrave(shop)
    before = shop.everything()
    caplog.set_level("INFO")
    caplog.clear()

    assert shop.post(customer).status_code == 500

    assert shop.everything() == before
    is_unnamed = database.get_backend_name() == "sqlite" and "foreign" in constrain.__name__
    retries = [one for one in caplog.records if one.getMessage().startswith("conflict")]
    # SQLite does not say which foreign key it was.
    assert len(retries) == is_unnamed
    assert "refuses a write of flask_orders" in caplog.text
    if constrain is check:
        assert "A CHECK constraint (not_so_few) on your table 'orders'" in caplog.text
    assert fix in caplog.text
    assert ("cart_items" if is_unnamed and table != "orders" else table) in caplog.text
    assert "For Ann" not in caplog.text
    assert "Main St" not in caplog.text
    shop.close()


def engrave(shop: Shop) -> None:
    with shop.session() as session:
        (item,) = session.scalars(sa.select(shop.models.CartItem.id))
        engravings = shop.db.metadata.tables["engravings"]
        session.execute(sa.insert(engravings).values(item_id=item, text="For Ann"))
