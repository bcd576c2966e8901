"""Every error of the library: its code, its HTTP status and its sentences.

An `OrdersError` is a refusal that a client may read, as `application/problem+json` (RFC 9457);
the others are for the shop's developers. Imports nothing of the package.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar, Self

__all__ = [
    "BillingAddressRequired",
    "ConfigurationError",
    "Conflict",
    "EmptyCart",
    "IdempotencyKeyInUse",
    "IdempotencyKeyReused",
    "InvalidRequest",
    "ItemUnavailable",
    "MethodNotSupported",
    "Misconfigured",
    "OrderNotCancellable",
    "OrderNotDeliverable",
    "OrderNotFound",
    "OrderNotPayable",
    "OrdersError",
    "PathNotFound",
    "PaymentMismatch",
    "PriceChanged",
    "RefundMismatch",
    "RequestTooLarge",
    "TryAgain",
    "Unauthorized",
    "UnavailableReason",
    "UnknownCustomer",
    "UnsupportedMediaType",
    "VoucherNotApplicable",
    "VoucherReason",
]


class ConfigurationError(RuntimeError):
    """The shop's set-up is wrong; the message names the mistake and its fix."""


class Conflict(Exception):
    """Another transaction was faster: roll back and start the transaction again."""


class UnknownCustomer(LookupError):
    """There is no such customer, or nobody is signed in; over HTTP, 401."""


class OrdersError(Exception):
    """A request that is refused, with a reason for the client.

    A subclass of the shop's own, for a receiver of `order_placing` or a `Pricing`:

        class FraudSuspected(OrdersError):
            code, status, title = "fraud_suspected", 403, "The order needs a call"

        raise FraudSuspected("Nothing was ordered. Call us at 555-0100.", limit="500.00")

    Attributes:
        code: the machine-readable name, `code` of the problem document.
        status: the HTTP status.
        title: the name of this kind of problem.
        headers: further headers of the response.
        detail: what is wrong this time, and what to do.
        extensions: further members of the problem document, JSON-ready.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    headers: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        """Refuse a class that no problem document can be made of."""
        missing = [name for name in ("code", "status", "title") if name not in dir(cls)]
        if missing:
            raise TypeError(
                f"The error {cls.__name__} needs {', '.join(missing)}: write "
                'code, status, title = "fraud_suspected", 403, "The order needs a call"'
            )

    def __init__(self, detail: str, **extensions: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extensions = extensions

    def problem(self) -> dict[str, Any]:
        """Return the problem document, its members in the order of RFC 9457."""
        return {
            "type": f"urn:problem-type:flask-orders:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.extensions,
        }


class UnavailableReason(StrEnum):
    """Why an item of a cart can't be ordered."""

    GONE = "gone"  #: The product has been deleted.
    INACTIVE = "inactive"  #: The product is not active.
    INVALID_QUANTITY = "invalid_quantity"  #: The quantity is not a whole number above 0.
    NO_PRICE = "no_price"  #: The price or the shipping cost can't be charged in the currency.
    OUT_OF_STOCK = "out_of_stock"  #: Fewer units are left than the cart asks for.


class VoucherReason(StrEnum):
    """Why a voucher can't be used; `sentence` says so to the customer."""

    sentence: str

    NOT_FOUND = "not_found", "it no longer exists"
    INACTIVE = "inactive", "it is not active"
    NOT_STARTED = "not_started", "it is not valid yet"
    EXPIRED = "expired", "it has expired"
    USED_UP = "used_up", "it has been used up"
    ALREADY_USED = "already_used", "you have already used it"
    BELOW_MINIMUM = "below_minimum", "the order is below its minimum value"

    def __new__(cls, value: str, sentence: str = "") -> Self:
        """Return the reason with its sentence."""
        reason = str.__new__(cls, value)
        reason._value_ = value
        reason.sentence = sentence
        return reason


