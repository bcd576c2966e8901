"""The clothes shop."""

from decimal import Decimal
from typing import Any

from ..drivers import PASSWORD, Buyer, Tables, VoucherDriver

SURCHARGE = Decimal("0.25")


class Variants(VoucherDriver):
    NAME = "variants"
    VOUCHER = "voucher_code"
    TABLES = Tables("variants", "carts", "cart_lines", "stock", "fo_orders", "fo_order_items")
    CART = "/cart"
    LISTING = "/products"

    def customer(self) -> Buyer:
        """Sign a new customer up, who comes for what they buy."""
        form = {"email": f"c{self.number()}@example.com", "password": PASSWORD}
        found = self.call("POST", "/register", body=form)
        buyer = Buyer(found["id"], {"Authorization": f"Bearer {found['token']}"})
        self.call("PUT", "/cart", buyer, {"delivery": "pickup"})
        return buyer

    def product(self, price: str = "10.00", stock: int = 10) -> int:
        """Store a variant that costs a quarter more than its product."""
        sku, base_price = f"SKU-{self.number()}", Decimal(price) - SURCHARGE
        parent = self.insert("products", title=sku, base_price=base_price, published=True)
        return self.variant(parent, SURCHARGE, stock)

    def variant(self, parent: int, surcharge: Decimal, stock: int = 10) -> int:
        values = {"product_id": parent, "sku": f"SKU-{self.number()}", "size": "M"}
        return int(self.insert("variants", surcharge=surcharge, stock=stock, **values))

    def reprice(self, product: Any, price: str) -> None:
        self.update("products", self.parent(product), base_price=Decimal(price) - SURCHARGE)

    def withdraw(self, product: Any) -> None:
        self.update("products", self.parent(product), published=False)

    def put(self, buyer: Buyer, product: Any, quantity: int = 1) -> None:
        self.call("POST", "/cart/lines", buyer, {"product_id": product, "quantity": quantity})

    def voucher(self, code: str, limit: int, percent: str = "10.0", minimum: str = "0") -> None:
        values = {"percent": Decimal(percent), "minimum": Decimal(minimum)}
        self.insert("vouchers", code=code, uses_left=limit, **values)

    def apply(self, buyer: Buyer, code: str) -> None:
        self.call("PUT", "/cart", buyer, {"voucher": code})

    def uses_left(self) -> list[int]:
        return [row["uses_left"] for row in self.rows("vouchers")]

    def parent(self, key: int) -> int:
        found = (row["product_id"] for row in self.rows("variants") if row["id"] == key)
        return int(next(found))


DRIVER = Variants
