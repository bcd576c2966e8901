"""The mapping as it was resolved, in the shop's own words, for `flask orders check` to print.

A line for each class of the shop's; a part is printed as the shop would write it, and an expression
as SQL.
"""

from collections.abc import Iterator, Mapping
from operator import attrgetter
from types import FunctionType
from typing import Any

from sqlalchemy import and_
from sqlalchemy.exc import CompileError

from ..amounts import FromFloat, Units
from ..models import Models
from ..models.parts import Attribute, Constant, Expression, Function, Part
from ..models.resolve_values import function_name
from ..models.shop import PRICES, CartItemParts, CartParts, PricePart, ProductParts
from ..models.sources import RowSource
from ..product_reader import TEXTS
from ..stock_columns import ReservedStock, StockColumn, StockTakenInCart


def resolved(models: Models) -> Iterator[str]:
    """Yield the mapping as it was resolved, a line for each class that the shop has passed."""
    shop = models.shop
    if models.Product not in models.made:
        yield _line("product", shop.product.source, _product(shop.product))
    if models.Cart not in models.made:
        yield _line("cart", shop.cart.source, _cart(shop.cart))
    if models.CartItem not in models.made:
        yield _line("cart item", shop.cart_item.source, _cart_item(shop.cart_item))


def _line(name: str, source: RowSource, parts: Mapping[str, str]) -> str:
    return f"{name}: {source.name}, " + ", ".join(f"{key}={text}" for key, text in parts.items())


def _product(product: ProductParts) -> dict[str, str]:
    source = product.source
    texts = {name: _described(source, getattr(product, name)) for name in TEXTS}
    amounts = {name: _amount(source, getattr(product, name)) for name in PRICES}
    stock = {"stock": _stock(source, product.stock)}
    loads = ", ".join(str(load) for load in product.loaded)
    return texts | amounts | stock | ({"load": loads} if loads else {})


def _amount(source: RowSource, price: PricePart) -> str:
    text, kind = _described(source, price.part), price.kind
    if isinstance(kind, FromFloat):
        # A column is read by a cast, and named as the shop has named it.
        return f"from_float({kind.part if isinstance(price.part, Expression) else text})"
    if not isinstance(kind, Units):
        return text
    if kind.decimals == 0:
        return f"major_units({text})"
    return f"minor_units({text}{'' if kind.decimals is None else f', {kind.decimals}'})"


def _stock(source: RowSource, stock: Any) -> str:
    if isinstance(stock, StockTakenInCart):
        return f"taken_in_cart({source.spell(stock.count)})"
    if isinstance(stock, StockColumn):
        return source.spell(stock.count)
    if isinstance(stock, ReservedStock):
        return f"reserved({source.spell(stock.quantity)}, {source.spell(stock.allocated)})"
    return "None" if stock is None else f"{type(stock).__name__}()"


def _cart(cart: CartParts) -> dict[str, str]:
    owner = "its own key" if cart.customer is None else cart.source.spell(cart.customer.column)
    voucher = "None" if cart.voucher is None else cart.source.spell(cart.voucher)
    return {"customer": owner, "voucher": voucher} | _open(cart)


def _cart_item(item: CartItemParts) -> dict[str, str]:
    copied = ", ".join(map(item.source.spell, item.copy))
    return {
        "cart": item.source.spell(item.cart.column),
        "product": item.source.spell(item.product.column),
        "quantity": _described(item.source, item.quantity),
        **_open(item),
        **({"copy": copied} if copied else {}),
    }


def _open(parts: CartParts | CartItemParts) -> dict[str, str]:
    return {} if parts.open is None else {"open": _described(parts.source, parts.open)}


def _described(source: RowSource, part: Part) -> str:
    if isinstance(part, Attribute):
        return source.spell(part.column)
    if isinstance(part, Expression):
        return _sql(part.made)
    if isinstance(part, Function):
        return _function(source, part.call)
    return repr(part.value) if isinstance(part, Constant) else str(part)


def _function(source: RowSource, call: Any) -> str:
    if isinstance(call, attrgetter):
        return f"{source.name}.{call.__reduce__()[1][0]}"
    return function_name(call) if isinstance(call, FunctionType) else repr(call)


def _sql(expression: Any) -> str:
    """Return an expression on one line, with its values where they can be printed."""
    element = and_(expression)
    try:
        text = str(element.compile(compile_kwargs={"literal_binds": True}))
    except (CompileError, NotImplementedError):  # a value of a type of the shop's own
        text = str(element)
    return " ".join(text.split())