class InvalidRequest(OrdersError):
    """The request is malformed; `errors` lists the messages about each invalid field."""

    code: ClassVar[str] = "invalid_request"
    status: ClassVar[int] = 400
    title: ClassVar[str] = "The request is not valid"

    def __init__(self, detail: str, errors: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(detail, **({} if errors is None else {"errors": errors}))

    @classmethod
    def of_fields(cls, errors: Mapping[str, Sequence[str]]) -> Self:
        """Return the refusal of fields whose messages say all."""
        return cls("Correct the fields listed in 'errors'.", errors)


class EmptyCart(OrdersError):
    """The customer has no cart, or no item in it."""

    code: ClassVar[str] = "empty_cart"
    status: ClassVar[int] = 400
    title: ClassVar[str] = "The cart is empty"

    def __init__(self) -> None:
        super().__init__("Your cart is empty. Add an item to it, then order again.")


class BillingAddressRequired(OrdersError):
    """The request has no billing address, and the customer has no saved one."""

    code: ClassVar[str] = "billing_address_required"
    status: ClassVar[int] = 400
    title: ClassVar[str] = "A billing address is required"

    def __init__(self) -> None:
        super().__init__("You have no saved address. Send one as 'billing_address'.")


class OrderNotFound(OrdersError):
    """There is no such order, or it belongs to another customer; the two look the same."""

    code: ClassVar[str] = "order_not_found"
    status: ClassVar[int] = 404
    title: ClassVar[str] = "No such order"

    def __init__(self) -> None:
        super().__init__("You have no order with this id.")


class ItemUnavailable(OrdersError):
    """Items can't be ordered; `items` lists them, each with a reason and the units left."""

    code: ClassVar[str] = "item_unavailable"
    status: ClassVar[int] = 409
    title: ClassVar[str] = "An item in the cart is not available"

    def __init__(self, items: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(
            "Nothing was ordered. Change or remove the items listed in 'items', then order again.",
            items=items,
        )


class PriceChanged(OrdersError):
    """The total is above `expected_total`; `expected` and `actual` are in the shop's currency."""

    code: ClassVar[str] = "price_changed"
    status: ClassVar[int] = 409
    title: ClassVar[str] = "The total is higher than expected"

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(
            f"Nothing was ordered: the total is now {actual}, not {expected}. "
            "To accept the new total, send it as 'expected_total'.",
            expected=expected,
            actual=actual,
        )


class VoucherNotApplicable(OrdersError):
    """The cart's voucher can't be used.

    Args:
        reason: a `VoucherReason`, or a name of the shop's own.
        sentence: what the customer reads; required with a reason of the shop's own.
    """

    code: ClassVar[str] = "voucher_not_applicable"
    status: ClassVar[int] = 409
    title: ClassVar[str] = "The voucher can't be used"

    def __init__(self, reason: str, sentence: str | None = None) -> None:
        super().__init__(
            "The voucher in your cart can't be used: "
            f"{sentence or VoucherReason(reason).sentence}. Remove it, then order again.",
            reason=str(reason),
        )
        self.reason: str = str(reason)


class OrderNotPayable(OrdersError):
    """The order's status, `order_status`, does not allow a payment."""

    code: ClassVar[str] = "order_not_payable"
    status: ClassVar[int] = 409
    title: ClassVar[str] = "The order can't be paid"

    def __init__(self, order_status: str) -> None:
        super().__init__(
            f"The order's status is {order_status}: only an order that awaits payment can be paid. "
            "The items of a cancelled order can be ordered again.",
            order_status=order_status,
        )


class OrderNotCancellable(OrdersError):
    """The order's status, `order_status`, does not allow a cancellation."""

    code: ClassVar[str] = "order_not_cancellable"
    status: ClassVar[int] = 409
    title: ClassVar[str] = "The order can't be cancelled"

    def __init__(self, order_status: str) -> None:
        super().__init__(
            f"The order's status is {order_status}: ask the shop to cancel it or for a return.",
            order_status=order_status,
        )


class OrderNotDeliverable(OrdersError):
    """The order's status, `order_status`, does not allow a delivery."""

    code: ClassVar[str] = "order_not_deliverable"
    status: ClassVar[int] = 409
    title: ClassVar[str] = "The order can't be delivered"

    def __init__(self, order_status: str) -> None:
        super().__init__(
            f"The order's status is {order_status}: only a paid order can be delivered.",
            order_status=order_status,
        )


class PaymentMismatch(OrdersError):
    """A payment does not match its order in `expected` and `actual`: amounts, or order ids."""

    code: ClassVar[str] = "payment_mismatch"
    status: ClassVar[int] = 409
    title: ClassVar[str] = "The payment does not match the order"

    def __init__(self, what: str, expected: str, actual: str) -> None:
        super().__init__(
            f"Nothing was recorded: {what} is {actual}, not {expected}. Compare the payment with "
            "the order, and resolve the difference with the payment provider.",
            expected=expected,
            actual=actual,
        )


class RefundMismatch(OrdersError):
    """A refund does not match its payments in `expected` and `actual`: amounts, or references."""

    code: ClassVar[str] = "refund_mismatch"
    status: ClassVar[int] = 409
    title: ClassVar[str] = "The refund does not match the payments"

    def __init__(self, what: str, expected: str, actual: str) -> None:
        super().__init__(
            f"Nothing was recorded: {what} is {actual}, not {expected}. Compare the refund with "
            "the order's payments, and resolve the difference with the payment provider.",
            expected=expected,
            actual=actual,
        )


class IdempotencyKeyInUse(OrdersError):
    """The first request with this Idempotency-Key is still running."""

    code: ClassVar[str] = "idempotency_key_in_use"
    status: ClassVar[int] = 409
    title: ClassVar[str] = "The first request is still running"
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "1"}

    def __init__(self) -> None:
        super().__init__(
            "The first request with this Idempotency-Key is still running. This one changed "
            "nothing: send it again in a moment."
        )


class IdempotencyKeyReused(OrdersError):
    """The Idempotency-Key was used with a different request."""

    code: ClassVar[str] = "idempotency_key_reused"
    status: ClassVar[int] = 422
    title: ClassVar[str] = "The key belongs to another request"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used with a different request. Nothing was changed: use a "
            "new key for each new request, and repeat a key only with the same request."
        )


