"""orders_bp: its set-up, its routes and its one error handler.

Called by the host's `app.register_blueprint(orders_bp)` and by its customers. The only file that
knows HTTP, the JWT and commit.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from typing import Any, NamedTuple, NoReturn, cast
from uuid import UUID

from flask import Blueprint, Flask, Response, current_app, g, request, url_for
from flask.sansio.app import App
from flask_jwt_extended import (
    get_current_user,
    get_jwt,
    get_jwt_header,
    get_jwt_identity,
    verify_jwt_in_request,
)
from flask_jwt_extended.exceptions import NoAuthorizationError, UserLookupError
from flask_jwt_extended.internal_utils import has_user_lookup
from flask_sqlalchemy import SQLAlchemy
from marshmallow import Schema, ValidationError
from marshmallow.exceptions import SCHEMA
from sqlalchemy.exc import OperationalError, SQLAlchemyError, StatementError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BuildError

from ..cli.commands import COMMANDS
from ..converting import CustomerState, OrderRequest, PlacedOrder
from ..db.after_commit import watch_commits
from ..db.classify import hide_values, is_lock_timeout, is_unavailable
from ..db.dialects import dialect_of
from ..db.retrying import (
    Known,
    Result,
    in_transaction,
    roll_back,
    watch_changes,
)
from ..errors import (
    ConfigurationError,
    IdempotencyKeyInUse,
    InvalidRequest,
    Misconfigured,
    OrderNotFound,
    OrdersError,
    TryAgain,
)
from ..idempotency import HEADER, IdempotencyKeys, IdempotentRequest, StoredKey, StoredResponse
from ..keys import new_key
from ..lifecycle import Transition
from ..models import OrderMixin
from ..models.declare import declared_models
from ..pagination import OrderPage, Page
from ..schemas import CreateOrderSchema, OrderSchema, PageSchema, PreviewQuerySchema, preview
from ..service import EXTENSION_KEY, OrderService, current_orders
from ..settings import Settings
from ..status import CUSTOMER
from .customers import UnknownCustomer, key_of_subject, key_of_user
from .openapi import describe
from .problems import dumps, http_problem, problem, watch_paths
from .requests import (
    FIELDS_AT_FAULT,
    arrived,
    is_json_object,
    json_object,
    query,
    read_body,
    token_places,
    watch_arrivals,
)

log = logging.getLogger("flask_orders")

SAVED = {"success": "Your Order has been saved"}

# Made once: that takes longer than to load a body.
CREATE_ORDER, PAGE, PREVIEW_QUERY = CreateOrderSchema(), PageSchema(), PreviewQuerySchema()

SET_PAYMENT_ENDPOINT = (
    "Set app.config['ORDERS_PAYMENT_ENDPOINT'] to the name of an endpoint that takes order_id, "
    "such as 'payments.pay' of the route '/pay/<uuid:order_id>'."
)

# What `register_blueprint(orders_bp, ...)` takes beside Flask's own options.
OPTIONS = ("pricing", "saved_address")

TOKEN_FREE = "openapi"  # noqa: S105 - an endpoint


class OrdersBlueprint(Blueprint):
    """A blueprint that declares its models and makes its service when it is registered."""

    def register(self, app: App, options: dict[str, Any]) -> None:
        """Set the app up.

        Options:
            pricing: a host's own `Pricing`.
            saved_address: a host's own way to a customer's saved address: called with the
                customer's key, it returns a `BillingAddress` or None.

        Raises:
            ConfigurationError: db.init_app(app) has not been called, a setting is wrong, or the
                app has been given another value of an option by an earlier registration. An option
                that is left out is kept.
        """
        given = {name: options.pop(name, None) for name in OPTIONS}
        first: OrderService | None = app.extensions.get(EXTENSION_KEY)
        if first is None:
            set_up(cast(Flask, app), given)
        else:
            _keep(first.options, given)
        super().register(app, options)


orders_bp = OrdersBlueprint("orders", __name__, url_prefix="/api/v1/i/orders", cli_group="orders")
orders_bp.cli.short_help = "The shop's orders."
for command in COMMANDS:
    orders_bp.cli.add_command(command)


def _keep(first: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse an option that an earlier registration in the same app was not given."""
    for name, value in given.items():
        if value is not None and value is not first[name] and value != first[name]:
            raise ConfigurationError(
                f"register_blueprint(orders_bp, {name}=...) was called with another {name} before, "
                "or without one: an app has one order service, whatever it is registered as. Give "
                f"{name}= to the first call, and to others the same or none."
            )


def set_up(app: Flask, options: Mapping[str, Any]) -> None:
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
    dialect_of(engine.dialect).prepare_engine(engine)
    watch_changes(db.session, engines.values())
    watch_commits(db.session)
    app.extensions[EXTENSION_KEY] = OrderService(
        db.session, models, lambda: Settings.of(app.config), **options
    )
    watch_arrivals(app)
    watch_paths(app, orders_bp)


