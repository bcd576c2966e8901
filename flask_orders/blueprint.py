"""orders_bp: its set-up, its routes and its one error handler.

Called by the host's `app.register_blueprint(orders_bp)` and by its customers. The only file that
knows HTTP, the JWT and commit.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple, NoReturn, cast
from uuid import UUID

from flask import Blueprint, Flask, Response, current_app, request, url_for
from flask.sansio.app import App
from flask_jwt_extended import (
    get_current_user,
    get_jwt,
    get_jwt_header,
    get_jwt_identity,
    verify_jwt_in_request,
)
from flask_jwt_extended.exceptions import UserLookupError
from flask_sqlalchemy import SQLAlchemy
from marshmallow import Schema, ValidationError
from marshmallow.exceptions import SCHEMA
from sqlalchemy import inspect
from sqlalchemy.exc import OperationalError, SQLAlchemyError, StatementError
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.routing import BuildError

from .address_book import SavedAddress
from .cli import COMMANDS
from .errors import (
    ConfigurationError,
    IdempotencyKeyInUse,
    InvalidRequest,
    Misconfigured,
    OrderNotFound,
    OrdersError,
    RequestTooLarge,
    TryAgain,
    UnsupportedMediaType,
)
from .idempotency import HEADER, Answer, Found, IdempotencyKeys, KeyedRequest
from .isolation import prepare_engine
from .keys import new_key
from .lifecycle import Step
from .listing import FoundPage, Page
from .models import OrderMixin, declared_models
from .models.contract import primary_key
from .openapi import describe
from .pricing import Pricing
from .schemas import CreateOrderSchema, OrderSchema, PageSchema, PreviewQuerySchema, preview
from .service import (
    EXTENSION_KEY,
    OrderService,
    Placed,
    Standing,
    Submission,
    current_orders,
)
from .settings import Settings
from .signals import watch_commits
from .sqlite import use_real_transactions
from .status import CUSTOMER
from .transaction import (
    Known,
    Result,
    hide_values,
    in_transaction,
    is_away,
    is_lock_timeout,
    roll_back,
    watch_changes,
)

log = logging.getLogger("flask_orders")

SAVED = {"success": "Your Order has been saved"}

# Made once: that takes longer than to load a body.
CREATE_ORDER, PAGE, PREVIEW_QUERY = CreateOrderSchema(), PageSchema(), PreviewQuerySchema()

SET_PAYMENT_ENDPOINT = (
    "Set app.config['ORDERS_PAYMENT_ENDPOINT'] to the name of an endpoint that takes order_id, "
    "such as 'payments.pay' of the route '/pay/<uuid:order_id>'."
)

MEND = "Mend the fields named in 'errors'."


class OrdersBlueprint(Blueprint):
    """A blueprint that declares its models and makes its service when it is registered."""

    def register(self, app: App, options: dict[str, Any]) -> None:
        """Set the app up.

        Options:
            pricing: a host's own `Pricing`.
            saved_address: a host's own way to a customer's saved address: called with the
                customer's key, it returns a `BillingAddress` or None.

        Raises:
            ConfigurationError: db.init_app(app) has not been called, or a setting is wrong.
        """
        set_up(
            cast(Flask, app),
            pricing=options.pop("pricing", None),
            saved_address=options.pop("saved_address", None),
        )
        super().register(app, options)


orders_bp = OrdersBlueprint("orders", __name__, url_prefix="/api/v1/i/orders", cli_group="orders")
orders_bp.cli.short_help = "The shop's orders."
for command in COMMANDS:
    orders_bp.cli.add_command(command)


def set_up(app: Flask, *, pricing: Pricing | None, saved_address: SavedAddress | None) -> None:
    db: SQLAlchemy | None = app.extensions.get("sqlalchemy")
    if db is None:
        raise ConfigurationError("register_blueprint(orders_bp) needs db.init_app(app) first.")
    Settings.of(app.config)
    models = declared_models(db)
    with app.app_context():
        engines = db.engines
    engine = engines.get(None)
    if engine is None:
        raise ConfigurationError(
            "Orders are in the app's default database: set SQLALCHEMY_DATABASE_URI, or the key "
            "None of SQLALCHEMY_BINDS."
        )
    # The host's other databases may be read-only, or somebody else's.
    use_real_transactions(engine)
    prepare_engine(engine)
    watch_changes(db.session, engines.values())
    watch_commits(db.session)
    app.extensions[EXTENSION_KEY] = OrderService(
        db.session, models, lambda: Settings.of(app.config), pricing, saved_address
    )


@orders_bp.before_request
def require_customer() -> None:
    """Let nobody in without a valid token; the JWT's own answers are the host's to shape."""
    if "flask-jwt-extended" not in current_app.extensions:
        raise ConfigurationError(
            "flask_orders can't tell who the customer is: the app needs JWTManager(app), of "
            "Flask-JWT-Extended."
        )
    if current_app.view_functions[str(request.endpoint)] is not openapi:
        verify_jwt_in_request()


@orders_bp.post("/", strict_slashes=False)
def create_order() -> Response:
    """Make the customer's cart an order, then answer with it or redirect to its payment."""
    document = _load_json()
    body = _loaded(CREATE_ORDER, document)
    submission = Submission(
        id=new_key(),
        customer_id=_customer_id(),
        billing_address=body["billing_address"],
        expected_total=body["expected_total"],
        checkout=body["action"] == "checkout",
    )
    success = _checked_out if submission.checkout else _saved
    return _place(_Request(submission, success, _keyed(submission.customer_id, document)))


