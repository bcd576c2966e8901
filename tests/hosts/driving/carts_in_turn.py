"""The bookshop."""

from decimal import Decimal
from typing import Any, ClassVar

from ..drivers import Buyer, Tables
from ._accounts import AccountDriver


class CartsInTurn(AccountDriver):
    NAME = "carts_in_turn"
    TABLES = Tables("book", "basket", "basket_item", "copies")
    PRODUCT: ClassVar[dict[str, str]] = {"isbn": "978{:010}", "title": "Book {}"}
    STATE = "ordered"

    def price(self, text: str) -> Any:
        price = Decimal(text)
        assert price == int(price), "the prices of this shop are whole"
        return int(price)

    def close_cart(self, buyer: Buyer) -> None:
        """Close the customer's cart in the shop's own way; the items stay in it."""
        self.call("POST", "/cart/reserve", buyer)


DRIVER = CartsInTurn
