"""The tea shop; the basket is in the browser's cookie, and orders go by the shop's own view."""

from decimal import Decimal
from typing import Any

from flask.sessions import SecureCookieSessionInterface
from werkzeug.test import TestResponse

from ..drivers import PASSWORD, Buyer, Driver, Tables


class SessionCart(Driver):
    NAME = "session_cart"
    SUBMIT = "/checkout"
    TABLES = Tables("teas", "members", "cart_items", "tins")
    CART = "/basket"
    LISTING = "/teas"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._buyers: list[Buyer] = []

    def customer(self) -> Buyer:
        form = {"email": f"c{self.number()}@example.com", "password": PASSWORD}
        buyer = Buyer(self.call("POST", "/register", body=form)["id"], {})
        self.call("POST", "/sign-in", buyer, form)
        self._buyers.append(buyer)
        return buyer

    def product(self, price: str = "10.00", stock: int = 10) -> int:
        name = f"Tea {self.number()}"
        return int(self.insert("teas", name=name, price=Decimal(price), tins=stock))

    def reprice(self, product: Any, price: str) -> None:
        self.update("teas", product, price=Decimal(price))

    def withdraw(self, product: Any) -> None:
        self.update("teas", product, tins=0)

    def put(self, buyer: Buyer, product: Any, quantity: int = 1) -> None:
        self.call("POST", f"/basket/{product}", buyer, {"tins": quantity})

    def request(
        self, method: str, path: str, buyer: Buyer | None = None, body: Any = None
    ) -> TestResponse:
        """Send a request with the customer's cookies; keep the cookies of the response."""
        answer = super().request(method, path, buyer, body)
        for cookie in answer.headers.getlist("Set-Cookie"):
            if buyer is not None:
                name, _, rest = cookie.partition("=")
                buyer.cookies[name] = rest.partition(";")[0]
        return answer

    def order(self, buyer: Buyer, action: str = "save_order", **fields: Any) -> TestResponse:
        if "basket_id" not in self.session(buyer):
            # A basket of before the installation; it is seen before it is ordered.
            self.request("GET", self.CART, buyer)
        return super().order(buyer, action, **fields)

    def items_in_carts(self) -> int:
        return sum(len(self.session(buyer).get("basket", {})) for buyer in self._buyers)

    def session(self, buyer: Buyer) -> dict[str, Any]:
        """Return what is in the customer's cookie."""
        found: dict[str, Any] = self._signer.loads(buyer.cookies["session"])
        return found

    def change_session(self, buyer: Buyer, **values: Any) -> None:
        """Give the customer a cookie with other values."""
        buyer.cookies["session"] = self._signer.dumps({**self.session(buyer), **values})

    @property
    def _signer(self) -> Any:
        return SecureCookieSessionInterface().get_signing_serializer(self.app)

    def clear(self) -> None:
        super().clear()
        self._buyers.clear()


DRIVER = SessionCart
