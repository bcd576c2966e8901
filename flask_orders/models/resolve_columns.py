"""Resolve the parts that are columns: keys, references, the voucher, the stock, what is copied.

Each is refused with the line to write if an order can't lock and change it, or follow it.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from inspect import get_annotations
from types import FunctionType
from typing import Any

from sqlalchemy import Column, String, Table, inspect
from sqlalchemy.orm import Mapper

from ..errors import ConfigurationError
from ..stock import Stock
from ..stock_columns import ReservedStock, StockColumn, StockTakenInCart
from .column_types import stock_problem
from .mapping import Reserved, TakenInCart
from .mixins import OrderItemMixin
from .part_columns import holds_vouchers
from .parts import (
    UNSAID,
    Attribute,
    PartProblem,
    part_of,
)
from .resolve_values import line_for, resolve_column
from .shop import Reference, StockPart, resolve_relationships
from .sources import RowSource, leads_elsewhere, references


def resolve_voucher(source: RowSource, given: Mapping[str, Any]) -> Column[Any] | None:
    """Return the column of a cart's voucher.

    Raises:
        PartProblem: an order can't take the voucher off the cart.
    """
    column = resolve_column(source, given, "voucher", if_missing=None)
    if column is not None and not holds_vouchers(column):
        raise PartProblem(
            f"voucher: {source.spell(column)} is a {column.type!r}, which holds neither the code "
            f"nor the key of a voucher; {line_for(source, 'voucher')}"
        )
    if column is None or column.nullable or isinstance(column.type, String):
        return column
    raise PartProblem(
        f"voucher: {source.spell(column)} is NOT NULL and no text, so that an order can't take the "
        f"voucher off the cart; let it be NULL, or {line_for(source, 'voucher')}"
    )


def resolve_key(source: RowSource) -> Column[Any]:
    mapper = source.mapper
    if mapper is None:
        raise PartProblem(f"{source.name} has no class: only the cart's items may be a bare table")
    _require_own_table(mapper)
    if len(source.primary_key) != 1:
        raise PartProblem(
            f"its primary key has {len(source.primary_key)} columns, and an order refers to it by "
            "one: give it a primary key of one column"
        )
    return source.primary_key[0]


def _require_own_table(mapper: Mapper[Any]) -> None:
    """Refuse a class whose rows are those of no table, or of several that share no keys.

    Raises:
        PartProblem: with what to do.
    """
    if not isinstance(mapper.local_table, Table):
        raise PartProblem("it is mapped to a join or a subquery: map it to a table of its own")
    if any(each.concrete for each in mapper.self_and_descendants if each is not mapper):
        raise PartProblem(
            "a class with a table of its own inherits from it (concrete), so that two rows may "
            "have one key: pass the class of one table, or use joined inheritance"
        )


def resolve_item_key(source: RowSource) -> tuple[Column[Any], ...]:
    if source.mapper is not None:
        _require_own_table(source.mapper)
    if not source.primary_key:
        raise PartProblem(
            "it has no primary key, so that an order can't delete exactly the rows that it has "
            "read: declare one, such as its cart and product together"
        )
    return source.primary_key


def resolve_stock(source: RowSource, given: Mapping[str, Any]) -> StockPart:
    said = given.get("stock", UNSAID)
    if isinstance(said, Reserved):
        return _reserved(_units(source, said.quantity), _units(source, said.allocated))
    if isinstance(said, TakenInCart):
        return StockTakenInCart(_units(source, said.quantity))
    if _is_stock(said):
        own: Stock = said
        if isinstance(own, type):
            raise PartProblem(f"stock: {own.__name__} is a class; write stock={own.__name__}(...)")
        return own
    column = resolve_column(source, given, "stock")
    return None if column is None else StockColumn(_counted(source, column))


def _reserved(quantity: Column[Any], allocated: Column[Any]) -> ReservedStock:
    try:
        return ReservedStock(quantity, allocated)
    except ConfigurationError as error:
        raise PartProblem(f"stock: {error}") from None


def _is_stock(said: Any) -> bool:
    """Return whether a stock of the shop's own was given: a `flask_orders.stock.Stock`."""
    calls = ("available", "deduct", "restock")
    return all(callable(getattr(said, call, None)) for call in calls)


def _units(source: RowSource, said: Any) -> Column[Any]:
    column = resolve_column(source, {"stock": said}, "stock")
    if column is None:
        raise PartProblem(f"stock: None can't be reserved; {line_for(source, 'stock')}")
    return _counted(source, column)


def _counted(source: RowSource, column: Column[Any]) -> Column[Any]:
    problem = stock_problem(column.type)
    if problem is not None:
        raise PartProblem(f"stock: {source.spell(column)} {problem}")
    return column


