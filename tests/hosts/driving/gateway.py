"""The wine shop, as its gateway calls it."""

from decimal import Decimal
from typing import Any

from ..drivers import Buyer, Driver, Tables


class Gateway(Driver):
    NAME = "gateway"
    TABLES = Tables("wines", "crates", "places", "bottles")
    CART = "/crate"
    LISTING = "/wines"

    def customer(self) -> Buyer:
        key = f"acct_{self.number()}"
        return Buyer(key, {"X-Customer": key})

    def product(self, price: str = "10.00", stock: int = 10) -> int:
        label = f"Wine {self.number()}"
        return int(self.insert("wines", label=label, price=Decimal(price), bottles=stock))

    def reprice(self, product: Any, price: str) -> None:
        self.update("wines", product, price=Decimal(price))

    def withdraw(self, product: Any) -> None:
        self.update("wines", product, bottles=0)

    def put(self, buyer: Buyer, product: Any, quantity: int = 1) -> None:
        self.call("POST", f"/crate/{product}", buyer, {"bottles": quantity})


DRIVER = Gateway
