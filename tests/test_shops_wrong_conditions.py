"""Wrong mappings that carts in turn, saved items, sales and deleted rows invite.

Each is refused when it is declared, or named by `flask orders check`. What nobody can know, such as
a condition that is the wrong way round, is there to be read in the mapping that `check` prints.
"""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

from flask_orders import ConfigurationError, declare_models, mapping

from .hosts import load
from .hosts.drivers import Driver, mapped

Make = Callable[[Any], Any]


def bookshop(shop: Any, **given: Any) -> dict[str, Any]:
    """Return the arguments of the shop with carts in turn, with other ones in their place."""
    book = mapping.product(
        shop.Book,
        sku=shop.Book.isbn,
        name=shop.Book.title,
        price=mapping.major_units(shop.Book.price),
        stock=shop.Book.copies,
    )
    arguments = {
        "customer": shop.User,
        "product": book,
        "cart": mapping.cart(shop.Basket, open=shop.Basket.ordered.is_not(True)),
        "cart_item": shop.BasketItem,
    }
    return {**arguments, **given}


def with_open(condition: Make) -> Make:
    return lambda shop: bookshop(shop, cart=mapping.cart(shop.Basket, open=condition(shop)))


def books(url: URL, make: Make) -> AbstractContextManager[Driver]:
    return mapped("carts_in_turn", url, make)


