"""The poster shop; its customers' browsers send JSON with their CSRF token."""

from typing import Any

from ..drivers import Buyer, Tables
from ._browsers import BrowserDriver, cookies_of, submit, token_in


class ServerRendered(BrowserDriver):
    NAME = "server_rendered"
    TABLES = Tables("poster", "user", "pick", None)
    CART = "/picked"
    LISTING = "/posters"

    def customer(self) -> Buyer:
        browser, email = self.signed_in()
        (key,) = [row["id"] for row in self.rows("user") if row["email"] == email]
        token = token_in(browser.get("/checkout").text)
        return Buyer(key, {"X-CSRFToken": token}, cookies_of(browser, "session"))

    def product(self, price: str = "10.00", stock: int = 10) -> int:
        name = f"Poster {self.number()}"
        return int(self.insert("poster", name=name, price=float(price), active=True))

    def reprice(self, product: Any, price: str) -> None:
        self.update("poster", product, price=float(price))

    def withdraw(self, product: Any) -> None:
        self.update("poster", product, active=False)

    def put(self, buyer: Buyer, product: Any, quantity: int = 1) -> None:
        browser = self.browser(buyer)
        for _ in range(quantity):
            picked = submit(browser, f"{self.LISTING}/{product}", {}, page="/checkout")
            assert picked.status_code == 302

    def items_in_carts(self) -> int:
        return len({(row["user_id"], row["poster_id"]) for row in self.rows("pick")})


DRIVER = ServerRendered
