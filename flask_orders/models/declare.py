"""`declare_models`: our tables on the host's `db.Model`, linked to the host's own classes.

Called by a host's models module, or else, with nothing of the host's, when the blueprint is
registered. What was declared is remembered in `db.metadata.info`, and nowhere else.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    CheckConstraint,
    Column,
    Constraint,
    ForeignKey,
    String,
    Table,
    UniqueConstraint,
    event,
    inspect,
)
from sqlalchemy.orm import RelationshipProperty, relationship

from ..errors import ConfigurationError
from .contract import HostColumns, primary_key, table
from .mixins import (
    AddressMixin,
    CartItemMixin,
    CartMixin,
    OfferMixin,
    OrderItemMixin,
    OrderMixin,
    ProductMixin,
    VoucherMixin,
    VoucherRedemptionMixin,
)

INFO_KEY = "flask_orders"


@dataclass(frozen=True)
class Models:
    """The classes of one `db`: the host's where it gave one, ours where it did not."""

    Customer: type[Any] | None
    Product: type[Any]
    Cart: type[Any]
    CartItem: type[Any]
    Order: type[OrderMixin]
    OrderItem: type[OrderItemMixin]
    Address: type[AddressMixin]
    Offer: type[OfferMixin]
    Voucher: type[VoucherMixin]
    VoucherRedemption: type[VoucherRedemptionMixin]
    offer_products: Table

    @cached_property
    def columns(self) -> HostColumns:
        """The host's columns that the conversion locks and changes."""
        return HostColumns(self.Product, self.Cart, self.CartItem)


def declare_models(
    db: SQLAlchemy,
    *,
    customer: type[Any] | None = None,
    product: type[Any] | None = None,
    cart: type[Any] | None = None,
    cart_item: type[Any] | None = None,
    order: type[OrderMixin] | None = None,
    order_item: type[OrderItemMixin] | None = None,
    address: type[AddressMixin] | None = None,
    table_prefix: str = "",
) -> Models:
    """Declare on `db.Model` every class that is not given, and link them all.

    Args:
        db: the host's Flask-SQLAlchemy extension.
        customer: the host's customer class. Without one, a customer is the JWT's subject, as text.
        product, cart, cart_item: the host's own classes; the README's section "Models" lists the
            attributes that each must have.
        order, order_item, address: the host's subclasses of our mixins, on its `db.Model`.
        table_prefix: put before the names of the tables that are declared here.

    Returns:
        The same `Models` for the same arguments, however often it is called.

    Raises:
        ConfigurationError: this `db` has our models already, made with other arguments.
    """
    given = (customer, product, cart, cart_item, order, order_item, address, table_prefix)
    known = db.metadata.info.get(INFO_KEY)
    if known is None:
        models = _Declaration(db, table_prefix, customer).declare(
            product, cart, cart_item, order, order_item, address
        )
        known = db.metadata.info[INFO_KEY] = (given, models)
    elif known[0] != given:
        raise ConfigurationError(
            "declare_models(...) was called with other classes before, or "
            "register_blueprint(orders_bp) came first and declared the default ones: call it once, "
            "in the module that holds your models, before register_blueprint(orders_bp)."
        )
    declared: Models = known[1]
    return declared


def declared_models(db: SQLAlchemy) -> Models:
    """The models that the host has declared on this `db`, or the default ones, made now."""
    known = db.metadata.info.get(INFO_KEY)
    return declare_models(db) if known is None else known[1]


