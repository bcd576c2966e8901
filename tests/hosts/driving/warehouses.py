"""The furniture shop."""

from typing import Any, ClassVar

from ..drivers import Tables
from ._accounts import AccountDriver


class Warehouses(AccountDriver):
    NAME = "warehouses"
    TABLES = Tables("products", "carts", "cart_items", "units")
    PRODUCT: ClassVar[dict[str, str]] = {"sku": "F-{}", "name": "Chair {}"}

    def product(self, price: str = "10.00", stock: int = 10, **values: Any) -> int:
        number = self.number()
        texts = {name: text.format(number) for name, text in self.PRODUCT.items()}
        key = int(self.insert("products", price=self.price(price), **texts, **values))
        for warehouse, units in (("harbour", stock // 2), ("mill", stock - stock // 2)):
            self.insert("stock_levels", product_id=key, warehouse=warehouse, units=units)
        return key

    def withdraw(self, product: Any) -> None:
        levels = self.tables["stock_levels"]
        self.change(levels.update().where(levels.c.product_id == product).values(units=0))

    def stock(self) -> list[int]:
        return [self.left(row["id"]) for row in self.rows("products")]

    def left(self, product: Any) -> int:
        """Return a product's units in all warehouses."""
        rows = self.rows("stock_levels")
        return sum(row["units"] for row in rows if row["product_id"] == product)


DRIVER = Warehouses
