"""What the shops have in common whose customers register by e-mail and are given a token."""

from decimal import Decimal
from typing import Any, ClassVar

from ..drivers import PASSWORD, Buyer, Driver


class AccountDriver(Driver):
    """A shop with `/register`, `/products` and `/cart`; its products are rows of one table.

    Attributes:
        PRODUCT: the values of a product's other columns.
        PRICE: the column of the price.
    """

    CART = "/cart"
    LISTING = "/products"
    PRODUCT: ClassVar[dict[str, Any]] = {}
    PRICE: ClassVar[str] = "price"

    def customer(self) -> Buyer:
        form = {"email": f"c{self.number()}@example.com", "password": PASSWORD}
        found = self.call("POST", "/register", body=form)
        return Buyer(found["id"], {"Authorization": f"Bearer {found['token']}"})

    def product(self, price: str = "10.00", stock: int = 10, **values: Any) -> int:
        number, counted = self.number(), {self.TABLES.stock: stock}
        texts = {name: text.format(number) for name, text in self.PRODUCT.items()}
        found = {**texts, **counted, self.PRICE: self.price(price), **values}
        return int(self.insert(self.TABLES.products, **found))

    def price(self, text: str) -> Any:
        """Return a price as the shop's column holds it."""
        return Decimal(text)

    def reprice(self, product: Any, price: str) -> None:
        self.update(self.TABLES.products, product, **{self.PRICE: self.price(price)})

    def withdraw(self, product: Any) -> None:
        assert self.TABLES.stock is not None
        self.update(self.TABLES.products, product, **{self.TABLES.stock: 0})

    def put(self, buyer: Buyer, product: Any, quantity: int = 1) -> None:
        self.call("POST", "/cart/items", buyer, {"product_id": product, "quantity": quantity})
