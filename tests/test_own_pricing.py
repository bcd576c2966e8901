"""A pricing of the shop's own: by the cart, its items and its address; vouchers by their code."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from flask import current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import URL

from flask_orders import BillingAddress, ConfigurationError, current_orders
from flask_orders.errors import VoucherNotApplicable
from flask_orders.pricing import (
    AppliedVoucher,
    Cart,
    CartItem,
    OrderReference,
    PricedCart,
    PricedItem,
    Pricing,
)
from flask_orders.testing import Ledger, run_concurrently

from .support import servers
from .support.apps import install
from .support.database import nothing_changed
from .support.mugs import basket, make_mug_shop
from .support.requests import HOME, PREVIEW, SAVE
from .support.responses import body, outcomes, refused
from .support.shops import Shop

ENGRAVING = Decimal("2.35")


def delivery(shop_cart: Any, subtotal: Decimal) -> Decimal:
    """What the shop's own code takes for the parcel."""
    if shop_cart.express:
        return Decimal("9.95")
    return Decimal(0) if subtotal >= 50 else Decimal("4.90")


def own_total(shop_cart: Any, amount_off: Decimal) -> Decimal:
    """The total that the shop's own cart page shows."""
    subtotal = Decimal(0)
    for item in shop_cart.items:
        surcharge = ENGRAVING if item.engraving else Decimal(0)
        subtotal += (item.product.price + surcharge) * item.quantity
    return subtotal - min(amount_off, subtotal) + delivery(shop_cart, subtotal)


class CouponVoucher:
    """An `AppliedVoucher` that is no row of `vouchers`."""

    id = None

    def __init__(self, code: str) -> None:
        self.code = code


class MugPricing:
    """Engraving costs extra, the parcel has one price, and a coupon takes an amount off."""

    def price(self, cart: Cart, now: datetime) -> PricedCart:
        items = [self._item(item, cart) for item in cart.items]
        plain = PricedCart.of(items, cart.currency)
        shipping = delivery(cart.row, plain.subtotal)
        if cart.voucher is None:
            return PricedCart.of(items, cart.currency, shipping=shipping)
        coupon = self._coupon(cart.voucher)
        if coupon.uses_left < 1:
            raise VoucherNotApplicable("used_up")
        return PricedCart.of(
            items,
            cart.currency,
            voucher=CouponVoucher(cart.voucher),
            discount=lambda _subtotal: coupon.amount_off,
            shipping=shipping,
        )

    def _item(self, item: CartItem, cart: Cart) -> PricedItem:
        assert item.list_price is not None
        surcharge = ENGRAVING if item.row.engraving else Decimal(0)
        return PricedItem.of(item, cart.currency, list_price=item.list_price + surcharge)

    def _coupon(self, code: str) -> Any:
        coupons = _coupons()
        wanted = sa.select(coupons.c.amount_off, coupons.c.uses_left).where(coupons.c.code == code)
        return current_orders.session.execute(wanted).one()

    def redeem(self, voucher: AppliedVoucher, order: OrderReference) -> None:
        if not self._count(voucher.code, -1):
            raise VoucherNotApplicable("used_up")

    def release(self, voucher: AppliedVoucher, order: OrderReference) -> None:
        self._count(voucher.code, 1)

    def _count(self, code: str, change: int) -> int:
        coupons = _coupons()
        left = coupons.c.uses_left + change
        counting = sa.update(coupons).where(coupons.c.code == code, left >= 0)
        changed: Any = current_orders.session.execute(counting.values(uses_left=left))
        return int(changed.rowcount)


def _coupons() -> sa.Table:
    found: sa.Table = current_app.extensions["sqlalchemy"].metadata.tables["coupons"]
    return found


class Replaceable(MugPricing):
    """The pricing of a shop whose registration outlives the test that replaces it."""

    def __init__(self) -> None:
        self.other: Any = None
        self.seen: list[Cart] = []

    def price(self, cart: Cart, now: datetime) -> PricedCart:
        self.seen.append(cart)
        if self.other is not None:
            priced: PricedCart = self.other(cart)
            return priced
        return super().price(cart, now)


PRICING = Replaceable()
IS_A_PRICING: Pricing = PRICING


@pytest.fixture(scope="module")
def module_shop(server_url: URL) -> Iterator[Shop]:
    with servers.fresh_database(server_url) as url:
        shop = make_mug_shop(url, pricing=PRICING)
        yield shop
        shop.close()


