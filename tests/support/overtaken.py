"""An order whose running number another order takes while it is made."""

from functools import partial
from uuid import uuid4

from werkzeug.test import TestResponse

from .pacing import Paced, paced
from .requests import SAVE
from .shops import Shop


def overtaken_order(shop: Shop) -> TestResponse:
    """Return the answer to a second order, which conflicts once and becomes the third."""
    customer, product = shop.customer(), shop.product()
    shop.cart(customer, {product: 1})
    shop.order(customer)
    shop.fill(customer, {product: 1})
    request = Paced(partial(shop.post, customer, SAVE), 4)
    with paced(shop.engine, request):
        request.start()
        assert request.was_paused
        (first,) = shop.rows("orders")
        shop.add(shop.models.Order(**{**first, "id": uuid4(), "number": "2", "sequence": 2}))
        request.go_on()
        request.thread.join(5)
    answer: TestResponse = request.answer
    return answer
