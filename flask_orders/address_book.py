"""A customer's address book: the saved address, and one row for each address ever billed.

A row is only ever inserted here: an order's address is never another customer's row, and no row
that an order points to is changed.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from flask_sqlalchemy.session import Session
from sqlalchemy import bindparam, func, insert, select
from sqlalchemy.orm import scoped_session

from .addresses import BillingAddress
from .db.typing import Query
from .errors import BillingAddressRequired
from .models import Models
from .models.contract import table
from .rows import Row

# Returns the saved address of the customer with a key; None if the customer has none.
SavedAddress = Callable[[Any], BillingAddress | None]


@dataclass(frozen=True, slots=True)
class AddressRow:
    """An address to bill, and the key of its row in the address book; None if it is new there."""

    id: int | None
    address: BillingAddress


class AddressBook:
    """The address books of one app; `saved_address` replaces the library's own saved address."""

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
    def equal(self) -> Query:
        """The SELECT of the key of the `customer`'s address with a `fingerprint`."""
        rows = table(self._models.Address).c
        return select(rows.id).where(
            rows.customer_id == bindparam("customer"),
            rows.fingerprint == bindparam("fingerprint"),
        )

    def find(
        self, customer_id: Any, given: BillingAddress | None, known_id: int | None
    ) -> AddressRow:
        """Return the address to bill, and its row if it has one; nothing is written.

        Args:
            customer_id: the customer's primary key.
            given: the request's address; None is the customer's saved address.
            known_id: the result of `equal` for the given address.

        Raises:
            BillingAddressRequired: no address is given, and none is saved.
        """
        if given is not None:
            return AddressRow(known_id, given)
        if self._saved_address is None:
            return self._used_last(customer_id)
        saved = self._saved_address(customer_id)
        if saved is None:
            raise BillingAddressRequired
        key = self._session.execute(self.equal, _parameters(customer_id, saved))
        return AddressRow(key.scalar_one_or_none(), saved)

    def insert(self, customer_id: Any, address: BillingAddress) -> int:
        """Insert an address into the customer's address book.

        Returns:
            The key of its row.

        Raises:
            DBAPIError: it is there by now (a violated unique constraint); start over, and find it.
        """
        row = new_address(customer_id, address)
        made = self._session.execute(insert(table(self._models.Address)).values(row))
        return int(made.inserted_primary_key[0])  # type: ignore[attr-defined] # a CursorResult

    def _used_last(self, customer_id: Any) -> AddressRow:
        """Return the address that was used last, or else the address that was entered last."""
        for query in (self._of_newest_order, self._newest):
            saved = self._session.execute(query, {"customer": customer_id}).scalar_one_or_none()
            if saved is not None:
                return AddressRow(saved.id, saved.as_value())
        raise BillingAddressRequired

    @cached_property
    def _of_newest_order(self) -> Query:
        """The SELECT of the address of the newest order whose address is still the customer's."""
        order, address = self._models.Order, self._models.Address
        owner = (
            select(address.customer_id)
            .where(address.id == order.billing_address_id)
            .correlate(order)
            .scalar_subquery()
        )
        # The orders are read backwards by (customer_id, sequence) up to the first that fits. A
        # join, or EXISTS, which MariaDB makes a join of, would read all orders and addresses.
        newest = (
            select(order.billing_address_id)
            .where(order.customer_id == bindparam("customer"), owner == bindparam("customer"))
            .order_by(order.sequence.desc())
            .limit(1)
        )
        return select(address).where(address.id == newest.scalar_subquery())

    @cached_property
    def _newest(self) -> Query:
        address = self._models.Address
        newest = select(func.max(address.id)).where(address.customer_id == bindparam("customer"))
        return select(address).where(address.id == newest.scalar_subquery())


def new_address(customer_id: Any, address: BillingAddress) -> Row:
    """Return the row of an address that is new in a customer's address book."""
    return {**asdict(address), "fingerprint": address.fingerprint, "customer_id": customer_id}


def _parameters(customer_id: Any, address: BillingAddress) -> dict[str, Any]:
    return {"customer": customer_id, "fingerprint": address.fingerprint}
