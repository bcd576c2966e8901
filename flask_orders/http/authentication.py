"""Who the customer is: the token is verified, and its customer exists, before a view goes on.

The JWT and its answers are the shop's: a request without a valid token, or whose customer is gone,
gets the shop's own 401.
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

from ..errors import ConfigurationError, OrdersError, UnknownCustomer
from ..service import components_of, current_orders
from .customers import key_of_subject, key_of_user
from .requests import is_json_object, read_body, token_places

TOKEN_FREE = "openapi"  # noqa: S105 - an endpoint


def needs_no_token() -> bool:
    """Whether the request is for the one endpoint that anybody may call."""
    # By name: a shop may wrap the view functions.
    return str(request.endpoint).rpartition(".")[2] == TOKEN_FREE


def verify_token() -> None:
    """Read the body, then verify the request's token.

    Raises:
        ConfigurationError: the app has no JWTManager.
        JWTExtendedException, PyJWTError: there is no valid token.
    """
    if "flask-jwt-extended" not in current_app.extensions:
        raise ConfigurationError(
            "flask_orders can't tell who the customer is: the app needs JWTManager(app), of "
            "Flask-JWT-Extended."
        )
    # The user lookup takes a connection: what the client has still to send comes first.
    g.orders_body = read_body(current_orders.settings.max_body)
    verify_jwt_in_request(locations=_token_places(g.orders_body))


def customer_id() -> Any:
    """Return the key of the customer whom the token names, by the app's user lookup if any.

    Raises:
        UnknownCustomer: the token does not name a customer.
    """
    models = current_orders.models
    dialect = current_orders.session.get_bind(models.Order).dialect
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
    """Return the shop's own 401, as Flask-JWT-Extended does after a failed user lookup."""
    failed_lookup = UserLookupError("There is no such customer.", get_jwt_header(), get_jwt())
    return current_app.handle_user_exception(failed_lookup)


def _token_places(body: bytes | OrdersError) -> list[str]:
    """Return where a token may be.

    Not in JSON that is not an object, which Flask-JWT-Extended can't read.

    Raises:
        NoAuthorizationError: it could be nowhere else.
    """
    places = token_places(current_app.config)
    if "json" in places and not is_json_object(body):
        places.remove("json")
        if not places:
            raise NoAuthorizationError("Missing JSON body with a token.")
    return places