@orders_bp.url_value_preprocessor
def take_shop_values(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Keep what the shop's prefix or `url_defaults` adds to the paths away from the views."""
    given = values or {}
    g.orders_url_values = {name: given.pop(name) for name in given.keys() - {"order_id"}}


@orders_bp.url_defaults
def give_shop_values(endpoint: str, values: dict[str, Any]) -> None:
    """Put it into the addresses of orders again."""
    for name, value in g.get("orders_url_values", {}).items():
        if current_app.url_map.is_endpoint_expecting(endpoint, name):
            values.setdefault(name, value)


@orders_bp.before_request
def require_customer() -> None:
    """Let nobody in without a valid token; the JWT's own answers are the host's to shape."""
    if "flask-jwt-extended" not in current_app.extensions:
        raise ConfigurationError(
            "flask_orders can't tell who the customer is: the app needs JWTManager(app), of "
            "Flask-JWT-Extended."
        )
    if _needs_no_token():
        return
    # The user lookup takes a connection: what the client has still to send comes first.
    g.orders_body = read_body(current_orders.settings.max_body)
    verify_jwt_in_request(locations=_token_places(g.orders_body))


def _token_places(body: bytes | OrdersError) -> list[str]:
    """Where a token may be; not in JSON that is no object, which Flask-JWT-Extended can't read.

    Raises:
        NoAuthorizationError: it could be nowhere else.
    """
    places = token_places(current_app.config)
    if "json" in places and not is_json_object(body):
        places.remove("json")
        if not places:
            raise NoAuthorizationError("Missing JSON body with a token.")
    return places


@orders_bp.after_request
def keep_private(response: Response) -> Response:
    """Let no cache keep what has a customer's address in it."""
    if not _needs_no_token():
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def _needs_no_token() -> bool:
    # By name: a shop may wrap the view functions.
    return str(request.endpoint).rpartition(".")[2] == TOKEN_FREE


@orders_bp.post("/", strict_slashes=False)
def create_order() -> Response:
    """Make the customer's cart an order, then answer with it or redirect to its payment."""
    body = _loaded(CREATE_ORDER, json_object(g.orders_body))
    order_request = OrderRequest(
        id=new_key(),
        customer_id=_customer_id(),
        billing_address=body["billing_address"],
        expected_total=body["expected_total"],
        checkout=body["action"] == "checkout",
        arrived=arrived(),
    )
    success = _checked_out if order_request.checkout else _saved
    return _place(_Request(order_request, success, _keyed(order_request.customer_id, body)))


@orders_bp.get("/", strict_slashes=False)
def list_orders() -> Response:
    """The customer's orders, newest first."""
    wanted = _loaded(PAGE, query())
    found = current_orders.page(_customer_id(), Page(**wanted))
    if found is None:
        _refuse_unknown_customer()
    return _answer(200, _page(found, wanted))


@orders_bp.get("/preview/", strict_slashes=False)
def preview_order() -> Response:
    """The order as it would be now."""
    expected = _loaded(PREVIEW_QUERY, query())["expected_total"]
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
    transition = _transition(order_id)

    def check_out(_first: Any, _latest: Any) -> bool:
        # Before anything is written: there may be nowhere to pay.
        _payment_url(transition.order_id)
        return current_orders.lifecycle.check_out(transition)

    payable = _in_transaction(_known_customer_id, check_out)
    answer = _checked_out(PlacedOrder(transition.order_id, payable=payable))
    headers = {"Location": answer.location}
    return Response(answer.body, answer.status, headers, mimetype="application/json")


@orders_bp.post("/<order_id>/cancel/", strict_slashes=False)
def cancel_order(order_id: str) -> Response:
    """Cancel an order that is not paid."""
    transition = _transition(order_id)

    def cancel(_first: Any, _latest: Any) -> Response:
        current_orders.lifecycle.cancel(transition)
        current_orders.session.expire_all()
        return _answer_order(current_orders.get(transition.customer_id, transition.order_id))

    return _in_transaction(_known_customer_id, cancel)


@orders_bp.get("/openapi.json")
def openapi() -> Response:
    """These calls as OpenAPI 3.1; without a token, for the tools that fetch it."""
    prefix = url_for(".list_orders").rstrip("/")
    return _answer(200, describe(prefix, current_app.config))


@orders_bp.errorhandler(OrdersError)
def answer_problem(error: OrdersError) -> Response:
    """Return a refusal as a problem document (RFC 9457)."""
    return problem(error)


@orders_bp.errorhandler(HTTPException)
def answer_http_error(error: HTTPException) -> Response | HTTPException:
    """Return an error of Flask's, or of the shop's code, as a problem document too."""
    return http_problem(error)


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
    if not is_unavailable(error):
        hide_values(error)
        raise error
    log.error("the database is unavailable: %s", type(error).__name__)
    roll_back(current_orders.session)
    return answer_problem(TryAgain())


class _Known(NamedTuple):
    """What is read before an attempt at an order begins."""

    state: CustomerState
    used_key: StoredKey | None
    placed: PlacedOrder | None


class _Request:
    """One request for an order, through all the attempts at it."""

    def __init__(
        self,
        order_request: OrderRequest,
        success: Callable[[PlacedOrder], StoredResponse],
        keyed: IdempotentRequest | None,
    ) -> None:
        self._submission = order_request
        self._success = success
        self._keyed = keyed
        self._foreseen = PlacedOrder(order_request.id, payable=True)
        self._orders = current_orders
        hours = self._orders.settings.idempotency_hours
        self._keys = IdempotencyKeys(self._orders.session, self._orders.models, hours)
        self._is_retry = False

    @cached_property
    def _foreseen_answer(self) -> StoredResponse:
        return self._success(self._foreseen)

    def read(self) -> _Known:
        """Before each attempt: a COMMIT whose answer was lost may have come through."""
        placed = self._orders.converter.find_placed(self._submission.id) if self._is_retry else None
        self._is_retry = True
        used_key = None if self._keyed is None else self._keys.find(self._keyed)
        order_request = self._submission
        state = self._orders.converter.load_state(
            order_request.customer_id, order_request.billing_address
        )
        return _Known(state or _refuse_unknown_customer(), used_key, placed)

    def attempt(self, first: _Known, latest: _Known) -> tuple[StoredResponse, bool]:
        """The answer, and whether it is an earlier request's."""
        order_request = self._submission
        if latest.placed is not None:
            self._orders.lifecycle.announce_placed_again(order_request.id)
            return self._answer(latest.placed), False
        if latest.used_key is not None and latest.used_key.answer is not None:
            return latest.used_key.answer, True
        # Before anything is written: there may be nowhere to pay.
        _ = self._foreseen_answer
        self._claim_key(latest.used_key)
        placed = self._orders.converter.convert(
            order_request, first.state.last_sequence, latest.state
        )
        answer = self._answer(placed)
        if self._keyed is not None and placed != self._foreseen:
            self._keys.replace(self._keyed, answer)
        return answer, False

    def _answer(self, placed: PlacedOrder) -> StoredResponse:
        return self._foreseen_answer if placed == self._foreseen else self._success(placed)

    def _claim_key(self, used_key: StoredKey | None) -> None:
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


def _saved(placed: PlacedOrder) -> StoredResponse:
    return StoredResponse(201, _order_url(placed.order_id), dumps(SAVED))


def _checked_out(placed: PlacedOrder) -> StoredResponse:
    """To the payment, or, if there is nothing to pay, to the order."""
    order = _order_url(placed.order_id)
    payment = _payment_url(placed.order_id) if placed.payable else None
    return StoredResponse(303, payment or order, dumps({"order": order, "payment": payment}))


def _keyed(customer_id: Any, body: dict[str, Any]) -> IdempotentRequest | None:
    header = request.headers.get(HEADER)
    if header is None:
        return None
    path = request.path.rstrip("/")
    return IdempotentRequest.of(header, customer_id, request.method, path, body)


def _transition(order_id: str) -> Transition:
    return Transition(new_key(), _uuid(order_id), CUSTOMER, _customer_id())


def _page(found: OrderPage, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The page, with the URLs of its neighbours; they leave out what is ordered meanwhile."""

    def url(*, before: int | None = None, after: int | None = None) -> str:
        query = {
            "status": wanted["status"],
            "limit": wanted["limit"],
            "until": found.up_to_sequence,
        }
        return url_for(".list_orders", **query, before=before, after=after)

    return {
        "count": found.count,
        "next": None if found.before is None else url(before=found.before),
        "previous": None if found.after is None else url(after=found.after),
        "results": _order_schema().dump(found.orders, many=True),
    }


def _known_customer_id() -> Any:
    """The customer's key; a customer who is gone gets the host's 401."""
    customer_id = _customer_id()
    if current_orders.converter.load_state(customer_id) is None:
        _refuse_unknown_customer()
    return customer_id


def _customer_id() -> Any:
    """The key of the customer whom the JWT identifies, by the app's user lookup if it has one."""
    models = current_orders.models
    dialect = current_orders.session.get_bind(models.Order).dialect
    try:
        if models.Customer is None or not has_user_lookup():
            return key_of_subject(models, get_jwt_identity(), dialect)
        return key_of_user(models, get_current_user(), dialect)
    except UnknownCustomer:
        _refuse_unknown_customer()


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


def _loaded(schema: Schema, document: dict[str, Any]) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = schema.load(document)
    except ValidationError as error:
        faults = dict(_by_field(error.messages_dict))
        raise InvalidRequest(FIELDS_AT_FAULT, faults) from None
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


def _answer(status: int, body: Any, **headers: str) -> Response:
    return Response(dumps(body), status, headers, mimetype="application/json")
