"""The shop with public ids."""

from decimal import Decimal
from typing import Any

from ..drivers import Tables
from ._accounts import AccountDriver


class PublicIds(AccountDriver):
    NAME = "public_ids"
    TABLES = Tables("products", "carts", "cart_items", "stock")

    def product(self, price: str = "10.00", stock: int = 10, **values: Any) -> Any:
        sku = f"Sku-{self.number()}"
        found = {"sku": sku, "name": f"Product {sku}", "price": Decimal(price), "stock": stock}
        return self.insert("products", **{**found, **values})


DRIVER = PublicIds
