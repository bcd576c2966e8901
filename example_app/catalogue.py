"""The shop's catalogue: tea, tea ware, offers and vouchers; loading it again only tops it up."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select, update

from .models import Offer, Product, Voucher, db

# sku, name, price, shipping per item (None: free), stock (None: not counted)
PRODUCTS: Sequence[tuple[str, str, str, str | None, int | None]] = (
    ("TEA-ASSAM", "Assam, 250 g", "9.50", "2.90", 120),
    ("TEA-CHAI", "Masala chai, 250 g", "11.40", "2.90", 90),
    ("TEA-DARJEELING", "Darjeeling, 250 g", "14.90", "2.90", 80),
    ("TEA-EARL-GREY", "Earl Grey, 250 g", "10.25", "2.90", 150),
    ("TEA-FIRST-FLUSH", "First flush, 100 g", "24.00", "2.90", 5),
    ("TEA-OOLONG", "Oolong, 100 g", "16.75", "2.90", 40),
    ("TEA-ROOIBOS", "Rooibos, 250 g", "7.80", "2.90", 200),
    ("TEA-SENCHA", "Sencha, 100 g", "12.00", "2.90", 60),
    ("KETTLE-GOOSE", "Gooseneck kettle", "79.99", "8.50", 25),
    ("KETTLE-TRAVEL", "Travel kettle", "34.50", "6.00", 30),
    ("POT-GLASS", "Glass teapot, 1 l", "42.00", "8.50", 20),
    ("POT-IRON", "Cast iron teapot", "68.00", "9.90", 12),
    ("CUP-BLUE", "Blue cup", "12.50", "4.20", 75),
    ("CUP-DOUBLE", "Two double glasses", "19.95", "4.20", 45),
    ("STRAINER", "Steel strainer", "8.95", "2.90", 100),
    ("FILTERS", "Paper filters, 100", "4.35", "2.90", 300),
    ("TIMER", "Tea timer", "15.00", "2.90", 35),
    ("BOOK", "A small book of tea", "18.00", None, 50),
    ("GIFT-CARD", "Gift card", "25.00", None, None),
    ("TASTING", "Tea tasting, online", "30.00", None, None),
)

# Not on sale at present.
INACTIVE = ("TEA-FIRST-FLUSH",)

# title, type, value, prefix of the products' skus (empty: every product)
OFFERS = (
    ("Tea week: 15 % off", "percentage", "15", "TEA-"),
    ("10.00 off every kettle", "fixed", "10.00", "KETTLE-"),
    ("2.50 off every cup", "fixed", "2.50", "CUP-"),
    ("Welcome: 5 % off", "percentage", "5", ""),
)

FIRST_ORDER_ONLY = ("Welcome: 5 % off",)

# code, type, value, usage, minimum order value, valid until
VOUCHERS: Sequence[tuple[str, str, str, str, str | None, datetime | None]] = (
    ("WELCOME10", "percentage", "10", "once_per_customer", None, None),
    ("TENOFF", "fixed", "10.00", "multiple", "50.00", None),
    ("GOLDEN-TICKET", "percentage", "25", "single", None, None),
    ("SPRING-2020", "percentage", "20", "multiple", None, datetime(2020, 6, 1, tzinfo=UTC)),
)


def stock_the_shop() -> None:
    """Add the missing rows and top the stock up; leave all other rows and values unchanged."""
    _add_missing(Product.sku, [_product(*row) for row in PRODUCTS])
    _add_missing(Offer.title, [_offer(*row) for row in OFFERS])
    _add_missing(Voucher.code, [_voucher(*row) for row in VOUCHERS])
    for sku, *_, stock in PRODUCTS:
        if stock is not None:
            short = (Product.sku == sku, Product.stock < stock)
            db.session.execute(update(Product).where(*short).values(stock=stock))
    db.session.commit()


def _add_missing(key: Any, rows: Sequence[Any]) -> None:
    known = set(db.session.scalars(select(key)))
    db.session.add_all(row for row in rows if getattr(row, key.key) not in known)
    db.session.flush()


def _product(sku: str, name: str, price: str, shipping: str | None, stock: int | None) -> Any:
    return Product(
        sku=sku,
        name=name,
        price=Decimal(price),
        shipping=_amount(shipping),
        stock=stock,
        active=sku not in INACTIVE,
    )


def _offer(title: str, kind: str, value: str, skus: str) -> Any:
    products = select(Product).where(Product.sku.startswith(skus))
    return Offer(
        title=title,
        discount_type=kind,
        discount_value=Decimal(value),
        first_order_only=title in FIRST_ORDER_ONLY,
        # An offer without products applies to every product.
        products=db.session.scalars(products).all() if skus else [],
    )


def _voucher(
    code: str, kind: str, value: str, usage: str, minimum: str | None, valid_to: datetime | None
) -> Any:
    return Voucher(
        code=code,
        discount_type=kind,
        discount_value=Decimal(value),
        usage=usage,
        minimum_order_value=_amount(minimum),
        valid_to=valid_to,
    )


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