def resolve_customer(
    source: RowSource, given: Mapping[str, Any], customer: type[Any] | None
) -> Reference | None:
    if source.given is customer:
        if (
            "customer" in given
            and resolve_column(source, given, "customer") not in source.primary_key
        ):
            raise PartProblem(
                f"customer: {source.name} is the customer's class too, so that each customer is a "
                "cart; pass the class of the customers as customer=... of declare_models, or leave "
                "this part out"
            )
        return None
    if customer is not None:
        return resolve_reference(source, given, "customer", RowSource(customer))
    name = "customer" if "customer" in given or source.has("customer") else "customer_id"
    if not source.has(name) and name not in given:
        raise PartProblem(
            f"customer: {source.name} has no attribute 'customer_id'; "
            f"{line_for(source, 'customer')}"
        )
    column = resolve_column(source, given, name)
    if column is None:
        raise PartProblem(f"customer: a cart has one; {line_for(source, 'customer')}")
    return Reference(column, column)


def resolve_reference(
    source: RowSource, given: Mapping[str, Any], name: str, target: RowSource
) -> Reference:
    """Return the foreign key to the target, if there is exactly one, or the column that was said.

    Raises:
        PartProblem: there are none or several, or what was said is no column.
    """
    if name in given:
        column = resolve_column(source, given, name)
        if column is None:
            raise PartProblem(f"{name}: None is no column; {line_for(source, name)}")
        return _said_reference(source, column, name, target)
    found = references(source, target)
    if len(found) == 1:
        return Reference(*found[0])
    if not found and (named := _named_column(source, name)) is not None:
        return _said_reference(source, named, name, target)
    if not found:
        raise PartProblem(
            f"{name}: no foreign key leads from {source.name} to {target.name}; "
            f"{line_for(source, name)}"
        )
    raise PartProblem(
        f"{name}: {len(found)} foreign keys lead from {source.name} to {target.name}; "
        f"{_leading(source, name, found)}"
    )


def _said_reference(
    source: RowSource, column: Column[Any], name: str, target: RowSource
) -> Reference:
    """Return the reference of a column that was said, or has the part's name.

    Raises:
        PartProblem: the column leads to other rows, or other columns lead to the target's.
    """
    found = references(source, target)
    for one, referred in found:
        if one is column:
            return Reference(column, referred)
    elsewhere = leads_elsewhere(column, target)
    if elsewhere is None and not found:
        return Reference(column, target.primary_key[0])
    leads = "has no foreign key" if elsewhere is None else f"refers to {elsewhere}"
    raise PartProblem(
        f"{name}: {source.spell(column)} {leads}, so that it does not hold the key of a "
        f"{target.name}; {_leading(source, name, found)}"
    )


def _leading(source: RowSource, name: str, found: Sequence[tuple[Column[Any], Any]]) -> str:
    """Return the line to write for a reference: by the foreign keys, if there are any."""
    written = " or ".join(f"{name}={source.spell(column)}" for column, _ in found)
    return f"write {written}" if found else line_for(source, name)


def _named_column(source: RowSource, name: str) -> Column[Any] | None:
    try:
        part = part_of(source, name, UNSAID)
    except PartProblem:
        return None
    return part.column if isinstance(part, Attribute) else None


def resolve_copied(
    source: RowSource, given: Any, order_item: type[OrderItemMixin] | None
) -> tuple[Column[Any], ...]:
    """Return the columns that are copied to the order item's columns of the same names.

    Raises:
        PartProblem: one of them is no column, or the order item has no such column of the shop's.
    """
    copied = given if isinstance(given, tuple | list) else (given,)
    columns = tuple(_copied_column(source, each) for each in copied)
    own = set() if order_item is None else set(inspect(order_item).columns.keys())
    for column in columns:
        name = source.attribute_name(column)
        if name not in own - set(get_annotations(OrderItemMixin)):
            raise PartProblem(
                f"copy: your order items have no column '{name}' of their own; write class "
                f"OrderItem(OrderItemMixin, db.Model) with {name}: Mapped[...], and pass "
                "order_item=OrderItem"
            )
    return columns


def _copied_column(source: RowSource, given: Any) -> Column[Any]:
    with suppress(PartProblem):
        part = part_of(source, "copy", given)
        if isinstance(part, Attribute):
            return part.column
    raise PartProblem(
        f"copy: {given} is no column of {source.name}; leave it out, and copy what lies in other "
        "rows by a receiver of order_placing"
    )


def resolve_load(source: RowSource, given: Any) -> Any:
    """Return the relationships that are read with the products, or the lambda for them.

    Raises:
        PartProblem: something else was given.
    """
    return given if isinstance(given, FunctionType) else resolve_relationships(source, given)
