"""The shop's own rows as an order uses them: which column, expression or function is which part.

A mapping is resolved when models are declared, and everything that is wrong with it is reported at
once, each with the line to write.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property, partial
from inspect import get_annotations
from types import FunctionType, NoneType
from typing import Any

from sqlalchemy import Boolean, Column, Integer, Table, inspect
from sqlalchemy.orm import QueryableAttribute, RelationshipProperty
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine

from ..amounts import Amount, Exact, FromFloat, Units
from ..errors import ConfigurationError
from ..stock import Stock
from ..stock_columns import ReservedStock, StockColumn, StockTakenInCart
from .column_types import amount_problem, quantity_problem, stock_problem
from .mapping import (
    MappedClass,
    Reserved,
    TakenInCart,
)
from .mixins import OrderItemMixin
from .parts import (
    UNSAID,
    Attribute,
    Constant,
    Expression,
    Function,
    Part,
    PartProblem,
    is_late,
    part_of,
    spelled,
)
from .sources import RowSource, references, referred_by

LINES = {
    "sku": "or sku=None if products have none",
    "name": "or name=None if products have none",
    "stock": "or stock=None if the shop does not count stock",
    "quantity": "or quantity=1 if each row is one unit",
    "voucher": "or voucher=None if the shop has no vouchers",
    "shipping": "or shipping=None if shipping is free",
    "active": "or active=True if every product is for sale",
}


@dataclass(frozen=True)
class Reference:
    """A column of a row, and the column whose value it holds."""

    column: Column[Any]
    target: Column[Any]


@dataclass(frozen=True)
class PricePart:
    """A part that is an amount: how it is read, and what it is."""

    kind: Amount
    part: Part


StockPart = StockColumn | ReservedStock | Stock | None


@dataclass(frozen=True)
class ProductParts:
    """What is bought: its key, and its parts."""

    source: RowSource
    key: Column[Any]
    sku: Part
    name: Part
    active: Part
    price: PricePart
    sale_price: PricePart
    shipping: PricePart
    stock: StockPart
    load: Any

    @cached_property
    def loaded(self) -> tuple[Any, ...]:
        """The relationships that are read anew with the products; this may configure mappers."""
        given = self.load() if isinstance(self.load, FunctionType) else self.load
        return tuple(given) if isinstance(given, tuple | list) else (given,)


@dataclass(frozen=True)
class CartParts:
    """The cart: its key, its customer (None: the cart is the customer), its voucher column."""

    source: RowSource
    key: Column[Any]
    customer: Reference | None
    voucher: Column[Any] | None
    open: Attribute | Expression | None


@dataclass(frozen=True)
class CartItemParts:
    """The cart's items: their key, which may have several columns, and their parts."""

    source: RowSource
    key: tuple[Column[Any], ...]
    cart: Reference
    product: Reference
    quantity: Part
    open: Attribute | Expression | None
    copy: tuple[Column[Any], ...]

    @property
    def is_unit(self) -> bool:
        """Whether each row is one unit, so that rows of one product are one order item."""
        return isinstance(self.quantity, Constant)


@dataclass(frozen=True)
class Shop:
    """The parts of the shop's own classes, and what was said of them.

    Attributes:
        mapped: the mappings by their names: product, cart, cart_item.
    """

    product: ProductParts
    cart: CartParts
    cart_item: CartItemParts
    mapped: Mapping[str, MappedClass]

    def says(self, name: str, part: str) -> bool:
        """Return whether the shop has said a part, instead of leaving it to be found."""
        return part in self.mapped[name].parts


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
        name: replace(each, parts={part: _called(given) for part, given in each.parts.items()})
        for name, each in shop.mapped.items()
    }
    check_shop(customer, called, order_item)


def _called(given: Any) -> Any:
    """Return the expression for which a lambda without a parameter stands; else what was given."""
    if isinstance(given, Units | FromFloat):
        return replace(given, part=_called(given.part))
    return given() if is_late(given) else given


