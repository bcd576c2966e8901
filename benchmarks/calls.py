"""The library's endpoint, asked as a client asks it; called by the parts.

The whole of Flask is included: the test client, the JWT, the user lookup, marshmallow.
"""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any
from uuid import UUID

from tests.support.shops import ORDERS

from .stage import Purchase, Stage

# A call whose cart is filled and whose order is there; the seconds it took.
Ready = Callable[[], float]


def prepared(prepare: Callable[[], Ready]) -> Callable[[], float]:
    """Make a call ready and send it, of which only the sending counts."""
    return lambda: prepare()()


class Calls:
    """Each method but `place` makes a call ready."""

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

    def post(self, items: int) -> Ready:
        """Order any products, with a voucher and to a new address."""
        purchase = self.purchase(items)
        return lambda: self.place(purchase)[0]

    def post_to_known_address(self, items: int) -> Ready:
        """As `post`, to an address that the customer has used before."""
        purchase = self.purchase(items)
        self._stage.remember(purchase)
        return lambda: self.place(purchase)[0]

    def post_with_key(self, items: int) -> Ready:
        """As `post`, with an Idempotency-Key."""
        self._keys += 1
        purchase, key = self.purchase(items), f"key-{self._keys}"
        return lambda: self.place(purchase, key)[0]

    def post_to_saved_address(self) -> Ready:
        """Order five products, to the address that was used last."""
        purchase = self.purchase(5)
        self._stage.remember(purchase)
        return self._ready("POST", ORDERS, purchase, 201, json={"action": "save_order"})

    def refused(self) -> Ready:
        """Order a cart that was ordered just now: it is empty."""
        purchase, _ = self._ordered()
        return self._ready("POST", ORDERS, purchase, 400, json={"action": "save_order"})

    def get(self) -> Ready:
        """Read an order of five products."""
        purchase, url = self._ordered()
        return self._ready("GET", url, purchase, 200)

    def get_list(self, limit: int) -> Ready:
        """Read a page of orders, of which the customer has one at least."""
        purchase, _ = self._ordered()
        return self._ready("GET", f"{ORDERS}?limit={limit}", purchase, 200)

    def get_preview(self) -> Ready:
        """See what a cart of three products would cost."""
        return self._ready("GET", ORDERS + "preview/", self._stage.onlooker(), 200)

    def _ready(self, method: str, url: str, who: Purchase, expected: int, **options: Any) -> Ready:
        send = partial(self._send, method, url, who, expected, **options)
        return lambda: send()[0]

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
