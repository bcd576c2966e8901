"""The shop for records."""

from typing import ClassVar

from ..drivers import Buyer, Tables
from ._accounts import AccountDriver


class SavedForLater(AccountDriver):
    NAME = "saved_for_later"
    TABLES = Tables("records", "users", "wanted", "stock")
    PRODUCT: ClassVar[dict[str, str]] = {"sku": "LP-{}", "title": "Record {}"}

    def save(self, buyer: Buyer, product: int) -> None:
        """Save the product for later."""
        self.call("POST", f"/cart/later/{product}", buyer)


DRIVER = SavedForLater
