"""Check the mapping of the shop's classes: what needs all of its modules, for `flask orders check`.

The conversion's own statements are sent for no customer, so that whatever is wrong with an
expression is found here and not by the first customer.
"""

from collections.abc import Iterator

from flask_sqlalchemy import SQLAlchemy

from ..models import Models
from ..models.parts import Constant, Expression, misses_null
from ..models.shop import CartItemParts, CartParts, Shop
from ..service import OrderService, components_of

# Names of columns of a cart that hold money or a code which an order does not copy by itself.
VOUCHER_NAMES = ("voucher", "coupon", "promo", "discount", "gift_card")
SHIPPING_NAMES = ("shipping", "delivery", "freight", "postage")


def check_mapping(orders: OrderService) -> Iterator[str]:
    """Look for conditions that overlook rows, and for money that the mapping leaves out."""
    shop = orders.models.shop
    yield from _overlooked(shop.cart, "cart")
    yield from _overlooked(shop.cart_item, "cart_item")
    if not components_of(orders).has_own_pricing:
        if shop.product.price.part == Constant(None):
            yield (
                f"no {shop.product.source.name} can be sold, since the mapping says price=None: "
                "give it a price, or pass register_blueprint(orders_bp, pricing=...)"
            )
        yield from _left_out(shop)
        yield from _pricing(orders.models)


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


def _overlooked(parts: CartParts | CartItemParts, name: str) -> Iterator[str]:
    if not isinstance(parts.open, Expression):
        return
    column = misses_null(parts.open.made)
    if column is not None:
        spelled = parts.source.spell(column)
        yield (
            f"a {name} whose {spelled} is NULL counts as closed, since a NOT of NULL is NULL: "
            f"write open={spelled}.is_not(True), or another condition that is true for NULL"
        )


def _left_out(shop: Shop) -> Iterator[str]:
    """Name columns of the cart that look like a voucher or shipping and have no part."""
    cart = shop.cart
    if cart.voucher is None:
        yield from _looks_like(cart, VOUCHER_NAMES, "a voucher", "voucher=")
    yield from _looks_like(cart, SHIPPING_NAMES, "shipping", None)


def _looks_like(
    cart: CartParts, names: tuple[str, ...], what: str, part: str | None
) -> Iterator[str]:
    if cart.customer is None and part is None:
        return
    for column in cart.source.columns:
        if any(name in column.key.lower() for name in names):
            spelled = cart.source.spell(column)
            said = f"say mapping.cart(..., {part}{spelled}) or " if part else ""
            yield (
                f"{spelled} looks like {what}, and no order takes it into account: {said}pass "
                "register_blueprint(orders_bp, pricing=...), whose price(cart, now) has the cart"
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
