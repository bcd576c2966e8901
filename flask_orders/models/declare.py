"""`declare_models`: the library's tables on the shop's `db.Model`, linked to the shop's classes.

Each `db` has one set of models, which is stored in its `db.metadata.info` and nowhere else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, NamedTuple

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Table, event, inspect
from sqlalchemy.orm import Mapper

from ..errors import ConfigurationError
from .builder import Builder, unmapped_columns
from .contract import check_base, check_mixin, check_rows, primary_key, table
from .mapping import CartItemMapping, CartMapping, MappedClass, ProductMapping
from .mixins import (
    AddressMixin,
    CartItemMixin,
    CartMixin,
    IdempotencyKeyMixin,
    OfferMixin,
    OrderEventMixin,
    OrderItemMixin,
    OrderMixin,
    OrderPaymentMixin,
    OrderRefundMixin,
    OutboxEventMixin,
    ProductMixin,
    VoucherMixin,
    VoucherRedemptionMixin,
)
from .own_columns import OwnColumns
from .parts import are_same
from .promotions import OFFER_PRODUCTS, PromotionModels, declare_promotions
from .resolving import check_shop, resolve
from .shop import Shop
from .tables import (
    complete_address,
    complete_order,
    complete_order_item,
    declare_cart,
    declare_cart_item,
    declare_idempotency_key,
    declare_payment,
    declare_product,
    declare_refund,
    with_order,
)

# Keys of `db.metadata.info`: the models with their arguments, and why they can't be declared.
INFO_KEY = "flask_orders"
FAILURE_KEY = "flask_orders_failure"


class Arguments(NamedTuple):
    """The arguments of one call of `declare_models`."""

    customer: type[Any] | None
    product: MappedClass | None
    cart: MappedClass | None
    cart_item: MappedClass | None
    order: type[OrderMixin] | None
    order_item: type[OrderItemMixin] | None
    address: type[AddressMixin] | None
    table_prefix: str
    promotions: bool


@dataclass(frozen=True)
class Models:
    """The classes of one `db`: the shop's own where it passed them, else the default ones.

    `promotion_models` is None with `promotions=False`; `made` are the classes that are the
    library's alone.
    """

    Customer: type[Any] | None
    Product: type[Any]
    Cart: type[Any]
    CartItem: type[Any]
    Order: type[OrderMixin]
    OrderItem: type[OrderItemMixin]
    OrderPayment: type[OrderPaymentMixin]
    OrderRefund: type[OrderRefundMixin]
    OrderEvent: type[OrderEventMixin]
    OutboxEvent: type[OutboxEventMixin]
    Address: type[AddressMixin]
    IdempotencyKey: type[IdempotencyKeyMixin]
    promotion_models: PromotionModels | None
    resolved: Shop
    made: tuple[type[Any], ...]

    @cached_property
    def shop(self) -> Shop:
        """The parts of the shop's own classes.

        Raises:
            ConfigurationError: a table of the library is a class of the shop's too.
        """
        for problem in self.merged_tables():
            raise ConfigurationError(problem)
        return self.resolved

    @cached_property
    def own_columns(self) -> OwnColumns:
        """The columns of the order that are the shop's own."""
        return OwnColumns(self.Order)

    def merged_tables(self) -> Iterator[str]:
        """Yield each table that the shop's code has merged with one of the library, with a fix."""
        for cls in self.made:
            names = unmapped_columns(cls)
            if names:
                yield (
                    f"your code declares a table '{table(cls).fullname}' with {', '.join(names)}, "
                    "and so does the library; extend_existing makes them one, silently: call "
                    "declare_models(db, ..., table_prefix='fo_')"
                )

    @property
    def Offer(self) -> type[OfferMixin]:  # noqa: N802 - a class
        """The class of offers."""
        return self.promotions.Offer

    @property
    def Voucher(self) -> type[VoucherMixin]:  # noqa: N802 - a class
        """The class of vouchers."""
        return self.promotions.Voucher

    @property
    def VoucherRedemption(self) -> type[VoucherRedemptionMixin]:  # noqa: N802 - a class
        """The class of the vouchers that were redeemed."""
        return self.promotions.VoucherRedemption

    @property
    def offer_products(self) -> Table:
        """The table of the products of offers."""
        return self.promotions.offer_products

    @property
    def promotions(self) -> PromotionModels:
        """The classes of offers and vouchers.

        Raises:
            ConfigurationError: the shop has none, by `promotions=False`.
        """
        if self.promotion_models is None:
            raise ConfigurationError(
                "This shop has no offers and vouchers of the library: leave promotions=False out "
                "of declare_models(...) to have them, and run `flask db migrate`."
            )
        return self.promotion_models


