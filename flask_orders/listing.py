"""A customer's orders, a page at a time, by two statements whatever its length.

Called by the service.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import ColumnElement, and_, func, select, true
from sqlalchemy.orm import aliased, scoped_session, selectinload

from .models import Models, OrderMixin
from .models.contract import primary_key


@dataclass(frozen=True, slots=True)
class Page:
    """Which orders are wanted, newest first.

    `until` is a running order number: later orders are left out, so that the pages of one list
    stay the same while orders are made.
    """

    status: str | None
    limit: int
    offset: int
    until: int | None


@dataclass(frozen=True, slots=True)
class FoundPage:
    """A page; `count` is how many orders there are on all pages, `until` the newest of them."""

    count: int
    until: int | None
    orders: Sequence[OrderMixin]


def find_page(
    session: scoped_session[Session], models: Models, customer_id: Any, wanted: Page
) -> FoundPage | None:
    """The page; None if there is no such customer."""
    order = models.Order
    are_wanted = [order.customer_id == customer_id]
    if wanted.status is not None:
        are_wanted.append(order.status == wanted.status)
    if wanted.until is not None:
        are_wanted.append(order.sequence <= wanted.until)
    counted = _counted(models, customer_id, are_wanted).subquery()
    page = aliased(
        order,
        select(order)
        .where(*are_wanted)
        .order_by(order.sequence.desc())
        .limit(wanted.limit)
        .offset(wanted.offset)
        .subquery(),
    )
    # The outer join keeps the count when the page is empty.
    rows = session.execute(
        select(counted.c.count, counted.c.until, page)
        .select_from(counted)
        .outerjoin(page, true())
        .order_by(page.sequence.desc())
        .options(selectinload(page.items))
    ).all()
    if not rows:
        return None
    count, until, _ = rows[0]
    return FoundPage(count, until, [row[2] for row in rows if row[2] is not None])


def _counted(models: Models, customer_id: Any, are_wanted: Sequence[ColumnElement[bool]]) -> Any:
    """How many there are, and the newest; no row if there is no such customer."""
    order, customer = models.Order, models.Customer
    query = select(func.count(order.id).label("count"), func.max(order.sequence).label("until"))
    if customer is None:
        return query.where(*are_wanted)
    key = primary_key(customer)
    return (
        query.select_from(customer)
        .outerjoin(order, and_(*are_wanted))
        .where(key == customer_id)
        .group_by(key)
    )
