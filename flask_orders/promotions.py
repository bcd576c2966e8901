"""The default pricing: offers and vouchers in tables of ours.

Called by the service, inside the conversion's transaction; the arithmetic is in `pricing.py`. A
host with prices of its own brings another `Pricing` instead.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    exists,
    insert,
    null,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.orm import scoped_session

from .db.bulk import has_arrays, in_values
from .errors import Conflict, VoucherNotApplicable, VoucherReason
from .models import Models, voucher_code
from .models.contract import are_equal_in_python, row_count, table
from .models.promotions import PromotionModels
from .pricing import (
    TERMS,
    AppliedVoucher,
    CartItem,
    Currency,
    Offer,
    OrderReference,
    PricedCart,
    Voucher,
    price_cart,
)
from .status import CANCELLED

# The columns that are read of each: its fields, but for the one that is no column.
OFFER = tuple(field.name for field in fields(Offer) if field.name != "products")
VOUCHER = tuple(field.name for field in fields(Voucher) if field.name != "used_by_customer")


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
        self, items: Sequence[CartItem], customer_id: Any, voucher: Any, now: datetime
    ) -> PricedCart:
        offers, terms = self._read(items, customer_id, voucher)
        cart, refusal = price_cart(items, offers, terms, self._currency(), now)
        if refusal is not None:
            raise VoucherNotApplicable(refusal)
        return cart

    def redeem(self, voucher: Any, order: OrderReference) -> None:
        was = {f"was_{name}": getattr(voucher, name) for name in (*TERMS, "limit")}
        changed = self._session.execute(self._queries.using, {**was, "was_id": voucher.id})
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
        self, items: Sequence[CartItem], customer_id: Any, voucher: Any
    ) -> tuple[list[Offer], Voucher | None]:
        """The offers and the voucher as they are at one moment, by one statement."""
        cart = {"customer": customer_id, "products": [item.product_id for item in items]}
        if voucher is None:
            return _offers(self._session.execute(self._queries.offers, cart)), None
        if isinstance(voucher, str):
            query, reference = self._queries.by_code, voucher_code(voucher)
        else:
            query, reference = self._queries.by_key, voucher
        rows = self._session.execute(query, {**cart, "voucher": reference}).all()
        if not rows:
            raise VoucherNotApplicable(VoucherReason.NOT_FOUND)
        names = (*VOUCHER, "used_by_customer")
        found = Voucher(**dict(zip(names, rows[0][: len(names)], strict=True)))
        joined = [row[len(names) :] for row in rows]
        return _offers(row for row in joined if row[0] is not None), found

    @cached_property
    def _queries(self) -> "_Queries":
        arrays = has_arrays(self._session, self._order)
        return _Queries(self._models, table(self._order), arrays=arrays)


class _Queries:
    """What is read and changed, made once: to make a statement may take longer than to send it.

    What is read has the parameters `customer`, `products` and, but for `offers`, `voucher`: its
    key, or, if the host's carts hold that, its code. A row of `offers` has an `Offer`'s fields,
    the last of them one product or none; in the others the voucher's, `VOUCHER`, come before.
    """

    def __init__(self, models: PromotionModels, orders: Table, *, arrays: bool) -> None:
        self._models = models
        self._arrays = arrays
        self._has_ordered = exists().where(orders.c.customer_id == bindparam("customer"))
        vouchers = table(models.Voucher).c
        self.offers = self._offers()
        self.by_key = self._with_voucher(vouchers.id == bindparam("voucher"))
        self.by_code = self._with_voucher(vouchers.code == bindparam("voucher"))
        self.using = self._use()

    def _offers(self) -> Select[Any]:
        offers, links = table(self._models.Offer).c, self._models.offer_products
        is_wanted = (offers.active, or_(~offers.first_order_only, ~self._has_ordered))
        is_linked = links.c.offer_id == offers.id
        is_of_these = in_values(links.c.product_id, "products", arrays=self._arrays)
        columns = [offers[name] for name in OFFER]
        # Each by an index of its own; joined by an OR, both tables would be read from end to end.
        product = self._linked_product(links.c.product_id)
        of_products = select(*columns, product).where(is_linked, is_of_these, *is_wanted)
        of_all = select(*columns, null()).where(~exists().where(is_linked), *is_wanted)
        both = union_all(of_products, of_all).subquery()
        return select(both).order_by(both.c.id)

    def _linked_product(self, link: Column[Any]) -> Any:
        """The key of the product that an offer is for, as the product itself spells it."""
        (foreign_key,) = link.foreign_keys
        key = foreign_key.column
        if are_equal_in_python(link, key):
            return link
        return select(key).where(key == link).scalar_subquery()

    def _with_voucher(self, is_it: ColumnElement[bool]) -> Select[Any]:
        vouchers, redemptions = (
            table(self._models.Voucher).c,
            table(self._models.VoucherRedemption).c,
        )
        is_used = exists().where(
            redemptions.voucher_id == vouchers.id, redemptions.customer_id == bindparam("customer")
        )
        columns = [vouchers[name] for name in VOUCHER]
        voucher = select(*columns, is_used.label("used_by_customer")).where(is_it).subquery()
        offer = self.offers.subquery()
        return select(voucher, offer).outerjoin_from(voucher, offer, true()).order_by(offer.c.id)

    def _use(self) -> Update:
        """The guarded UPDATE of a voucher's count; its parameters are `was_id`, `was_limit`, ..."""
        rows = table(self._models.Voucher)
        limit = bindparam("was_limit", type_=Integer)
        guards = [rows.c[name].is_not_distinct_from(bindparam(f"was_{name}")) for name in TERMS]
        return (
            update(rows)
            .where(rows.c.id == bindparam("was_id"), *guards)
            .where(or_(limit.is_(None), rows.c.times_used < limit))
            .values(times_used=rows.c.times_used + 1)
        )


def _offers(rows: Iterable[Sequence[Any]]) -> list[Offer]:
    """One offer for the rows that join it to its products; joined to none it is for all."""
    offers = []
    for columns, joined in groupby(rows, key=itemgetter(slice(-1))):
        products = frozenset(row[-1] for row in joined)
        values = dict(zip(OFFER, columns, strict=True))
        offers.append(Offer(**values, products=None if None in products else products))
    return offers
