"""`POST /`: its responses, and the rows it writes."""

from decimal import Decimal
from uuid import UUID

import pytest

from .support.requests import ADDRESS, CHECKOUT, ORDERS
from .support.responses import body
from .support.shops import Shop

pytestmark = pytest.mark.usefixtures("each_writer")


def test_checkout_redirects_to_payment(shop: Shop) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})

    answer = shop.post(customer, CHECKOUT)

    (order,) = shop.rows("orders")
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/pay/{order['id']}/"
    assert answer.json == {
        "order": f"{ORDERS}{order['id']}/",
        "payment": f"/pay/{order['id']}/",
    }


def test_save_order_returns_the_documented_sentence(shop: Shop) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})

    answer = shop.post(customer, {**CHECKOUT, "action": "save_order"})

    (order,) = shop.rows("orders")
    assert answer.status_code == 201
    assert answer.json == {"success": "Your Order has been saved"}
    assert answer.headers["Location"] == f"{ORDERS}{order['id']}/"


def test_the_path_without_its_slash_works_too(shop: Shop) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    client, headers = shop.app.test_client(), shop.token(customer)

    made = client.post(ORDERS.rstrip("/"), json=CHECKOUT, headers=headers)
    assert made.status_code == 303
    found = client.get(body(made)["order"].rstrip("/"), headers=headers)
    assert found.status_code == 200


def test_the_order_is_written_with_every_amount(shop: Shop) -> None:
    customer = shop.customer()
    lamp = shop.product("79.99", stock=5, shipping=Decimal("4.90"), sku="LAMP", name="Lamp")
    bulb = shop.product("3.33", stock=None, sku="BULB", name="Bulb")
    lamp_offer = shop.offer("10%", lamp, title="Lamps")
    voucher = shop.voucher("spring", "5.00", usage="multiple", usage_limit=3)
    shop.cart(customer, {lamp: 2, bulb: 3}, voucher)

    order = shop.order(customer)

    # Lamp: 79.99 - 7.999 = 71.991 -> 71.99; 2 x 71.99 = 143.98; saved 2 x 8.00 = 16.00.
    # Bulb: 3 x 3.33 = 9.99. Subtotal 153.97. The voucher's 5.00 by 143.98 : 9.99 is
    # 4.6755 : 0.3244, so 4.68 and 0.32.
    assert order["items"] == [
        {
            "id": order["items"][0]["id"],
            "product": {"id": lamp, "sku": "LAMP", "name": "Lamp"},
            "unit_price": "71.99",
            "list_price": "79.99",
            "quantity": 2,
            "discount_amount": "16.00",
            "offer": {"id": lamp_offer, "title": "Lamps"},
            "shipping": "4.90",
            "total_price": "143.98",
            "voucher_discount": "4.68",
        },
        {
            "id": order["items"][1]["id"],
            "product": {"id": bulb, "sku": "BULB", "name": "Bulb"},
            "unit_price": "3.33",
            "list_price": "3.33",
            "quantity": 3,
            "discount_amount": "0.00",
            "offer": None,
            "shipping": "0.00",
            "total_price": "9.99",
            "voucher_discount": "0.32",
        },
    ]
    expected = {
        "status": "awaiting_payment",
        "currency": "USD",
        "customer": {"id": customer},
        "billing_address": {**ADDRESS, "postal_code": "12345"},
        "items_count": 5,
        "voucher": {"code": "SPRING"},
        "subtotal": "153.97",
        "savings_on_items": "16.00",
        "discount_amount": "5.00",
        "amount_saved": "21.00",
        "shipping": "4.90",
        "total_amount": "153.87",
    }
    assert {name: order[name] for name in expected} == expected
    assert str(UUID(order["id"])) in order["url"]
    assert order["created"].endswith("Z")


