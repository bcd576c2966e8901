"""The option `current_customer=`: the shop's own function or proxy names the request's customer.

A visitor who has not signed in is nobody, whatever object stands for one.
"""

from collections.abc import Callable
from inspect import iscoroutinefunction, signature
from typing import Any

from werkzeug.local import LocalProxy

from .errors import ConfigurationError

# A proxy is callable, too.
CurrentCustomer = Callable[[], Any]


def check_current_customer(source: Any) -> None:
    """Refuse what can't name a customer, when it is registered.

    Raises:
        ConfigurationError: it is neither a function without arguments nor a proxy.
    """
    problem = None if isinstance(source, LocalProxy) else _problem(source)
    if problem is not None:
        raise ConfigurationError(
            "register_blueprint(orders_bp, current_customer=...) takes a proxy, or a function "
            f"without arguments that is called in each request; {problem}. With Flask-Login write "
            "current_customer=current_user; with a session, "
            "current_customer=lambda: session.get('customer_id')."
        )


def ask(source: CurrentCustomer) -> Any:
    """Return what the shop's function or proxy gives now."""
    try:
        return unwrapped(source if isinstance(source, LocalProxy) else source())
    except AttributeError as error:
        # `current_user.customer_id`: Flask-Login's anonymous user has no such attribute.
        if is_signed_in(error.obj):
            raise
        return None


def unwrapped(value: Any) -> Any:
    """Return the object behind a proxy, or the value itself."""
    return value._get_current_object() if isinstance(value, LocalProxy) else value


def is_signed_in(value: Any) -> bool:
    """Return whether a value is a customer by the rules of Flask-Login's `login_required`."""
    if value is None or value is False:
        return False
    if isinstance(value, type):  # whose attributes are properties, not their values
        return True
    return _flag(value, "is_authenticated", default=True) and not _flag(
        value, "is_anonymous", default=False
    )


def _flag(value: Any, name: str, *, default: bool) -> bool:
    # Shops from before Flask-Login 0.3 have methods.
    found = getattr(value, name, default)
    return bool(found() if callable(found) else found)


def _problem(source: Any) -> str | None:
    if not callable(source):
        return f"it was given an object of {type(source).__name__}"
    if isinstance(source, type):
        return f"it was given the class {source.__name__}"
    if iscoroutinefunction(source):
        return "it was given an async function"
    try:
        signature(source).bind()
    except TypeError as error:
        return f"it was given a function that needs arguments ({error})"
    except ValueError:  # a function in C may not say what it takes
        return None
    return None
