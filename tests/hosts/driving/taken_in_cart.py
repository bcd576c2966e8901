"""The box office."""

from collections import Counter
from typing import Any, ClassVar

from ..drivers import Buyer, Tables
from ._accounts import AccountDriver


class TakenInCart(AccountDriver):
    NAME = "taken_in_cart"
    TABLES = Tables("tickets", "carts", "cart_items", "left")
    PRODUCT: ClassVar[dict[str, str]] = {"name": "Seat {}"}

    def withdraw(self, product: Any) -> None:
        self.update("tickets", product, on_sale=False)

    def remove(self, buyer: Buyer, product: Any) -> None:
        """Remove a product from the cart."""
        self.call("DELETE", f"/cart/items/{product}", buyer)

    def stock(self) -> list[int]:
        """Return the units that no order has: those that are left, and those in carts."""
        in_carts = Counter[Any]()
        for row in self.rows("cart_items"):
            in_carts[row["product_id"]] += row["quantity"]
        return [row["left"] + in_carts[row["id"]] for row in self.rows("tickets")]


DRIVER = TakenInCart
