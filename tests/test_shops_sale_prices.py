"""A shop with sale prices: the lower price is charged, and the saving is in the order."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

from flask_orders import mapping

from . import hosts
from .hosts.drivers import mapped, running
from .hosts.driving.sale_prices import SalePrices
from .support.database import nothing_changed
from .support.requests import PREVIEW
from .support.responses import refused


@pytest.fixture(scope="module")
def module_host(server_url: URL) -> Iterator[Any]:
    with running("sale_prices", server_url) as host:
        yield host


def test_installing_costs_twenty_lines_and_eight_parts_at_most() -> None:
    assert hosts.added_lines("sale_prices") <= 20
    assert hosts.parts("sale_prices") <= 8


def shoe(host: SalePrices, price: str, sale_price: str | None) -> int:
    reduced = None if sale_price is None else Decimal(sale_price)
    return host.product(price, reduced_price=reduced)


@pytest.mark.parametrize(
    ("sale_price", "unit_price", "saving"),
    [
        ("60.00", "60.00", "40.00"),
        ("79.99", "79.99", "20.01"),
        ("100.00", "100.00", "0.00"),
        ("120.00", "100.00", "0.00"),
        (None, "100.00", "0.00"),
        ("0.00", "0.00", "100.00"),
    ],
)
def test_the_lower_price_is_charged(
    host: SalePrices, sale_price: str | None, unit_price: str, saving: str
) -> None:
    buyer = host.customer()
    host.put(buyer, shoe(host, "100.00", sale_price), 2)
    preview = host.call("GET", PREVIEW, buyer)
    order = host.call("GET", host.order(buyer).headers["Location"], buyer)
    (item,) = order["items"]
    assert (item["list_price"], item["unit_price"]) == ("100.00", unit_price)
    assert Decimal(item["discount_amount"]) == 2 * Decimal(saving)
    assert order["savings_on_items"] == item["discount_amount"] == order["amount_saved"]
    assert order["total_amount"] == preview["total_amount"] == str(2 * Decimal(unit_price))
    assert item["offer"] is None


def test_the_saving_is_the_order_s_own_afterwards(host: SalePrices) -> None:
    buyer, product = host.customer(), shoe(host, "100.00", "60.00")
    host.put(buyer, product)
    url = host.order(buyer).headers["Location"]
    before = host.call("GET", url, buyer)
    host.update("shoes", product, regular_price=Decimal(50), reduced_price=None)
    assert host.call("GET", url, buyer) == before


@pytest.mark.parametrize("sale_price", ["-1.00", "59.9950", "0.0010"])
def test_a_sale_price_that_can_not_be_charged_is_no_price(
    host: SalePrices, sale_price: str
) -> None:
    """The shop meant something by it; the regular price might be more than the customer saw."""
    buyer = host.customer()
    host.put(buyer, shoe(host, "100.00", sale_price))
    with nothing_changed(host):
        answer = refused(host.order(buyer), 409, "item_unavailable")
    assert [item["reason"] for item in answer["items"]] == ["no_price"]
    (problem,) = host.problems()
    assert problem.startswith("1 product(s) can't be sold")


def test_a_sale_that_ended_meanwhile_is_a_higher_price(host: SalePrices) -> None:
    buyer, product = host.customer(), shoe(host, "100.00", "60.00")
    host.put(buyer, product)
    total = host.call("GET", PREVIEW, buyer)["total_amount"]
    host.update("shoes", product, reduced_price=None)
    with nothing_changed(host):
        answer = refused(host.order(buyer, expected_total=total), 409, "price_changed")
    assert (answer["expected"], answer["actual"]) == ("60.00", "100.00")


@pytest.mark.parametrize(
    ("offer", "unit_price", "is_named"), [(30, "60.00", False), (50, "50.00", True)]
)
def test_sale_price_and_offer_do_not_add_up(
    host: SalePrices, offer: int, unit_price: str, is_named: bool
) -> None:
    """An offer is a part of the regular price, and is named only if it is what was charged."""
    buyer = host.customer()
    host.add("Offer", title="Autumn", discount_value=offer)
    host.put(buyer, shoe(host, "100.00", "60.00"))
    order = host.call("GET", host.order(buyer).headers["Location"], buyer)
    (item,) = order["items"]
    assert item["unit_price"] == unit_price
    assert item["discount_amount"] == str(Decimal(100) - Decimal(unit_price))
    assert (item["offer"] is not None) == is_named


def test_a_voucher_is_of_what_is_left_to_pay(host: SalePrices) -> None:
    buyer = host.customer()
    host.voucher("TEN", limit=5)
    host.put(buyer, shoe(host, "100.00", "60.00"), 2)
    host.put(buyer, shoe(host, "30.00", None))
    host.apply(buyer, "TEN")
    order = host.call("GET", host.order(buyer).headers["Location"], buyer)
    assert (order["subtotal"], order["savings_on_items"]) == ("150.00", "80.00")
    assert (order["discount_amount"], order["total_amount"]) == ("15.00", "135.00")
    assert order["amount_saved"] == "95.00"
    assert [item["voucher_discount"] for item in order["items"]] == ["12.00", "3.00"]


def test_the_audit_agrees(host: SalePrices) -> None:
    buyer = host.customer()
    for sale_price in ("60.00", "120.00", None):
        host.put(buyer, shoe(host, "100.00", sale_price))
    assert host.order(buyer).status_code == 201
    result = host.app.test_cli_runner().invoke(args=["orders", "audit"], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_check_names_products_that_a_sale_price_of_0_gives_away(host: SalePrices) -> None:
    product = shoe(host, "100.00", "0.00")
    shoe(host, "0.00", "0.00")
    (problem,) = host.problems()
    assert problem.startswith("1 product(s) cost nothing, since their sale price is 0")
    assert f"IN ({product})" in problem


def by_condition(shop: Any) -> Any:
    """A sale price of 0 is none, and so is one that is not lower by a tenth."""
    return sa.case(
        (
            shop.Shoe.reduced_price <= shop.Shoe.regular_price * Decimal("0.9"),
            shop.Shoe.reduced_price,
        )
    )


OTHER_WAYS: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    "nullif": (lambda shop: sa.func.nullif(shop.Shoe.reduced_price, 0), "0.00", "100.00"),
    "case": (by_condition, "95.00", "100.00"),
    "function": (lambda shop: shop.Shoe.current_price, "60.00", "60.00"),
    "lambda": (lambda shop: lambda: shop.Shoe.reduced_price - 1, "61.00", "60.00"),
}


@pytest.mark.parametrize("way", OTHER_WAYS)
def test_a_sale_price_may_be_an_expression_or_a_function(database: URL, way: str) -> None:
    make, reduced, charged = OTHER_WAYS[way]

    def arguments(shop: Any) -> dict[str, Any]:
        product = mapping.product(
            shop.Shoe,
            sku=shop.Shoe.article,
            price=shop.Shoe.regular_price,
            sale_price=make(shop),
            stock=shop.Shoe.pairs,
        )
        cart = mapping.cart(shop.Cart, voucher=shop.Cart.code)
        return {
            "customer": shop.Customer,
            "product": product,
            "cart": cart,
            "cart_item": shop.CartItem,
        }

    with mapped("sale_prices", database, arguments) as host:
        assert isinstance(host, SalePrices)
        buyer = host.customer()
        host.put(buyer, shoe(host, "100.00", reduced))
        order = host.call("GET", host.order(buyer).headers["Location"], buyer)
        assert order["total_amount"] == charged
        assert host.problems() == []