@orders_bp.get("/", strict_slashes=False)
def list_orders() -> Response:
    """The customer's orders, newest first."""
    wanted = _loaded(PAGE, _query())
    found = current_orders.page(_customer_id(), Page(**wanted))
    if found is None:
        _refuse_unknown_customer()
    return _answer(200, _page(found, wanted))


@orders_bp.get("/preview/", strict_slashes=False)
def preview_order() -> Response:
    """The order as it would be now."""
    expected = _loaded(PREVIEW_QUERY, _query())["expected_total"]
    customer_id = _known_customer_id()
    priced = current_orders.preview(customer_id)
    return _answer(200, preview(priced, customer_id, expected))


@orders_bp.get("/<order_id>/", strict_slashes=False)
def get_order(order_id: str) -> Response:
    """The customer's order."""
    order = current_orders.get(_known_customer_id(), _uuid(order_id))
    response = _answer_order(order)
    response.add_etag()
    response.make_conditional(request)
    return response


@orders_bp.post("/<order_id>/checkout/", strict_slashes=False)
def check_out_order(order_id: str) -> Response:
    """Pay a saved order."""
    step = _step(order_id)
    _payment_url(step.order_id)
    payable = _in_transaction(
        _known_customer_id, lambda _first, _latest: current_orders.lifecycle.check_out(step)
    )
    answer = _checked_out(Placed(step.order_id, payable=payable))
    headers = {"Location": answer.location}
    return Response(answer.body, answer.status, headers, mimetype="application/json")


@orders_bp.post("/<order_id>/cancel/", strict_slashes=False)
def cancel_order(order_id: str) -> Response:
    """Cancel an order that is not paid."""
    step = _step(order_id)

    def cancel(_first: Any, _latest: Any) -> Response:
        current_orders.lifecycle.cancel(step)
        current_orders.session.expire_all()
        return _answer_order(current_orders.get(step.customer_id, step.order_id))

    return _in_transaction(_known_customer_id, cancel)


@orders_bp.get("/openapi.json")
def openapi() -> Response:
    """These calls as OpenAPI 3.1; without a token, for the tools that fetch it."""
    prefix = url_for(".list_orders").rstrip("/")
    return _answer(200, describe(prefix, current_app.config))


@orders_bp.errorhandler(OrdersError)
def answer_problem(error: OrdersError) -> Response:
    """Return a refusal as a problem document (RFC 9457)."""
    response = _answer(error.status, error.problem(), **error.headers)
    response.mimetype = "application/problem+json"
    return response


@orders_bp.errorhandler(ConfigurationError)
def answer_misconfigured(error: ConfigurationError) -> Response:
    """Log the fix, which is none of the client's business; what was begun is rolled back by now."""
    log.error("misconfigured: %s", error)
    return answer_problem(Misconfigured())


@orders_bp.errorhandler(SQLAlchemyError)
def answer_database_error(error: SQLAlchemyError) -> Response:
    """Say that the database is unavailable; what is a bug goes on to the shop's own handler."""
    if isinstance(error, StatementError) and isinstance(error.orig, ConfigurationError):
        # Raised by a column's type.
        return answer_misconfigured(error.orig)
    if not is_away(error):
        hide_values(error)
        raise error
    log.error("the database is unavailable: %s", type(error).__name__)
    roll_back(current_orders.session)
    return answer_problem(TryAgain())


