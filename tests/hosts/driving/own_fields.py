"""The florist."""

from typing import ClassVar

from ..drivers import Tables
from ._accounts import AccountDriver


class OwnFields(AccountDriver):
    NAME = "own_fields"
    TABLES = Tables("bouquets", "carts", "cart_items", "stock")
    PRODUCT: ClassVar[dict[str, str]] = {"sku": "B-{}", "name": "Bouquet {}"}


DRIVER = OwnFields
