"""What the drawer remembers: each customer's last exchange, and the trick that is armed."""

from collections import OrderedDict
from threading import Lock
from typing import Generic, TypeVar

from flask import current_app, request
from flask_jwt_extended import decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt import PyJWTError

from .exchanges import Exchange

# The customers who are remembered.
MOST = 1000

EXTENSION_KEY = "show"

Remembered = TypeVar("Remembered")


class Newest(Generic[Remembered]):
    """One value for each of the customers who were here last."""

    def __init__(self) -> None:
        self._of = OrderedDict[int, Remembered]()
        self._lock = Lock()

    def put(self, customer_id: int, value: Remembered) -> None:
        """Remember a value instead of the customer's last one."""
        with self._lock:
            self._of[customer_id] = value
            self._of.move_to_end(customer_id)
            while len(self._of) > MOST:
                self._of.popitem(last=False)

    def get(self, customer_id: int) -> Remembered | None:
        """Return the customer's value."""
        return self._of.get(customer_id)

    def pop(self, customer_id: int) -> Remembered | None:
        """Return the customer's value and forget it."""
        with self._lock:
            return self._of.pop(customer_id, None)


class Memory:
    """The memory of one app, in one process."""

    def __init__(self) -> None:
        self.exchanges = Newest[Exchange]()
        self.armed = Newest[str]()


def memory() -> Memory:
    """Return the current app's memory."""
    found: Memory = current_app.extensions[EXTENSION_KEY]
    return found


def visitor() -> int | None:
    """Return the key of the customer who is signed in on the pages, by the cookie."""
    token = request.cookies.get("access_token_cookie")
    try:
        return None if token is None else int(decode_token(token)["sub"])
    except (JWTExtendedException, PyJWTError):
        return None
