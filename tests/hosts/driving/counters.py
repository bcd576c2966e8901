"""The pet shop."""

from typing import ClassVar

from ..drivers import Tables
from ._accounts import AccountDriver


class Counters(AccountDriver):
    NAME = "counters"
    TABLES = Tables("articles", "carts", "cart_items", "stock")
    PRODUCT: ClassVar[dict[str, str]] = {"name": "Article {}"}


DRIVER = Counters