REFUSED: dict[str, tuple[Make, str]] = {
    "a condition of another class": (
        with_open(lambda shop: shop.BasketItem.quantity > 0),
        "basket_item, which is not the row's own: give an expression of Basket",
    ),
    "the cart's condition on the item": (
        lambda shop: bookshop(
            shop,
            cart=mapping.cart(shop.Basket),
            cart_item=mapping.cart_item(shop.BasketItem, open=shop.Basket.ordered.is_not(True)),
        ),
        "cart_item=BasketItem: open: .* reads basket, which is not the row's own",
    ),
    "another table beside a subquery": (
        with_open(
            lambda shop: sa.and_(
                shop.User.email != "", sa.exists().where(shop.Book.id == shop.Book.id)
            )
        ),
        "reads user, which is not the row's own",
    ),
    "Python's is not": (
        with_open(lambda shop: shop.Basket.ordered is not True),
        r"True is what Python's own `is not` gives; .*open=Basket.<its column>.is_not\(True\)",
    ),
    "Python's not": (with_open(lambda shop: not shop.Basket.ordered), "it must be a condition"),
    "nothing": (with_open(lambda _shop: None), "None would be the same for every row"),
    "a function of the row": (
        with_open(lambda _shop: lambda basket: not basket.ordered),
        "it must be a condition in SQL",
    ),
    "a time": (
        with_open(lambda shop: shop.Basket.ordered_at),
        "Basket.ordered_at is a DateTime.*, which is not true or false",
    ),
    "a relationship": (with_open(lambda shop: shop.Basket.items), "is a relationship"),
    "the customer as the cart of items that have one": (
        lambda shop: bookshop(shop, cart=shop.User),
        "no foreign key leads from BasketItem to User",
    ),
    "whole units as they are": (
        lambda shop: bookshop(
            shop,
            product=mapping.product(shop.Book, sku=None, name=None, stock=None),
        ),
        r"mapping.minor_units\(Book.price\).*mapping.major_units\(Book.price\)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_when_declared(name: str) -> None:
    make, message = REFUSED[name]
    shop = load("carts_in_turn", installed=False)
    with pytest.raises(ConfigurationError, match=f"(?s){message}"):
        declare_models(shop.db, **make(shop))
    assert "orders" not in shop.db.metadata.tables


OVERLOOKING: dict[str, Make] = {
    "~": lambda shop: ~shop.Basket.ordered,
    "!=": lambda shop: shop.Basket.ordered != True,  # noqa: E712 - the mistake
    "not_": lambda shop: sa.not_(shop.Basket.ordered),
    "lambda": lambda shop: lambda: ~shop.Basket.ordered,
    "and": lambda shop: sa.and_(~shop.Basket.ordered, shop.Basket.ordered_at.is_(None)),
}


@pytest.mark.parametrize("name", OVERLOOKING)
def test_a_not_that_misses_null_is_named(database: URL, name: str) -> None:
    with books(database, with_open(OVERLOOKING[name])) as host:
        (problem,) = host.problems()
        assert problem.startswith("a cart whose Basket.ordered is NULL counts as closed")
        assert "Basket.ordered.is_not(True)" in problem


COMPLETE: dict[str, Make] = {
    "is_not": lambda shop: shop.Basket.ordered.is_not(True),
    "or": lambda shop: sa.or_(shop.Basket.ordered.is_(None), ~shop.Basket.ordered),
    "coalesce": lambda shop: ~sa.func.coalesce(shop.Basket.ordered, sa.false()),
    "distinct": lambda shop: shop.Basket.ordered.is_distinct_from(True),
    "time": lambda shop: shop.Basket.ordered_at.is_(None),
    "lambda": lambda shop: lambda: shop.Basket.ordered.is_not(True),
    "exists": lambda shop: (
        lambda: sa.and_(shop.Basket.ordered.is_not(True), shop.Basket.user.has())
    ),
}


@pytest.mark.parametrize("name", COMPLETE)
def test_a_condition_that_is_true_for_null_orders_what_is_open(database: URL, name: str) -> None:
    with books(database, with_open(COMPLETE[name])) as host:
        buyer, product = host.customer(), host.product()
        host.put(buyer, product, 2)
        host.call("POST", "/cart/reserve", buyer)
        host.put(buyer, product)
        assert host.problems() == []
        assert host.order(buyer).status_code == 201
        assert [row["quantity"] for row in host.rows("basket_item")] == [2]


def test_rows_that_a_comparison_closes_since_a_column_is_null_are_a_note(database: URL) -> None:
    """They may be meant to be closed: the shop's own code may compare in the same way."""
    with books(database, with_open(lambda shop: shop.Basket.ordered.is_(False))) as host:
        assert "NULL" not in host.check()[1]
        host.put(host.customer(), host.product())
        assert host.problems() == []
        note = (
            "Note: 1 cart(s) whose Basket.ordered is NULL count as closed, by the mapping's open="
        )
        assert note in host.check()[1]


LATE: dict[str, tuple[Make, str]] = {
    "another class": (
        lambda shop: lambda: shop.User.email != "",
        'open: "?user"?.email != .* reads user, which is not the row\'s own',
    ),
    "a time": (lambda shop: lambda: shop.Basket.ordered_at, "which is not true or false"),
    "a relationship": (lambda shop: lambda: shop.Basket.items, "is a relationship"),
    "Python's is not": (
        lambda shop: lambda: shop.Basket.ordered is not True,
        "returns True, and a lambda without a parameter stands for an SQL expression",
    ),
}


@pytest.mark.parametrize("name", LATE)
def test_what_a_lambda_returns_is_checked_too(name: str) -> None:
    condition, message = LATE[name]
    with books(sa.make_url("sqlite://"), with_open(condition)) as host:
        problem, *_ = [one for one in host.problems() if "declare_models" in one]
        assert re.search(message, problem)


def test_a_condition_the_wrong_way_round_is_printed_and_doubles_carts(database: URL) -> None:
    with books(database, with_open(lambda shop: shop.Basket.ordered)) as host:
        buyer, product = host.customer(), host.product()
        for _ in range(2):
            host.put(buyer, product)
            host.call("POST", "/cart/reserve", buyer)
        host.put(buyer, product)
        _, output = host.check()
        assert "open=Basket.ordered\n" in output
        assert "1 cart(s) whose Basket.ordered is NULL count as closed" in output
        reversed_, doubled = host.problems()
        assert "open=Basket.ordered looks reversed" in reversed_
        assert doubled.startswith("1 customer(s) have more than one open cart")


def test_carts_in_turn_without_a_condition_are_named(database: URL) -> None:
    with books(database, lambda shop: bookshop(shop, cart=shop.Basket)) as host:
        problems = host.problems()
        assert any("mapping.cart(..., open=...)" in problem for problem in problems)
        assert any("open=Basket.ordered.is_not(True)" in problem for problem in problems)
        assert any("open=Basket.ordered_at.is_(None)" in problem for problem in problems)


FORGOTTEN: dict[str, tuple[str, Make, str]] = {
    "status": (
        "carts_by_status",
        lambda shop: {
            "customer": shop.Account,
            "product": mapping.product(shop.Tool, sku=None),
            "cart": shop.Cart,
            "cart_item": shop.CartItem,
        },
        "say mapping.cart(..., open=Cart.status == ...)",
    ),
    "saved for later": (
        "saved_for_later",
        lambda shop: {
            "customer": shop.User,
            "product": mapping.product(shop.Record, name=shop.Record.title),
            "cart": shop.User,
            "cart_item": shop.Wanted,
        },
        "say mapping.cart_item(..., open=Wanted.saved_for_later.is_not(True))",
    ),
    "deleted products": (
        "soft_delete",
        lambda shop: {
            "customer": shop.User,
            "product": shop.Plant,
            "cart": mapping.cart(shop.Cart, open=shop.Cart.deleted_at.is_(None)),
            "cart_item": mapping.cart_item(shop.CartItem, open=shop.CartItem.deleted_at.is_(None)),
        },
        "say mapping.product(..., active=Plant.deleted_at.is_(None)), or active=True",
    ),
    "a lower price": (
        "sale_prices",
        lambda shop: {
            "customer": shop.Customer,
            "product": mapping.product(
                shop.Shoe, sku=None, price=shop.Shoe.regular_price, stock=shop.Shoe.pairs
            ),
            "cart": mapping.cart(shop.Cart, voucher=shop.Cart.code),
            "cart_item": shop.CartItem,
        },
        "say mapping.product(..., sale_price=Shoe.reduced_price), or sale_price=None",
    ),
}


@pytest.mark.parametrize("name", FORGOTTEN)
def test_what_was_forgotten_is_named(database: URL, name: str) -> None:
    host_name, make, fix = FORGOTTEN[name]
    with mapped(host_name, database, make) as host:
        assert any(fix in problem for problem in host.problems())


def limited(shop: Any) -> dict[str, Any]:
    shop.Shoe.sale_ends = sa.orm.mapped_column(sa.DateTime)
    product = mapping.product(
        shop.Shoe,
        sku=None,
        price=shop.Shoe.regular_price,
        sale_price=shop.Shoe.reduced_price,
        stock=shop.Shoe.pairs,
    )
    cart = mapping.cart(shop.Cart, voucher=shop.Cart.code)
    return {"customer": shop.Customer, "product": product, "cart": cart, "cart_item": shop.CartItem}


def test_a_sale_that_ends_at_a_time_of_the_shop_s_own_is_named(database: URL) -> None:
    with mapped("sale_prices", database, limited) as host:
        (problem,) = host.problems()
        assert problem.startswith("Shoe.sale_ends looks like it limits Shoe.reduced_price")


def test_what_the_shop_has_said_is_named_no_more(database: URL) -> None:
    def said(shop: Any) -> dict[str, Any]:
        return {
            "customer": shop.User,
            "product": mapping.product(shop.Plant, active=True),
            "cart": mapping.cart(shop.Cart, open=sa.true()),
            "cart_item": mapping.cart_item(shop.CartItem, open=sa.true()),
        }

    with mapped("soft_delete", database, said) as host:
        assert host.problems() == []
        buyer = host.customer()
        host.put(buyer, host.product())
        assert host.order(buyer).status_code == 201


def test_criteria_on_every_select_may_do_the_same(database: URL) -> None:
    """A shop with `with_loader_criteria` need not say it again."""

    def plain(shop: Any) -> dict[str, Any]:
        return {
            "customer": shop.User,
            "product": shop.Plant,
            "cart": shop.Cart,
            "cart_item": shop.CartItem,
        }

    with mapped("soft_delete", database, plain) as host:
        assert sum("looks like it says" in problem for problem in host.problems()) == 3

        def hide(state: Any) -> None:
            shop = host.module
            for cls in (shop.Plant, shop.Cart, shop.CartItem):
                live = sa.orm.with_loader_criteria(cls, cls.deleted_at.is_(None))
                state.statement = state.statement.options(live)

        sa.event.listen(host.module.db.session, "do_orm_execute", hide)
        (problem,) = host.problems()
        assert problem.startswith("nothing in the database keeps a customer from having two carts")
