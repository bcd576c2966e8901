"""Name the columns that look like a part which the mapping leaves out, for `flask orders check`.

Each is recognised by its name and type, and is not named once the shop has said the part.
"""

from collections.abc import Iterator
from typing import Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import BinaryExpression, Boolean, Column, Date, DateTime, Null, String, True_, and_
from sqlalchemy.sql import operators, visitors
from sqlalchemy.types import TypeDecorator

from ..models.parts import Attribute, Expression, Part
from ..models.shop import CartItemParts, CartParts, ProductParts, Shop
from ..models.sources import RowSource
from ..service import OrderService, components_of
from ..stock_columns import ReservedStock
from .check_shop import has_criteria

# What the name of a column has that holds money or a code which an order does not copy by itself.
VOUCHERS = ("voucher", "coupon", "promo", "discount", "gift_card")
SHIPPING = ("shipping", "delivery", "freight", "postage")

# How a word begins in the name of a column that says which rows are not to be bought.
CLOSED = (
    *("order", "bought", "purchas", "paid", "close", "complet", "checked", "abandon", "convert"),
    *("saved", "later", "wish", "delet", "archiv", "remov"),
)
# Of a column that says whether a product is for sale.
ACTIVE = ("active", "publish", "enabl", "visib", "available")
INACTIVE = ("delet", "archiv", "remov", "discontinu", "hidden", "draft", "retire", "disabl")
# Of the units that orders hold.
HELD = ("alloc", "reserv", "held", "hold", "commit")
STATUS = ("status", "state")
# Of a lower price, and of what limits it.
SALE = ("sale", "special", "reduced", "discount", "promo", "offer")


def check_left_out(db: SQLAlchemy, orders: OrderService) -> Iterator[str]:
    """Name conditions of the rows, and money, that the mapping leaves out."""
    shop = orders.models.shop
    yield from _reversed(shop.cart.source, "open", shop.cart.open, CLOSED)
    yield from _reversed(shop.cart_item.source, "open", shop.cart_item.open, CLOSED)
    yield from _reversed(shop.product.source, "active", shop.product.active, INACTIVE)
    yield from _swapped(shop.product)
    # Criteria of every SELECT may leave out the same rows.
    if not has_criteria(db):
        for name, parts in (("cart", shop.cart), ("cart_item", shop.cart_item)):
            yield from _conditions(shop, name, parts)
        yield from _activity(shop)
    if not components_of(orders).has_own_pricing:
        yield from _money(shop.cart)
        yield from _sale_price(shop)
        yield from _sale_limits(shop.product)


def _conditions(shop: Shop, name: str, parts: CartParts | CartItemParts) -> Iterator[str]:
    is_customer = isinstance(parts, CartParts) and parts.customer is None
    if is_customer or shop.says(name, "open") or parts.open is not None:
        return
    for column in parts.source.columns:
        if _is_mark(column, CLOSED) or _is_status(column):
            spelled = parts.source.spell(column)
            yield (
                f"{spelled} looks like it says which rows of {parts.source.name} are still to be "
                f"bought, and all of them are: say mapping.{name}(..., "
                f"open={_unmarked(spelled, column)}), or open=sqlalchemy.true() if it does not"
            )


def _reversed(
    source: RowSource, name: str, part: Part | None, names: tuple[str, ...]
) -> Iterator[str]:
    """Name a condition that is true where a mark says that the row is not to be bought."""
    column = _required_mark(part)
    if column is not None and _is_mark(column, names):
        spelled = source.spell(column)
        yield (
            f"{name}={spelled} looks reversed, since it is true for the rows that are not to be "
            f"bought: write {name}={_unmarked(spelled, column)}, or {spelled}.is_not(False) if it "
            "is not"
        )


def _swapped(product: ProductParts) -> Iterator[str]:
    """Name a reserved stock that is given the held units first."""
    stock = product.stock
    if not isinstance(stock, ReservedStock):
        return
    if _begins(stock.quantity, HELD) and not _begins(stock.allocated, HELD):
        first, second = product.source.spell(stock.quantity), product.source.spell(stock.allocated)
        yield (
            f"mapping.reserved({first}, {second}) looks swapped: write "
            f"mapping.reserved({second}, {first}), first what is there and then what orders hold"
        )