def declare_models(
    db: SQLAlchemy,
    *,
    customer: type[Any] | None = None,
    product: type[Any] | ProductMapping | None = None,
    cart: type[Any] | CartMapping | None = None,
    cart_item: type[Any] | Table | CartItemMapping | None = None,
    order: type[OrderMixin] | None = None,
    order_item: type[OrderItemMixin] | None = None,
    address: type[AddressMixin] | None = None,
    table_prefix: str = "",
    promotions: bool = True,
) -> Models:
    """Declare every class that is not passed on `db.Model`, and link all of them.

    It may be called before, between or after the shop's own classes, and configures none of them.

    Args:
        db: the shop's Flask-SQLAlchemy extension.
        customer: the shop's customer class. Without one, a customer is the JWT's subject, as text.
        product: the shop's own class, or what `mapping.product` returns where attributes have other
            names than the parts.
        cart: the shop's own class, or what `mapping.cart` returns.
        cart_item: the shop's own class or table, or what `mapping.cart_item` returns.
        order: the shop's subclass of `OrderMixin`, on its `db.Model`.
        order_item: the shop's subclass of `OrderItemMixin`.
        address: the shop's subclass of `AddressMixin`.
        table_prefix: a prefix for the names of the tables that are declared here.
        promotions: False leaves offers and vouchers out, their tables and every column that refers
            to them, for a shop with prices and vouchers of its own or with neither.

    Returns:
        The models; the same for the same arguments, however often it is called.

    Raises:
        ConfigurationError: a class can't be used, or this `db` already has models that were
            declared with other arguments. The message names the fix.
    """
    arguments = Arguments(
        customer,
        _mapped("product", ProductMapping, product),
        _mapped("cart", CartMapping, cart),
        _mapped("cart_item", CartItemMapping, cart_item),
        *(order, order_item, address),
        table_prefix,
        promotions,
    )
    known = db.metadata.info.get(INFO_KEY)
    if known is None:
        known = db.metadata.info[INFO_KEY] = (arguments, _declare_on(db, arguments))
    elif not are_same(known[0], arguments):
        raise ConfigurationError(
            "declare_models(...) was called with other arguments before, or "
            "register_blueprint(orders_bp) came first and declared the default classes: call it "
            "once, in the module of your models, before register_blueprint(orders_bp)."
        )
    declared: Models = known[1]
    return declared


def declared_models(db: SQLAlchemy) -> Models:
    """Return the models of this `db`; declare the default ones if the shop has declared none."""
    known = db.metadata.info.get(INFO_KEY)
    return declare_models(db) if known is None else known[1]


def _declare_on(db: SQLAlchemy, arguments: Arguments) -> Models:
    """Declare the models of a `db`; what fails halfway fails in the same way ever after."""
    failure: ConfigurationError | None = db.metadata.info.get(FAILURE_KEY)
    if failure is not None:
        raise failure
    _check(db, arguments)
    builder = Builder(db, arguments.table_prefix, arguments.customer)
    builder.refuse_taken(_table_names(arguments))
    try:
        models = _declare(builder, arguments)
    except ConfigurationError as error:
        db.metadata.info[FAILURE_KEY] = error
        raise
    return models


def _check(db: SQLAlchemy, arguments: Arguments) -> None:
    """Refuse classes that can't be used, before anything is declared."""
    check_base(db)
    mapped = _given(arguments)
    _refuse_same_classes(arguments)
    for name, each in mapped.items():
        check_rows(db, name, each.given)
    if arguments.customer is not None:
        check_rows(db, "customer", arguments.customer)
        primary_key(arguments.customer)
    for name, mixin in (
        ("order", OrderMixin),
        ("order_item", OrderItemMixin),
        ("address", AddressMixin),
    ):
        cls = getattr(arguments, name)
        if cls is not None:
            check_mixin(db, name, cls, mixin)
            _refuse_configuring(name, cls)
    if arguments.cart_item is not None and (arguments.cart is None or arguments.product is None):
        raise ConfigurationError(
            "declare_models(cart_item=...) needs product=... and cart=... too: "
            "your cart items refer to them."
        )
    check_shop(arguments.customer, mapped, arguments.order_item)


def _mapped(name: str, kind: type[MappedClass], given: Any) -> MappedClass | None:
    """Return a mapping; a class whose attributes have the parts' names is given as it is."""
    if given is None or isinstance(given, kind):
        return given
    if isinstance(given, MappedClass):
        raise ConfigurationError(
            f"declare_models({name}=...) was given what another function of `mapping` returns: "
            f"write {name}=mapping.{name}(...)."
        )
    return kind(given, {})