def _collect(
    name: str, source: RowSource, parts: Mapping[str, Callable[[], Any]]
) -> dict[str, Any]:
    """Return all parts.

    Raises:
        _MappingProblem: some of them can't be used; the message has all of them.
    """
    found, problems = dict[str, Any](), list[str]()
    for part, resolve_part in parts.items():
        try:
            found[part] = resolve_part()
        except PartProblem as problem:
            problems.append(str(problem))
    if problems:
        raise _MappingProblem(f"{name}={source.name}: {'; '.join(problems)}")
    return found


def _product(given: Mapping[str, Any], source: RowSource) -> ProductParts:
    say = partial(_part, source, given)
    found = _collect(
        "product",
        source,
        {
            "key": lambda: _single_key(source),
            "sku": lambda: say("sku"),
            "name": lambda: say("name"),
            "active": lambda: _truth(say("active", if_missing=True), "active", source),
            "price": lambda: _amount(source, given, "price"),
            "sale_price": lambda: _amount(source, given, "sale_price", if_missing=None),
            "shipping": lambda: _amount(source, given, "shipping", if_missing=None),
            "stock": lambda: _stock(source, given),
            "load": lambda: _load(source, given.get("load", ())),
        },
    )
    return ProductParts(source, **found)


def _cart(given: Mapping[str, Any], source: RowSource, customer: type[Any] | None) -> CartParts:
    found = _collect(
        "cart",
        source,
        {
            "key": lambda: _single_key(source),
            "customer": lambda: _customer(source, given, customer),
            "voucher": lambda: _column(source, given, "voucher", if_missing=None),
            "open": lambda: _condition(source, given),
        },
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
            "key": lambda: _item_key(source),
            "cart": lambda: _reference(source, given, "cart", sources["cart"]),
            "product": lambda: _reference(source, given, "product", sources["product"]),
            "quantity": lambda: _quantity(source, given),
            "open": lambda: _condition(source, given),
            "copy": lambda: _copied(source, given.get("copy", ()), order_item),
        },
    )
    return CartItemParts(source, **found)


def _line(source: RowSource, name: str) -> str:
    """Return what the shop has to write for a part."""
    line = f"{name}={source.code}.<its column>"
    return f"write {line}, {LINES[name]}" if name in LINES else f"write {line}"


def _part(
    source: RowSource, given: Mapping[str, Any], name: str, *, if_missing: Any = UNSAID
) -> Part:
    """Return a part.

    Raises:
        PartProblem: it can't be used; the message has the line to write.
    """
    if name not in given and if_missing is not UNSAID and not source.has(name):
        return Constant(if_missing)
    try:
        return part_of(source, name, given.get(name, UNSAID))
    except PartProblem as problem:
        raise PartProblem(f"{name}: {problem}; {_line(source, name)}") from None


def _column(
    source: RowSource, given: Mapping[str, Any], name: str, *, if_missing: Any = UNSAID
) -> Column[Any] | None:
    """Return the column that a part is; None if it is None.

    Raises:
        PartProblem: it is something else, which an order can't lock and change.
    """
    part = _part(source, given, name, if_missing=if_missing)
    if isinstance(part, Attribute):
        return part.column
    if part == Constant(None):
        return None
    raise PartProblem(
        f"{name}: it is no column, so that an order can't lock and change it; {_line(source, name)}"
    )


def _single_key(source: RowSource) -> Column[Any]:
    mapper = source.mapper
    if mapper is None:
        raise PartProblem(f"{source.name} has no class: only the cart's items may be a bare table")
    if not isinstance(mapper.local_table, Table):
        raise PartProblem("it is mapped to a join or a subquery: map it to a table of its own")
    if len(source.primary_key) != 1:
        raise PartProblem(
            f"its primary key has {len(source.primary_key)} columns, and an order refers to it by "
            "one: give it a primary key of one column"
        )
    return source.primary_key[0]


def _item_key(source: RowSource) -> tuple[Column[Any], ...]:
    if source.mapper is not None and not isinstance(source.mapper.local_table, Table):
        raise PartProblem("it is mapped to a join or a subquery: map it to a table of its own")
    if not source.primary_key:
        raise PartProblem(
            "it has no primary key, so that an order can't delete exactly the rows that it has "
            "read: declare one, such as its cart and product together"
        )
    return source.primary_key


