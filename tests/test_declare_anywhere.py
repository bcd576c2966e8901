"""`declare_models` may come before, between and after the shop's classes, and takes no name."""

import gc
import weakref
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column, relationship

from flask_orders import ConfigurationError, Models, declare_models
from flask_orders.models import AddressMixin, OrderItemMixin, OrderMixin

from .support.apps import install, new_db
from .support.shops import open_shop

POSITIONS = ("before", "between", "after", "configured")


def first_module(db: Any) -> Any:
    """Classes whose relationships name classes of a later module."""

    class User(db.Model):
        __tablename__ = "user"
        id: Mapped[int] = mapped_column(primary_key=True)
        orders = relationship("Order", back_populates="user")
        vouchers = relationship("Voucher", primaryjoin="User.id == Voucher.user_id")

    return User


def later_module(db: Any) -> SimpleNamespace:
    """Classes of the shop's that are called like the library's."""

    class Order(db.Model):
        __tablename__ = "shop_order"
        id: Mapped[int] = mapped_column(primary_key=True)
        user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id"))
        user = relationship("User", back_populates="orders")
        events = relationship("OrderEvent")

    class Voucher(db.Model):
        __tablename__ = "shop_voucher"
        id: Mapped[int] = mapped_column(primary_key=True)
        user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id"))

    class OrderEvent(db.Model):
        __tablename__ = "shop_order_event"
        id: Mapped[int] = mapped_column(primary_key=True)
        order_id: Mapped[int] = mapped_column(sa.ForeignKey("shop_order.id"))
        order = relationship("Order", overlaps="events")

    return SimpleNamespace(Order=Order, Voucher=Voucher, OrderEvent=OrderEvent)


def declared(db: Any, position: str) -> tuple[Any, SimpleNamespace, Models]:
    """The shop's classes, and the models of a call at that position."""
    if position == "before":
        models = declare_models(db)
    user = first_module(db)
    if position == "between":
        models = declare_models(db, customer=user)
    later = later_module(db)
    if position == "configured":
        db.Model.registry.configure()
    if position in ("after", "configured"):
        models = declare_models(db, customer=user)
    return user, later, models


@pytest.mark.parametrize("position", POSITIONS)
def test_the_shop_s_names_go_on_meaning_the_shop_s_classes(position: str) -> None:
    db = new_db()
    user, later, models = declared(db, position)
    db.Model.registry.configure()
    for attribute, found in (
        (user.orders, later.Order),
        (user.vouchers, later.Voucher),
        (later.Order.events, later.OrderEvent),
        (later.OrderEvent.order, later.Order),
    ):
        assert attribute.property.mapper.class_ is found
    for name in ("Order", "Voucher", "OrderEvent"):
        ours = getattr(models, name)
        assert ours is not getattr(later, name)
        assert f"{ours.__module__}.{ours.__qualname__}" == f"flask_orders.models.{name}"
        assert ours.__name__ == name
        assert str(sa.inspect(ours)).endswith(f"[{name}({ours.__tablename__})]")


@pytest.mark.parametrize("position", POSITIONS)
def test_an_order_wherever_the_models_were_declared(database: URL, position: str) -> None:
    db = new_db()
    user, later, models = declared(db, position)
    shop = open_shop(db, database, models)
    customer = "ann" if position == "before" else shop.add(user())
    if position != "before":
        shop.add(later.Order(user_id=customer, events=[later.OrderEvent()]))
    voucher = shop.voucher("TEN", "10%")
    shop.cart(customer, {shop.product("10.00"): 2}, voucher)
    assert shop.order(customer)["total_amount"] == "18.00"
    assert [order["voucher_id"] for order in shop.rows("orders")] == [voucher]
    assert len(shop.rows("shop_order")) == (position != "before")
    shop.close()


def test_no_mapper_is_configured() -> None:
    """A class of a later module would be missing, and the failure remembered for good."""
    db = new_db()
    user = first_module(db)

    class WebOrder(OrderMixin, db.Model):
        __tablename__ = "web_order"
        buyer_id: Mapped[int | None] = mapped_column(sa.ForeignKey("user.id"))
        buyer = relationship("User", foreign_keys="WebOrder.buyer_id")
        gift = relationship("Gift", back_populates="order", uselist=False)

    models = declare_models(db, customer=user, order=WebOrder)
    assert not any(mapper.configured for mapper in db.Model.registry.mappers)

    class Gift(db.Model):
        __tablename__ = "gift"
        id: Mapped[int] = mapped_column(primary_key=True)
        order_id: Mapped[UUID] = mapped_column(sa.ForeignKey("web_order.id"))
        order = relationship("WebOrder", back_populates="gift")

    _kept = later_module(db)
    db.Model.registry.configure()
    assert models.Order is WebOrder


