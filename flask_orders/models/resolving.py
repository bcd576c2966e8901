"""Resolve a mapping when models are declared, and report everything that is wrong with it.

No mapper is configured; what needs all of the shop's modules is checked by `flask orders check`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Column

from ..amounts import FromFloat, Units
from ..errors import ConfigurationError
from ..stock_columns import CountingColumns, ReservedStock, StockColumn
from .mapping import MappedClass
from .mixins import OrderItemMixin
from .part_columns import column_of, computed, counted_references, played_twice
from .parts import (
    Expression,
    PartProblem,
    is_late,
)
from .resolve_columns import (
    resolve_copied,
    resolve_customer,
    resolve_item_key,
    resolve_key,
    resolve_load,
    resolve_reference,
    resolve_stock,
    resolve_voucher,
)
from .resolve_values import (
    resolve_amount,
    resolve_condition,
    resolve_part,
    resolve_quantity,
    resolve_text,
    resolve_truth,
)
from .shop import PRICES, CartItemParts, CartParts, ProductParts, Shop, StockPart
from .sources import RowSource


class _MappingProblem(Exception):
    """Everything that is wrong with the mapping of one class."""


def check_shop(
    customer: type[Any] | None,
    mapped: Mapping[str, MappedClass],
    order_item: type[OrderItemMixin] | None,
) -> dict[str, Any]:
    """Resolve the mappings that the shop has given, before anything is declared.

    Args:
        customer: the customer's class, if the shop has one.
        mapped: the mappings by their names: product, cart, cart_item.
        order_item: the class of the order's items, if the shop has its own.

    Raises:
        ConfigurationError: something is wrong with any of them; the message has all of it.
    """
    sources = {name: RowSource(each.given) for name, each in mapped.items()}
    resolvers: dict[str, Callable[[Mapping[str, Any]], Any]] = {
        "product": lambda parts: _product(parts, sources["product"]),
        "cart": lambda parts: _cart(parts, sources["cart"], customer),
        "cart_item": lambda parts: _cart_item(parts, sources, order_item),
    }
    resolved, problems = dict[str, Any](), list[str]()
    for name, each in mapped.items():
        try:
            resolved[name] = resolvers[name](each.parts)
        except _MappingProblem as problem:
            problems.append(str(problem))
    if problems:
        raise ConfigurationError(f"declare_models(...): {'. '.join(problems)}.")
    return resolved


def resolve(
    customer: type[Any] | None,
    mapped: Mapping[str, MappedClass],
    order_item: type[OrderItemMixin],
) -> Shop:
    """Resolve the mappings of all classes, as `check_shop` does."""
    return Shop(**check_shop(customer, mapped, order_item), mapped=mapped)


def check_lambdas(shop: Shop, customer: type[Any] | None, order_item: type[OrderItemMixin]) -> None:
    """Resolve the mappings once more with the expressions that lambdas return; configures mappers.

    Raises:
        ConfigurationError: something is wrong with any of them; the message has all of it.
    """
    called = {
        name: replace(each, parts={part: _called(part, said) for part, said in each.parts.items()})
        for name, each in shop.mapped.items()
    }
    check_shop(customer, called, order_item)


def _called(name: str, given: Any) -> Any:
    """Return that for which a lambda without a parameter stands; else what was given."""
    if isinstance(given, Units | FromFloat):
        return replace(given, part=_called(name, given.part))
    if not is_late(given):
        return given
    return given() if name == "load" else Expression(given).made


def _collect(
    name: str, source: RowSource, parts: Mapping[str, Callable[[], Any]]
) -> dict[str, Any]:
    """Return all parts.

    Raises:
        _MappingProblem: some of them can't be used; the message has all of them.
    """
    found, problems = dict[str, Any](), list[str]()
    for part, resolved in parts.items():
        try:
            found[part] = resolved()
        except PartProblem as problem:
            problems.append(str(problem))
    if problems:
        raise _MappingProblem(f"{name}={source.name}: {'; '.join(problems)}")
    return found


def _refuse(name: str, source: RowSource, *problems: Iterable[str]) -> None:
    """Refuse a mapping of columns that can't play their parts.

    Raises:
        _MappingProblem: there are problems; the message has all of them.
    """
    found = [problem for each in problems for problem in each]
    if found:
        raise _MappingProblem(f"{name}={source.name}: {'; '.join(found)}")


def _stock_columns(stock: StockPart) -> dict[str, Column[Any] | None]:
    """Return the columns that count a product's units, by what they count."""
    if isinstance(stock, ReservedStock):
        return {"stock's quantity": stock.quantity, "stock's allocated": stock.allocated}
    return {"stock": stock.count} if isinstance(stock, StockColumn) else {}


