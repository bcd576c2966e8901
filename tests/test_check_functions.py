"""`flask orders check` calls the mapping's functions for some products, before a customer does."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

from .support.database import counted
from .support.pricings import PlainPricing
from .support.shops import Shop, check_output
from .support.variants import make_variant_shop

Parts = Callable[[Any, Any], dict[str, Any]]


def base_price(variant: Any) -> Decimal:
    price: Decimal = variant.article.base_price
    return price


def brand_price(variant: Any) -> Decimal:
    price: Decimal = variant.article.base_price + variant.article.brand.markup
    return price


def walking(db: Any, variant: Any) -> dict[str, Any]:
    return {"price": base_price}


def walking_far(db: Any, variant: Any) -> dict[str, Any]:
    return {"price": brand_price, "load": variant.article}


def walking_nowhere(db: Any, variant: Any) -> dict[str, Any]:
    return {"price": lambda _variant: Decimal(10)}


def loading(db: Any, variant: Any) -> dict[str, Any]:
    return {"price": base_price, "load": variant.article}


def loading_far(db: Any, variant: Any) -> dict[str, Any]:
    article = variant.article.property.mapper.class_
    return {"price": brand_price, "load": (variant.article, article.brand)}


def asking(db: Any, variant: Any) -> dict[str, Any]:
    def price_of(one: Any) -> Decimal:
        query = sa.select(sa.func.max(variant.id)).where(variant.id == one.id)
        return Decimal(db.session.scalar(query))

    def name_of(one: Any) -> str:
        session = sa.orm.object_session(one)
        assert session is not None
        return str(session.scalar(sa.select(variant.name).filter_by(id=one.id)))

    return {"name": name_of, "price": price_of}


def problems_of(url: URL, parts: Parts, **options: Any) -> list[str]:
    shop = make_variant_shop(url, parts, **options)
    output = check_output(shop)
    shop.close()
    return [line[2:] for line in output.splitlines() if line.startswith("- ")]


@pytest.mark.parametrize(
    ("parts", "read", "line"),
    [
        (walking, "Variant.article", "load=Variant.article"),
        (walking_far, "Article.brand", "load=(Variant.article, Article.brand)"),
    ],
)
@pytest.mark.parametrize("pricing", [None, PlainPricing()])
def test_a_function_that_walks_to_other_rows_names_them(
    database: URL, parts: Parts, read: str, line: str, pricing: Any
) -> None:
    (problem,) = problems_of(database, parts, pricing=pricing)
    assert problem == (
        f"the mapping's function for price reads {read} by a statement for each product, and may "
        f"find an old row: say mapping.product(..., {line})"
    )


@pytest.mark.parametrize("parts", [loading, loading_far, walking_nowhere])
def test_a_function_of_what_is_loaded_is_clean(database: URL, parts: Parts) -> None:
    assert problems_of(database, parts) == []


def test_a_function_that_sends_statements_of_its_own_is_named(database: URL) -> None:
    """Whichever session it sends them by."""
    of_name, of_price = problems_of(database, asking)
    assert "function for name sends a statement for each product" in of_name
    assert "function for price sends a statement for each product" in of_price


def test_a_float_is_named_also_where_the_shop_s_own_pricing_might_not_need_it(
    database: URL,
) -> None:
    def floating(_db: Any, _variant: Any) -> dict[str, Any]:
        return {"price": lambda _one: 9.99}

    (problem,) = problems_of(database, floating, pricing=PlainPricing())
    assert problem.startswith("price of the product 1: ")
    assert "is 9.99, a float" in problem
    assert "mapping.from_float(" in problem


def test_a_function_that_fails_is_named_with_the_product(database: URL) -> None:
    def failing(_db: Any, _variant: Any) -> dict[str, Any]:
        return {"price": lambda one: {1: Decimal(5)}[one.id]}

    (problem,) = problems_of(database, failing, pricing=PlainPricing())
    assert problem.startswith("the mapping's function for price fails for the product 2 (KeyError")


def test_twenty_items_send_no_more_statements_than_two(database: URL) -> None:
    shop = make_variant_shop(database, loading_far)
    with shop.session() as session:
        article = session.scalars(sa.select(shop.models.Product)).first()
        assert article is not None
        for number in range(20):
            session.add(shop.models.Product(name=f"More {number}", article=article.article))
    keys = [row["id"] for row in shop.rows("variants")]
    assert statements_for(shop, "Ann", keys[:2]) == statements_for(shop, "Bob", keys)
    shop.close()


def statements_for(shop: Shop, customer: str, products: list[int]) -> int:
    shop.cart(customer, dict.fromkeys(products, 1))
    with counted(shop.engine) as statements:
        assert shop.post(customer).status_code == 201
    return len(statements)
