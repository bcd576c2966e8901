"""The SELECTs of a cart, its items and their products: the lock order of a conversion.

Each locking query locks its rows in the order of their keys, and each goes through the shop's
mappers, so that single-table siblings and loader criteria apply.
"""

from typing import Any

from sqlalchemy import Integer, Select, bindparam, inspect, null, select
from sqlalchemy.orm import InstrumentedAttribute, RelationshipDirection, lazyload, selectinload

from .db.bulk import in_values
from .models import Models
from .models.contract import are_equal_in_python, attribute, spelled_as
from .versions import RowVersion

EAGER = frozenset({False, "joined", "selectin", "subquery", "immediate"})


class CartQueries:
    """The SELECTs, built once: building a statement may take longer than executing it.

    Attributes:
        cart: the key, voucher and version of the `customer`'s carts, and the carts themselves.
        items: the fields of a `CartItemRow` for the items of a `cart`, `most` at most.
        late: the keys of items and of their products, for the items `keys`; None where Python
            compares these keys as the database does.
        products: the products `keys`, each with its key.
    """

    def __init__(self, models: Models, *, lock: bool, arrays: bool) -> None:
        self._models, self._arrays = models, arrays
        self.cart, self.items, self.late = self._cart(), self._items(), self._late()
        self.products = self._products()
        if lock:
            # OF these rows alone: an outer join that the shop's mapper adds can't be locked.
            self.cart = self.cart.with_for_update(of=models.Cart)
            self.items = self.items.with_for_update(of=models.CartItem)
            self.products = _locking_products(self.products, models)
            self.late = None if self.late is None else _locking_products(self.late, models)

    def _cart(self) -> Select[Any]:
        columns, cart = self._models.columns, self._models.Cart
        key, version = attribute(cart, columns.cart_key), RowVersion.of(cart)
        voucher = columns.cart_voucher
        query = select(
            key,
            null() if voucher is None else attribute(cart, voucher),
            null() if version is None else attribute(cart, version.column),
            cart,
        )
        return (
            _anew(query)
            .where(attribute(cart, columns.cart_customer) == bindparam("customer"))
            .order_by(key)
        )

    def _items(self) -> Select[Any]:
        columns, item = self._models.columns, self._models.CartItem
        key, product = attribute(item, columns.item_key), attribute(item, columns.item_product)
        quantity = attribute(item, columns.item_quantity)
        return (
            _anew(select(key, product, quantity, spelled_as(self._product_key, product), item))
            .where(attribute(item, columns.item_cart) == bindparam("cart"))
            .order_by(key)
            .limit(bindparam("most", type_=Integer))
        )

    def _late(self) -> Select[Any] | None:
        columns, item = self._models.columns, self._models.CartItem
        key, product = attribute(item, columns.item_key), attribute(item, columns.item_product)
        if are_equal_in_python(self._product_key, product):
            return None
        return (
            select(key, self._product_key)
            .join_from(item, self._models.Product, self._product_key == product)
            .where(in_values(key, "keys", arrays=self._arrays))
            .order_by(self._product_key)
        )

    def _products(self) -> Select[Any]:
        product, key = self._models.Product, self._product_key
        return (
            _anew(select(key, product))
            .where(in_values(key, "keys", arrays=self._arrays))
            .order_by(key)
            .options(*_many_to_one_loads(product))
        )

    @property
    def _product_key(self) -> InstrumentedAttribute[Any]:
        return attribute(self._models.Product, self._models.columns.product_key)


def _anew(query: Select[Any]) -> Select[Any]:
    """Have objects that are in the session already populated anew, since they are stale.

    The shop's eager joins can't be locked; they are left out.
    """
    return query.options(lazyload("*")).execution_options(populate_existing=True)


def _locking_products(query: Select[Any], models: Models) -> Select[Any]:
    # FOR NO KEY UPDATE: adding a product to a cart, which references its key, need not wait.
    return query.with_for_update(key_share=True, of=models.Product)


def _many_to_one_loads(product: type[Any]) -> list[Any]:
    """Return loads of the objects that the shop loads eagerly, such as a variant's product."""
    return [
        selectinload(getattr(product, relation.key))
        for relation in inspect(product).relationships
        if relation.direction is RelationshipDirection.MANYTOONE and relation.lazy in EAGER
    ]
