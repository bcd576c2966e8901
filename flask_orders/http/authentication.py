"""Who the customer is: the credentials are verified before a view goes on, and then the customer.

They are a JWT, or what the shop's `current_customer=` reads. A JWT's answers are the shop's: a
request without a valid token, or whose customer is gone, gets the shop's own 401.
"""

from typing import Any

from flask import current_app, g, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import (
    get_current_user,
    get_jwt,
    get_jwt_header,
    get_jwt_identity,
    verify_jwt_in_request,
)
from flask_jwt_extended.exceptions import NoAuthorizationError, UserLookupError
from flask_jwt_extended.internal_utils import has_user_lookup
from sqlalchemy import Dialect
from sqlalchemy.orm.exc import ObjectDeletedError

from ..current_customer import CurrentCustomer, ask
from ..errors import ConfigurationError, OrdersError, Unauthorized, UnknownCustomer
from ..service import components_of, current_orders
from .customers import key_of_current, key_of_subject, key_of_user
from .problems import problem
from .requests import current_customer, is_json_object, read_body, require_json, token_places

TOKEN_FREE = "openapi"  # noqa: S105 - an endpoint


def needs_no_token() -> bool:
    """Return whether the request is for the one endpoint that anybody may call."""
    # By name: a shop may wrap the view functions.
    return str(request.endpoint).rpartition(".")[2] == TOKEN_FREE


def verify_customer() -> None:
    """Read the body, then verify the request's credentials.

    Raises:
        ConfigurationError: the app can't tell who the customer is.
        JWTExtendedException, PyJWTError: there is no valid token.
        UnknownCustomer: nobody is signed in.
        UnsupportedMediaType: another site's form may have sent it.
    """
    # Whatever names the customer takes a connection: what the client has still to send comes first.
    g.orders_body = read_body(current_orders.settings.max_body)
    source = current_customer()
    if source is None:
        _verify_token()
    elif request.method != "OPTIONS":  # a browser asks for permission without credentials
        _name_customer(source)


def customer_id() -> Any:
    """Return the key of the customer whom the credentials identify.

    Raises:
        UnknownCustomer: the token does not name a customer.
    """
    if current_customer() is not None:
        return g.orders_customer_id
    models, dialect = current_orders.models, _dialect()
    if models.Customer is None or not has_user_lookup():
        return key_of_subject(models, get_jwt_identity(), dialect)
    return key_of_user(models, get_current_user(), dialect)


def known_customer_id() -> Any:
    """Return the customer's key after a look into the database.

    Raises:
        UnknownCustomer: there is no such customer, or not any more.
    """
    key = customer_id()
    if components_of(current_orders).converter.load_state(key) is None:
        raise UnknownCustomer
    return key


def answer_unknown_customer(_error: UnknownCustomer) -> ResponseReturnValue:
    """Return 401: with a JWT the shop's own, as Flask-JWT-Extended does after a failed lookup."""
    if current_customer() is not None:
        return problem(Unauthorized())
    failed_lookup = UserLookupError("There is no such customer.", get_jwt_header(), get_jwt())
    return current_app.handle_user_exception(failed_lookup)


def _name_customer(source: CurrentCustomer) -> None:
    """Record the customer's key, once: a retry asks the database again, and not the shop."""
    try:
        g.orders_customer_id = key_of_current(current_orders.models, ask(source), _dialect())
    except ObjectDeletedError:
        # The shop has committed since it loaded the customer, and somebody has deleted the row.
        raise UnknownCustomer from None
    if request.method == "POST":
        # The credentials may be a cookie, which a browser sends with another site's forms.
        require_json()


def _verify_token() -> None:
    if "flask-jwt-extended" not in current_app.extensions:
        raise ConfigurationError(
            "flask_orders can't tell who the customer is: the app needs JWTManager(app), of "
            "Flask-JWT-Extended, or register_blueprint(orders_bp, current_customer=...)."
        )
    verify_jwt_in_request(locations=_token_places(g.orders_body))


def _dialect() -> Dialect:
    orders = current_orders
    return orders.session.get_bind(orders.models.Order).dialect


def _token_places(body: bytes | OrdersError) -> list[str]:
    """Return where a token may be.

    Not in JSON that is not an object, which Flask-JWT-Extended can't read.

    Raises:
        NoAuthorizationError: it could be nowhere else.
    """
    places = token_places()
    if "json" in places and not is_json_object(body):
        places.remove("json")
        if not places:
            raise NoAuthorizationError("Missing JSON body with a token.")
    return places