class _Declaration:
    """One call of `declare_models`: each method makes or completes one class."""

    def __init__(self, db: SQLAlchemy, prefix: str, customer: type[Any] | None) -> None:
        self._db = db
        self._prefix = prefix
        self._customer = customer

    def declare(
        self,
        product: type[Any] | None,
        cart: type[Any] | None,
        cart_item: type[Any] | None,
        order: type[OrderMixin] | None,
        order_item: type[OrderItemMixin] | None,
        address: type[AddressMixin] | None,
    ) -> Models:
        product = product or self._product()
        voucher = self._voucher()
        cart = cart or self._cart(voucher)
        cart_item = cart_item or self._cart_item(cart, product)
        address = self._address(address or self._class("Address", AddressMixin, "order_addresses"))
        offer, offer_products = self._offer(product)
        order = self._order(order or self._class("Order", OrderMixin, "orders"), address, voucher)
        return Models(
            Customer=self._customer,
            Product=product,
            Cart=cart,
            CartItem=cart_item,
            Order=order,
            OrderItem=self._order_item(
                order_item or self._class("OrderItem", OrderItemMixin, "order_items"),
                order,
                product,
                offer,
            ),
            Address=address,
            Offer=offer,
            Voucher=voucher,
            VoucherRedemption=self._voucher_redemption(voucher),
            offer_products=offer_products,
        )

    def _product(self) -> type[Any]:
        product = self._class("Product", ProductMixin, "products")
        self._constrain(
            product,
            CheckConstraint("price >= 0", name="product_price_not_negative"),
            CheckConstraint("shipping >= 0", name="product_shipping_not_negative"),
            CheckConstraint("stock >= 0", name="product_stock_not_negative"),
        )
        return product

    def _cart(self, voucher: type[Any]) -> type[Any]:
        cart = self._class("Cart", CartMixin, "carts")
        self._add(cart, self._customer_column(ondelete="CASCADE", nullable=False, unique=True))
        self._add(cart, _reference("voucher_id", voucher, ondelete="SET NULL"))
        self._relate(cart, "voucher", relationship(voucher))
        return cart

    def _cart_item(self, cart: type[Any], product: type[Any]) -> type[Any]:
        item = self._class("CartItem", CartItemMixin, "cart_items")
        self._add(item, _reference("cart_id", cart, ondelete="CASCADE", nullable=False))
        # A line whose product is deleted stays, so that the conversion refuses it by name.
        self._add(item, _reference("product_id", product, ondelete="SET NULL"))
        self._relate(item, "product", relationship(product))
        self._relate_lines(cart, item, "cart", primary_key(item))
        rows = table(item)
        self._constrain(
            item,
            UniqueConstraint(rows.c.cart_id, rows.c.product_id),
            CheckConstraint("quantity > 0", name="cart_item_quantity_positive"),
        )
        return item

    def _address(self, address: type[AddressMixin]) -> type[AddressMixin]:
        self._add(address, self._customer_column(ondelete="CASCADE", nullable=False))
        rows = table(address)
        self._constrain(address, UniqueConstraint(rows.c.customer_id, rows.c.fingerprint))
        event.listen(address, "before_insert", _keep_fingerprint)
        event.listen(address, "before_update", _keep_fingerprint)
        return address

    def _offer(self, product: type[Any]) -> tuple[type[OfferMixin], Table]:
        offer = self._class("Offer", OfferMixin, "offers")
        self._constrain(
            offer, CheckConstraint("discount_value >= 0", name="offer_discount_value_not_negative")
        )
        links = Table(
            f"{self._prefix}offer_products",
            self._db.metadata,
            _reference("offer_id", offer, ondelete="CASCADE", primary_key=True, index=False),
            _reference("product_id", product, ondelete="CASCADE", primary_key=True),
        )
        self._relate(
            offer, "products", relationship(product, secondary=links, passive_deletes=True)
        )
        return offer, links

    def _voucher(self) -> type[VoucherMixin]:
        voucher = self._class("Voucher", VoucherMixin, "vouchers")
        self._constrain(
            voucher,
            CheckConstraint("discount_value >= 0", name="voucher_discount_value_not_negative"),
            CheckConstraint("times_used >= 0", name="voucher_times_used_not_negative"),
            CheckConstraint("times_used <= usage_limit", name="voucher_times_used_within_limit"),
        )
        return voucher

    def _voucher_redemption(self, voucher: type[VoucherMixin]) -> type[VoucherRedemptionMixin]:
        redemption = self._class("VoucherRedemption", VoucherRedemptionMixin, "voucher_redemptions")
        self._add(
            redemption,
            _reference("voucher_id", voucher, ondelete="CASCADE", nullable=False, index=False),
        )
        self._add(redemption, self._customer_column(ondelete="CASCADE", nullable=False, index=True))
        rows = table(redemption)
        self._constrain(redemption, UniqueConstraint(rows.c.voucher_id, rows.c.customer_id))
        return redemption

    def _order(
        self, order: type[OrderMixin], address: type[AddressMixin], voucher: type[VoucherMixin]
    ) -> type[OrderMixin]:
        self._add(order, self._customer_column(ondelete="SET NULL"))
        self._add(order, _reference("billing_address_id", address, ondelete="SET NULL"))
        self._add(order, _reference("voucher_id", voucher, ondelete="SET NULL"))
        rows = table(order)
        self._constrain(
            order,
            UniqueConstraint(rows.c.customer_id, rows.c.sequence),
            CheckConstraint("items_count > 0", name="order_items_count_positive"),
            CheckConstraint("discount_amount <= subtotal", name="order_discount_within_subtotal"),
            _amounts_not_negative(
                "order",
                ("subtotal", "savings_on_items", "discount_amount", "shipping", "total_amount"),
            ),
        )
        return order

    def _order_item(
        self,
        item: type[OrderItemMixin],
        order: type[OrderMixin],
        product: type[Any],
        offer: type[OfferMixin],
    ) -> type[OrderItemMixin]:
        self._add(item, _reference("order_id", order, ondelete="CASCADE", nullable=False))
        self._add(item, _reference("product_id", product, ondelete="SET NULL"))
        self._add(item, _reference("offer_id", offer, ondelete="SET NULL"))
        self._relate_lines(order, item, "order", table(item).c.position)
        self._constrain(
            item,
            CheckConstraint("quantity > 0", name="order_item_quantity_positive"),
            _amounts_not_negative(
                "order_item", ("unit_price", "discount_amount", "shipping", "voucher_discount")
            ),
        )
        return item

    def _class(self, name: str, mixin: type[Any], table_name: str) -> type[Any]:
        return type(
            name,
            (mixin, self._db.Model),
            {"__tablename__": self._prefix + table_name, "__module__": __package__},
        )

    def _customer_column(self, *, ondelete: str, **options: Any) -> Column[Any]:
        if self._customer is None:
            return Column("customer_id", String(255), **options)
        options.setdefault("index", False)
        return _reference("customer_id", self._customer, ondelete=ondelete, **options)

    @staticmethod
    def _add(cls: type[Any], new: Column[Any]) -> None:
        # Not by setattr: a DeclarativeBaseNoMeta would not notice.
        table(cls).append_column(new)
        inspect(cls).add_property(new.name, new)

    @staticmethod
    def _relate(cls: type[Any], name: str, new: RelationshipProperty[Any]) -> None:
        inspect(cls).add_property(name, new)

    def _relate_lines(
        self, owner: type[Any], line: type[Any], name: str, order_by: Column[Any]
    ) -> None:
        self._relate(
            owner,
            "items",
            relationship(
                line,
                back_populates=name,
                order_by=order_by,
                cascade="all, delete-orphan",
                passive_deletes=True,
            ),
        )
        self._relate(line, name, relationship(owner, back_populates="items"))

    @staticmethod
    def _constrain(cls: type[Any], *constraints: Constraint) -> None:
        for constraint in constraints:
            table(cls).append_constraint(constraint)


def _reference(
    name: str, target: type[Any], *, ondelete: str, index: bool = True, **options: Any
) -> Column[Any]:
    """A foreign key of the type of what it points to; indexed, since deleting that looks here."""
    key = ForeignKey(primary_key(target), ondelete=ondelete)
    return Column(name, key, index=index, **options)


def _keep_fingerprint(_mapper: Any, _connection: Any, address: AddressMixin) -> None:
    """Whoever writes an address book entry through the ORM, it is found by its equal again."""
    address.fingerprint = address.as_value().fingerprint


def _amounts_not_negative(what: str, names: tuple[str, ...]) -> CheckConstraint:
    return CheckConstraint(
        " AND ".join(f"{name} >= 0" for name in names), name=f"{what}_amounts_not_negative"
    )
