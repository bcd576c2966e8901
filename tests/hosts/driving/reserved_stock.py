"""The hardware store."""

from typing import ClassVar

from ..drivers import Tables
from ._accounts import AccountDriver


class ReservedStock(AccountDriver):
    NAME = "reserved_stock"
    TABLES = Tables("products", "carts", "cart_items", "on_hand", "fo_orders", "fo_order_items")
    PRODUCT: ClassVar[dict[str, str]] = {"sku": "H-{}", "name": "Tool {}"}

    def stock(self) -> list[int]:
        return [row["on_hand"] - row["allocated"] for row in self.rows("products")]


DRIVER = ReservedStock
