"""Offers and vouchers, which `promotions=False` leaves out, with all columns that refer to them."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Index, Table, UniqueConstraint
from sqlalchemy.orm import relationship

from .builder import Builder, add, check, constrain, index, not_negative, reference, relate
from .contract import table
from .mixins import CartMixin, OfferMixin, VoucherMixin, VoucherRedemptionMixin
from .types import BigKey

OFFER_PRODUCTS = "offer_products"


@dataclass(frozen=True)
class PromotionModels:
    """The classes of offers and vouchers."""

    Offer: type[OfferMixin]
    Voucher: type[VoucherMixin]
    VoucherRedemption: type[VoucherRedemptionMixin]
    offer_products: Table


def declare_promotions(
    builder: Builder, product: type[Any], cart: type[Any], order: type[Any], order_item: type[Any]
) -> PromotionModels:
    """Declare the classes, and the references of orders, order items and default carts to them."""
    voucher = builder.make("Voucher", VoucherMixin)
    constrain(
        voucher,
        not_negative(voucher, "times_used"),
        check(voucher, "times_used <= usage_limit", "times_used_within_limit"),
    )
    redemption = builder.make("VoucherRedemption", VoucherRedemptionMixin)
    _declare_redemption(builder, redemption, voucher)
    offer = builder.make("Offer", OfferMixin)
    links = _declare_offer(builder, offer, product)
    add(order, reference("voucher_id", voucher, ondelete="SET NULL"))
    index(order, "voucher_id")
    add(order_item, reference("offer_id", offer, ondelete="SET NULL"))
    index(order_item, "offer_id")
    if issubclass(cart, CartMixin):
        add(cart, reference("voucher_id", voucher, ondelete="SET NULL"))
        index(cart, "voucher_id")
        relate(cart, "voucher", relationship(voucher))
    return PromotionModels(offer, voucher, redemption, links)


def _declare_redemption(builder: Builder, redemption: type[Any], voucher: type[Any]) -> None:
    add(
        redemption,
        reference("voucher_id", voucher, ondelete="CASCADE", nullable=False),
        builder.customer_column(ondelete="CASCADE", nullable=False),
    )
    index(redemption, "voucher_id")
    columns = table(redemption).c
    # The customer first, so that it indexes the foreign key for a customer's deletion.
    constrain(redemption, UniqueConstraint(columns.customer_id, columns.voucher_id))


def _declare_offer(builder: Builder, offer: type[Any], product: type[Any]) -> Table:
    constrain(offer, not_negative(offer))
    # It finds the few active offers among all that there have ever been.
    Index(None, table(offer).c.active)
    offers = table(offer)
    links = Table(
        builder.table_name(OFFER_PRODUCTS),
        builder.db.metadata,
        Column("id", BigKey, primary_key=True),
        reference("offer_id", offer, ondelete="CASCADE", nullable=False),
        # A deleted product leaves the row, so that the offer does not apply to every product.
        reference("product_id", product, ondelete="SET NULL"),
        UniqueConstraint("offer_id", "product_id"),
        UniqueConstraint("product_id", "offer_id"),
        # What the base's __table_args__ say of the other tables.
        schema=offers.schema,
        **offers.dialect_kwargs,
    )
    relate(offer, "products", relationship(product, secondary=links, passive_deletes=True))
    return links
