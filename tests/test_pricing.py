"""The arithmetic of prices, for all carts, offers and vouchers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_orders import ConfigurationError
from flask_orders.currency import FLOAT_NOISE, share_out
from flask_orders.offers import Offer, Voucher, best_price, price_cart
from flask_orders.pricing import (
    AppliedOffer,
    AppliedVoucher,
    CartItem,
    Currency,
    PricedCart,
    PricedItem,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)

currencies = st.sampled_from(["USD", "JPY", "BHD", "CLF"]).map(Currency.of)
prices = st.decimals(min_value=0, max_value=100_000, places=4)
discounts = st.one_of(
    st.tuples(st.just("percentage"), st.decimals(min_value=0, max_value=100, places=2)),
    st.tuples(st.just("fixed"), st.decimals(min_value=0, max_value=1_000, places=4)),
)
offers = st.builds(
    lambda key, discount: Offer(key, f"offer {key}", *discount), st.integers(), discounts
)
vouchers = st.builds(lambda discount: Voucher(1, "CODE", *discount), discounts)


def line(
    price: Decimal,
    quantity: int = 1,
    shipping: Decimal = Decimal(0),
    sale_price: Decimal | None = None,
) -> CartItem:
    return CartItem(
        1, 1, object(), quantity, list_price=price, shipping=shipping, sale_price=sale_price
    )


lines = st.builds(
    line, prices, st.integers(min_value=1, max_value=10_000), prices, st.none() | prices
)
carts = st.lists(lines, min_size=1, max_size=20)


def is_whole(amount: Decimal, currency: Currency) -> bool:
    return amount % currency.quantum == 0


@given(carts, st.lists(offers, max_size=4), st.none() | vouchers, currencies)
def test_every_amount_follows_from_the_items(
    items: list[CartItem], on: list[Offer], voucher: Voucher | None, currency: Currency
) -> None:
    cart, refusal = price_cart(items, on, voucher, currency, NOW)

    assert refusal is None
    assert cart.subtotal == sum(line.unit_price * line.quantity for line in cart.items)
    assert cart.savings_on_items == sum(
        (line.list_price - line.unit_price) * line.quantity for line in cart.items
    )
    assert cart.amount_saved == cart.savings_on_items + cart.discount_amount
    assert cart.total_amount == cart.subtotal + cart.shipping - cart.discount_amount
    assert 0 <= cart.discount_amount <= cart.subtotal
    assert cart.total_amount >= 0
    for priced in cart.items:
        assert 0 <= priced.unit_price <= priced.list_price
        assert 0 <= priced.voucher_discount <= priced.total_price
        for amount in (priced.unit_price, priced.voucher_discount, priced.shipping):
            assert is_whole(amount, currency)


@given(carts, st.decimals(min_value=0, max_value=100, places=2), currencies)
def test_a_percentage_of_the_subtotal_is_rounded_once(
    items: list[CartItem], percentage: Decimal, currency: Currency
) -> None:
    plain, _ = price_cart(items, [], None, currency, NOW)
    voucher = Voucher(1, "CODE", "percentage", percentage)
    cart, _ = price_cart(items, [], voucher, currency, NOW)
    assert cart.discount_amount == currency.round(plain.subtotal * percentage / 100)


@given(carts, currencies)
def test_a_hundred_per_cent_is_exactly_nothing(items: list[CartItem], currency: Currency) -> None:
    free = Offer(1, "free", "percentage", Decimal(100))
    by_offer, _ = price_cart(items, [free], None, currency, NOW)
    assert by_offer.subtotal == 0
    voucher = Voucher(1, "FREE", "percentage", Decimal(100))
    by_voucher, _ = price_cart(items, [], voucher, currency, NOW)
    assert by_voucher.total_amount == by_voucher.shipping


@given(
    st.integers(min_value=0, max_value=10**12),
    st.lists(st.integers(min_value=0, max_value=10**12), min_size=1, max_size=50),
    currencies,
)
def test_shares_add_up_and_are_fair(cents: int, weights: list[int], currency: Currency) -> None:
    cents = min(cents, sum(weights))
    amount = cents * currency.quantum

    shares = share_out(amount, [weight * currency.quantum for weight in weights], currency)

    assert sum(shares) == amount
    for share, weight in zip(shares, weights, strict=True):
        assert 0 <= share <= weight * currency.quantum
        if sum(weights):
            assert abs(share * sum(weights) - amount * weight) < currency.quantum * sum(weights)


@given(lines, st.lists(offers, max_size=5), currencies)
def test_the_lowest_price_wins(item: CartItem, on: list[Offer], currency: Currency) -> None:
    best = best_price(item, on, currency, NOW)
    without_sale = replace(item, sale_price=None)
    alone = [best_price(without_sale, [offer], currency, NOW).unit_price for offer in on]
    in_sale = PricedItem.of(item, currency)
    assert best.unit_price == min([in_sale.unit_price, *alone])
    assert (best.offer is None) == (best.unit_price == in_sale.unit_price)


@given(
    st.lists(prices, min_size=1, max_size=8),
    st.lists(st.tuples(discounts, st.none() | st.frozensets(st.integers(0, 7))), max_size=6),
    currencies,
)
def test_each_item_gets_its_best_offer(
    each: list[Decimal], on: list[tuple[Any, frozenset[int] | None]], currency: Currency
) -> None:
    items = [CartItem(i, i, object(), 1, list_price=price) for i, price in enumerate(each)]
    found = [
        Offer(i, f"offer {i}", kind, value, products=products)
        for i, ((kind, value), products) in enumerate(on)
    ]
    cart, _ = price_cart(items, found, None, currency, NOW)
    assert list(cart.items) == [best_price(item, found, currency, NOW) for item in items]


@pytest.mark.parametrize(
    ("sale_price", "offered", "unit_price", "offer"),
    [
        (None, "0", "10.00", None),
        ("8.00", "0", "8.00", None),
        ("12.00", "0", "10.00", None),  # above the list price: ignored
        ("12.00", "1.00", "9.00", AppliedOffer(1, "offer")),
        ("8.00", "1.00", "8.00", None),
        ("8.00", "2.00", "8.00", None),  # as low as the offer
        ("8.00", "3.00", "7.00", AppliedOffer(1, "offer")),  # of the list price: no stacking
        ("0.00", "3.00", "0.00", None),
    ],
)
def test_the_better_of_sale_price_and_offer(
    sale_price: str | None, offered: str, unit_price: str, offer: AppliedOffer | None
) -> None:
    """The saving is in the order either way."""
    item = line(Decimal(10), 3, sale_price=None if sale_price is None else Decimal(sale_price))
    found = Offer(1, "offer", "fixed", Decimal(offered))
    priced = best_price(item, [found], Currency.of("USD"), NOW)
    assert (priced.list_price, priced.unit_price) == (Decimal(10), Decimal(unit_price))
    assert priced.discount_amount == 3 * (10 - Decimal(unit_price))
    assert priced.offer == offer


def test_the_unit_price_of_a_cart_item_is_the_lower_of_both() -> None:
    item = line(Decimal(10))
    assert item.unit_price == Decimal(10)
    assert replace(item, sale_price=Decimal(8)).unit_price == Decimal(8)
    assert replace(item, sale_price=Decimal(12)).unit_price == Decimal(10)
    assert replace(item, list_price=None, sale_price=Decimal(8)).unit_price is None


def test_a_price_that_a_pricing_gives_is_not_put_below_its_sale_price() -> None:
    """A sale price knows nothing of the engraving that the given price has in it."""
    item, currency = line(Decimal(10), sale_price=Decimal(8)), Currency.of("USD")
    assert PricedItem.of(item, currency).unit_price == Decimal(8)
    assert PricedItem.of(item, currency, list_price=Decimal(15)).unit_price == Decimal(15)
    assert PricedItem.of(item, currency, unit_price=Decimal(9)).unit_price == Decimal(9)


@given(carts, prices, st.none() | vouchers, currencies)
def test_the_shares_of_an_order_s_shipping_add_up(
    items: list[CartItem], shipping: Decimal, voucher: Voucher | None, currency: Currency
) -> None:
    """Whatever the items cost, and instead of their own shipping."""
    of_items, _ = price_cart(items, [], voucher, currency, NOW)
    discount = None if voucher is None else voucher.discount
    cart = PricedCart.of(
        of_items.items, currency, voucher=voucher, discount=discount, shipping=shipping
    )
    assert cart.shipping == currency.round(shipping)
    assert all(is_whole(item.shipping, currency) and item.shipping >= 0 for item in cart.items)
    assert cart.discount_amount == of_items.discount_amount
    assert cart.total_amount == of_items.total_amount - of_items.shipping + cart.shipping
    assert PricedCart.of(of_items.items, currency).shipping == of_items.shipping


@pytest.mark.parametrize(
    ("priced", "shipping", "shares"),
    [
        ([("10.00", 1), ("20.00", 1)], "5.00", ["1.67", "3.33"]),
        ([("1.00", 1), ("1.00", 1), ("1.00", 1)], "1.00", ["0.34", "0.33", "0.33"]),
        ([("0.00", 9), ("5.00", 1)], "4.90", ["0.00", "4.90"]),
        ([("0.00", 3), ("0.00", 1)], "4.90", ["3.68", "1.22"]),  # free items: by quantity
        ([("10.00", 1)], "0.00", ["0.00"]),
        ([("10.00", 1)], "4.905", ["4.91"]),
        ([], "4.90", []),
    ],
)
def test_an_order_s_shipping_is_shared_out_over_its_items(
    priced: list[tuple[str, int]], shipping: str, shares: list[str]
) -> None:
    currency = Currency.of("USD")
    items = [
        PricedItem.of(line(Decimal(price), quantity, shipping=Decimal(99)), currency)
        for price, quantity in priced
    ]
    cart = PricedCart.of(items, currency, shipping=Decimal(shipping))
    assert [item.shipping for item in cart.items] == [Decimal(share) for share in shares]


@pytest.mark.parametrize(
    ("shipping", "sentence"),
    [
        (Decimal(-1), "shipping is -1: give 0 or more"),
        (Decimal("NaN"), "NaN is no amount of USD"),
        (4.9, "4.9 is a float.*give a Decimal"),
    ],
)
def test_an_order_s_shipping_that_is_no_amount_is_refused(shipping: Any, sentence: str) -> None:
    currency = Currency.of("USD")
    with pytest.raises(ConfigurationError, match=sentence):
        PricedCart.of([PricedItem.of(line(Decimal(1)), currency)], currency, shipping=shipping)


@pytest.mark.parametrize(
    ("currency", "price", "percentage", "unit_price"),
    [
        ("USD", "79.99", "10", "71.99"),  # 71.991
        ("USD", "0.05", "50", "0.03"),  # 0.025, half-up
        ("USD", "0.15", "50", "0.08"),  # 0.075, half-up
        ("JPY", "1001", "50", "501"),  # 500.5, half-up
        ("BHD", "1.001", "50", "0.501"),  # 0.5005, half-up
        ("USD", "10.00", "150", "0.00"),
    ],
)
def test_a_unit_price(currency: str, price: str, percentage: str, unit_price: str) -> None:
    offer = Offer(1, "offer", "percentage", Decimal(percentage))
    priced = best_price(line(Decimal(price)), [offer], Currency.of(currency), NOW)
    assert Currency.of(currency).text(priced.unit_price) == unit_price


@given(
    st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2030, 1, 1)),  # noqa: DTZ001
    st.integers(min_value=-12, max_value=14),
)
def test_windows_are_half_open_whatever_the_time_zone(start: datetime, hours: int) -> None:
    start = start.replace(tzinfo=UTC)
    end = start + 10 * SECOND
    offer = Offer(1, "offer", "fixed", Decimal(1), valid_from=start, valid_to=end)
    voucher = Voucher(1, "CODE", "fixed", Decimal(1), valid_from=start, valid_to=end)
    moments: list[tuple[datetime, str | None]] = [
        (start - SECOND, "not_started"),
        (start, None),
        (end - SECOND, None),
        (end, "expired"),
    ]
    for moment, refusal in moments:
        local = moment.astimezone(timezone(timedelta(hours=hours)))
        assert offer.applies(1, local) is (refusal is None)
        assert voucher.refusal(Decimal(1), local) == refusal


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ({"active": False}, "inactive"),
        ({"usage": "single", "times_used": 1}, "used_up"),
        ({"usage_limit": 3, "times_used": 3}, "used_up"),
        ({"usage_limit": 3, "times_used": 2}, None),
        ({"usage": "once_per_customer", "used_by_customer": True}, "already_used"),
        ({"usage": "multiple", "used_by_customer": True}, None),
        ({"minimum_order_value": Decimal("10.01")}, "below_minimum"),
        ({"minimum_order_value": Decimal("10.00")}, None),
    ],
)
def test_the_reasons_for_refusing_a_voucher(values: dict[str, Any], refusal: str | None) -> None:
    voucher = Voucher(1, "CODE", "fixed", Decimal(1), **values)
    cart, why = price_cart([line(Decimal(10))], [], voucher, Currency.of("USD"), NOW)
    assert why == refusal
    assert (cart.voucher is voucher) is (refusal is None)


def test_a_price_with_more_digits_than_its_currency_saves_nothing() -> None:
    """A shop's own pricing may compute one; the library's refuses to sell it."""
    currency = Currency.of("USD")
    priced = PricedItem.of(line(Decimal("1.005"), quantity=3), currency)
    assert (priced.list_price, priced.discount_amount) == (Decimal("1.01"), Decimal(0))


def test_the_offer_and_the_voucher_that_apply_are_named() -> None:
    currency, sale = Currency.of("USD"), Offer(5, "Sale", "percentage", Decimal(50))
    voucher = Voucher(7, "SPRING", "percentage", Decimal(10))
    cart, refusal = price_cart([line(Decimal(8))], [sale], voucher, currency, NOW)
    assert [item.offer for item in cart.items] == [AppliedOffer(5, "Sale")]
    applied: AppliedVoucher | None = cart.voucher
    assert (applied, refusal) == (voucher, None)


def test_a_shop_s_own_discount_is_at_most_the_subtotal() -> None:
    currency = Currency.of("USD")
    cart = PricedCart.of(
        [PricedItem.of(line(Decimal(3)), currency)],
        currency,
        discount=lambda subtotal: subtotal + 2,
    )
    assert (cart.discount_amount, cart.total_amount) == (Decimal(3), Decimal(0))


@pytest.mark.parametrize(
    ("code", "decimals"),
    [
        *[("USD", 2), ("RSD", 2), ("HUF", 2), ("MGA", 2), ("MRU", 2), ("TWD", 2), ("ALL", 2)],
        *[("JPY", 0), ("ISK", 0), ("UGX", 0), ("CLP", 0)],
        *[("JOD", 3), ("IQD", 3), ("KWD", 3), ("CLF", 4), ("UYW", 4)],
    ],
)
def test_a_currency_has_the_minor_units_of_iso_4217(code: str, decimals: int) -> None:
    """Not the CLDR's digits, which are for display: it has none for RSD."""
    assert Currency.of(code).decimals == decimals
    assert Currency.of(code).quantum == Decimal(1).scaleb(-decimals)


