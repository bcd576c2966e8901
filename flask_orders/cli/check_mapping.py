"""Check the mapping of the shop's classes: what needs all of its modules, for `flask orders check`.

The conversion's own statements are sent for no customer, so that whatever is wrong with an
expression is found here and not by the first customer.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Column, ColumnElement, Connection, and_, case, null, select
from sqlalchemy.sql import visitors

from ..errors import ConfigurationError
from ..models import Models
from ..models.parts import Constant, Expression, Part, bound_values, misses_null
from ..models.resolving import check_lambdas
from ..models.sources import RowSource
from ..service import OrderService, components_of
from .reasons import reason_of


def check_mapping(orders: OrderService) -> Iterator[str]:
    """Look for what is wrong with lambdas, and for vouchers that the pricing does not know."""
    models, shop = orders.models, orders.models.shop
    try:
        check_lambdas(shop, models.Customer, models.OrderItem)
    except ConfigurationError as error:
        yield str(error).removesuffix(".")
        return
    yield from _fixed_times(shop.cart.source, "open", shop.cart.open)
    yield from _fixed_times(shop.cart_item.source, "open", shop.cart_item.open)
    yield from _fixed_times(shop.product.source, "active", shop.product.active)
    if not components_of(orders).has_own_pricing:
        if shop.product.price.part == Constant(None):
            yield (
                f"no {shop.product.source.name} can be sold, since the mapping says price=None: "
                "give it a price, or pass register_blueprint(orders_bp, pricing=...)"
            )
        yield from _pricing(models)


def check_statements(db: SQLAlchemy, orders: OrderService) -> Iterator[str]:
    """Send the statements by which a conversion reads and locks, for no customer."""
    with db.engine.connect() as connection, connection.begin() as transaction:
        session = db.session.session_factory(bind=connection)
        for what, statement, parameters in components_of(orders).carts.statements():
            try:
                session.execute(statement, parameters).all()
            except Exception as error:
                yield (
                    f"the SELECT of {what} fails: correct the mapping's expressions "
                    f"({reason_of(error)})"
                )
                break
        session.close()
        transaction.rollback()


def check_conditions(db: SQLAlchemy, orders: OrderService) -> Iterator[str]:
    """Look for conditions that overlook the rows in which a column is NULL."""
    shop = orders.models.shop
    with db.engine.connect() as connection:
        for name, source, condition, what in (
            ("cart", shop.cart.source, shop.cart.open, "counts as closed"),
            ("cart item", shop.cart_item.source, shop.cart_item.open, "counts as closed"),
            ("product", shop.product.source, shop.product.active, "is not for sale"),
        ):
            made = condition.made if isinstance(condition, Expression) else None
            column = None if made is None else misses_null(made)
            if column is not None and not _is_true_for_null(connection, made, column):
                spelled = source.spell(column)
                yield (
                    f"a {name} whose {spelled} is NULL {what}, since a NOT of NULL is NULL: write "
                    f"{spelled}.is_not(True), or another condition that is true for NULL"
                )


def _is_true_for_null(connection: Connection, condition: Any, column: Column[Any]) -> bool:
    """Let the database say whether a condition on one column is true where that is NULL."""
    whole: ColumnElement[bool] = and_(condition)
    if any(isinstance(each, Column) and each != column for each in visitors.iterate(whole)):
        return False

    def by_null(element: Any, **_options: Any) -> Any:
        return null() if isinstance(element, Column) else None

    replaced = visitors.replacement_traverse(whole, {}, by_null)
    return bool(connection.execute(select(case((replaced, 1), else_=0))).scalar_one())


def _fixed_times(source: RowSource, name: str, part: Part | None) -> Iterator[str]:
    """Name a moment that Python has worked out: it stays the same for all requests."""
    if not isinstance(part, Expression):
        return
    for _, value in bound_values(part.made):
        if isinstance(value, date):
            yield (
                f"{name}= of {source.name} compares with {value!r}, which stays the same as long "
                "as the process runs: write func.now() for the current time, or "
                "literal_column(\"'2026-01-31'\") for a time that is fixed"
            )


def _pricing(models: Models) -> Iterator[str]:
    voucher = models.shop.cart.voucher
    if voucher is None:
        return
    if models.promotion_models is None:
        yield (
            f"your carts' vouchers ({voucher.table.name}.{voucher.name}) mean nothing to the "
            "default pricing, since declare_models has promotions=False, and a cart with one is "
            "refused: pass register_blueprint(orders_bp, pricing=...), or leave promotions=False "
            "out"
        )
        return
    of_library = models.Voucher.__tablename__
    for key in voucher.foreign_keys:
        if key.column.table.name != of_library:
            yield (
                f"your carts' vouchers are rows of '{key.column.table.name}', which the default "
                "pricing does not know: pass register_blueprint(orders_bp, pricing=...)"
            )
