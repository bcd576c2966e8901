"""A request that meets a misconfiguration: `misconfigured`, with the fix only in the log."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.test import TestResponse

from flask_orders import ConfigurationError, current_orders, declare_models
from flask_orders.promotions import Promotions

from .support.apps import install
from .support.database import nothing_changed
from .support.requests import ORDERS, SAVE
from .support.responses import body, refused
from .support.shops import Shop, make_shop

FIX = "Set the tax rate of every country in TAX_RATES."


class Broken:
    """A shop's pricing that is not set up."""

    def price(self, *_args: Any) -> Any:
        raise ConfigurationError(FIX)


@contextmanager
def pricing(shop: Shop, broken: Any) -> Iterator[None]:
    """Price with this object instead of the library's own promotions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Promotions, "price", lambda _self, *args: broken.price(*args))
        yield


def is_misconfigured(answer: TestResponse, caplog: pytest.LogCaptureFixture, fix: str) -> None:
    problem = refused(answer, 500, "misconfigured")
    assert "Nothing was ordered" in problem["detail"]
    assert fix not in answer.text
    logged = [record for record in caplog.records if fix in record.getMessage()]
    assert [(record.name, record.levelno, record.exc_info) for record in logged] == [
        ("flask_orders", logging.ERROR, None)
    ]


def test_a_pricing_that_is_not_set_up(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    with pricing(shop, Broken()), nothing_changed(shop):
        is_misconfigured(shop.post(customer, SAVE), caplog, FIX)
        caplog.clear()
        is_misconfigured(shop.get(customer, f"{ORDERS}preview/"), caplog, FIX)


def test_outside_of_requests_the_configuration_error_is_raised(shop: Shop) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    with (
        pricing(shop, Broken()),
        shop.app.app_context(),
        pytest.raises(ConfigurationError, match="TAX_RATES"),
    ):
        current_orders.preview(customer)


def test_a_column_type_that_is_not_set_up(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """SQLAlchemy wraps what a type raises."""

    class Unset(sa.types.TypeDecorator[str]):
        impl = sa.String
        cache_ok = True

        def process_bind_param(self, value: Any, dialect: Any) -> Any:
            raise ConfigurationError(FIX)

    class Asking(Broken):
        def price(self, *_args: Any) -> Any:
            shop.db.session.execute(sa.select(sa.literal("x", Unset())))

    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    with pricing(shop, Asking()), nothing_changed(shop):
        is_misconfigured(shop.post(customer, SAVE), caplog, FIX)


def test_two_carts_of_one_customer(database: URL, caplog: pytest.LogCaptureFixture) -> None:
    db = SQLAlchemy()

    class Cart(db.Model):
        __tablename__ = "shop_carts"
        id: Mapped[int] = mapped_column(primary_key=True)
        customer_id: Mapped[str] = mapped_column(sa.String(20))
        voucher = None

    models = declare_models(db, cart=Cart)
    app = install(db, database)
    shop = Shop(app, db, models)
    with app.app_context():
        db.create_all()
        db.session.add_all([Cart(customer_id="ann"), Cart(customer_id="ann")])
        db.session.commit()
    is_misconfigured(shop.get("ann", f"{ORDERS}preview/"), caplog, "A customer has 2 carts")
    caplog.clear()
    with nothing_changed(shop):
        is_misconfigured(shop.post("ann", SAVE), caplog, "A customer has 2 carts")
    with app.app_context():
        db.drop_all()
    shop.close()


def test_a_bug_in_the_shop_s_code_reaches_the_shop_s_error_handler(database: URL) -> None:
    shop = make_shop(database)
    shop.app.register_error_handler(500, lambda _error: ({"of the shop": True}, 500))
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})

    class Buggy(Broken):
        def price(self, *_args: Any) -> Any:
            raise TypeError("a bug of the shop's")

    with pricing(shop, Buggy()), nothing_changed(shop):
        answer = shop.post(customer, SAVE)
    assert (answer.status_code, body(answer)) == (500, {"of the shop": True})
    shop.close()
