"""The shop for lamps."""

from typing import ClassVar

from ..drivers import Tables
from .soft_delete import SoftDelete


class SoftDeleteQuery(SoftDelete):
    NAME = "soft_delete_query"
    TABLES = Tables("lamp", "cart", "cart_item", "stock")
    PRODUCT: ClassVar[dict[str, str]] = {"sku": "L-{}", "name": "Lamp {}"}
    MARK = "is_deleted"


DRIVER = SoftDeleteQuery
