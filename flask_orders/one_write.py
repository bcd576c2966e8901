"""Write a planned order by one statement of data-modifying CTEs, on PostgreSQL.

Its parts see the database as it was before the statement, and are executed in no order that is
promised. That is right for these rows only:

- the address, the redemption, the order and its items are new;
- the products, the cart and its items have been locked by this transaction;
- the voucher is not: its UPDATE waits for the transaction that changes it, and then applies its
  WHERE, the terms and the limit, to the row as that has left it.

Foreign keys are checked when the statement ends. It holds the lock of the voucher, the row that
most orders want, from there to COMMIT.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import CTE, Dialect, Table, insert, select, true
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import scoped_session

from .address_book import new_address
from .cart_vouchers import CartVouchers
from .db.dialects import dialect_of
from .db.json_rows import JsonRows
from .db.writes import PREFIX, OneStatement, Write
from .dependents import Dependents
from .models import Models
from .models.contract import table
from .models.mixins import microseconds
from .plan import OrderPlan
from .pricing import Pricing
from .product_stock import ProductStock
from .promotions import Promotions
from .rows import Row, RowCompleter

Names = tuple[str, ...]


def written_now() -> dict[str, int]:
    """Return the column of an order that says when its row was written."""
    return {"written": microseconds(datetime.now(UTC))}


@dataclass(frozen=True, slots=True)
class Insertion:
    """An INSERT, and how its rows are sent."""

    statement: Any
    sent: JsonRows

    def of(self, rows: Sequence[Row]) -> Write:
        """Return the write of rows that have a value for each column."""
        return Write(self.statement, self.sent.parameters(rows), len(rows))


class OneWrite:
    """Carries out the plans of one app, as far as one statement can."""

    def __init__(
        self,
        session: scoped_session[Session],
        models: Models,
        stock: ProductStock,
        pricing: Pricing,
        dependents: Dependents,
        cart_vouchers: CartVouchers,
    ) -> None:
        self._session = session
        self._models = models
        self._stock = stock
        self._pricing = pricing
        self._dependents = dependents
        self._cart_vouchers = cart_vouchers
        self._statement = OneStatement()
        # One for each choice of the shop's own columns that have a value, within reason.
        self._address_insert = lru_cache(50)(self._build_address_insert)
        self._order_insert = lru_cache(100)(self._build_order_insert)
        self._items_insert = lru_cache(200)(self._build_items_insert)

    def write(self, plan: OrderPlan) -> bool:
        """Write everything that a plan holds; return False, and write nothing, if it can't be done.

        It can't be done on other databases, by the shop's own code, or with values that have no
        exact form in JSON.

        Raises:
            Conflict: a row is not as it was when the plan was made.
            DBAPIError: another order of the customer has the same running number.
        """
        writes = self._writes(plan)
        if writes is None:
            return False
        self._statement.execute(self._session, writes)
        return True

    def _writes(self, plan: OrderPlan) -> list[Write] | None:
        if not dialect_of(self._dialect).has_modifying_ctes:
            return None
        parts = (
            self._new_rows(plan),
            self._stock.deductions(plan.stock),
            self._redemptions(plan),
            # A cart that came with the request has no rows.
            self._dependents.deletions(plan.cart_item_keys) if plan.cart_item_keys else (),
            self._cart_vouchers.removals(plan.voucher_removal) if plan.voucher_removal else (),
        )
        writes: list[Write] = []
        for part in parts:
            if part is None:
                return None
            writes += part
        return writes if all(write.is_complete for write in writes) else None

    def _new_rows(self, plan: OrderPlan) -> Sequence[Write] | None:
        """Return the INSERTs of the order, its items, and its address if that is new."""
        known, row = plan.address, {**plan.order, **written_now()}
        address = None
        if known.id is None:
            address = self._address(new_address(plan.reference.customer_id, known.address))
            if address is None:
                return None
        else:
            row["billing_address_id"] = known.id
        order = self._order(row, None if address is None else address.statement)
        items = None if order is None else self._items(plan.items, order.statement)
        if order is None or items is None:
            return None
        return [order, items] if address is None else [address, order, items]

    def _address(self, row: Row) -> Write | None:
        """Return the INSERT of an address, unless it is there by now; then the order has none.

        DO UPDATE would return that row, and wait for every transaction that has just ordered with
        it: their foreign keys hold KEY SHARE.
        """
        row = self._address_rows.complete(row)
        insertion = self._address_insert(tuple(sorted(row)))
        return None if insertion is None else insertion.of([row])

    def _build_address_insert(self, names: Names) -> Insertion | None:
        rows = table(self._models.Address)
        sent = self._sent(rows, names)
        if sent is None:
            return None
        new = postgresql.insert(rows).from_select(names, select(*sent.values.values()))
        equal = [rows.c.customer_id, rows.c.fingerprint]
        once = new.on_conflict_do_nothing(index_elements=equal)
        return Insertion(once.returning(rows.c.id).cte(f"{PREFIX}address"), sent)

    def _order(self, row: Row, address: CTE | None) -> Write | None:
        insertion = self._order_insert(tuple(sorted(row)), address)
        return None if insertion is None else insertion.of([row])

    def _build_order_insert(self, names: Names, address: CTE | None) -> Insertion | None:
        rows = table(self._models.Order)
        sent = self._sent(rows, names)
        if sent is None:
            return None
        values, source = dict(sent.values), sent.rows
        if address is not None:
            values["billing_address_id"] = address.c.id
            source = address.join(sent.rows, true())
        new = insert(rows).from_select([*values], select(*values.values()).select_from(source))
        return Insertion(new.returning(rows.c.id).cte(f"{PREFIX}order"), sent)

    def _items(self, items: Sequence[Row], order: CTE) -> Write | None:
        insertion = self._items_insert(tuple(sorted(items[0].keys() - {"order_id"})), order)
        return None if insertion is None else insertion.of(items)

    def _build_items_insert(self, names: Names, order: CTE) -> Insertion | None:
        rows = table(self._models.OrderItem)
        sent = self._sent(rows, names)
        if sent is None:
            return None
        values = {**sent.values, "order_id": order.c.id}
        # Joined with the order: without it there are no items, and no violated foreign key.
        new = select(*values.values()).select_from(order.join(sent.rows, true()))
        return Insertion(insert(rows).from_select([*values], new), sent)

    def _sent(self, rows: Table, names: Names) -> JsonRows | None:
        """Return how rows with these columns are sent; None if one statement can not."""
        is_complete = RowCompleter(rows).is_complete(dict.fromkeys(names))
        return JsonRows.of(rows, names, self._dialect) if is_complete else None

    def _redemptions(self, plan: OrderPlan) -> Sequence[Write] | None:
        if plan.voucher is None:
            return ()
        pricing = self._pricing
        # A subclass of the shop's may redeem in another way.
        if type(pricing) is not Promotions:
            return None
        return pricing.redemptions(plan.voucher, plan.reference)

    @cached_property
    def _address_rows(self) -> RowCompleter:
        return RowCompleter(table(self._models.Address))

    @cached_property
    def _dialect(self) -> Dialect:
        return self._session.get_bind(mapper=self._models.Order).dialect
