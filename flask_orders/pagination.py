"""Pages of a customer's orders, newest first, each by two statements whatever its length.

A page ends after `limit` orders or MOST_ITEMS items, whichever comes first, and has at least one
order. Pages continue from a running order number, so that no order is skipped or repeated while
orders are placed and statuses change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import ColumnElement, Subquery, and_, func, or_, select, true
from sqlalchemy.orm import aliased, scoped_session, selectinload

from .models import Models, OrderMixin
from .models.contract import key_attribute

MOST_ITEMS = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """Which orders to read, newest first.

    Attributes:
        status: only orders with this status; None is any.
        limit: the most orders on the page.
        offset: how many orders to skip.
        up_to_sequence: leave out later orders, on every page, so that `count` stays the same
            while orders are placed.
        before: continue with the next older orders than this running order number.
        after: go back to the next newer orders than this running order number.
    """

    status: str | None
    limit: int
    offset: int
    up_to_sequence: int | None
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class OrderPage:
    """A page of orders.

    Attributes:
        count: the number of orders on all pages.
        up_to_sequence: the running order number of the newest order on all pages.
        before: the next page has orders before this running order number; None if there is none.
        after: the previous page has orders after this one; None if there is none.
        orders: the orders, newest first, with their items.
    """

    count: int
    up_to_sequence: int | None
    before: int | None
    after: int | None
    orders: Sequence[OrderMixin]


def find_page(
    session: scoped_session[Session], models: Models, customer_id: Any, wanted: Page
) -> OrderPage | None:
    """Return the page; None if there is no such customer."""
    are_listed = _are_listed(models.Order, customer_id, wanted)
    counted = _counted(models, customer_id, are_listed).subquery()
    page = aliased(models.Order, _on_page(models, are_listed, wanted))
    # The outer join keeps the count when the page is empty.
    rows = session.execute(
        select(counted, page)
        .select_from(counted)
        .outerjoin(page, true())
        .order_by(page.sequence.desc())
        .options(selectinload(page.items))
    ).all()
    if not rows:
        return None
    first: Any = rows[0]
    count, newest, oldest, _order = first
    orders = [order for *_, order in rows if order is not None]
    before, after = _neighbours(orders, wanted)
    return OrderPage(
        count,
        up_to_sequence=newest,
        before=before if count and before > oldest else None,
        after=after if count and after < newest else None,
        orders=orders,
    )


def _neighbours(orders: Sequence[OrderMixin], wanted: Page) -> tuple[int, int]:
    """Return the running order numbers before and after which the pages beside this one lie."""
    if orders:
        return orders[-1].sequence, orders[0].sequence
    if wanted.after is not None:
        return wanted.after + 1, wanted.after
    # The page is beyond the last order.
    return 0, 0 if wanted.before is None else wanted.before - 1


def _are_listed(
    order: type[OrderMixin], customer_id: Any, wanted: Page
) -> list[ColumnElement[bool]]:
    """Return the conditions of the orders on all pages."""
    are_listed = [order.customer_id == customer_id]
    if wanted.status is not None:
        are_listed.append(order.status == wanted.status)
    if wanted.up_to_sequence is not None:
        are_listed.append(order.sequence <= wanted.up_to_sequence)
    return are_listed


def _counted(models: Models, customer_id: Any, are_listed: Sequence[ColumnElement[bool]]) -> Any:
    """Select the count, the newest and the oldest; no row if there is no such customer."""
    order, customer = models.Order, models.Customer
    query = select(
        func.count(order.id).label("count"),
        func.max(order.sequence).label("newest"),
        func.min(order.sequence).label("oldest"),
    )
    if customer is None:
        return query.where(*are_listed)
    key = key_attribute(customer)
    return (
        query.select_from(customer)
        .outerjoin(order, and_(*are_listed))
        .where(key == customer_id)
        .group_by(key)
    )


def _on_page(models: Models, are_listed: Sequence[ColumnElement[bool]], wanted: Page) -> Subquery:
    """Select the orders of the page, limited by their items; items of other orders are not read."""
    order, item = models.Order, models.OrderItem
    on_page = list(are_listed)
    if wanted.before is not None:
        on_page.append(order.sequence < wanted.before)
    if wanted.after is not None:
        on_page.append(order.sequence > wanted.after)
    is_backward = wanted.after is not None
    size = select(func.count()).where(item.order_id == order.id).correlate(order).scalar_subquery()
    found = (
        select(order, size.label("flask_orders_size"))
        .where(*on_page)
        .order_by(order.sequence.asc() if is_backward else order.sequence.desc())
        .limit(wanted.limit)
        .offset(wanted.offset)
        .subquery()
    )
    nearest_first = found.c.sequence.asc() if is_backward else found.c.sequence.desc()
    summed = select(
        found,
        func.row_number().over(order_by=nearest_first).label("flask_orders_rank"),
        func.sum(found.c.flask_orders_size).over(order_by=nearest_first).label("flask_orders_sum"),
    ).subquery()
    fits = or_(summed.c.flask_orders_rank == 1, summed.c.flask_orders_sum <= MOST_ITEMS)
    return select(summed).where(fits).subquery()
