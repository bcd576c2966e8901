"""Find the key of the customer that a request's credentials identify, never another customer's.

An app with a user lookup must return an object of the mapped customer class, and nothing else; only
without a lookup is the JWT's subject read as the customer's key. `current_customer=` may give
either of them.
"""

from typing import Any

from sqlalchemy import Dialect, inspect
from sqlalchemy.types import TypeEngine

from ..current_customer import is_signed_in, unwrapped
from ..errors import ConfigurationError, UnknownCustomer
from ..key_values import holds, keys_spelled
from ..models import Models
from ..models.contract import primary_key, table


def key_of_user(models: Models, user: Any, dialect: Dialect) -> Any:
    """Return the key of the object that the app's user lookup returned.

    Raises:
        UnknownCustomer: the object was made from the token's claims alone, and its key can't be
            a customer's.
        ConfigurationError: it is not of the mapped class, so that its key, or the subject, could
            be another customer's.
    """
    customer: Any = models.Customer
    user = unwrapped(user)
    if not isinstance(user, customer):
        raise ConfigurationError(
            f"The JWT's user lookup returned an object of {type(user).__name__}, but "
            f"declare_models(...) has {customer.__name__} for the customers: let the "
            f"user_lookup_loader return the {customer.__name__} that the token identifies, or "
            "None, or give declare_models(customer=...) the class that it returns."
        )
    return _key_of_object(models, user, dialect)


def key_of_current(models: Models, value: Any, dialect: Dialect) -> Any:
    """Return the key of the customer whom the shop's `current_customer=` has named.

    Raises:
        UnknownCustomer: nobody is signed in, or the text or number can't be a key.
        ConfigurationError: it is no key and not of the mapped class, so that its key could be
            another customer's.
    """
    customer = models.Customer
    if not is_signed_in(value):
        raise UnknownCustomer
    if customer is not None and isinstance(value, customer):
        return _key_of_object(models, value, dialect)
    if isinstance(value, str | int) and not isinstance(value, bool):
        return key_of_subject(models, value, dialect)
    if holds(_key_type(models), value, dialect):
        return value
    raise ConfigurationError(_not_a_customer(customer, type(value).__name__))


def _not_a_customer(customer: type[Any] | None, given: str) -> str:
    gave = f"register_blueprint(orders_bp, current_customer=...): it gave an object of {given}"
    if customer is None:
        return (
            f"{gave}, and the shop has no class of customers: call declare_models(db, "
            f"customer={given}) if that is their class, or let it give the customer's key as text."
        )
    return (
        f"{gave}, but declare_models(...) has {customer.__name__} for the customers: let it give "
        f"the {customer.__name__}, its key or None, as in "
        "current_customer=lambda: current_user.customer_id, or give declare_models(customer=...) "
        "the class that it gives."
    )


def _key_of_object(models: Models, user: Any, dialect: Dialect) -> Any:
    identity = inspect(user).identity
    if identity is not None:
        return identity[0]
    # It may be made from a token's claims alone, which saves a query.
    (key,) = inspect(models.Customer).primary_key_from_instance(user)
    return key_of_subject(models, key, dialect) if isinstance(key, str | int | None) else key


def key_of_subject(models: Models, subject: Any, dialect: Dialect) -> Any:
    """Return the customer's key that a JWT's subject spells.

    Raises:
        UnknownCustomer: the subject can't be a key.
    """
    # With JWT_VERIFY_SUB = False a subject may be a number.
    if isinstance(subject, bool) or not isinstance(subject, str | int):
        raise UnknownCustomer
    for found in keys_spelled(_key_type(models), str(subject), dialect):
        return found
    raise UnknownCustomer


def _key_type(models: Models) -> TypeEngine[Any]:
    customer = models.Customer
    key = table(models.Order).c.customer_id if customer is None else primary_key(customer)
    return key.type
