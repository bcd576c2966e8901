"""The shop's own rows as an order uses them: which column, expression or function is which part.

A mapping is resolved when models are declared, and everything that is wrong with it is reported at
once, each with the line to write.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property, partial
from inspect import get_annotations
from types import FunctionType, NoneType
from typing import Any

from sqlalchemy import Boolean, Column, Double, Integer, String, Table, cast, inspect
from sqlalchemy.orm import Mapper, QueryableAttribute, RelationshipProperty
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine

from ..amounts import Amount, Exact, FromFloat, Units
from ..errors import ConfigurationError
from ..stock import Stock
from ..stock_columns import ReservedStock, StockColumn, StockTakenInCart
from .column_types import amount_problem, quantity_problem, returned_class, stock_problem
from .mapping import (
    MappedClass,
    Reserved,
    TakenInCart,
)
from .mixins import OrderItemMixin
from .part_columns import column_of, computed, counted_references, holds_vouchers, played_twice
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
from .sources import RowSource, leads_elsewhere, references

LINES = {
    "sku": "or sku=None if products have none",
    "name": "or name=None if products have none",
    "stock": "or stock=None if the shop does not count stock",
    "quantity": "or quantity=1 if each row is one unit",
    "voucher": "or voucher=None if the shop has no vouchers",
    "shipping": "or shipping=None if shipping is free",
    "active": "or active=True if every product is for sale",
    "sale_price": "or sale_price=None if there are none",
    "open": "or open=sqlalchemy.true() if every row is still to be bought",
}

# The parts of a product that are amounts.
AMOUNTS = ("price", "sale_price", "shipping")


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
        """The relationships that are read anew with the products; this configures mappers.

        Raises:
            ConfigurationError: neither the product nor one before it leads to its class.
        """
        given = self.load() if isinstance(self.load, FunctionType) else self.load
        try:
            loads = _relationships(self.source, given)
        except PartProblem as problem:
            raise ConfigurationError(f"product={self.source.name}: {problem}.") from None
        reached = [self.source.given]
        for load in loads:
            if not any(issubclass(cls, load.class_) for cls in reached):
                raise ConfigurationError(
                    f"declare_models(...): product={self.source.name}: load: nothing leads to "
                    f"{load}: name the relationship to its class before it, "
                    f"load=({self.source.code}.<a relationship>, {load})."
                )
            reached.append(load.property.mapper.class_)
        return loads


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
    for part, resolve_part in parts.items():
        try:
            found[part] = resolve_part()
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
    return (stock.changed,) if isinstance(stock, StockColumn | ReservedStock) else ()


def _product(given: Mapping[str, Any], source: RowSource) -> ProductParts:
    say = partial(_part, source, given)
    found = _collect(
        "product",
        source,
        {
            "key": lambda: _single_key(source),
            "sku": lambda: _text(say("sku"), "sku", source),
            "name": lambda: _text(say("name"), "name", source),
            "active": lambda: _truth(say("active", if_missing=True), "active", source),
            "price": lambda: _amount(source, given, "price"),
            "sale_price": lambda: _amount(source, given, "sale_price", if_missing=None),
            "shipping": lambda: _amount(source, given, "shipping", if_missing=None),
            "stock": lambda: _stock(source, given),
            "load": lambda: _load(source, given.get("load", ())),
        },
    )
    stock = _stock_columns(found["stock"])
    counted = {name: column_of(found[name].part) for name in AMOUNTS} | stock
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
            "key": lambda: _single_key(source),
            "customer": lambda: _customer(source, given, customer),
            "voucher": lambda: _voucher(source, given),
            "open": lambda: _condition(source, given),
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
            "key": lambda: _item_key(source),
            "cart": lambda: _reference(source, given, "cart", sources["cart"]),
            "product": lambda: _reference(source, given, "product", sources["product"]),
            "quantity": lambda: _quantity(source, given),
            "open": lambda: _condition(source, given),
            "copy": lambda: _copied(source, given.get("copy", ()), order_item),
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


def _voucher(source: RowSource, given: Mapping[str, Any]) -> Column[Any] | None:
    """Return the column of a cart's voucher.

    Raises:
        PartProblem: an order can't take the voucher off the cart.
    """
    column = _column(source, given, "voucher", if_missing=None)
    if column is not None and not holds_vouchers(column):
        raise PartProblem(
            f"voucher: {source.spell(column)} is a {column.type!r}, which holds neither the code "
            f"nor the key of a voucher; {_line(source, 'voucher')}"
        )
    if column is None or column.nullable or isinstance(column.type, String):
        return column
    raise PartProblem(
        f"voucher: {source.spell(column)} is NOT NULL and no text, so that an order can't take the "
        f"voucher off the cart; let it be NULL, or {_line(source, 'voucher')}"
    )


def _single_key(source: RowSource) -> Column[Any]:
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


def _item_key(source: RowSource) -> tuple[Column[Any], ...]:
    if source.mapper is not None:
        _require_own_table(source.mapper)
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
    return PricePart(kind, _in_double_precision(source, kind, part))


def _in_double_precision(source: RowSource, kind: Amount, part: Part) -> Part:
    """Return what reads a float in full: MariaDB sends six digits of a FLOAT, a wrong price."""
    if isinstance(kind, FromFloat) and isinstance(part, Attribute):
        return Expression(cast(source.attribute(part.column), Double))
    return part


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
        return function_name(part.call)
    return spelled(part.given) if isinstance(part, Expression) and part.is_known else name


def _text(part: Part, name: str, source: RowSource) -> Part:
    """Return a part that is a text.

    Raises:
        PartProblem: it is the same object, or the name of an attribute, for every row.
    """
    if not isinstance(part, Constant) or part.value is None:
        return part
    value = part.value
    if isinstance(value, str) and not source.has(value):
        return part
    raise PartProblem(f"{name}: {_constant(value, source)}; {_line(source, name)}")


def _constant(value: Any, source: RowSource) -> str:
    """Return what is wrong with a value that would be that of every row."""
    if isinstance(value, str):
        return f"{value!r} would be the same text for every row"
    return (
        f"{value!r} would be the same for every row: give a column, or lambda row: row.<its "
        f"attribute>, of {source.name}"
    )


def function_name(call: FunctionType) -> str:
    """Return a function as an error and `flask orders check` name it: `Product.label`."""
    if call.__name__ == "<lambda>":
        return f"lambda {', '.join(call.__code__.co_varnames[: call.__code__.co_argcount])}: ..."
    return call.__qualname__.rpartition("<locals>.")[2]


def _truth(part: Part, name: str, source: RowSource) -> Part:
    """Return a part that is true or false.

    Raises:
        PartProblem: every value of its type may be true, such as the text "draft".
    """
    if isinstance(part, Constant) and not (
        type(part.value) in (bool, int) and part.value in (0, 1)
    ):
        raise PartProblem(f"{name}: {_constant(part.value, source)}; {_line(source, name)}")
    type_ = _type(part)
    is_read = name == "active" and isinstance(part, Attribute)
    if type_ is not None and not (_is_boolean(type_) or (is_read and _returns_boolean(type_))):
        raise PartProblem(
            f"{name}: {_spelling(source, part, name)} is a {type_!r}, which is not true or false; "
            f"write a condition, such as {name}={_spelling(source, part, name)} == ..."
        )
    return part


def _returns_boolean(type_: TypeEngine[Any]) -> bool:
    """Return whether a loaded object has True or False, whatever is stored, such as "Y"."""
    return returned_class(type_) is bool


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
    if isinstance(part, Attribute) and (part.column.primary_key or part.column.foreign_keys):
        raise PartProblem(
            f"open: {source.spell(part.column)} is a key, which is no condition; "
            f"{_line(source, 'open')}"
        )
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
        if isinstance(own, type):
            raise PartProblem(f"stock: {own.__name__} is a class; write stock={own.__name__}(...)")
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
    return all(callable(getattr(said, call, None)) for call in calls)


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
        if "customer" in given and _column(source, given, "customer") not in source.primary_key:
            raise PartProblem(
                f"customer: {source.name} is the customer's class too, so that each customer is a "
                "cart; pass the class of the customers as customer=... of declare_models, or leave "
                "this part out"
            )
        return None
    if customer is not None:
        return _reference(source, given, "customer", RowSource(customer))
    name = "customer" if "customer" in given or source.has("customer") else "customer_id"
    if not source.has(name) and name not in given:
        raise PartProblem(
            f"customer: {source.name} has no attribute 'customer_id'; {_line(source, 'customer')}"
        )
    column = _column(source, given, name)
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
        return _said_reference(source, column, name, target)
    found = references(source, target)
    if len(found) == 1:
        return Reference(*found[0])
    if not found and (named := _named_column(source, name)) is not None:
        return _said_reference(source, named, name, target)
    if not found:
        raise PartProblem(
            f"{name}: no foreign key leads from {source.name} to {target.name}; "
            f"{_line(source, name)}"
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
    return f"write {written}" if found else _line(source, name)


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
    with suppress(PartProblem):
        part = part_of(source, "copy", given)
        if isinstance(part, Attribute):
            return part.column
    raise PartProblem(
        f"copy: {given} is no column of {source.name}; leave it out, and copy what lies in other "
        "rows by a receiver of order_placing"
    )


def _load(source: RowSource, given: Any) -> Any:
    """Return the relationships that are read with the products, or the lambda for them.

    Raises:
        PartProblem: something else was given.
    """
    return given if isinstance(given, FunctionType) else _relationships(source, given)


def _relationships(source: RowSource, given: Any) -> tuple[Any, ...]:
    loads = tuple(given) if isinstance(given, tuple | list) else (given,)
    for each in loads:
        prop = each.prop if isinstance(each, QueryableAttribute) else None
        if not isinstance(prop, RelationshipProperty):
            raise PartProblem(
                f"load: {each} is no relationship; write load={source.code}.<its relationship>"
            )
    return loads
