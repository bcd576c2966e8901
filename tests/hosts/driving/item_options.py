"""The photo laboratory."""

from decimal import Decimal
from typing import Any

from ..drivers import Buyer, Tables
from ._accounts import AccountDriver


class ItemOptions(AccountDriver):
    NAME = "item_options"
    TABLES = Tables("prints", "carts", "cart_items", None)

    def product(self, price: str = "10.00", stock: int = 10, **values: Any) -> int:
        found = {"name": f"Print {self.number()}", "on_sale": True, **values}
        return int(self.insert("prints", price=Decimal(price), **found))

    def clear(self) -> None:
        # InnoDB checks a DELETE row by row, and gifts point to other items.
        self.change(self.tables["cart_items"].update().values(gift_of_id=None))
        super().clear()

    def withdraw(self, product: Any) -> None:
        self.update("prints", product, on_sale=False)

    def put_with(self, buyer: Buyer, product: int, **form: Any) -> int:
        """Put a product into the cart with options, or as a gift; return the item's key."""
        line = {"product_id": product, "quantity": 1, **form}
        return int(self.call("POST", "/cart/items", buyer, line)["id"])


DRIVER = ItemOptions