def test_the_rows_equal_the_response(shop: Shop) -> None:
    customer = shop.customer()
    lamp = shop.product("79.99", stock=5)
    voucher = shop.voucher("SPRING", "10%")
    shop.cart(customer, {lamp: 2}, voucher)

    answered = shop.order(customer)

    (order,) = shop.rows("orders")
    (item,) = shop.rows("order_items")
    assert order["customer_id"] == customer
    assert order["sequence"] == 1
    assert order["number"] == answered["number"]
    assert order["voucher_id"] == voucher
    for name in ("subtotal", "discount_amount", "total_amount"):
        assert order[name] == Decimal(answered[name])
    assert item["order_id"] == order["id"]
    assert item["unit_price"] == Decimal("79.99")
    assert shop.rows("products")[0]["stock"] == 3
    assert shop.rows("vouchers")[0]["times_used"] == 1
    assert shop.rows("cart_items") == []
    assert shop.rows("carts")[0]["voucher_id"] is None


def test_prices_are_read_again_when_the_cart_is_converted(shop: Shop) -> None:
    customer = shop.customer()
    product = shop.product("10.00")
    shop.cart(customer, {product: 1})
    with shop.session() as session:
        session.get_one(shop.models.Product, product).price = Decimal("8.50")

    assert shop.order(customer)["total_amount"] == "8.50"


def test_the_next_order_has_the_next_number(shop: Shop) -> None:
    customer, product = shop.customer(), shop.product()
    shop.cart(customer, {product: 1})
    shop.order(customer)
    shop.fill(customer, {product: 2})
    shop.order(customer)

    assert sorted(row["sequence"] for row in shop.rows("orders")) == [1, 2]


def test_a_lower_total_than_expected_goes_through(shop: Shop) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product("9.99"): 1})
    assert shop.order(customer, expected_total="10.00")["total_amount"] == "9.99"


def test_the_exact_total_goes_through(shop: Shop) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product("9.99"): 1})
    assert shop.order(customer, expected_total="9.99")["total_amount"] == "9.99"


def test_a_single_use_voucher_of_one_hundred_per_cent_leaves_the_shipping(shop: Shop) -> None:
    customer = shop.customer()
    product = shop.product("10.00", shipping=Decimal("2.50"))
    shop.cart(customer, {product: 1}, shop.voucher("FREE", "100%", usage="single"))
    assert shop.order(customer)["total_amount"] == "2.50"


def test_a_first_order_only_offer_applies_once(shop: Shop) -> None:
    customer, product = shop.customer(), shop.product("10.00")
    shop.offer("50%", first_order_only=True)
    shop.cart(customer, {product: 1})
    assert shop.order(customer)["subtotal"] == "5.00"
    shop.fill(customer, {product: 1})
    assert shop.order(customer)["subtotal"] == "10.00"


def test_the_best_offer_applies_alone(shop: Shop) -> None:
    customer, product, other = shop.customer(), shop.product("10.00"), shop.product()
    shop.offer("10%")
    best = shop.offer("3.00", product)
    shop.offer("90%", other)
    shop.offer("80%", active=False)
    shop.cart(customer, {product: 2})

    order = shop.order(customer)

    assert order["items"][0]["offer"]["id"] == best
    assert order["subtotal"] == "14.00"


def test_an_etag_avoids_sending_an_unchanged_order(shop: Shop) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    url = shop.order(customer)["url"]
    tag = shop.get(customer, url).headers["ETag"]
    again = shop.get(customer, url, **{"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")


def test_another_customer_s_order_looks_like_an_unknown_one(shop: Shop) -> None:
    customer, stranger = shop.customer(), shop.customer()
    shop.cart(customer, {shop.product(): 1})
    url = shop.order(customer)["url"]

    theirs = shop.get(stranger, url)
    none = shop.get(stranger, f"{ORDERS}00000000-0000-7000-8000-000000000000/")
    nonsense = shop.get(stranger, f"{ORDERS}nonsense/")

    assert theirs.status_code == 404
    assert body(theirs)["code"] == "order_not_found"
    assert theirs.data == none.data == nonsense.data
