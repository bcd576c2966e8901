"""A customer's addresses: the saved one, and the row of the one that an order is billed to.

Called by the service, inside the conversion's transaction; `equal` is sent before it.
"""

from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import Select, bindparam, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import scoped_session

from .addresses import BillingAddress
from .errors import BillingAddressRequired
from .models import Models

# A host's own way to a customer's saved address; None if the customer has none.
from .models.contract import table

# A host's own way to a customer's saved address; None if the customer has none.
SavedAddress = Callable[[Any], BillingAddress | None]


class AddressBook:
    """The customers' addresses; the saved one is the host's affair if it brings `saved_address`."""

    def __init__(
        self,
        session: scoped_session[Session],
        models: Models,
        saved_address: SavedAddress | None,
    ) -> None:
        self._session = session
        self._models = models
        self._saved_address = saved_address

    @cached_property
    def equal(self) -> Select[Any]:
        """The query for the key of the `customer`'s address of a `fingerprint`."""
        rows = table(self._models.Address).c
        return select(rows.id).where(
            rows.customer_id == bindparam("customer"),
            rows.fingerprint == bindparam("fingerprint"),
        )

    def assign(
        self, customer_id: Any, given: BillingAddress | None, known_id: int | None
    ) -> tuple[int, BillingAddress]:
        """The address to bill, and the key of its row, which is made if there is none.

        Args:
            customer_id: whose it is.
            given: left out, it is the saved one.
            known_id: what `equal` has found of the given one.

        Raises:
            BillingAddressRequired: none is given, and none is saved.
        """
        if given is not None:
            return known_id or self._make(customer_id, given), given
        if self._saved_address is None:
            return self._used_last(customer_id)
        saved = self._saved_address(customer_id)
        if saved is None:
            raise BillingAddressRequired
        found = self._session.execute(self.equal, _whose(customer_id, saved)).scalar_one_or_none()
        return found or self._make(customer_id, saved), saved

    def _used_last(self, customer_id: Any) -> tuple[int, BillingAddress]:
        """The customer's address that was used last, or else was entered last."""
        for query in (self._of_newest_order, self._newest):
            saved = self._session.execute(query, {"customer": customer_id}).scalar_one_or_none()
            if saved is not None:
                return saved.id, saved.as_value()
        raise BillingAddressRequired

    @cached_property
    def _of_newest_order(self) -> Select[Any]:
        """The query for the address of the newest order whose address is still the customer's."""
        order, address = self._models.Order, self._models.Address
        owner = (
            select(address.customer_id)
            .where(address.id == order.billing_address_id)
            .correlate(order)
            .scalar_subquery()
        )
        # The orders are read backwards by (customer_id, sequence) up to the first that fits. As a
        # join, or as EXISTS, which MariaDB makes a join of, all orders and addresses are read.
        newest = (
            select(order.billing_address_id)
            .where(order.customer_id == bindparam("customer"), owner == bindparam("customer"))
            .order_by(order.sequence.desc())
            .limit(1)
        )
        return select(address).where(address.id == newest.scalar_subquery())

    @cached_property
    def _newest(self) -> Select[Any]:
        address = self._models.Address
        newest = select(func.max(address.id)).where(address.customer_id == bindparam("customer"))
        return select(address).where(address.id == newest.scalar_subquery())

    def _make(self, customer_id: Any, address: BillingAddress) -> int:
        rows = table(self._models.Address)
        row = {**asdict(address), "fingerprint": address.fingerprint, "customer_id": customer_id}
        try:
            with self._session.begin_nested():
                made = self._session.execute(insert(rows).values(row))
                return int(made.inserted_primary_key[0])  # type: ignore[attr-defined] # a CursorResult
        except IntegrityError:
            # Another request was faster; in REPEATABLE READ only a locking read sees its row.
            locking, whose = self.equal.with_for_update(), _whose(customer_id, address)
            return int(self._session.execute(locking, whose).scalar_one())


def _whose(customer_id: Any, address: BillingAddress) -> dict[str, Any]:
    return {"customer": customer_id, "fingerprint": address.fingerprint}