class _Known(NamedTuple):
    """What is read before an attempt at an order begins."""

    standing: Standing
    used_key: Found | None
    placed: Placed | None


class _Request:
    """One request for an order, through all the attempts at it."""

    def __init__(
        self,
        submission: Submission,
        success: Callable[[Placed], Answer],
        keyed: KeyedRequest | None,
    ) -> None:
        self._submission = submission
        self._success = success
        self._keyed = keyed
        # Made before anything is written: there may be nowhere to pay.
        self._foreseen = Placed(submission.id, payable=True)
        self._foreseen_answer = success(self._foreseen)
        self._orders = current_orders
        hours = self._orders.settings.idempotency_hours
        self._keys = IdempotencyKeys(self._orders.session, self._orders.models, hours)
        self._is_retry = False

    def read(self) -> _Known:
        """Before each attempt: a COMMIT whose answer was lost may have come through."""
        placed = self._orders.placed(self._submission.id) if self._is_retry else None
        self._is_retry = True
        used_key = None if self._keyed is None else self._keys.find(self._keyed)
        submission = self._submission
        standing = self._orders.standing(submission.customer_id, submission.billing_address)
        return _Known(standing or _refuse_unknown_customer(), used_key, placed)

    def attempt(self, first: _Known, latest: _Known) -> tuple[Answer, bool]:
        """The answer, and whether it is an earlier request's."""
        submission = self._submission
        if latest.placed is not None:
            self._orders.lifecycle.placed_before(submission.id)
            return self._answer(latest.placed), False
        if latest.used_key is not None and latest.used_key.answer is not None:
            return latest.used_key.answer, True
        self._claim_key(latest.used_key)
        placed = self._orders.place(submission, first.standing.last_sequence, latest.standing)
        answer = self._answer(placed)
        if self._keyed is not None and placed != self._foreseen:
            self._keys.replace(self._keyed, answer)
        return answer, False

    def _answer(self, placed: Placed) -> Answer:
        return self._foreseen_answer if placed == self._foreseen else self._success(placed)

    def _claim_key(self, used_key: Found | None) -> None:
        if self._keyed is None:
            return
        try:
            self._keys.claim(self._keyed, self._foreseen_answer, used_key)
        except OperationalError as error:
            if is_lock_timeout(error):
                raise IdempotencyKeyInUse from None
            raise


def _place(asked: _Request) -> Response:
    """Convert the cart in one transaction."""
    answer, is_replayed = _in_transaction(asked.read, asked.attempt)
    replayed = {"Idempotent-Replayed": "true"} if is_replayed else {}
    headers = {"Location": answer.location, **replayed}
    return Response(answer.body, answer.status, headers, mimetype="application/json")


def _in_transaction(read: Callable[[], Known], work: Callable[[Known, Known], Result]) -> Result:
    orders = current_orders
    return in_transaction(
        orders.session,
        read,
        work,
        mapper=orders.models.Order,
        attempts=orders.settings.retries,
    )


def _saved(placed: Placed) -> Answer:
    return Answer(201, _order_url(placed.order_id), _json(SAVED))


def _checked_out(placed: Placed) -> Answer:
    """To the payment, or, if there is nothing to pay, to the order."""
    order = _order_url(placed.order_id)
    payment = _payment_url(placed.order_id) if placed.payable else None
    return Answer(303, payment or order, _json({"order": order, "payment": payment}))


def _keyed(customer_id: Any, document: dict[str, Any]) -> KeyedRequest | None:
    header = request.headers.get(HEADER)
    if header is None:
        return None
    path = request.path.rstrip("/")
    return KeyedRequest.of(header, customer_id, request.method, path, document)


def _step(order_id: str) -> Step:
    return Step(new_key(), _uuid(order_id), CUSTOMER, _customer_id())


def _page(found: FoundPage, wanted: dict[str, Any]) -> dict[str, Any]:
    """The page, with the addresses of its neighbours; they leave out what is ordered meanwhile."""
    limit, offset = wanted["limit"], wanted["offset"]

    def url(start: int) -> str:
        query = {**wanted, "offset": start, "until": found.until}
        return url_for(".list_orders", **query)

    return {
        "count": found.count,
        "next": url(offset + limit) if offset + limit < found.count else None,
        "previous": url(max(offset - limit, 0)) if offset else None,
        "results": _order_schema().dump(found.orders, many=True),
    }


