"""The platform of bakeries; without a word of the test, everything happens in the first one."""

from typing import Any, ClassVar

from ..drivers import Buyer, Tables
from ._accounts import AccountDriver


class Tenants(AccountDriver):
    NAME = "tenants"
    TABLES = Tables("products", "carts", "cart_items", "stock")
    PRODUCT: ClassVar[dict[str, str]] = {"sku": "B-{}", "name": "Loaf {}"}

    def product(self, price: str = "10.00", stock: int = 10, **values: Any) -> int:
        return super().product(price, stock, **{"bakery_id": 1, **values})

    def delete(self, product: Any) -> None:
        """Mark a product as deleted."""
        self.call("DELETE", f"/products/{product}")

    def at(self, buyer: Buyer, bakery: int) -> Buyer:
        """Return the customer in another bakery's shop."""
        return Buyer(buyer.key, {**buyer.headers, "X-Bakery": str(bakery)})

    def save_for_later(self, buyer: Buyer, product: Any) -> None:
        self.call("POST", f"/cart/saved/{product}", buyer)


DRIVER = Tenants
