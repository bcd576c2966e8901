"""The statuses of an order and the table of its transitions, each defined here and nowhere else.

A row of `TRANSITIONS` is all that a new transition, or a new status, needs: the guard of the
UPDATE, the refusal, the signal, the release of stock and voucher, the audit, the statuses that
clients may filter by and those in OpenAPI are derived from it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .errors import OrderNotCancellable, OrderNotDeliverable, OrderNotPayable, OrdersError

AWAITING_PAYMENT = "awaiting_payment"
PAID = "paid"
DELIVERED = "delivered"
CANCELLED = "cancelled"

# Actors.
CUSTOMER = "customer"
SHOP = "shop"
EXPIRY = "expiry"
PAYMENT = "payment"


@dataclass(frozen=True, slots=True)
class TransitionRule:
    """A permitted transition.

    Attributes:
        source, target: the statuses before and after.
        actors: the actors that may cause it.
        signal: the name of the signal that reports it.
        error: raised, with the order's status, when no rule leads from there to the target.
        holds: whether the order still holds its stock and its voucher afterwards.

    The last three are the same in all rules with one target.
    """

    source: str
    target: str
    actors: tuple[str, ...]
    signal: str
    error: Callable[[str], OrdersError]
    holds: bool


# A customer makes an order paid only if its total is zero.
# fmt: off
TRANSITIONS = (
    TransitionRule(AWAITING_PAYMENT, PAID, (PAYMENT, CUSTOMER),
          "order-paid", OrderNotPayable, holds=True),
    TransitionRule(PAID, DELIVERED, (SHOP,),
          "order-delivered", OrderNotDeliverable, holds=True),
    TransitionRule(AWAITING_PAYMENT, CANCELLED, (CUSTOMER, SHOP, EXPIRY),
          "order-cancelled", OrderNotCancellable, holds=False),
    TransitionRule(PAID, CANCELLED, (SHOP,),
          "order-cancelled", OrderNotCancellable, holds=False),
)
# fmt: on

# An order begins with the first of them.
STATUSES = tuple(dict.fromkeys((AWAITING_PAYMENT, *(rule.target for rule in TRANSITIONS))))

# The statuses in which an order no longer holds its stock and its voucher.
RELEASED = tuple(dict.fromkeys(rule.target for rule in TRANSITIONS if not rule.holds))


def is_permitted(source: str, target: str, actor: str) -> bool:
    """Return whether the actor may change an order's status from the source to the target."""
    return any(
        (rule.source, rule.target) == (source, target) and actor in rule.actors
        for rule in TRANSITIONS
    )


def check_transition(source: str, target: str, actor: str) -> None:
    """Refuse a transition that the table does not permit.

    Raises:
        OrdersError: the error of the rules that lead to the target.
    """
    if not is_permitted(source, target, actor):
        raise next(rule.error for rule in TRANSITIONS if rule.target == target)(source)
