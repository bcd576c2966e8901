"""The shop for shirts, with a JWT in a cookie."""

from decimal import Decimal
from typing import Any

from ..drivers import PASSWORD, Buyer, Driver, Tables
from ._browsers import cookies_of

COOKIES = ("access_token_cookie", "csrf_access_token")


class Association(Driver):
    NAME = "association"
    TABLES = Tables("sizes", "users", "wanted", "left")
    CART = "/wanted"
    LISTING = "/shirts"

    def customer(self) -> Buyer:
        form = {"email": f"c{self.number()}@example.com", "password": PASSWORD}
        key = self.call("POST", "/register", body=form)["id"]
        browser = self.app.test_client()
        assert browser.post("/sign-in", json=form).status_code == 200
        cookies = cookies_of(browser, *COOKIES)
        return Buyer(key, {"X-CSRF-TOKEN": cookies["csrf_access_token"]}, cookies)

    def product(self, price: str = "10.00", stock: int = 10) -> int:
        """Store a size of a shirt of its own."""
        title = f"Shirt {self.number()}"
        shirt = self.insert("shirts", title=title, price_in_cents=cents(price))
        return int(self.insert("sizes", shirt_id=shirt, label="M", left=stock))

    def reprice(self, product: Any, price: str) -> None:
        (size,) = [row for row in self.rows("sizes") if row["id"] == product]
        self.update("shirts", size["shirt_id"], price_in_cents=cents(price))

    def withdraw(self, product: Any) -> None:
        self.update("sizes", product, left=0)

    def put(self, buyer: Buyer, product: Any, quantity: int = 1) -> None:
        self.call("PUT", f"/wanted/{product}", buyer, {"how_many": quantity})


def cents(price: str) -> int:
    return int(Decimal(price) * 100)


DRIVER = Association
