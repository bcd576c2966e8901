"""The tea shop."""

from typing import ClassVar

from ..drivers import Tables
from ._accounts import AccountDriver


class OneCartEach(AccountDriver):
    NAME = "one_cart_each"
    TABLES = Tables("teas", "shopping_carts", "cart_entries", "packets")
    PRODUCT: ClassVar[dict[str, str]] = {"title": "Tea {}"}
    PRICE = "unit_price"


DRIVER = OneCartEach
