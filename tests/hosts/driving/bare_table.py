"""The shop for seeds, with its own token."""

from decimal import Decimal
from typing import Any

from ..drivers import PASSWORD, Buyer, Driver, Tables


class BareTable(Driver):
    NAME = "bare_table"
    TABLES = Tables("seed", "basket", "basket_seed", "bags")
    CART = "/basket"
    LISTING = "/seeds"

    def customer(self) -> Buyer:
        form = {"email": f"c{self.number()}@example.com", "password": PASSWORD}
        key = self.call("POST", "/register", body=form)["id"]
        token = self.call("POST", "/sign-in", body=form)["token"]
        return Buyer(key, {"Authorization": f"Bearer {token}"})

    def product(self, price: str = "10.00", stock: int = 10) -> int:
        article = f"S{self.number()}"
        values = {"article": article, "plant": f"Plant {article}", "bags": stock}
        return int(self.insert("seed", price=Decimal(price), **values))

    def reprice(self, product: Any, price: str) -> None:
        self.update("seed", product, price=Decimal(price))

    def withdraw(self, product: Any) -> None:
        self.update("seed", product, bags=0)

    def put(self, buyer: Buyer, product: Any, quantity: int = 1) -> None:
        (seed,) = [row for row in self.rows("seed") if row["id"] == product]
        self.call("POST", "/basket", buyer, {"article": seed["article"], "bags": quantity})


DRIVER = BareTable
