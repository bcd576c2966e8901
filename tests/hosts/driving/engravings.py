"""The jeweller."""

from typing import ClassVar

from ..drivers import Tables
from ._accounts import AccountDriver


class Engravings(AccountDriver):
    NAME = "engravings"
    TABLES = Tables("rings", "baskets", "basket_items", "stock")
    PRODUCT: ClassVar[dict[str, str]] = {"name": "Ring {}"}


DRIVER = Engravings
