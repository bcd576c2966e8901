"""A shop of variants without foreign keys, with prices, vouchers and delivery costs of its own."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.engine import URL

from flask_orders import current_orders
from flask_orders.models.contract import table

from . import hosts
from .hosts.drivers import running
from .hosts.driving.variants import Variants
from .support.requests import HOME

ROUNDS = 3
THREADS = 6


@pytest.fixture(scope="module")
def module_host(server_url: URL) -> Iterator[Any]:
    with running("variants", server_url) as host:
        yield host


@pytest.fixture
def host(module_host: Variants) -> Variants:
    """The shop, with nothing in it."""
    module_host.clear()
    return module_host


def test_installing_costs_45_lines_and_eight_parts_at_most() -> None:
    assert hosts.added_lines("variants") <= 45
    assert hosts.parts("variants") <= 8


def test_nothing_is_wrong_with_it(host: Variants) -> None:
    host.put(host.customer(), host.product())
    assert host.problems() == []


def test_no_class_and_no_table_of_the_shop_and_the_library_become_one(host: Variants) -> None:
    """The shop's Order, Voucher and OrderEvent are defined after declare_models, and found."""
    shop = host.module
    with host.app.app_context():
        models = current_orders.models
        voucher = shop.Voucher(code="A", percent=Decimal(5), uses_left=1)
        event = shop.OrderEvent(what="called")
        shop.db.session.add(shop.Order(caller="Ann", voucher=voucher, events=[event]))
        shop.db.session.commit()
        assert [order.caller for order in voucher.orders] == ["Ann"]
        assert type(event.order) is shop.Order
    assert (table(models.Order).name, table(shop.Order).name) == ("fo_orders", "orders")
    assert set(table(shop.Order).c.keys()) == {"id", "caller", "voucher_id"}
    assert set(table(shop.OrderEvent).c.keys()) == {"id", "order_id", "what"}
    assert host.rows("fo_orders") == []


@pytest.mark.parametrize("commit", [True, False])
def test_the_parent_s_price_is_today_s(host: Variants, *, commit: bool) -> None:
    """Whatever the session has read before, also in a transaction of the shop's own."""
    if host.engine.dialect.name == "sqlite" and not commit:
        pytest.skip("on SQLite a reader can't become a writer once somebody else has written")
    buyer, product = host.customer(), host.product("10.00")
    host.put(buyer, product)
    session = host.module.db.session
    with host.app.app_context():
        seen = session.get(host.module.Variant, product)
        assert seen.current_price == Decimal("10.00")
        host.reprice(product, "12.00")
        if commit:
            session.commit()
            placed = current_orders.place(buyer.key, billing_address=HOME)
            order = session.get(current_orders.models.Order, placed.order_id)
        else:
            order = current_orders.convert(buyer.key, billing_address=HOME)
        assert order.total_amount == Decimal("12.00")
        session.rollback()