@pytest.fixture
def mugs(module_shop: Shop) -> Shop:
    """The shop, with nothing in it."""
    module_shop.clear()
    PRICING.__init__()  # type: ignore[misc] # as it was at first
    return module_shop


def coupon(shop: Shop, amount_off: str, uses_left: int = 1) -> str:
    """Return the code of a new coupon."""
    values = {"code": "MUGS", "amount_off": Decimal(amount_off), "uses_left": uses_left}
    with shop.session() as session:
        session.execute(sa.insert(shop.db.metadata.tables["coupons"]).values(values))
    return "MUGS"


def shown_total(shop: Shop, customer: int, amount_off: str = "0") -> Decimal:
    """The total on the shop's own cart page."""
    cart = shop.models.Cart
    with shop.session() as session:
        found = session.scalars(sa.select(cart).filter_by(customer_id=customer)).one()
        return own_total(found, Decimal(amount_off))


@pytest.mark.parametrize("express", [False, True])
@pytest.mark.parametrize("amount_off", [None, "0.00", "7.77", "9999.00"])
@pytest.mark.parametrize(
    "items",
    [
        [("19.99", 1, None)],
        [("3.33", 3, "ANN"), ("3.33", 3, None), ("0.01", 1, "BEN")],
        [("33.34", 2, "ANN"), ("0.00", 5, None)],
        [("0.00", 1, None), ("0.00", 2, None)],
    ],
)
def test_the_total_equals_the_shop_s_own_to_the_cent(
    mugs: Shop, items: list[tuple[str, int, str | None]], amount_off: str | None, express: bool
) -> None:
    """Engraving by item, the parcel by order, a coupon by its code."""
    rows = [
        {"product_id": mugs.product(price), "quantity": quantity, "engraving": engraving}
        for price, quantity, engraving in items
    ]
    code = None if amount_off is None else coupon(mugs, amount_off)
    customer = basket(mugs, *rows, voucher=code, express=express)
    total = f"{shown_total(mugs, customer, amount_off or '0'):.2f}"
    assert body(mugs.get(customer, PREVIEW))["total_amount"] == total

    order = mugs.order(customer, expected_total=total)

    assert order["total_amount"] == total
    assert sum(Decimal(item["shipping"]) for item in order["items"]) == Decimal(order["shipping"])
    for item, (price, quantity, engraving) in zip(order["items"], items, strict=True):
        unit_price = Decimal(price) + (ENGRAVING if engraving else 0)
        assert Decimal(item["unit_price"]) == Decimal(item["list_price"]) == unit_price
        assert Decimal(item["total_price"]) == unit_price * quantity
    with mugs.app.app_context():
        assert list(current_orders.audit()) == []


def test_a_voucher_of_the_shop_s_own_by_its_code(mugs: Shop) -> None:
    """Redeemed with the order, taken off the cart, released by a cancellation, once."""
    code = coupon(mugs, "5.00", uses_left=1)
    customer = basket(mugs, {"product_id": mugs.product("20.00")}, voucher=code)
    order = mugs.order(customer)
    assert (order["voucher"], order["discount_amount"]) == ({"code": code}, "5.00")
    assert (mugs.rows("coupons")[0]["uses_left"], mugs.rows("baskets")[0]["voucher"]) == (0, None)

    other = basket(mugs, {"product_id": mugs.product("20.00")}, voucher=code)
    with nothing_changed(mugs):
        problem = refused(mugs.post(other), 409, "voucher_not_applicable")
    assert problem["reason"] == "used_up"

    for _ in range(2):
        assert mugs.send(customer, f"{order['url']}cancel/").status_code == 200
    assert mugs.rows("coupons")[0]["uses_left"] == 1
    assert mugs.post(other).status_code == 201


def test_the_last_use_of_a_voucher_is_used_once(mugs: Shop) -> None:
    code = coupon(mugs, "5.00", uses_left=1)
    customers = [
        basket(mugs, {"product_id": mugs.product("20.00")}, voucher=code) for _ in range(4)
    ]
    ledger = Ledger(mugs.app)
    answers = run_concurrently(*[lambda c=c: mugs.post(c) for c in customers])
    assert outcomes(answers) == {201: 1, "voucher_not_applicable": 3}
    assert ledger.problems() == []
    assert mugs.rows("coupons")[0]["uses_left"] == 0


