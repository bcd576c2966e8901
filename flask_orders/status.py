"""An order's status, and who may change it; used by everything that knows of either.

`awaiting_payment` -> `paid` -> `delivered`; `awaiting_payment` -> `cancelled`; from `paid` to
`cancelled` by the shop only. Imports nothing.
"""

AWAITING_PAYMENT = "awaiting_payment"
PAID = "paid"
DELIVERED = "delivered"
CANCELLED = "cancelled"

STATUSES = (AWAITING_PAYMENT, PAID, DELIVERED, CANCELLED)

# By whom a step was taken.
CUSTOMER = "customer"
SHOP = "shop"
EXPIRY = "expiry"
PAYMENT = "payment"

# From where who may cancel.
CANCELLABLE = {
    CUSTOMER: (AWAITING_PAYMENT,),
    EXPIRY: (AWAITING_PAYMENT,),
    SHOP: (AWAITING_PAYMENT, PAID),
}
