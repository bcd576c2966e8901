"""The SELECTs of a cart, its items and their products: the lock order of a conversion.

Each locking query locks its rows in the order of their keys, and each goes through the shop's
mappers, so that single-table siblings and loader criteria apply.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Column, ColumnElement, Integer, bindparam, inspect, null, select
from sqlalchemy.orm import RelationshipDirection, lazyload, selectinload, undefer

from .db.bulk import KeysIn, in_values
from .db.typing import Query
from .models import Models
from .models.contract import are_equal_in_python, key_attribute, spelled_as
from .models.parts import Attribute, Expression
from .models.shop import CartItemParts, CartParts, ProductParts
from .models.sources import RowSource
from .product_reader import ProductReader
from .stock_columns import CountingColumns
from .versions import RowVersion

EAGER = frozenset({False, "joined", "selectin", "subquery", "immediate"})


class CartQueries:
    """The SELECTs, built once: building a statement may take longer than executing it.

    Attributes:
        cart: the `customer`'s carts, each with its key, the value by which items refer to it, its
            voucher, its version and, with objects, itself.
        items: the items of a `cart`, `most` at most: key, reference to the product, units, the
            product's key; then the object or, without objects, the copied columns.
        late: the keys of items and then of their products, for the items `late_keys`; None where
            Python compares these keys as the database does.
        products: the products `keys`: each product's key; then the product and the `expressions` of
            `reader` or, without objects, what it has `selected` and `product_columns`.
        product_columns: the columns of the stock, then that of the version, if there is one.
        locks_loads: whether relationships are loaded with the products of a locking read.
        has_objects: whether the shop's own objects are read.
    """

    def __init__(
        self,
        models: Models,
        reader: ProductReader,
        *,
        lock: bool,
        arrays: bool,
        objects: bool = True,
    ) -> None:
        self._models, self._arrays = models, arrays
        self.has_objects: bool = objects
        self._product, self._item = models.shop.product, models.shop.cart_item
        self._product_key = self._product.source.attribute(self._product.key)
        self._item_key = tuple(map(self._item.source.attribute, self._item.key))
        self.late_keys: KeysIn = KeysIn(self._item_key, "keys", arrays=arrays)
        cart = models.shop.cart
        self.cart: Query = self._cart(cart)
        self.items: Query = self._items()
        self.late: Query | None = self._late()
        self.products: Query = self._products(reader)
        self.locks_loads: bool = lock and objects and bool(loads(self._product))
        if lock:
            # A customer that is the cart stays referable: its foreign keys need not wait.
            self.cart = _locking(self.cart, cart.source, key_share=cart.customer is None)
            self.items = _locking(self.items, self._item.source)
            self.products = _locking(self.products, self._product.source, key_share=True)
            if self.late is not None:
                self.late = _locking(self.late, self._product.source, key_share=True)

    def _cart(self, cart: CartParts) -> Query:
        source = cart.source
        key, version = source.attribute(cart.key), RowVersion.of(source.given)
        query = select(
            key,
            source.attribute(self._item.cart.target),
            null() if cart.voucher is None else source.attribute(cart.voucher),
            null() if version is None else source.attribute(version.column),
        )
        query = query.where(self._is_customers(cart), *conditions(cart)).order_by(key)
        return _anew(query.add_columns(source.given)) if self.has_objects else query

    def _is_customers(self, cart: CartParts) -> ColumnElement[bool]:
        """Return the condition that a cart is the `customer`'s."""
        wanted: Any = bindparam("customer")
        if cart.customer is None:
            return cart.source.attribute(cart.key) == wanted  # type: ignore[no-any-return] # a mapped attribute
        customer, target = self._models.Customer, cart.customer.target
        if customer is not None and target not in RowSource(customer).primary_key:
            found = RowSource(customer).attribute(target)
            wanted = select(found).where(key_attribute(customer) == wanted).scalar_subquery()
        return cart.source.attribute(cart.customer.column) == wanted  # type: ignore[no-any-return] # a mapped attribute

    def _items(self) -> Query:
        item, source = self._item, self._item.source
        keys = self._item_key
        read = (*keys, self._product_reference, quantity_of(item), self._product_of_item)
        if not self.has_objects:
            entity: Sequence[Any] = [*map(source.attribute, item.copy)]
        else:
            entity = source.columns if source.mapper is None else [source.given]
        query = (
            select(*read, *entity)
            .where(source.attribute(item.cart.column) == bindparam("cart"), *conditions(item))
            .order_by(*keys)
            .limit(bindparam("most", type_=Integer))
        )
        if source.mapper is None or not self.has_objects:
            return query
        return _anew(query).options(*undeferred(source, item.copy))

    @property
    def _product_reference(self) -> Any:
        return self._item.source.attribute(self._item.product.column)

    @property
    def _referred(self) -> Any:
        """The product's column to which items refer; None if that is its key."""
        target = self._item.product.target
        return None if target is self._product.key else self._product.source.attribute(target)

    @property
    def _product_of_item(self) -> Any:
        """The key of an item's product, spelled as in the product's own row."""
        return spelled_as(self._product_key, self._product_reference, self._referred)

    def _late(self) -> Query | None:
        reference, referred = self._product_reference, self._referred
        if referred is None and are_equal_in_python(self._product_key, reference):
            return None
        is_it = (self._product_key if referred is None else referred) == reference
        return (
            select(*self._item_key, self._product_key)
            .join_from(self._item.source.given, self._product.source.given, is_it)
            .where(self.late_keys.condition)
            .order_by(self._product_key)
        )

    def _products(self, reader: ProductReader) -> Query:
        source, key = self._product.source, self._product_key
        is_wanted = in_values(key, "keys", arrays=self._arrays)
        if not self.has_objects:
            columns = map(source.attribute, self.product_columns)
            return select(key, *reader.selected, *columns).where(is_wanted).order_by(key)
        query = select(key, source.given, *reader.expressions).where(is_wanted).order_by(key)
        return _anew(query).options(
            *loads(self._product),
            *map(undefer, reader.attributes),
            *undeferred(source, self.product_columns),
        )

    @cached_property
    def product_columns(self) -> Sequence[Column[Any]]:
        """The columns that a change of the stock needs of every product."""
        stock, version = self._product.stock, RowVersion.of(self._product.source.given)
        columns = stock.columns if isinstance(stock, CountingColumns) else ()
        return columns if version is None else (*columns, version.column)


