"""The protocol by which a shop brings a stock of its own: `Stock`.

For a stock in a table of its own, by warehouse, or in another system. The units of an order that is
made are deducted once, and those of an order that is cancelled are restocked once.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Protocol

__all__ = ["Stock"]


class Stock(Protocol):
    """A shop's own stock, as an instance that serves all requests.

    An order locks the rows of its products, in the order of their keys, before it asks for anything
    here, and so does a cancellation. So two of them never change the stock of one product
    simultaneously, and never wait for each other in a circle, as long as the rows that are changed
    here belong to one product each. The shop's own changes take no such lock: a deduction has to be
    guarded.

    Rows of the database are changed by the session of the request (`db.session`), which the library
    commits or rolls back; nothing here may do so. An exception undoes the order or cancellation.

    No rollback reaches another system, and an order may be tried several times. So `deduct` makes a
    reservation there that expires by itself; the session's `after_commit` confirms it, and
    `after_soft_rollback` releases it. What is cancelled is put back after the commit, by a
    receiver of `order_cancelled` or, if none may be lost, by the relay of the outbox, once for each
    order; `restock` then has nothing to do.
    """

    def available(self, products: Mapping[Any, Any]) -> Mapping[Any, int | Decimal | None]:
        """Return how many units of each product can be sold now, one call for a whole cart.

        Nothing may be locked or written: a preview asks too. More than there is does no harm, since
        `deduct` is what decides.

        Args:
            products: the shop's product objects, by the product's key.

        Returns:
            The units by the product's key. None: they are not counted, any number can be sold, and
            nothing is deducted or restocked. A product that is left out has no units.
        """
        ...

    def deduct(self, units: Mapping[Any, int]) -> None:
        """Deduct the units of an order; all of them, or raise.

        An UPDATE has to say `... WHERE units >= :units`, and its count of rows to be compared.

        Args:
            units: the units to deduct, by the product's key; 1 or more.

        Raises:
            Conflict: there are not enough units any more. The order starts over, and is refused
                if `available` then says so.
            OrdersError: the order is refused, with the shop's own reason.
        """
        ...

    def restock(self, units: Mapping[Any, int]) -> None:
        """Put back units of cancelled orders, which were deducted before.

        Args:
            units: the units by the product's key, of one order or of several; a product that no
                longer exists is left out.

        Raises:
            Conflict: another transaction was faster; the cancellation starts over.
        """
        ...
