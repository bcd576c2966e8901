"""The default pricing: offers and vouchers in tables of ours.

Called by the service, inside the conversion's transaction; the arithmetic is in `pricing.py`. A
host with prices of its own brings another `Pricing` instead.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import Select, delete, exists, insert, or_, select, true, update
from sqlalchemy.orm import scoped_session

from .errors import Conflict, VoucherNotApplicable
from .models import Models, row_count, table, voucher_code
from .pricing import (
    AppliedVoucher,
    CartLine,
    Currency,
    Offer,
    OrderReference,
    PricedCart,
    Voucher,
    price_cart,
)
from .status import CANCELLED

# What a voucher's discount and refusals rest on: the same at its use as when it was read.
TERMS = (
    "discount_type",
    "discount_value",
    "usage",
    "usage_limit",
    "minimum_order_value",
    "valid_from",
    "valid_to",
    "active",
)


class Promotions:
    """A `Pricing` by the rows of `Offer`, `Voucher` and `VoucherRedemption`."""

    def __init__(
        self,
        session: scoped_session[Session],
        models: Models,
        currency: Callable[[], Currency],
    ) -> None:
        self._session = session
        self._models = models.promotions
        self._order = models.Order
        self._currency = currency

    def price(
        self, items: Sequence[CartLine], customer_id: Any, voucher: Any, now: datetime
    ) -> PricedCart:
        offers, terms = self._read(items, customer_id, voucher)
        cart, refusal = price_cart(items, offers, terms, self._currency(), now)
        if refusal is not None:
            raise VoucherNotApplicable(refusal)
        return cart

    def redeem(self, voucher: Any, order: OrderReference) -> None:
        rows = table(self._models.Voucher)
        guards = [rows.c[name].is_not_distinct_from(getattr(voucher, name)) for name in TERMS]
        if voucher.limit is not None:
            guards.append(rows.c.times_used < voucher.limit)
        used = rows.c.times_used + 1
        changed = self._session.execute(
            update(rows).where(rows.c.id == voucher.id, *guards).values(times_used=used)
        )
        if row_count(changed) != 1:
            raise Conflict
        if voucher.usage == "once_per_customer":
            self._session.execute(
                insert(table(self._models.VoucherRedemption)).values(
                    voucher_id=voucher.id, customer_id=order.customer_id
                )
            )

    def release(self, voucher: AppliedVoucher, order: OrderReference) -> None:
        if voucher.id is None:
            return  # It has been deleted since.
        vouchers, redemptions = table(self._models.Voucher), table(self._models.VoucherRedemption)
        orders = table(self._order)
        self._session.execute(
            update(vouchers)
            .where(vouchers.c.id == voucher.id, vouchers.c.times_used > 0)
            .values(times_used=vouchers.c.times_used - 1)
        )
        # It may have become once per customer after this order: another may hold the redemption.
        still_used = exists().where(
            orders.c.voucher_id == voucher.id,
            orders.c.customer_id == order.customer_id,
            orders.c.id != order.id,
            orders.c.status != CANCELLED,
        )
        self._session.execute(
            delete(redemptions).where(
                redemptions.c.voucher_id == voucher.id,
                redemptions.c.customer_id == order.customer_id,
                ~still_used,
            )
        )

    def _read(
        self, items: Sequence[CartLine], customer_id: Any, voucher: Any
    ) -> tuple[list[Offer], Voucher | None]:
        """The offers and the voucher as they are at one moment, by one statement."""
        offers = self._offers_for([item.product_id for item in items], customer_id)
        if voucher is None:
            return _offers(self._session.execute(offers)), None
        terms, offer = self._voucher(voucher, customer_id).subquery(), offers.subquery()
        query = select(terms, offer).outerjoin_from(terms, offer, true()).order_by(offer.c.id)
        rows = self._session.execute(query).all()
        if not rows:
            raise VoucherNotApplicable("not_found")
        found = Voucher(**dict(zip(terms.c.keys(), rows[0], strict=False)))
        joined = [row[len(terms.c) :] for row in rows]
        return _offers(row for row in joined if row[0] is not None), found

    def _voucher(self, reference: Any, customer_id: Any) -> Select[Any]:
        """By its key, or, if the host's carts hold that, by its code."""
        model, redemption = self._models.Voucher, self._models.VoucherRedemption
        used_by_customer = exists().where(
            redemption.voucher_id == model.id, redemption.customer_id == customer_id
        )
        by_code = isinstance(reference, str)
        is_it = model.code == voucher_code(reference) if by_code else model.id == reference
        return select(
            model.id,
            model.code,
            model.times_used,
            used_by_customer.label("used_by_customer"),
            *(getattr(model, name) for name in TERMS),
        ).where(is_it)

    def _offers_for(self, product_ids: Sequence[Any], customer_id: Any) -> Select[Any]:
        """Rows of an `Offer`'s fields, the last of them one product or none."""
        model, links = self._models.Offer, self._models.offer_products
        has_ordered = exists().where(self._order.customer_id == customer_id)
        return (
            select(
                model.id,
                model.title,
                model.discount_type,
                model.discount_value,
                model.valid_from,
                model.valid_to,
                links.c.product_id,
            )
            .outerjoin(links, links.c.offer_id == model.id)
            .where(
                model.active,
                or_(~model.first_order_only, ~has_ordered),
                or_(links.c.product_id.is_(None), links.c.product_id.in_(product_ids)),
            )
            .order_by(model.id)
        )


def _offers(rows: Iterable[Sequence[Any]]) -> list[Offer]:
    """One offer for the rows that join it to its products; joined to none it is for all."""
    offers = []
    for fields, joined in groupby(rows, key=itemgetter(slice(-1))):
        products = frozenset(row[-1] for row in joined)
        offers.append(Offer(*(*fields, None if None in products else products)))
    return offers
