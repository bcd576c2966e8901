"""The jeweller."""

from typing import Any, ClassVar

from ..drivers import Buyer, Tables
from ._accounts import AccountDriver


class Engravings(AccountDriver):
    NAME = "engravings"
    TABLES = Tables("rings", "baskets", "basket_items", "stock")
    PRODUCT: ClassVar[dict[str, str]] = {"name": "Ring {}"}

    def put_with(self, buyer: Buyer, product: int, **form: Any) -> None:
        """Put a ring of a size, and with an engraving, into the basket."""
        self.call("POST", "/cart/items", buyer, {"product_id": product, **form})


DRIVER = Engravings