def _refuse_same_classes(arguments: Arguments) -> None:
    """Refuse a class that plays two parts; only the customers may be the carts."""
    given = {name: each.given for name, each in _given(arguments).items()}
    if arguments.cart is None or arguments.cart.given is not arguments.customer:
        given["customer"] = arguments.customer
    for (name, cls), (other_name, other) in combinations(given.items(), 2):
        if cls is other:
            raise ConfigurationError(
                f"declare_models({name}=..., {other_name}=...) was given one class for both: pass "
                f"the class of the {name} and that of the {other_name}."
            )


def _given(arguments: Arguments) -> dict[str, MappedClass]:
    names = ("product", "cart", "cart_item")
    return {name: found for name in names if (found := getattr(arguments, name)) is not None}


def _refuse_configuring(name: str, cls: type[Any]) -> None:
    """Refuse a class to which no column can be added without configuring unfinished classes."""
    unfinished = [one.class_.__name__ for one in cls.registry.mappers if not one.configured]
    if inspect(cls).configured and unfinished:
        raise ConfigurationError(
            f"declare_models({name}={cls.__name__}): {cls.__name__} is in use already, and adding "
            f"columns to it now would configure {', '.join(sorted(unfinished))}, whose "
            f"relationships may name classes of later modules: call it right after the class "
            f"{cls.__name__}."
        )


# For every class of the process: a listener of one base class would keep its `db` alive for ever.
@event.listens_for(Mapper, "instrument_class")
def _refuse_merging(mapper: Mapper[Any], cls: type[Any]) -> None:
    """Refuse a class of the shop's whose table extend_existing merged with the library's."""
    rows = mapper.local_table
    known = rows.metadata.info.get(INFO_KEY) if isinstance(rows, Table) else None
    if known is not None and not issubclass(cls, known[1].made):
        for problem in known[1].merged_tables():
            raise ConfigurationError(problem)


def _table_names(arguments: Arguments) -> Iterator[str]:
    """Yield the names of the tables that will be declared, without the prefix."""
    defaults: dict[str, type[Any]] = {
        "product": ProductMixin,
        "cart": CartMixin,
        "cart_item": CartItemMixin,
        "order": OrderMixin,
        "order_item": OrderItemMixin,
        "address": AddressMixin,
    }
    mixins = [mixin for name, mixin in defaults.items() if getattr(arguments, name) is None]
    mixins += [OrderPaymentMixin, OrderRefundMixin, OrderEventMixin]
    mixins += [OutboxEventMixin, IdempotencyKeyMixin]
    if arguments.promotions:
        mixins += [VoucherMixin, VoucherRedemptionMixin, OfferMixin]
        yield OFFER_PRODUCTS
    yield from (mixin.__tablename__ for mixin in mixins)


def _declare(builder: Builder, arguments: Arguments) -> Models:
    product = arguments.product.given if arguments.product else declare_product(builder)
    cart = arguments.cart.given if arguments.cart else declare_cart(builder)
    order = arguments.order or builder.make("Order", OrderMixin)
    order_item = arguments.order_item or builder.make("OrderItem", OrderItemMixin)
    address = arguments.address or builder.make("Address", AddressMixin)
    complete_address(builder, address)
    complete_order(builder, order, address)
    complete_order_item(order_item, order, product)
    if arguments.cart_item:
        item = arguments.cart_item.given
    else:
        item = declare_cart_item(builder, cart, product)
    promotions = None
    if arguments.promotions:
        promotions = declare_promotions(builder, product, cart, order, order_item)
    mapped = {
        "product": arguments.product or ProductMapping(product, {}),
        "cart": arguments.cart or _default_cart(cart),
        "cart_item": arguments.cart_item or CartItemMapping(item, {}),
    }
    payment = declare_payment(builder, order)
    return Models(
        Customer=arguments.customer,
        Product=product,
        Cart=cart,
        CartItem=item,
        Order=order,
        OrderItem=order_item,
        OrderPayment=payment,
        OrderRefund=declare_refund(builder, order, payment),
        OrderEvent=with_order(builder.make("OrderEvent", OrderEventMixin), order),
        OutboxEvent=with_order(builder.make("OutboxEvent", OutboxEventMixin), order),
        Address=address,
        IdempotencyKey=declare_idempotency_key(builder),
        promotion_models=promotions,
        resolved=resolve(arguments.customer, mapped, order_item),
        made=tuple(builder.made),
    )


def _default_cart(cart: type[Any]) -> CartMapping:
    """Return the mapping of a default cart, whose voucher may have been left out."""
    voucher = getattr(cart, "voucher_id", None)
    return CartMapping(cart, {"customer": cart.customer_id, "voucher": voucher})
