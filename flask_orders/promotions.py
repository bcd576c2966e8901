"""The default pricing: offers and vouchers in the library's own tables.

A voucher is redeemed on the terms that it was read with, or not at all, and at most as often as its
limit allows. The arithmetic is in `offers.py`; a shop with its own prices brings another `Pricing`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from functools import cached_property, lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import (
    ColumnElement,
    Delete,
    Insert,
    Integer,
    Table,
    Update,
    bindparam,
    case,
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

from .db.bulk import Change, KeysIn, RowsUpdate, Values, has_arrays, in_values
from .db.defaults import UpdatedColumns
from .db.typing import Query
from .db.writes import Write, execute_each
from .errors import VoucherNotApplicable, VoucherReason
from .models import Models, voucher_code
from .models.contract import spelled_as, table
from .models.promotions import PromotionModels
from .offers import Offer, Voucher, price_cart
from .pricing import AppliedVoucher, Cart, OrderReference, PricedCart
from .rows import RowCompleter
from .status import RELEASED

# The fields that are read; an offer's products come from its links.
OFFER = tuple(field.name for field in fields(Offer) if field.name != "products")
VOUCHER = tuple(field.name for field in fields(Voucher))

# The fields of a voucher that are not columns of its row.
COMPUTED = ("used_by_customer",)

# The terms of a voucher, which have to be the same when it is redeemed as when it was read.
TERMS = tuple(name for name in VOUCHER if name not in ("id", "code", "times_used", *COMPUTED))


class Promotions:
    """A `Pricing` with the rows of `Offer`, `Voucher` and `VoucherRedemption`."""

    def __init__(self, session: scoped_session[Session], models: Models) -> None:
        self._session = session
        self._models = models.promotions
        self._order = models.Order

    def price(self, cart: Cart, now: datetime) -> PricedCart:
        offers, voucher = self._read(cart)
        priced, refusal = price_cart(cart.items, offers, voucher, cart.currency, now)
        if refusal is not None:
            raise VoucherNotApplicable(refusal)
        return priced

    def redeem(self, voucher: Any, order: OrderReference) -> None:
        execute_each(self._session, self.redemptions(voucher, order))

    def redemptions(self, voucher: Any, order: OrderReference) -> Sequence[Write]:
        """Return what `redeem` writes."""
        was = {f"was_{name}": getattr(voucher, name) for name in (*TERMS, "limit")}
        redeemed = self._queries.redeem(was | {"was_id": voucher.id})
        if voucher.usage != "once_per_customer":
            return [redeemed]
        return [redeemed, self._queries.record(voucher.id, order.customer_id)]

    def release(self, voucher: AppliedVoucher, order: OrderReference) -> None:
        self.release_all([(voucher, order)])

    def release_all(self, released: Iterable[tuple[AppliedVoucher, OrderReference]]) -> None:
        """Release the vouchers of orders whose status says so already, as `release` does each."""
        # A voucher without a key has been deleted since.
        used = {order.id: (voucher.id, order.customer_id) for voucher, order in released}
        used = {key: pair for key, pair in used.items() if pair[0] is not None}
        counts = Counter(voucher_id for voucher_id, _ in used.values())
        queries = self._queries
        if len(counts) > 1:
            # By key, so that two that release several vouchers do not deadlock.
            keys = {"released": list(counts)}
            counts = Counter(
                {key: counts[key] for key in self._session.scalars(queries.locking, keys)}
            )
        if counts:
            counted_down = queries.counting_down.of({key: (n,) for key, n in counts.items()})
            self._session.execute(counted_down.statement, counted_down.parameters)
            self._session.execute(
                queries.forgetting, queries.released.parameters(list(set(used.values())))
            )

    def _read(self, cart: Cart) -> tuple[list[Offer], Voucher | None]:
        """Read the offers and the voucher in one statement, so that they are of one moment."""
        products = [item.product_id for item in cart.items]
        wanted = {"customer": cart.customer_id, "products": products}
        if cart.voucher is None:
            return _offers(self._session.execute(self._queries.offers, wanted)), None
        if isinstance(cart.voucher, str):
            query, reference = self._queries.by_code, voucher_code(cart.voucher)
        else:
            query, reference = self._queries.by_key, cart.voucher
        rows = self._session.execute(query, {**wanted, "voucher": reference}).all()
        if not rows:
            raise VoucherNotApplicable(VoucherReason.NOT_FOUND)
        found = Voucher(*rows[0][: len(VOUCHER)])
        joined = [row[len(VOUCHER) :] for row in rows]
        return _offers(row for row in joined if row[0] is not None), found

    @cached_property
    def _queries(self) -> "_Queries":
        arrays = has_arrays(self._session, self._order)
        return _Queries(self._models, table(self._order), arrays=arrays)


class _Queries:
    """The statements, built once: building a statement may take longer than executing it.

    Attributes:
        offers: the offers for `products` and a `customer`: the fields of an `Offer`, the last of
            them the key of one product, or NULL for an offer on all products.
        by_key, by_code: the fields of the `Voucher` with that key or code, `voucher`, each time
            joined with a row of `offers`.
        redeeming: the guarded UPDATE of a voucher's count; its parameters are the voucher's key,
            `was_id`, its terms, `was_discount_type`, ..., and its limit, `was_limit`.
        locking: the keys of the vouchers `released`, locked.
        counting_down: the UPDATE of the counts of vouchers, each by its own number.
        forgetting: the DELETE of the redemptions `released`, by voucher and customer.
    """

    def __init__(self, models: PromotionModels, orders: Table, *, arrays: bool) -> None:
        self._models = models
        self._arrays = arrays
        self._has_ordered = exists().where(orders.c.customer_id == bindparam("customer"))
        vouchers = table(models.Voucher).c
        self.offers = self._offers()
        self.by_key = self._with_voucher(vouchers.id == bindparam("voucher"))
        self.by_code = self._with_voucher(vouchers.code == bindparam("voucher"))
        # The base class of the shop's models may have columns of its own.
        self._updated = UpdatedColumns(table(models.Voucher), without=[vouchers.times_used])
        self._redemption_rows = RowCompleter(table(models.VoucherRedemption))
        self.redeeming = self._redeeming()
        in_released = in_values(vouchers.id, "released", arrays=arrays)
        self.locking = select(vouchers.id).where(in_released).order_by(vouchers.id)
        self.locking = self.locking.with_for_update()
        self.counting_down = RowsUpdate(
            vouchers.id, {"orders": Integer()}, self._count_down, arrays=arrays
        )
        used = table(models.VoucherRedemption).c
        self.released = KeysIn([used.voucher_id, used.customer_id], "released", arrays=arrays)
        self.forgetting = self._forget(orders)
        self._recording = lru_cache(self._insert)

    def redeem(self, was: Mapping[str, Any]) -> Write:
        """Return the guarded UPDATE of a voucher's count, with the parameters of `redeeming`."""
        parameters = {**was, **self._updated.parameters()}
        return Write(self.redeeming, parameters, is_complete=self._updated.is_complete)

    def record(self, voucher_id: Any, customer_id: Any) -> Write:
        """Return the INSERT of a customer's redemption of a voucher."""
        whose = {"voucher_id": voucher_id, "customer_id": customer_id}
        row = self._redemption_rows.complete(whose)
        return Write(
            self._recording(tuple(row)),
            {f"redeemed_{name}": value for name, value in row.items()},
            is_complete=self._redemption_rows.is_complete(row),
        )

    def _insert(self, names: tuple[str, ...]) -> Insert:
        redemptions = table(self._models.VoucherRedemption)
        return insert(redemptions).values(
            {name: bindparam(f"redeemed_{name}", type_=redemptions.c[name].type) for name in names}
        )

    def _offers(self) -> Query:
        offers, links = table(self._models.Offer).c, self._models.offer_products
        is_wanted = (offers.active, or_(~offers.first_order_only, ~self._has_ordered))
        is_linked = links.c.offer_id == offers.id
        is_of_these = in_values(links.c.product_id, "products", arrays=self._arrays)
        columns = [offers[name] for name in OFFER]
        # Each SELECT uses an index; with an OR instead, both tables would be read in full.
        (foreign_key,) = links.c.product_id.foreign_keys
        product = spelled_as(foreign_key.column, links.c.product_id)
        of_products = select(*columns, product).where(is_linked, is_of_these, *is_wanted)
        of_all = select(*columns, null()).where(~exists().where(is_linked), *is_wanted)
        both = union_all(of_products, of_all).subquery()
        return select(both).order_by(both.c.id)

    def _with_voucher(self, is_it: ColumnElement[bool]) -> Query:
        vouchers, redemptions = (
            table(self._models.Voucher).c,
            table(self._models.VoucherRedemption).c,
        )
        is_used = exists().where(
            redemptions.voucher_id == vouchers.id, redemptions.customer_id == bindparam("customer")
        )
        computed = {"used_by_customer": is_used}
        read = [
            computed[name].label(name) if name in COMPUTED else vouchers[name] for name in VOUCHER
        ]
        voucher = select(*read).where(is_it).subquery()
        offer = self.offers.subquery()
        return select(voucher, offer).outerjoin_from(voucher, offer, true()).order_by(offer.c.id)

    def _count_down(self, new: Values) -> Change:
        used, orders = table(self._models.Voucher).c.times_used, new["orders"]
        # The shop may have corrected its count.
        return {used: case((used > orders, used - orders), else_=0)}, []

    def _forget(self, orders: Table) -> Delete:
        redemptions = table(self._models.VoucherRedemption)
        # The voucher may have become once per customer after these orders: then another order of
        # the customer's may hold the redemption.
        still_used = exists().where(
            orders.c.voucher_id == redemptions.c.voucher_id,
            orders.c.customer_id == redemptions.c.customer_id,
            orders.c.status.not_in(RELEASED),
        )
        return delete(redemptions).where(self.released.condition, ~still_used)

    def _redeeming(self) -> Update:
        rows = table(self._models.Voucher)
        limit = bindparam("was_limit", type_=Integer)
        guards = [rows.c[name].is_not_distinct_from(bindparam(f"was_{name}")) for name in TERMS]
        return (
            update(rows)
            .where(rows.c.id == bindparam("was_id"), *guards)
            .where(or_(limit.is_(None), rows.c.times_used < limit))
            .values({rows.c.times_used: rows.c.times_used + 1, **self._updated.assigned})
        )


def _offers(rows: Iterable[Sequence[Any]]) -> list[Offer]:
    """Return one offer for its consecutive rows; an offer without a product is for all."""
    offers = []
    for values, joined in groupby(rows, key=itemgetter(slice(-1))):
        products = frozenset(row[-1] for row in joined)
        offers.append(Offer(*[*values, None if None in products else products]))
    return offers