def _amount(
    source: RowSource, given: Mapping[str, Any], name: str, *, if_missing: Any = UNSAID
) -> PricePart:
    """Return a part that is an amount, and how it is read.

    Raises:
        PartProblem: it can't be read so, or not exactly; the message has the ways out.
    """
    said = given.get(name, UNSAID)
    kind = said if isinstance(said, Exact | Units | FromFloat) else Exact(said)
    inner = {} if kind.part is UNSAID else {name: kind.part}
    part = _part(source, inner, name, if_missing=if_missing)
    kind = replace(kind, part=_spelling(source, part, name))
    type_ = _type(part)
    problem = None if type_ is None else amount_problem(kind, type_)
    if problem is not None:
        raise PartProblem(f"{name}: {kind.part} {problem}")
    if isinstance(part, Constant) and not isinstance(part.value, Decimal | NoneType):
        raise PartProblem(f"{name}: {part.value!r} is no Decimal; write {name}=Decimal(...)")
    return PricePart(kind, part)


def _type(part: Part) -> TypeEngine[Any] | None:
    """Return the type of a part, if it is known before the first use."""
    if isinstance(part, Attribute):
        return part.column.type
    if isinstance(part, Expression) and part.is_known:
        type_ = part.made.type
        return None if isinstance(type_, NullType) else type_
    return None


def _spelling(source: RowSource, part: Part, name: str) -> str:
    if isinstance(part, Attribute):
        return source.spell(part.column)
    if isinstance(part, Function) and isinstance(part.call, FunctionType):
        return part.call.__name__
    return spelled(part.given) if isinstance(part, Expression) and part.is_known else name


def _truth(part: Part, name: str, source: RowSource) -> Part:
    """Return a part that is true or false.

    Raises:
        PartProblem: every value of its type may be true, such as the text "draft".
    """
    type_ = _type(part)
    if type_ is not None and not _is_boolean(type_):
        raise PartProblem(
            f"{name}: {_spelling(source, part, name)} is a {type_!r}, which is not true or false; "
            f"write a condition, such as {name}={_spelling(source, part, name)} == ..."
        )
    return part


def _is_boolean(type_: TypeEngine[Any]) -> bool:
    inner = type_.impl_instance if isinstance(type_, TypeDecorator) else type_
    return isinstance(inner, Boolean | Integer)


def _condition(source: RowSource, given: Mapping[str, Any]) -> Attribute | Expression | None:
    """Return the condition under which a row is read; None: always.

    Raises:
        PartProblem: the database can't evaluate it.
    """
    if given.get("open", UNSAID) is True:
        raise PartProblem(
            "open: True is what Python's own `is not` gives; write a condition in SQL, such as "
            f"open={source.code}.<its column>.is_not(True), or open=sqlalchemy.true() if all rows "
            "are still to be bought"
        )
    part = _truth(_part(source, given, "open", if_missing=True), "open", source)
    if isinstance(part, Constant) and part.value is True:
        return None
    if isinstance(part, Attribute | Expression):
        return part
    raise PartProblem(
        f"open: a row is read by it, so that it must be a condition in SQL; write "
        f"open={source.code}.<its column>.is_not(True), or another expression"
    )


def _stock(source: RowSource, given: Mapping[str, Any]) -> StockPart:
    said = given.get("stock", UNSAID)
    if isinstance(said, Reserved):
        return _reserved(_units(source, said.quantity), _units(source, said.allocated))
    if isinstance(said, TakenInCart):
        return StockTakenInCart(_units(source, said.quantity))
    if _is_stock(said):
        own: Stock = said
        return own
    column = _column(source, given, "stock")
    return None if column is None else StockColumn(_counted(source, column))


def _reserved(quantity: Column[Any], allocated: Column[Any]) -> ReservedStock:
    try:
        return ReservedStock(quantity, allocated)
    except ConfigurationError as error:
        raise PartProblem(f"stock: {error}") from None


