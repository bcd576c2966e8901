"""Check the mapping of the shop's classes: what needs all of its modules, for `flask orders check`.

The conversion's own statements are sent for no customer, so that whatever is wrong with an
expression is found here and not by the first customer.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import and_
from sqlalchemy.exc import CompileError

from ..amounts import FromFloat, Units
from ..errors import ConfigurationError
from ..models import Models
from ..models.parts import (
    Attribute,
    Constant,
    Expression,
    Function,
    Part,
    bound_values,
    misses_null,
)
from ..models.shop import CartItemParts, CartParts, PricePart, ProductParts, check_lambdas
from ..models.sources import RowSource
from ..product_reader import PRICES
from ..service import OrderService, components_of
from ..stock_columns import ReservedStock, StockColumn, StockTakenInCart


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
                reason = str(getattr(error, "orig", None) or error).splitlines()[0]
                yield f"the SELECT of {what} fails: correct the mapping's expressions ({reason})"
                break
        session.close()
        transaction.rollback()


def resolved(models: Models) -> Iterator[str]:
    """Yield the mapping as it was resolved, a line for each class that the shop has passed."""
    shop = models.shop
    if models.Product not in models.made:
        yield _line("product", shop.product.source, _product(shop.product))
    if models.Cart not in models.made:
        yield _line("cart", shop.cart.source, _cart(shop.cart))
    if models.CartItem not in models.made:
        yield _line("cart item", shop.cart_item.source, _cart_item(shop.cart_item))


def _product(product: ProductParts) -> dict[str, str]:
    source = product.source
    return (
        {name: _described(source, getattr(product, name)) for name in ("sku", "name", "active")}
        | {name: _amount(source, getattr(product, name)) for name in PRICES}
        | {"stock": _stock(source, product.stock)}
    )


def _amount(source: RowSource, price: PricePart) -> str:
    described, kind = _described(source, price.part), price.kind
    if isinstance(kind, FromFloat):
        return f"from_float({described})"
    if not isinstance(kind, Units):
        return described
    if kind.decimals == 0:
        return f"major_units({described})"
    return f"minor_units({described}{'' if kind.decimals is None else f', {kind.decimals}'})"


def _cart(cart: CartParts) -> dict[str, str]:
    owner = "its own key" if cart.customer is None else cart.source.spell(cart.customer.column)
    voucher = "None" if cart.voucher is None else cart.source.spell(cart.voucher)
    return {"customer": owner, "voucher": voucher} | _open(cart)


def _cart_item(item: CartItemParts) -> dict[str, str]:
    return {
        "cart": item.source.spell(item.cart.column),
        "product": item.source.spell(item.product.column),
        "quantity": _described(item.source, item.quantity),
    } | _open(item)


def _line(name: str, source: RowSource, parts: dict[str, str]) -> str:
    return f"{name}: {source.name}, " + ", ".join(f"{key}={text}" for key, text in parts.items())


def _open(parts: CartParts | CartItemParts) -> dict[str, str]:
    return {} if parts.open is None else {"open": _described(parts.source, parts.open)}


def _described(source: RowSource, part: Part) -> str:
    if isinstance(part, Attribute):
        return source.spell(part.column)
    if isinstance(part, Expression):
        return _sql(part.made)
    if isinstance(part, Function):
        return getattr(part.call, "__qualname__", repr(part.call))
    return repr(part.value) if isinstance(part, Constant) else str(part)


def _sql(expression: Any) -> str:
    element = and_(expression)
    try:
        sql = str(element.compile(compile_kwargs={"literal_binds": True}))
    except (CompileError, NotImplementedError):  # a value of a type of the shop's own
        sql = str(element)
    return " ".join(sql.split())


def _stock(source: RowSource, stock: Any) -> str:
    if isinstance(stock, StockTakenInCart):
        return f"{source.spell(stock.count)}, taken in the cart"
    if isinstance(stock, StockColumn):
        return source.spell(stock.count)
    if isinstance(stock, ReservedStock):
        return f"{source.spell(stock.quantity)} - {source.spell(stock.allocated)}"
    return "None" if stock is None else type(stock).__name__


def _overlooked(source: RowSource, part: Part | None, name: str, what: str) -> Iterator[str]:
    column = misses_null(part.made) if isinstance(part, Expression) else None
    if column is not None:
        spelled = source.spell(column)
        yield (
            f"a {name} whose {spelled} is NULL {what}, since a NOT of NULL is NULL: write "
            f"{spelled}.is_not(True), or another condition that is true for NULL"
        )


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
