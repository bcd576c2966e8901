"""The tables: each class's references, constraints and relationships.

A column whose type depends on the shop is added to a default class and to the shop's subclass of a
mixin alike.
"""

from typing import Any

from sqlalchemy import Index, UniqueConstraint, event
from sqlalchemy.orm import relationship

from .builder import (
    Builder,
    add,
    check,
    constrain,
    index,
    not_negative,
    reference,
    relate,
    relate_items,
)
from .contract import primary_key, table
from .mixins import (
    AddressMixin,
    CartItemMixin,
    CartMixin,
    IdempotencyKeyMixin,
    OrderItemMixin,
    OrderMixin,
    OrderPaymentMixin,
    OrderRefundMixin,
    ProductMixin,
)


def declare_product(builder: Builder) -> type[Any]:
    product = builder.make("Product", ProductMixin)
    constrain(product, not_negative(product, "stock"))
    return product


def declare_cart(builder: Builder) -> type[Any]:
    cart = builder.make("Cart", CartMixin)
    add(cart, builder.customer_column(ondelete="CASCADE", nullable=False, unique=True))
    return cart


def declare_cart_item(builder: Builder, cart: type[Any], product: type[Any]) -> type[Any]:
    item = builder.make("CartItem", CartItemMixin)
    add(
        item,
        reference("cart_id", cart, ondelete="CASCADE", nullable=False),
        # An item whose product is deleted stays, so that the conversion refuses it by name.
        reference("product_id", product, ondelete="SET NULL"),
    )
    index(item, "product_id")
    relate(item, "product", relationship(product))
    if issubclass(cart, CartMixin):
        relate_items(cart, item, "cart", primary_key(item))
    else:
        # The shop's own class gets no attribute.
        relate(item, "cart", relationship(cart))
    columns = table(item).c
    constrain(
        item,
        UniqueConstraint(columns.cart_id, columns.product_id),
        check(item, "quantity > 0", "quantity_positive"),
    )
    return item


def complete_address(builder: Builder, address: type[AddressMixin]) -> None:
    add(address, builder.customer_column(ondelete="CASCADE", nullable=False))
    columns = table(address).c
    constrain(address, UniqueConstraint(columns.customer_id, columns.fingerprint))
    event.listen(address, "before_insert", _set_fingerprint)
    event.listen(address, "before_update", _set_fingerprint)


def _set_fingerprint(_mapper: Any, _connection: Any, address: AddressMixin) -> None:
    """Compute the fingerprint, by which an equal address is found, at every write by the ORM."""
    address.fingerprint = address.as_value().fingerprint


def declare_idempotency_key(builder: Builder) -> type[IdempotencyKeyMixin]:
    key = builder.make("IdempotencyKey", IdempotencyKeyMixin)
    add(key, builder.customer_column(ondelete="CASCADE", nullable=False))
    columns = table(key).c
    constrain(key, UniqueConstraint(columns.customer_id, columns.key))
    return key


def declare_payment(builder: Builder, order: type[OrderMixin]) -> type[OrderPaymentMixin]:
    payment = builder.make("OrderPayment", OrderPaymentMixin)
    # An order with payments is not deleted by accident: their rows must be deleted first.
    add(payment, reference("order_id", order, ondelete="RESTRICT", nullable=False))
    index(payment, "order_id")
    columns = table(payment).c
    # It finds the few payments that were not expected.
    Index(None, columns.expected, columns.id)
    constrain(
        payment,
        UniqueConstraint(columns.reference),
        not_negative(payment),
    )
    return payment


def declare_refund(
    builder: Builder, order: type[OrderMixin], payment: type[OrderPaymentMixin]
) -> type[OrderRefundMixin]:
    refund = builder.make("OrderRefund", OrderRefundMixin)
    for name, target in (("order_id", order), ("payment_id", payment)):
        add(refund, reference(name, target, ondelete="RESTRICT", nullable=False))
        index(refund, name)
    constrain(
        refund,
        UniqueConstraint(table(refund).c.reference),
        not_negative(refund),
    )
    return refund


def with_order(cls: type[Any], order: type[OrderMixin]) -> type[Any]:
    """Return the class with a reference to its order, which deletes its rows."""
    add(cls, reference("order_id", order, ondelete="CASCADE", nullable=False))
    index(cls, "order_id")
    return cls


def complete_order(builder: Builder, order: type[OrderMixin], address: type[AddressMixin]) -> None:
    add(
        order,
        builder.customer_column(ondelete="SET NULL"),
        reference("billing_address_id", address, ondelete="SET NULL"),
    )
    index(order, "billing_address_id")
    columns = table(order).c
    # It finds the orders that were not paid in time.
    Index(None, columns.status, columns.created)
    constrain(
        order,
        UniqueConstraint(columns.number),
        UniqueConstraint(columns.customer_id, columns.sequence),
        not_negative(order),
        check(order, "items_count > 0", "items_count_positive"),
        check(order, "discount_amount <= subtotal", "discount_within_subtotal"),
    )


def complete_order_item(
    item: type[OrderItemMixin], order: type[OrderMixin], product: type[Any]
) -> None:
    add(
        item,
        reference("order_id", order, ondelete="CASCADE", nullable=False),
        reference("product_id", product, ondelete="SET NULL"),
    )
    index(item, "product_id")
    columns = table(item).c
    relate_items(order, item, "order", columns.position)
    constrain(
        item,
        UniqueConstraint(columns.order_id, columns.position),
        not_negative(item),
        check(item, "quantity > 0", "quantity_positive"),
    )