def _changed(stock: StockPart) -> Sequence[Column[Any]]:
    return (stock.changed,) if isinstance(stock, CountingColumns) else ()


def _product(given: Mapping[str, Any], source: RowSource) -> ProductParts:
    say = partial(resolve_part, source, given)
    found = _collect(
        "product",
        source,
        {
            "key": lambda: resolve_key(source),
            "sku": lambda: resolve_text(say("sku"), "sku", source),
            "name": lambda: resolve_text(say("name"), "name", source),
            "active": lambda: resolve_truth(say("active", if_missing=True), "active", source),
            "price": lambda: resolve_amount(source, given, "price"),
            "sale_price": lambda: resolve_amount(source, given, "sale_price", if_missing=None),
            "shipping": lambda: resolve_amount(source, given, "shipping", if_missing=None),
            "stock": lambda: resolve_stock(source, given),
            "load": lambda: resolve_load(source, given.get("load", ())),
        },
    )
    stock = _stock_columns(found["stock"])
    counted = {name: column_of(found[name].part) for name in PRICES} | stock
    _refuse(
        "product",
        source,
        played_twice(source, {"key": found["key"], **counted}),
        counted_references(source, counted),
        computed(source, "stock", _changed(found["stock"])),
    )
    return ProductParts(source, **found)


def _cart(given: Mapping[str, Any], source: RowSource, customer: type[Any] | None) -> CartParts:
    found = _collect(
        "cart",
        source,
        {
            "key": lambda: resolve_key(source),
            "customer": lambda: resolve_customer(source, given, customer),
            "voucher": lambda: resolve_voucher(source, given),
            "open": lambda: resolve_condition(source, given),
        },
    )
    voucher, owner = found["voucher"], found["customer"]
    _refuse(
        "cart",
        source,
        played_twice(source, {"key": found["key"], "voucher": voucher}),
        played_twice(source, {"customer": owner and owner.column, "voucher": voucher}),
        computed(source, "voucher", () if voucher is None else (voucher,)),
    )
    return CartParts(source, **found)


def _cart_item(
    given: Mapping[str, Any],
    sources: Mapping[str, RowSource],
    order_item: type[OrderItemMixin] | None,
) -> CartItemParts:
    source = sources["cart_item"]
    found = _collect(
        "cart_item",
        source,
        {
            "key": lambda: resolve_item_key(source),
            "cart": lambda: resolve_reference(source, given, "cart", sources["cart"]),
            "product": lambda: resolve_reference(source, given, "product", sources["product"]),
            "quantity": lambda: resolve_quantity(source, given),
            "open": lambda: resolve_condition(source, given),
            "copy": lambda: resolve_copied(source, given.get("copy", ()), order_item),
        },
    )
    # A key may lead to the cart or to the product, and a key of several columns to both.
    key = found["key"][0] if len(found["key"]) == 1 else None
    alone = None if key is None or key.foreign_keys else key
    quantity = {"quantity": column_of(found["quantity"])}
    references = {"cart": found["cart"].column, "product": found["product"].column}
    _refuse(
        "cart_item",
        source,
        played_twice(source, {"key": alone, **references, **quantity}),
        counted_references(source, quantity),
    )
    return CartItemParts(source, **found)
