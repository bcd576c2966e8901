"""Send a client's requests to the library's endpoint.

All of Flask is included: the test client, the JWT, the user lookup, marshmallow.
"""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any
from uuid import UUID

from tests.support.requests import ORDERS

from .stage import Purchase, Stage

# A call whose cart or order is prepared; it returns the seconds that it took.
Ready = Callable[[], float]


def prepared(prepare: Callable[[], Ready]) -> Callable[[], float]:
    """Prepare a call and send it; only the sending is timed."""
    return lambda: prepare()()


class Calls:
    """The requests that are measured: each method except `place` prepares one."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._client = stage.shop.app.test_client()
        self._keys = 0

    def purchase(self, items: int) -> Purchase:
        """Fill a cart with random products."""
        return self._stage.purchase(self._stage.products(items))

    def place(self, purchase: Purchase, key: str | None = None) -> tuple[float, UUID]:
        """Order the purchase (a `Contender`)."""
        request = {"action": "checkout", "billing_address": purchase.address}
        seconds, answer = self._send("POST", ORDERS, purchase, 303, json=request, key=key)
        return seconds, UUID(answer.json["order"].rstrip("/").rpartition("/")[2])

    def post(self, items: int) -> Ready:
        """Order random products with a voucher and a new address."""
        purchase = self.purchase(items)
        return lambda: self.place(purchase)[0]

    def post_after_list(self, items: int) -> Ready:
        """Order as `post` does, right after a GET of the list, as a client with a page does."""
        self.get_list(20)()
        return self.post(items)

    def post_after_page(self, url: str) -> Ready:
        """Order five products right after a GET of a page of the shop's own."""
        if self._client.get(url).status_code != 200:
            raise RuntimeError(f"GET {url} has failed")
        return self.post(5)

    def post_to_known_address(self, items: int) -> Ready:
        """Order as `post` does, with an address of the address book."""
        purchase = self.purchase(items)
        self._stage.remember(purchase)
        return lambda: self.place(purchase)[0]

    def post_with_key(self, items: int) -> Ready:
        """Order as `post` does, with an Idempotency-Key."""
        self._keys += 1
        purchase, key = self.purchase(items), f"key-{self._keys}"
        return lambda: self.place(purchase, key)[0]

    def post_to_saved_address(self) -> Ready:
        """Order five products with the saved address."""
        purchase = self.purchase(5)
        self._stage.remember(purchase)
        return self._ready("POST", ORDERS, purchase, 201, json={"action": "save_order"})

    def refused(self) -> Ready:
        """Order a cart that has just been ordered and is empty."""
        purchase, _ = self._ordered()
        return self._ready("POST", ORDERS, purchase, 400, json={"action": "save_order"})

    def get(self) -> Ready:
        """Get an order of five products."""
        purchase, url = self._ordered()
        return self._ready("GET", url, purchase, 200)

    def get_list(self, limit: int) -> Ready:
        """Get a page of the customer's orders, at least one."""
        purchase, _ = self._ordered()
        return self._ready("GET", f"{ORDERS}?limit={limit}", purchase, 200)

    def get_preview(self) -> Ready:
        """Get the preview of a cart of three products."""
        return self._ready("GET", ORDERS + "preview/", self._stage.onlooker(), 200)

    def _ready(
        self, method: str, url: str, purchase: Purchase, expected: int, **options: Any
    ) -> Ready:
        send = partial(self._send, method, url, purchase, expected, **options)
        return lambda: send()[0]

    def _ordered(self) -> tuple[Purchase, str]:
        """Place an order; return its purchase and its URL."""
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
