"""The shop for tools; the key of a login is never that of its company."""

from decimal import Decimal
from typing import Any

from ..drivers import PASSWORD, Buyer, Driver, Tables
from ._browsers import cookies_of


class TwoTables(Driver):
    NAME = "two_tables"
    TABLES = Tables("tools", "baskets", "lines", "stock")
    CART = "/basket"
    LISTING = "/tools"

    def customer(self) -> Buyer:
        # Else the keys of both tables would be the same.
        self.login(company=None)
        return self.login(company=f"Company {self.number()}")

    def login(self, company: str | None) -> Buyer:
        """Sign a new person up and in."""
        form = {"email": f"c{self.number()}@example.com", "password": PASSWORD}
        found = self.call("POST", "/register", body={**form, "company": company})
        browser = self.app.test_client()
        assert browser.post("/sign-in", json=form).status_code == 200
        return Buyer(found["company"], {}, cookies_of(browser, "session"))

    def product(self, price: str = "10.00", stock: int = 10) -> int:
        sku = f"T{self.number()}"
        values = {"sku": sku, "name": f"Tool {sku}", "stock": stock}
        return int(self.insert("tools", price=Decimal(price), **values))

    def reprice(self, product: Any, price: str) -> None:
        self.update("tools", product, price=Decimal(price))

    def withdraw(self, product: Any) -> None:
        self.update("tools", product, stock=0)

    def put(self, buyer: Buyer, product: Any, quantity: int = 1) -> None:
        self.call("POST", f"/basket/{product}", buyer, {"quantity": quantity})


DRIVER = TwoTables