def test_a_pricing_is_given_the_cart_with_what_the_request_says(mugs: Shop) -> None:
    customer = basket(mugs, {"product_id": mugs.product("20.00"), "engraving": "ANN"}, express=True)
    with mugs.app.app_context():
        current_orders.preview(customer)
        current_orders.place(customer, billing_address=HOME, extra={"gift_note": "For Ann"})

    preview, order = PRICING.seen
    for cart in (preview, order):
        assert (cart.customer_id, cart.voucher, cart.currency.code) == (customer, None, "USD")
        assert isinstance(cart.row, mugs.models.Cart)
        (item,) = cart.items
        assert isinstance(item.row, mugs.models.CartItem)
        assert isinstance(item.product, mugs.models.Product)
        assert (item.quantity, item.list_price, item.sale_price) == (1, Decimal(20), None)
    assert (preview.billing_address, preview.extra) == (None, {})
    assert (order.billing_address, order.extra) == (HOME, {"gift_note": "For Ann"})


def test_a_pricing_is_given_the_saved_address_if_none_is_sent(mugs: Shop) -> None:
    """It may decide the tax; without one there is nothing to price."""
    product = mugs.product("20.00")
    customer = basket(mugs, {"product_id": product})
    with nothing_changed(mugs):
        refused(mugs.post(customer, {"action": "checkout"}), 400, "billing_address_required")
    assert PRICING.seen == []
    assert mugs.post(customer, SAVE).status_code == 201
    mugs.put(customer, {product: 1})
    assert mugs.post(customer, {"action": "checkout"}).status_code == 303
    first, second = (cart.billing_address for cart in PRICING.seen)
    assert isinstance(first, BillingAddress)
    assert first.country == "CA"
    assert second == first


def one_item_only(cart: Cart) -> PricedCart:
    return PricedCart.of([PricedItem.of(cart.items[0], cart.currency)], cart.currency)


def one_item_twice(cart: Cart) -> PricedCart:
    items = [PricedItem.of(item, cart.currency) for item in (*cart.items, cart.items[0])]
    return PricedCart.of(items, cart.currency)


@pytest.mark.parametrize("other", [one_item_only, one_item_twice])
def test_a_pricing_returns_the_units_of_the_cart(
    mugs: Shop, other: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An item that is left out would be deleted from the cart, and not be ordered."""
    items = [{"product_id": mugs.product()}, {"product_id": mugs.product()}]
    customer = basket(mugs, *items)
    PRICING.other = other
    with nothing_changed(mugs):
        refused(mugs.post(customer), 500, "misconfigured")
        refused(mugs.get(customer, PREVIEW), 500, "misconfigured")
    assert "Replaceable.price returned other units than the cart has" in caplog.text


def test_a_product_without_a_price_is_priced_by_the_shop(
    mugs: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """Or refused with the line to write; never sold for nothing."""
    product = mugs.add(mugs.models.Product(sku="A", name="Made to order", stock=1))
    customer = basket(mugs, {"product_id": product})

    def price(given: dict[str, Any]) -> Any:
        return lambda cart: PricedCart.of(
            [PricedItem.of(item, cart.currency, **given) for item in cart.items], cart.currency
        )

    PRICING.other = price({})
    with nothing_changed(mugs):
        refused(mugs.post(customer), 500, "misconfigured")
    assert f"The product {product} has no list_price" in caplog.text
    PRICING.other = price({"list_price": Decimal("12.50")})
    assert mugs.order(customer)["total_amount"] == "12.50"


class WithoutVouchers:
    def price(self, cart: Cart, now: datetime) -> PricedCart:
        return PricedCart.of([], cart.currency)


class AsItWasBefore(WithoutVouchers):
    redeem = release = WithoutVouchers.price

    def price(self, items: Any, customer: Any, voucher: Any, now: Any) -> Any:  # type: ignore[override] # wrong
        raise AssertionError


@pytest.mark.parametrize(
    ("pricing", "fix"),
    [
        (WithoutVouchers, r"pricing=WithoutVouchers is a class: .* pricing=WithoutVouchers\(\)"),
        (WithoutVouchers(), r"write def redeem\(self, voucher, order\)"),
        (AsItWasBefore(), r"write def price\(self, cart, now\)"),
    ],
)
def test_what_is_no_pricing_is_refused_when_it_is_registered(pricing: Any, fix: str) -> None:
    with pytest.raises(ConfigurationError, match=fix):
        install(SQLAlchemy(), pricing=pricing)
