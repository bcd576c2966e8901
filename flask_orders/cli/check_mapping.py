"""Check the mapping of the shop's classes: what needs all of its modules, for `flask orders check`.

The conversion's own statements are sent for no customer, so that whatever is wrong with an
expression is found here and not by the first customer.
"""

from collections.abc import Iterator

from flask_sqlalchemy import SQLAlchemy

from ..errors import ConfigurationError
from ..models import Models
from ..models.parts import Constant, Expression, Part, misses_null
from ..models.shop import check_lambdas
from ..models.sources import RowSource
from ..service import OrderService, components_of


def check_mapping(orders: OrderService) -> Iterator[str]:
    """Look for conditions that overlook rows, and for parts that the mapping leaves out."""
    models, shop = orders.models, orders.models.shop
    try:
        check_lambdas(shop, models.Customer, models.OrderItem)
    except ConfigurationError as error:
        yield str(error).removesuffix(".")
        return
    overlooked = "counts as closed"
    yield from _overlooked(shop.cart.source, shop.cart.open, "cart", overlooked)
    yield from _overlooked(shop.cart_item.source, shop.cart_item.open, "cart item", overlooked)
    yield from _overlooked(shop.product.source, shop.product.active, "product", "is not for sale")
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
                reason = str(getattr(error, "orig", None) or error).splitlines()[0]
                yield f"the SELECT of {what} fails: correct the mapping's expressions ({reason})"
                break
        session.close()
        transaction.rollback()


def _overlooked(source: RowSource, part: Part | None, name: str, what: str) -> Iterator[str]:
    column = misses_null(part.made) if isinstance(part, Expression) else None
    if column is not None:
        spelled = source.spell(column)
        yield (
            f"a {name} whose {spelled} is NULL {what}, since a NOT of NULL is NULL: write "
            f"{spelled}.is_not(True), or another condition that is true for NULL"
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
