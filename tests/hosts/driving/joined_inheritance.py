"""The bookshop."""

from decimal import Decimal
from typing import Any

from flask_orders import current_orders

from ..drivers import Buyer, Tables, VoucherDriver
from ._accounts import AccountDriver


class JoinedInheritance(AccountDriver, VoucherDriver):
    NAME = "joined_inheritance"
    TABLES = Tables("products", "carts", "cart_items", "stock")

    def product(self, price: str = "10.00", stock: int = 10, **values: Any) -> int:
        number = self.number()
        found = {"kind": "book", "name": f"Book {number}", "price": Decimal(price), "version": 1}
        key = int(self.insert("listings", **found, **values))
        self.insert("products", id=key, stock=stock)
        self.insert("books", id=key, isbn=str(number))
        return key

    def reprice(self, product: Any, price: str) -> None:
        self.update("listings", product, price=Decimal(price))

    def wrap(self, buyer: Buyer, product: Any, message: str) -> None:
        """Put a product into the cart as a gift."""
        form = {"product_id": product, "quantity": 1, "message": message}
        self.call("POST", "/cart/items", buyer, form)

    def voucher(self, code: str, limit: int) -> None:
        with self.app.app_context():
            voucher = current_orders.models.Voucher
            row = voucher(
                code=code, discount_type="percentage", discount_value=10, usage_limit=limit
            )
            self.module.db.session.add(row)
            self.module.db.session.commit()

    def apply(self, buyer: Buyer, code: str) -> None:
        self.call("POST", "/cart/coupon", buyer, {"code": code})

    def uses_left(self) -> list[int]:
        return [row["usage_limit"] - row["times_used"] for row in self.rows("vouchers")]


DRIVER = JoinedInheritance
