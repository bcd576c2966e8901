"""The public signals (blinker), sent after the commit of the transaction that they are about."""

from blinker import Namespace

_namespace = Namespace()

order_placed = _namespace.signal("order-placed", doc="A cart became an order: `order=`.")
order_paid = _namespace.signal("order-paid", doc="An order was paid: `order=`.")
order_cancelled = _namespace.signal(
    "order-cancelled", doc="An order was cancelled, or has expired: `order=`."
)
order_delivered = _namespace.signal("order-delivered", doc="An order was delivered: `order=`.")
payment_unexpected = _namespace.signal(
    "payment-unexpected",
    doc="Money arrived for an order that does not await it, so refund it: `order=`, `payment=`.",
)
outbox_event = _namespace.signal(
    "outbox-event", doc="A relay delivers an event of the outbox: `event=`, a CloudEvent."
)
