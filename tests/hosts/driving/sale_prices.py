"""The shoe shop."""

from typing import Any, ClassVar

from flask_orders import current_orders

from ..drivers import Buyer, Tables, VoucherDriver
from ._accounts import AccountDriver


class SalePrices(AccountDriver, VoucherDriver):
    NAME = "sale_prices"
    TABLES = Tables("shoes", "carts", "cart_items", "pairs")
    PRODUCT: ClassVar[dict[str, str]] = {"article": "S{}", "name": "Shoe {}"}
    PRICE = "regular_price"
    VOUCHER = "code"

    def voucher(self, code: str, limit: int) -> None:
        self.add("Voucher", code=code, discount_value=10, usage_limit=limit)

    def add(self, name: str, **values: Any) -> None:
        """Store an offer or a voucher in per cent."""
        with self.app.app_context():
            cls = getattr(current_orders.models, name)
            self.module.db.session.add(cls(discount_type="percentage", **values))
            self.module.db.session.commit()

    def apply(self, buyer: Buyer, code: str) -> None:
        self.call("POST", "/cart/code", buyer, {"code": code})

    def uses_left(self) -> list[int]:
        return [row["usage_limit"] - row["times_used"] for row in self.rows("vouchers")]


DRIVER = SalePrices