@pytest.mark.parametrize("code", ["XAU", "XDR", "XTS", "XXX", "HRK", "usd", "EURO", "", "ZZZ"])
def test_a_currency_not_used_for_payment_is_refused(code: str) -> None:
    with pytest.raises(ConfigurationError, match=r"ISO 4217.*such as 'USD'"):
        Currency.of(code)


def test_an_order_s_currency_has_the_decimals_stored_with_it() -> None:
    assert Currency.of("HRK", 2).text(Decimal(10)) == "10.00"
    assert Currency.of("USD", 3).text(Decimal(10)) == "10.000"


@given(st.decimals(min_value=-1, max_value=10**14, places=6) | prices, currencies)
def test_a_price_is_a_whole_number_of_quanta(amount: Decimal, currency: Currency) -> None:
    is_price = 0 <= amount < 10**14 and is_whole(amount, currency)
    assert currency.is_price(amount) == is_price
    assert currency.is_price(currency.round(abs(amount)) % 10**14)


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "-Infinity", "1E+14", "1E+999999"])
def test_a_price_no_column_can_hold_is_refused(amount: str) -> None:
    assert not Currency.of("USD").is_price(Decimal(amount))


def test_float_noise_is_no_part_of_a_price() -> None:
    """What SQLite makes of 12345678.90 in a NUMERIC of a shop's own."""
    usd, listed = Currency.of("USD"), Decimal("12345678.9000000004")
    assert usd.is_price(listed, noise=FLOAT_NOISE)
    assert not usd.is_price(listed)
    assert not usd.is_price(Decimal("0.0057"), noise=FLOAT_NOISE)


@pytest.mark.parametrize("missing", ["list_price", "shipping"])
def test_an_amount_that_a_product_does_not_have_must_be_given(missing: str) -> None:
    nothing: Any = {missing: None}
    item = replace(line(Decimal(3)), **nothing)
    with pytest.raises(ConfigurationError, match=rf"product 1 has no {missing}.*{missing}=\.\.\."):
        PricedItem.of(item, Currency.of("USD"))
    given: Any = {missing: Decimal(4)}
    assert getattr(PricedItem.of(item, Currency.of("USD"), **given), missing) == Decimal(4)
