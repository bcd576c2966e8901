"""A shop whose orders have a delivery address, a gift note and an invoice number."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.engine import URL, make_url

from flask_orders import ConfigurationError, current_orders
from flask_orders.errors import InvalidRequest
from flask_orders.signals import order_placing

from . import hosts
from .hosts.drivers import Buyer, running
from .hosts.driving.own_fields import OwnFields
from .support.database import nothing_changed
from .support.requests import HOME, ORDERS, PREVIEW, SAVE
from .support.responses import refused

DELIVERY = {"street": "1 Rue Neuve", "city": "Paris"}
GIFT: dict[str, Any] = {"gift_note": "For Ann", "delivery": DELIVERY}


@pytest.fixture(scope="module")
def module_host(server_url: URL) -> Iterator[Any]:
    with running("own_fields", server_url) as host:
        yield host


@pytest.fixture
def buyer(host: OwnFields) -> Buyer:
    """A customer with two bouquets in the cart."""
    buyer = host.customer()
    host.put(buyer, host.product("10.00"), 2)
    return buyer


def test_installing_costs_twenty_lines_and_eight_parts_at_most() -> None:
    assert hosts.added_lines("own_fields") <= 20
    assert hosts.parts("own_fields") <= 8


def test_nothing_is_wrong_with_it(host: OwnFields, buyer: Buyer) -> None:
    assert host.problems() == []


def test_the_fields_are_stored_and_in_every_response(host: OwnFields, buyer: Buyer) -> None:
    url = host.order(buyer, **GIFT).headers["Location"]
    (order,) = host.rows("orders")
    host.update("orders", order["id"], invoice_number="2026-7")
    seen = host.call("GET", url, buyer)
    assert {name: seen[name] for name in GIFT} == GIFT
    assert seen["invoice_number"] == "2026-7"
    (listed,) = host.call("GET", ORDERS, buyer)["results"]
    assert listed == seen
    described = host.call("GET", f"{ORDERS}openapi.json")["components"]["schemas"]
    assert set(GIFT) <= set(described["CreateOrder"]["properties"])
    assert "invoice_number" in described["Order"]["properties"]


def test_an_order_without_them_is_fine_and_the_preview_has_none(
    host: OwnFields, buyer: Buyer
) -> None:
    assert not {*GIFT, "invoice_number"} & set(host.call("GET", PREVIEW, buyer))
    assert host.order(buyer).status_code == 201
    (order,) = host.rows("orders")
    assert (order["gift_note"], order["delivery"], order["invoice_number"]) == (None, None, None)


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"gift_note": "x" * 201}, "gift_note"),
        ({"gift_note": "a\0b"}, "gift_note"),
        ({"delivery": {"street": "1 Rue Neuve"}}, "delivery.city"),
        ({"delivery": {**DELIVERY, "planet": "Mars"}}, "delivery.planet"),
        ({"invoice_number": "2026-1"}, "invoice_number"),
    ],
)
def test_a_field_at_fault_is_named_and_nothing_is_written(
    host: OwnFields, buyer: Buyer, fields: dict[str, Any], at_fault: str
) -> None:
    with nothing_changed(host):
        assert at_fault in refused(host.order(buyer, **fields), 400, "invalid_request")["errors"]


def test_the_idempotency_key_covers_them(host: OwnFields, buyer: Buyer) -> None:
    keyed = Buyer(buyer.key, {**buyer.headers, "Idempotency-Key": "one"})
    first, again = (host.request("POST", ORDERS, keyed, {**SAVE, **GIFT}) for _ in range(2))
    assert first.headers["Location"] == again.headers["Location"]
    with nothing_changed(host):
        other = host.request("POST", ORDERS, keyed, {**SAVE, **GIFT, "gift_note": "For Bob"})
        refused(other, 422, "idempotency_key_reused")


def test_a_view_of_the_shop_s_own_gives_them_as_extra(host: OwnFields, buyer: Buyer) -> None:
    """Also those that no client may send."""
    with host.app.app_context():
        current_orders.place(
            buyer.key, billing_address=HOME, extra={**GIFT, "invoice_number": "2026-7"}
        )
    (order,) = host.rows("orders")
    assert (order["gift_note"], order["invoice_number"]) == ("For Ann", "2026-7")
    assert order["delivery"] == DELIVERY


def test_a_receiver_may_set_them(host: OwnFields, buyer: Buyer) -> None:
    def number(_app: Any, order: Any, **_rest: Any) -> None:
        order.invoice_number = f"2026-{order.sequence}"

    with order_placing.connected_to(number, host.app):
        url = host.order(buyer, **GIFT).headers["Location"]
    assert host.call("GET", url, buyer)["invoice_number"] == "2026-1"


def test_an_extra_that_has_no_column_or_does_not_fit_is_refused(
    host: OwnFields, buyer: Buyer
) -> None:
    with host.app.app_context(), nothing_changed(host):
        with pytest.raises(ConfigurationError, match=r"'gift_notes'.*they are: gift_note"):
            current_orders.place(buyer.key, billing_address=HOME, extra={"gift_notes": "x"})
        with pytest.raises(InvalidRequest):
            current_orders.place(buyer.key, billing_address=HOME, extra={"gift_note": "x" * 201})


def test_a_field_without_a_column_is_refused_at_the_start() -> None:
    column = "    gift_note: Mapped[str | None] = mapped_column(String(200))  #"
    with pytest.raises(ConfigurationError, match="gift_note"):
        OwnFields(make_url("sqlite://"), replacing={column: "    #"})