def _is_stock(said: Any) -> bool:
    """Return whether a stock of the shop's own was given: a `flask_orders.stock.Stock`."""
    calls = ("available", "deduct", "restock")
    return not isinstance(said, type) and all(callable(getattr(said, c, None)) for c in calls)


def _units(source: RowSource, said: Any) -> Column[Any]:
    column = _column(source, {"stock": said}, "stock")
    if column is None:
        raise PartProblem(f"stock: None can't be reserved; {_line(source, 'stock')}")
    return _counted(source, column)


def _counted(source: RowSource, column: Column[Any]) -> Column[Any]:
    problem = stock_problem(column.type)
    if problem is not None:
        raise PartProblem(f"stock: {source.spell(column)} {problem}")
    return column


def _quantity(source: RowSource, given: Mapping[str, Any]) -> Part:
    part = _part(source, given, "quantity")
    if isinstance(part, Constant):
        if type(part.value) is int and part.value == 1:
            return part
        raise PartProblem(f"quantity: {part.value!r} is the same for every row; write quantity=1")
    if isinstance(part, Function):
        raise PartProblem(f"quantity: it is read by SQL; {_line(source, 'quantity')}")
    type_ = _type(part)
    problem = None if type_ is None else quantity_problem(type_)
    if problem is not None:
        raise PartProblem(f"quantity: {_spelling(source, part, 'quantity')} {problem}")
    return part


def _customer(
    source: RowSource, given: Mapping[str, Any], customer: type[Any] | None
) -> Reference | None:
    if source.given is customer:
        return None
    if customer is not None:
        return _reference(source, given, "customer", RowSource(customer))
    name = "customer" if source.has("customer") else "customer_id"
    column = _column(source, {name: given["customer"]} if "customer" in given else {}, name)
    if column is None:
        raise PartProblem(f"customer: a cart has one; {_line(source, 'customer')}")
    return Reference(column, column)


def _reference(
    source: RowSource, given: Mapping[str, Any], name: str, target: RowSource
) -> Reference:
    """Return the foreign key to the target, if there is exactly one, or the column that was said.

    Raises:
        PartProblem: there are none or several, or what was said is no column.
    """
    if name in given:
        column = _column(source, given, name)
        if column is None:
            raise PartProblem(f"{name}: None is no column; {_line(source, name)}")
        referred = referred_by(column, target)
        return Reference(column, target.primary_key[0] if referred is None else referred)
    found = references(source, target)
    if len(found) == 1:
        return Reference(*found[0])
    if not found and (named := _named_column(source, name)) is not None:
        return Reference(named, target.primary_key[0])
    if not found:
        raise PartProblem(
            f"{name}: no foreign key leads from {source.name} to {target.name}; "
            f"{_line(source, name)}"
        )
    spelled = " or ".join(f"{name}={source.spell(column)}" for column, _ in found)
    raise PartProblem(
        f"{name}: {len(found)} foreign keys lead from {source.name} to {target.name}; write "
        f"{spelled}"
    )


def _named_column(source: RowSource, name: str) -> Column[Any] | None:
    try:
        part = part_of(source, name, UNSAID)
    except PartProblem:
        return None
    return part.column if isinstance(part, Attribute) else None


def _copied(
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
    part = part_of(source, "copy", given)
    if isinstance(part, Attribute):
        return part.column
    raise PartProblem(f"copy: {given} is no column of {source.name}; leave it out")


def _load(source: RowSource, given: Any) -> Any:
    """Return the relationships that are read with the products, or the lambda for them.

    Raises:
        PartProblem: something else was given.
    """
    if isinstance(given, FunctionType):
        return given
    loads = tuple(given) if isinstance(given, tuple | list) else (given,)
    for each in loads:
        prop = each.prop if isinstance(each, QueryableAttribute) else None
        if not isinstance(prop, RelationshipProperty):
            raise PartProblem(
                f"load: {each} is no relationship; write load={source.code}.<its relationship>"
            )
    return loads
