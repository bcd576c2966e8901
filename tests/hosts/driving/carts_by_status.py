"""The shop for garden tools."""

from typing import ClassVar

from ..drivers import Buyer, Tables
from ._accounts import AccountDriver


class CartsByStatus(AccountDriver):
    NAME = "carts_by_status"
    TABLES = Tables("tools", "carts", "cart_items", "stock")
    PRODUCT: ClassVar[dict[str, str]] = {"name": "Tool {}"}
    STATE = "status"

    def close_cart(self, buyer: Buyer) -> None:
        """Close the customer's cart in the shop's own way; the items stay in it."""
        self.call("POST", "/cart/abandon", buyer)


DRIVER = CartsByStatus
