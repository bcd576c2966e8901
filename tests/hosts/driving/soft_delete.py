"""The shop for plants."""

from typing import Any, ClassVar

from ..drivers import Buyer, Tables
from ._accounts import AccountDriver


class SoftDelete(AccountDriver):
    NAME = "soft_delete"
    TABLES = Tables("plants", "carts", "cart_items", "stock")
    PRODUCT: ClassVar[dict[str, str]] = {"sku": "P-{}", "name": "Plant {}"}
    MARK = "deleted_at"

    def withdraw(self, product: Any) -> None:
        self.call("DELETE", f"/products/{product}")

    def remove(self, buyer: Buyer, product: int) -> None:
        """Remove a product from the cart."""
        self.call("DELETE", f"/cart/items/{product}", buyer)

    def discard(self, buyer: Buyer) -> None:
        """Discard the whole cart."""
        self.call("DELETE", "/cart", buyer)


DRIVER = SoftDelete