class RequestTooLarge(OrdersError):
    """The body is longer than ORDERS_MAX_BODY."""

    code: ClassVar[str] = "request_too_large"
    status: ClassVar[int] = 413
    title: ClassVar[str] = "The request body is too large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"Send a request body of at most {limit} bytes.")


class UnsupportedMediaType(OrdersError):
    """The body is not JSON, or is compressed."""

    code: ClassVar[str] = "unsupported_media_type"
    status: ClassVar[int] = 415
    title: ClassVar[str] = "The request is not JSON"


class Unauthorized(OrdersError):
    """Nobody is signed in, in a shop that names its customers without JWTs."""

    code: ClassVar[str] = "unauthorized"
    status: ClassVar[int] = 401
    title: ClassVar[str] = "Nobody is signed in"

    def __init__(self) -> None:
        super().__init__("Sign in, then send the request again.")


class PathNotFound(OrdersError):
    """There is no such path below the blueprint's prefix."""

    code: ClassVar[str] = "not_found"
    status: ClassVar[int] = 404
    title: ClassVar[str] = "No such path"

    def __init__(self) -> None:
        super().__init__("No such path: openapi.json, below the same prefix, lists every call.")


class MethodNotSupported(OrdersError):
    """The path does not support the request's method."""

    code: ClassVar[str] = "method_not_allowed"
    status: ClassVar[int] = 405
    title: ClassVar[str] = "The method is not allowed"

    def __init__(self) -> None:
        super().__init__("Use one of the methods that the header 'Allow' lists.")


class Misconfigured(OrdersError):
    """A request met a `ConfigurationError`; only the shop's log has the fix."""

    code: ClassVar[str] = "misconfigured"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "The shop can't process this request"

    def __init__(self) -> None:
        super().__init__(
            "Nothing was ordered and nothing was changed. Sending the request again will not help "
            "until the shop has fixed its configuration."
        )


class TryAgain(OrdersError):
    """Conflicts went on after the last retry, or the database is unavailable."""

    code: ClassVar[str] = "try_again"
    status: ClassVar[int] = 503
    title: ClassVar[str] = "The shop is busy"
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "1"}

    def __init__(self) -> None:
        super().__init__(
            "The request could not be confirmed. Send it again in a moment, with the same "
            "Idempotency-Key if it had one: it will not be applied twice; it is safe to retry."
        )