def test_an_order_class_that_is_in_use_already(database: URL) -> None:
    db = new_db()
    user, _kept = first_module(db), later_module(db)

    class WebOrder(OrderMixin, db.Model):
        __tablename__ = "web_order"

    class WebItem(OrderItemMixin, db.Model):
        __tablename__ = "web_item"

    class Home(AddressMixin, db.Model):
        __tablename__ = "home"

    db.Model.registry.configure()
    models = declare_models(db, customer=user, order=WebOrder, order_item=WebItem, address=Home)
    shop = open_shop(db, database, models)
    customer = shop.add(user())
    shop.cart(customer, {shop.product("10.00"): 2, shop.product("1.00"): 1})
    assert shop.order(customer)["total_amount"] == "21.00"
    with shop.app.app_context():
        (order,) = db.session.scalars(sa.select(WebOrder))
        assert [item.position for item in order.items] == [1, 2]
        assert [item.order for item in order.items] == [order, order]
        item = WebItem(order=order)
        assert item in order.items
        db.session.rollback()
    shop.close()


def test_an_order_class_in_use_while_other_classes_are_unfinished() -> None:
    """A column is not added to a class in use without configuring all others: it is refused."""
    db = new_db()

    class WebOrder(OrderMixin, db.Model):
        __tablename__ = "web_order"

    db.Model.registry.configure()
    user = first_module(db)
    with pytest.raises(ConfigurationError, match=r"configure User.*right after the class WebOrder"):
        declare_models(db, customer=user, order=WebOrder)
    _kept = later_module(db)
    db.Model.registry.configure()
    assert declare_models(db, customer=user, order=WebOrder).Order is WebOrder


@pytest.mark.parametrize("is_configured", [False, True])
@pytest.mark.parametrize("given", ["order", "order_item"])
def test_one_side_of_a_relationship_is_in_use(given: str, is_configured: bool) -> None:
    db = new_db()
    mixin: Any = {"order": OrderMixin, "order_item": OrderItemMixin}[given]
    mine: Any = type("Mine", (mixin, db.Model), {"__tablename__": "mine"})
    if is_configured:
        db.Model.registry.configure()
    classes: Any = {given: mine}
    models = declare_models(db, **classes)
    db.Model.registry.configure()
    order: Any = models.Order()
    item: Any = models.OrderItem(order=order)
    assert order.items == [item]


def test_an_app_factory_declares_twice() -> None:
    db = new_db()
    user = first_module(db)

    def create_app() -> Models:
        models = declare_models(db, customer=user, table_prefix="fo_")
        install(db)
        return models

    first = create_app()
    _kept = later_module(db)
    db.Model.registry.configure()
    assert create_app() is first


def test_the_registry_can_be_disposed_of() -> None:
    db = new_db()
    declared(db, "after")
    db.Model.registry.dispose()


@pytest.mark.skipif(sa.__version__ < "2.1", reason="SQLAlchemy 2.0 itself remembers classes")
def test_nothing_remembers_a_db() -> None:
    """A `db` that is no longer used is freed, with its classes."""

    def use() -> list[weakref.ref[Any]]:
        db = new_db()
        models = declare_models(db, customer=first_module(db))
        kept = later_module(db)
        db.Model.registry.configure()
        install(db)
        return [weakref.ref(one) for one in (db, db.Model, db.metadata, models, kept.Order)]

    used = use()
    gc.collect()
    gc.collect()
    assert [one() for one in used] == [None] * 5


def test_two_dbs_with_different_mappings(database: URL) -> None:
    """In one process, each with its own classes of the same names and its own tables."""
    one, other = new_db(), new_db()
    user, _kept = first_module(one), later_module(one)
    first = open_shop(one, database, declare_models(one, customer=user, table_prefix="a_"))
    second = open_shop(other, database, declare_models(other, promotions=False))
    customer = first.add(user())
    first.cart(customer, {first.product("10.00"): 1}, first.voucher("TEN", "10%"))
    product = second.product("3.00")
    items = [second.models.CartItem(product_id=product, quantity=2)]
    second.add(second.models.Cart(customer_id="ann", items=items))
    assert first.order(customer)["total_amount"] == "9.00"
    assert second.order("ann")["total_amount"] == "6.00"
    assert [row["total_amount"] for row in first.rows("a_orders")] == [9]
    assert [row["total_amount"] for row in second.rows("orders")] == [6]
    assert {"orders", "a_orders"} & set(other.metadata.tables) == {"orders"}
    first.close()
    second.close()
