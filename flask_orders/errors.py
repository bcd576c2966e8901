"""Every error: its code, its HTTP status and its sentence.

Raised by the schemas, the pricing and the service; turned into `application/problem+json`
(RFC 9457) by the blueprint's one error handler. Imports nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class ConfigurationError(RuntimeError):
    """The host's set-up is wrong: the message says what, and how to mend it."""


class Conflict(Exception):
    """Another transaction was faster. Roll back, read again, start over."""


class UnknownCustomer(LookupError):
    """There is no such customer; over HTTP, the shop's own 401."""


class OrdersError(Exception):
    """A refusal that a client is told of.

    Attributes:
        code: the machine-readable name, `code` of the problem document.
        status: the HTTP status.
        title: what this kind of problem is called.
        detail: what is wrong this time, and what to do.
        extensions: further members of the problem document, JSON-ready.
        headers: further headers of the answer.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, detail: str, **extensions: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extensions = extensions

    def problem(self) -> dict[str, Any]:
        """The problem document, in the order of RFC 9457."""
        return {
            "type": f"urn:problem-type:flask-orders:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.extensions,
        }


class InvalidRequest(OrdersError):
    code, status, title = "invalid_request", 400, "The request is not valid"

    def __init__(self, detail: str, errors: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(detail, **({} if errors is None else {"errors": errors}))


class EmptyCart(OrdersError):
    code, status, title = "empty_cart", 400, "The cart is empty"

    def __init__(self) -> None:
        super().__init__("There is nothing in your cart. Put an item into it, then order.")


class BillingAddressRequired(OrdersError):
    code, status, title = "billing_address_required", 400, "A billing address is needed"

    def __init__(self) -> None:
        super().__init__("You have no saved address. Send one as 'billing_address'.")


class OrderNotFound(OrdersError):
    code, status, title = "order_not_found", 404, "No such order"

    def __init__(self) -> None:
        super().__init__("You have no order with this id.")


class ItemUnavailable(OrdersError):
    """`items` says which items of the cart are unavailable, why, and how many units are left."""

    code, status, title = "item_unavailable", 409, "An item in the cart is not available"

    def __init__(self, items: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(
            "Nothing was ordered. Change or remove the items listed in 'items', then order again.",
            items=items,
        )


class PriceChanged(OrdersError):
    """`expected` and `actual` are amounts in the shop's currency."""

    code, status, title = "price_changed", 409, "The total is higher than expected"

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(
            f"Nothing was ordered: the total is now {actual}, not {expected}. "
            "To accept it, send it as 'expected_total'.",
            expected=expected,
            actual=actual,
        )


class VoucherNotApplicable(OrdersError):
    """`reason` is one of the keys of `SENTENCES`, or a pricing's own, with its own sentence."""

    code, status, title = "voucher_not_applicable", 409, "The voucher can't be used"

    SENTENCES: ClassVar[Mapping[str, str]] = {
        "not_found": "it does not exist any more",
        "inactive": "it is not active",
        "not_started": "it is not valid yet",
        "expired": "it has expired",
        "used_up": "it has been used up",
        "already_used": "you have used it already",
        "below_minimum": "the order is below its minimum value",
    }

    def __init__(self, reason: str, sentence: str | None = None) -> None:
        super().__init__(
            f"The voucher in your cart can't be used: {sentence or self.SENTENCES[reason]}. "
            "Remove it, then order again.",
            reason=reason,
        )
        self.reason = reason


class OrderNotPayable(OrdersError):
    """`order_status` is what forbids it."""

    code, status, title = "order_not_payable", 409, "The order can't be paid"

    def __init__(self, order_status: str) -> None:
        super().__init__(
            f"The order's status is {order_status}: only one that awaits its payment can be paid. "
            "What was cancelled can be ordered again.",
            order_status=order_status,
        )


class OrderNotCancellable(OrdersError):
    """`order_status` is what forbids it."""

    code, status, title = "order_not_cancellable", 409, "The order can't be cancelled"

    def __init__(self, order_status: str) -> None:
        super().__init__(
            f"The order's status is {order_status}: ask the shop to cancel it or to take it back.",
            order_status=order_status,
        )


class OrderNotDeliverable(OrdersError):
    """`order_status` is what forbids it."""

    code, status, title = "order_not_deliverable", 409, "The order can't be delivered"

    def __init__(self, order_status: str) -> None:
        super().__init__(
            f"The order's status is {order_status}: only a paid order can be delivered.",
            order_status=order_status,
        )


class PaymentMismatch(OrdersError):
    """`expected` and `actual` are amounts with their currency, or orders, that don't match."""

    code, status, title = "payment_mismatch", 409, "The payment is not this order's"

    def __init__(self, what: str, expected: str, actual: str) -> None:
        super().__init__(
            f"Nothing was recorded: {what} is {actual}, not {expected}. Compare the payment with "
            "the order, and settle the difference with the payment provider.",
            expected=expected,
            actual=actual,
        )


class IdempotencyKeyInUse(OrdersError):
    code, status, title = "idempotency_key_in_use", 409, "The first request is still running"
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "1"}

    def __init__(self) -> None:
        super().__init__(
            "A request with this Idempotency-Key has not been answered yet. Nothing was changed: "
            "send the same request again in a moment."
        )


class IdempotencyKeyReused(OrdersError):
    code, status, title = "idempotency_key_reused", 422, "The key belongs to another request"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key came with another request before. Nothing was changed: send a "
            "new key with a new request, and the same key only with the same one."
        )


class RequestTooLarge(OrdersError):
    code, status, title = "request_too_large", 413, "The request body is too large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"A request body may have {limit} bytes.")


class UnsupportedMediaType(OrdersError):
    code, status, title = "unsupported_media_type", 415, "The request is not JSON"


class PathNotFound(OrdersError):
    code, status, title = "not_found", 404, "No such path"

    def __init__(self) -> None:
        super().__init__("Nothing is here: openapi.json, below the same prefix, lists every call.")


class MethodNotSupported(OrdersError):
    code, status, title = "method_not_allowed", 405, "The path has no such method"

    def __init__(self) -> None:
        super().__init__("Use one of the methods in the header 'Allow'.")


class Misconfigured(OrdersError):
    """A `ConfigurationError` that met a request; what to fix is in the shop's log alone."""

    code, status, title = "misconfigured", 500, "The shop can't do this at the moment"

    def __init__(self) -> None:
        super().__init__(
            "Nothing was ordered and nothing was changed. Sending the request again won't help "
            "until the shop has fixed it."
        )


class TryAgain(OrdersError):
    code, status, title = "try_again", 503, "The shop is busy"
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "1"}

    def __init__(self) -> None:
        super().__init__(
            "The order could not be confirmed. Send the same request again in a moment, with the "
            "same Idempotency-Key if it had one: it is not done twice."
        )