def _anew(query: Query) -> Query:
    """Have objects that are in the session already populated anew, since they are stale.

    The shop's eager joins can't be locked; they are left out.
    """
    return query.options(lazyload("*")).execution_options(populate_existing=True)


def _locking(query: Query, source: RowSource, *, key_share: bool = False) -> Query:
    """Lock the rows of a source, and no other: an outer join that a mapper adds can't be locked.

    `key_share` is FOR NO KEY UPDATE: a new row that references the key need not wait.
    """
    return query.with_for_update(key_share=key_share, of=list(source.tables))


def conditions(parts: CartParts | CartItemParts) -> list[Any]:
    """Return the condition that a row is still to be bought, if the shop has said one."""
    if parts.open is None:
        return []
    return [_expression(parts.source, parts.open)]


def quantity_of(item: CartItemParts) -> Any:
    """Return the expression of an item's units; NULL where each row is one unit."""
    quantity = item.quantity
    if isinstance(quantity, Attribute | Expression):
        return _expression(item.source, quantity)
    return null()


def _expression(source: RowSource, part: Attribute | Expression) -> Any:
    return source.attribute(part.column) if isinstance(part, Attribute) else part.made


def undeferred(source: RowSource, columns: Sequence[Column[Any]]) -> list[Any]:
    """Return loads of columns that the shop's class may defer: one SELECT a row, without a lock."""
    return [undefer(source.attribute(column)) for column in columns]


def loads(product: ProductParts) -> list[Any]:
    """Return loads of what the shop has named, and of the parents that it loads eagerly anyway."""
    source, named = product.source.given, product.loaded
    return _loads_of(source, named) + [
        selectinload(getattr(source, relation.key))
        for relation in inspect(source).relationships
        if relation.direction is RelationshipDirection.MANYTOONE
        and relation.lazy in EAGER
        and relation.key not in {load.key for load in named}
    ]


def _loads_of(cls: type[Any], named: Sequence[Any]) -> list[Any]:
    """Return the loads of a class's relationships, each with those that follow it and continue it.

    So a relationship to rows of its own class is named once for each step.
    """
    return [
        selectinload(load).options(*_loads_of(load.property.mapper.class_, named[number:]))
        for number, load in enumerate(named, start=1)
        if issubclass(cls, load.class_)
    ]