def _required_mark(part: Part | None) -> Column[Any] | None:
    """Return the column that a condition requires to be true, or to have a time."""
    if isinstance(part, Attribute):
        return part.column
    made = and_(part.made) if isinstance(part, Expression) else None
    if not (isinstance(made, BinaryExpression) and isinstance(made.left, Column)):
        return None
    is_true = isinstance(made.right, True_) and made.operator in (operators.eq, operators.is_)
    is_set = isinstance(made.right, Null) and made.operator in (operators.ne, operators.is_not)
    return made.left if is_true or is_set else None


def _activity(shop: Shop) -> Iterator[str]:
    product = shop.product
    if shop.says("product", "active"):
        return
    for column in product.source.columns:
        if column in _columns_of(product.active):
            continue
        spelled = product.source.spell(column)
        if _is_mark(column, INACTIVE) or _is_status(column):
            condition = _unmarked(spelled, column)
        elif _begins(column, ACTIVE) and isinstance(_type(column), Boolean):
            condition = spelled
        else:
            continue
        yield (
            f"{spelled} looks like it says which rows of {product.source.name} are for sale, and "
            f"no order looks at it: say mapping.product(..., active={condition}), or "
            f"{_as_it_is(product.source)} if it does not"
        )


def _as_it_is(source: RowSource) -> str:
    """Return the part as it was found by its name, so that the shop can say it."""
    return f"active={source.name}.active" if source.has("active") else "active=True"


def _money(cart: CartParts) -> Iterator[str]:
    """Name columns of the cart that look like a voucher or shipping and have no part."""
    if cart.voucher is None:
        yield from _looks_like(cart, VOUCHERS, "a voucher", "voucher=")
    yield from _looks_like(cart, SHIPPING, "shipping", None)


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


def _sale_price(shop: Shop) -> Iterator[str]:
    product = shop.product
    if shop.says("product", "sale_price") or product.source.has("sale_price"):
        return
    for column in product.source.columns:
        if _begins(column, SALE) and "price" in column.key.lower():
            if column in _columns_of(product.price.part):
                continue
            spelled = product.source.spell(column)
            yield (
                f"{spelled} looks like a lower price, and every order is at the list price: say "
                f"mapping.product(..., sale_price={spelled}), or sale_price=None if it is none"
            )


def _sale_limits(product: ProductParts) -> Iterator[str]:
    part = product.sale_price.part
    if not isinstance(part, Attribute):
        return
    for column in product.source.columns:
        if _begins(column, SALE) and isinstance(_type(column), Boolean | Date | DateTime):
            spelled, price = product.source.spell(column), product.source.spell(part.column)
            yield (
                f"{spelled} looks like it limits {price}, and no order looks at it: say "
                f"mapping.product(..., sale_price=case((<when it applies>, {price}))), or a "
                "function of the object"
            )


def _is_mark(column: Column[Any], names: tuple[str, ...]) -> bool:
    """Return whether a column marks rows, by true or by the time at which it was set."""
    return isinstance(_type(column), Boolean | Date | DateTime) and _begins(column, names)


def _is_status(column: Column[Any]) -> bool:
    return isinstance(_type(column), String) and column.key.lower().split("_")[-1] in STATUS


def _begins(column: Column[Any], names: tuple[str, ...]) -> bool:
    return any(word.startswith(names) for word in column.key.lower().split("_"))


def _type(column: Column[Any]) -> Any:
    found = column.type
    return found.impl_instance if isinstance(found, TypeDecorator) else found


def _unmarked(spelled: str, column: Column[Any]) -> str:
    """Return the condition that a row is not marked."""
    if _is_status(column):
        return f"{spelled} == ..."
    return (
        f"{spelled}.is_not(True)" if isinstance(_type(column), Boolean) else f"{spelled}.is_(None)"
    )


def _columns_of(part: Part) -> set[Column[Any]]:
    if isinstance(part, Attribute):
        return {part.column}
    if isinstance(part, Expression):
        return {found for found in visitors.iterate(part.made) if isinstance(found, Column)}
    return set()
