"""`promotions=False`: no offers, no vouchers, none of their tables, and never a wrong price."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column

from flask_orders import ConfigurationError, declare_models
from flask_orders.pricing import AppliedOffer, Cart, PricedCart, PricedItem

from .support.apps import install, new_db
from .support.database import nothing_changed
from .support.requests import ORDERS
from .support.responses import refused
from .support.shops import check_output, open_shop

TABLES = {"offers", "vouchers", "offer_products", "voucher_redemptions"}
REFERENCES = {"voucher_id", "offer_id"}


def all_columns(db: Any) -> set[str]:
    return {column.name for rows in db.metadata.tables.values() for column in rows.c}


def test_all_tables_are_there_when_the_models_are_declared() -> None:
    """A table that appears only at its first use would be in no migration."""
    db = new_db()
    declare_models(db)
    before = set(db.metadata.tables)
    assert before > TABLES
    assert all_columns(db) > REFERENCES
    install(db, pricing=ShopPricing(db))
    assert set(db.metadata.tables) == before


def test_no_table_and_no_column_is_left() -> None:
    db = new_db()
    models = declare_models(db, promotions=False)
    install(db)
    assert TABLES.isdisjoint(db.metadata.tables)
    assert REFERENCES.isdisjoint(all_columns(db))
    for name in ("Offer", "Voucher", "VoucherRedemption", "offer_products"):
        with pytest.raises(ConfigurationError, match="leave promotions=False out of declare_mod"):
            getattr(models, name)


def test_an_order_at_list_prices(database: URL) -> None:
    db = new_db()
    shop = open_shop(db, database, declare_models(db, promotions=False))
    product = shop.product("10.00", shipping=Decimal(3))
    with shop.session() as session:
        items = [shop.models.CartItem(product_id=product, quantity=2)]
        session.add(shop.models.Cart(customer_id="ann", items=items))
    order = shop.order("ann")
    assert (order["total_amount"], order["voucher"]) == ("23.00", None)
    assert (order["items"][0]["unit_price"], order["items"][0]["offer"]) == ("10.00", None)
    assert check_output(shop) == "Everything is set up.\n"
    with shop.service() as orders:
        assert list(orders.audit()) == []
        orders.cancel(order["id"])
    assert [row["status"] for row in shop.rows("orders")] == ["cancelled"]
    shop.close()


def test_a_cart_with_a_voucher_that_nothing_knows(database: URL) -> None:
    """It is refused: the customer counts on the discount."""
    db = new_db()

    class Basket(db.Model):
        __tablename__ = "basket"
        id: Mapped[int] = mapped_column(primary_key=True)
        customer_id: Mapped[str] = mapped_column(sa.String(20), unique=True)
        voucher: Mapped[str | None] = mapped_column(sa.String(20))

    shop = open_shop(db, database, declare_models(db, cart=Basket, promotions=False))
    product = shop.product("10.00")
    cart = shop.add(Basket(customer_id="ann", voucher="TEN"))
    shop.add(shop.models.CartItem(cart_id=cart, product_id=product, quantity=1))
    with nothing_changed(shop):
        problem = refused(shop.post("ann"), 409, "voucher_not_applicable")
        assert problem["reason"] == "not_found"
        seen = shop.get("ann", f"{ORDERS}preview/").json
        assert seen is not None
        assert (seen["total_amount"], seen["voucher_refusal"]) == ("10.00", "not_found")
    assert "your carts' vouchers (basket.voucher) mean nothing" in check_output(shop)
    shop.close()


class ShopPricing:
    """A pricing whose vouchers and offers have the shop's own keys."""

    def __init__(self, db: Any) -> None:
        self.db = db

    def price(self, cart: Cart, now: Any) -> PricedCart:
        currency = cart.currency
        code: Any = SimpleNamespace(id=7, code="OWN")
        offer = AppliedOffer(None, "Own offer")
        priced = [PricedItem.of(item, currency, offer=offer) for item in cart.items]
        return PricedCart.of(priced, currency, voucher=code, discount=lambda total: total / 2)

    def redeem(self, voucher: Any, order: Any) -> None:
        assert voucher.id == 7

    def release(self, voucher: Any, order: Any) -> None:
        assert (voucher.id, voucher.code) == (None, "OWN")


@pytest.mark.parametrize("promotions", [False, True])
def test_a_pricing_of_the_shop_s_own(database: URL, promotions: bool) -> None:
    """Its voucher's key is no key of the library's table, whether or not that is there."""
    db = new_db()
    models = declare_models(db, promotions=promotions)
    shop = open_shop(db, database, models, pricing=ShopPricing(db))
    if promotions:
        for number in range(7):
            shop.voucher(f"V{number}", "1%")
    product = shop.product("10.00")
    with shop.session() as session:
        items = [models.CartItem(product_id=product, quantity=1)]
        session.add(models.Cart(customer_id="ann", items=items))
    order = shop.order("ann")
    assert (order["total_amount"], order["voucher"]) == ("5.00", {"code": "OWN"})
    assert order["items"][0]["offer"]["title"] == "Own offer"
    (row,) = shop.rows("orders")
    assert row.get("voucher_id") is None
    with shop.service() as orders:
        orders.cancel(order["id"])
        assert list(orders.audit()) == []
    shop.close()
