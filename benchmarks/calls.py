"""The library's endpoint, asked as a client asks it; called by the parts.

The whole of Flask is included: the test client, the JWT, the user lookup, marshmallow.
"""

from time import perf_counter
from typing import Any
from uuid import UUID

from tests.shops import ORDERS

from .stage import Purchase, Stage


class Calls:
    """Each call returns the seconds it took; what it needs is made ready before."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._client = stage.shop.app.test_client()
        self._keys = 0

    def purchase(self, items: int) -> Purchase:
        """A cart of any products."""
        return self._stage.purchase(self._stage.products(items))

    def place(self, purchase: Purchase, key: str | None = None) -> tuple[float, UUID]:
        """Order the purchase: a `Contender`."""
        request = {"action": "checkout", "billing_address": purchase.address}
        seconds, answer = self._send("POST", ORDERS, purchase, 303, json=request, key=key)
        return seconds, UUID(answer.json["order"].rstrip("/").rpartition("/")[2])

    def post(self, items: int) -> float:
        """Order any products, with a voucher and to a new address."""
        return self.place(self.purchase(items))[0]

    def post_to_known_address(self, items: int) -> float:
        """As `post`, to an address that the customer has used before."""
        purchase = self.purchase(items)
        self._stage.remember(purchase)
        return self.place(purchase)[0]

    def post_with_key(self, items: int) -> float:
        """As `post`, with an Idempotency-Key."""
        self._keys += 1
        return self.place(self.purchase(items), f"key-{self._keys}")[0]

    def post_to_saved_address(self) -> float:
        """Order five products, to the address that was used last."""
        purchase = self.purchase(5)
        self._stage.remember(purchase)
        request = {"action": "save_order"}
        return self._send("POST", ORDERS, purchase, 201, json=request)[0]

    def refused(self) -> float:
        """Order a cart that was ordered just now: it is empty."""
        purchase, _ = self._ordered()
        return self._send("POST", ORDERS, purchase, 400, json={"action": "save_order"})[0]

    def get(self) -> float:
        """Read an order of five products."""
        purchase, url = self._ordered()
        return self._send("GET", url, purchase, 200)[0]

    def get_list(self) -> float:
        """Read a page of orders."""
        return self._send("GET", ORDERS, self._ordered()[0], 200)[0]

    def get_preview(self) -> float:
        """See what a cart of five products would cost, and order it."""
        purchase = self.purchase(5)
        seconds, _ = self._send("GET", ORDERS + "preview/", purchase, 200)
        self.place(purchase)
        return seconds

    def _ordered(self) -> tuple[Purchase, str]:
        """A purchase that was made just now, and its order's address."""
        purchase = self.purchase(5)
        _, order_id = self.place(purchase)
        return purchase, f"{ORDERS}{order_id}/"

    def _send(
        self,
        method: str,
        url: str,
        purchase: Purchase,
        expected: int,
        json: Any = None,
        key: str | None = None,
    ) -> tuple[float, Any]:
        headers = dict(purchase.headers)
        if key is not None:
            headers["Idempotency-Key"] = key
        started = perf_counter()
        answer = self._client.open(url, method=method, headers=headers, json=json)
        seconds = perf_counter() - started
        if answer.status_code != expected:
            raise RuntimeError(f"{method} {url}: {answer.status}: {answer.text}")
        return seconds, answer
