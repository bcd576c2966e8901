"""Rows that a function reads through `load=` are today's, also those that a product has many of."""

from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

from flask_orders import current_orders

from .support.database import counted, server_of
from .support.requests import HOME
from .support.shops import check_output
from .support.variants import make_variant_shop


def lowest_tier(variant: Any) -> Decimal:
    return min((tier.price for tier in variant.tiers), default=Decimal(100))


def by_tiers(_db: Any, variant: Any) -> dict[str, Any]:
    return {"price": lowest_tier, "load": variant.tiers}


def by_article(db: Any, variant: Any) -> dict[str, Any]:
    return {"price": lambda one: one.article.base_price, "load": variant.article}


def test_parents_in_two_tables_are_locked_in_the_order_of_their_keys(database: URL) -> None:
    """A row that an outer join adds can't be locked."""
    shop = make_variant_shop(database, by_article)
    shop.cart("ann", {2: 1, 1: 1})
    with shop.app.app_context(), counted(shop.engine) as statements:
        order = current_orders.convert("ann", billing_address=HOME)
        assert order.total_amount == 20
        shop.db.session.rollback()
    (parents,) = (" ".join(each.split()) for each in statements if "FROM articles" in each)
    share = "FOR SHARE OF articles"
    locks = {"postgresql": share, "mysql": share, "mariadb": "LOCK IN SHARE MODE", "sqlite": ""}
    ending = f"ORDER BY articles.id {locks[server_of(shop.engine)]}".strip()
    assert parents.endswith(ending), parents
    shop.close()


@pytest.mark.parametrize("has_committed", [True, False])
def test_tiers_that_the_session_has_seen_are_read_anew(database: URL, has_committed: bool) -> None:
    """One has changed meanwhile and one is new, also in a transaction of the shop's own."""
    if database.get_backend_name() == "sqlite" and not has_committed:
        pytest.skip("on SQLite a reader can't become a writer once somebody else has written")
    shop = make_variant_shop(database, by_tiers)
    assert "load=" not in check_output(shop)
    tiers = shop.db.metadata.tables["tiers"]
    shop.cart("ann", {1: 1})
    with shop.app.app_context():
        seen = shop.db.session.get_one(shop.models.Product, 1)
        assert lowest_tier(seen) == 8
        with shop.engine.begin() as connection:
            changed = sa.update(tiers).where(tiers.c.price == 8)
            connection.execute(changed.values(price=Decimal(6)))
            connection.execute(tiers.insert().values(variant_id=1, price=Decimal(5)))
        if has_committed:
            shop.db.session.commit()
        order = current_orders.convert("ann", billing_address=HOME)
        assert order.total_amount == 5
        shop.db.session.rollback()
    shop.close()