def _known_customer_id() -> Any:
    """The customer's key; a customer who is gone gets the host's 401."""
    customer_id = _customer_id()
    if current_orders.standing(customer_id) is None:
        _refuse_unknown_customer()
    return customer_id


def _customer_id() -> Any:
    """The key of the customer whom the JWT identifies, by the host's user lookup if it has one."""
    customer, subject = current_orders.models.Customer, get_jwt_identity()
    if customer is None:
        return str(subject)
    user = _looked_up_user()
    if isinstance(user, customer):
        # A lookup may make the object of the token's claims alone, which then has no identity yet.
        identity = inspect(user).identity or inspect(customer).primary_key_from_instance(user)
        return identity[0]
    try:
        return primary_key(customer).type.python_type(subject)
    except (ValueError, TypeError, AttributeError):
        _refuse_unknown_customer()


def _looked_up_user() -> Any:
    try:
        return get_current_user()
    except RuntimeError:
        # The host has no user lookup.
        return None


def _refuse_unknown_customer() -> NoReturn:
    raise UserLookupError("There is no such customer.", get_jwt_header(), get_jwt())


def _uuid(text: str) -> UUID:
    """In its one usual spelling: an order has one address."""
    try:
        order_id = UUID(text)
    except ValueError:
        raise OrderNotFound from None
    if str(order_id) != text.lower():
        raise OrderNotFound
    return order_id


def _query() -> dict[str, str]:
    """The query, with each name once."""
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        raise InvalidRequest(MEND, {name: ["Give it once."] for name in repeated})
    return request.args.to_dict()


def _load_json() -> dict[str, Any]:
    """The body of the request: a JSON object, not too large."""
    limit = current_orders.settings.max_body
    # Werkzeug cuts a body of unknown length off at its limit and says nothing: one byte more tells.
    request.max_content_length = limit + 1
    try:
        text = request.get_data()
    except RequestEntityTooLarge:
        raise RequestTooLarge(limit) from None
    except ClientDisconnected:
        raise InvalidRequest("The body broke off. Send all of it.") from None
    if len(text) > limit:
        raise RequestTooLarge(limit)
    if not request.is_json:
        raise UnsupportedMediaType
    return _parse(text)


def _loaded(schema: Schema, document: dict[str, Any]) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = schema.load(document)
    except ValidationError as error:
        faults = dict(_by_field(error.messages_dict))
        raise InvalidRequest(MEND, faults) from None
    return loaded


def _by_field(messages: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """marshmallow's nested messages by the field's whole name: `billing_address.country`."""
    for name, found in messages.items():
        if isinstance(found, Mapping):
            yield from _by_field(found, f"{prefix}{name}.")
        elif name == SCHEMA:
            # Of the object itself: it is none.
            yield prefix.rstrip("."), found
        else:
            yield prefix + name, found


def _parse(text: bytes) -> dict[str, Any]:
    """JSON as RFC 8259 has it: in UTF-8, without NaN, and with each name once in an object."""
    try:
        body = json.loads(
            text.decode(), parse_constant=_refuse_constant, object_pairs_hook=_unique_names
        )
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The body is not a JSON object.")
    return body


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice in an object")
    return members


def _answer_order(order: OrderMixin) -> Response:
    return _answer(200, _order_schema().dump(order))


@cache
def _order_schema() -> OrderSchema:
    # Made once: that takes longer than to dump a small order.
    return OrderSchema(_order_url)


def _order_url(order_id: UUID) -> str:
    return url_for(".get_order", order_id=order_id)


def _payment_url(order_id: UUID) -> str:
    endpoint = current_orders.settings.payment_endpoint
    if endpoint is None:
        raise ConfigurationError(f"ORDERS_PAYMENT_ENDPOINT is not set. {SET_PAYMENT_ENDPOINT}")
    try:
        return url_for(endpoint, order_id=order_id)
    except BuildError as error:
        raise ConfigurationError(f"{error}. {SET_PAYMENT_ENDPOINT}") from None


def _json(body: Any) -> str:
    # Not the app's JSON provider: a host may have one of its own, and the body is fixed. In ASCII,
    # since a problem may name a field that no encoding can hold, a lone surrogate.
    return json.dumps(body, default=str)


def _answer(status: int, body: Any, **headers: str) -> Response:
    return Response(_json(body), status, headers, mimetype="application/json")
