"""A shop whose variants have tiers of prices and a product, which has a brand."""

from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column, relationship

from flask_orders import declare_models, mapping

from .apps import new_db
from .shops import Shop, open_shop


def make_variant_shop(url: URL, parts: Any, **options: Any) -> Shop:
    """Return the shop, with two variants of different products.

    Args:
        parts: a function from the `db` and the class to arguments of `mapping.product`.
        options: arguments of `register_blueprint`.
    """
    db = new_db()

    class Brand(db.Model):
        __tablename__ = "brands"
        id: Mapped[int] = mapped_column(primary_key=True)
        markup: Mapped[int]

    class Article(db.Model):
        __tablename__ = "articles"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str] = mapped_column(sa.String(80))
        base_price: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2))
        brand_id: Mapped[int] = mapped_column(sa.ForeignKey(Brand.id))
        kind: Mapped[str] = mapped_column(sa.String(20))
        brand: Mapped[Brand] = relationship()
        # Every SELECT of articles joins the table of the subclass.
        __mapper_args__ = {  # noqa: RUF012 - SQLAlchemy's own
            "polymorphic_on": kind,
            "polymorphic_identity": "own",
            "with_polymorphic": "*",
        }

    class ImportedArticle(Article):
        __tablename__ = "imported_articles"
        id: Mapped[int] = mapped_column(sa.ForeignKey(Article.id), primary_key=True)
        origin: Mapped[str] = mapped_column(sa.String(40))
        __mapper_args__ = {"polymorphic_identity": "imported"}  # noqa: RUF012 - SQLAlchemy's own

    class Variant(db.Model):
        __tablename__ = "variants"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(sa.String(80))
        article_id: Mapped[int] = mapped_column(sa.ForeignKey(Article.id))
        article: Mapped[Article] = relationship()
        tiers: Mapped[list["Tier"]] = relationship()

    class Tier(db.Model):
        __tablename__ = "tiers"
        id: Mapped[int] = mapped_column(primary_key=True)
        variant_id: Mapped[int] = mapped_column(sa.ForeignKey(Variant.id))
        price: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2))

    said = {"sku": None, "stock": None, **parts(db, Variant)}
    models = declare_models(db, product=mapping.product(Variant, **said))
    shop = open_shop(db, url, models, **options)
    for number in (1, 2):
        brand = Brand(markup=number)
        values = {"title": "Shirt", "base_price": Decimal(10), "brand": brand}
        article = Article(**values) if number == 1 else ImportedArticle(origin="Peru", **values)
        tiers = [Tier(price=Decimal(price)) for price in (9, 8)]
        shop.add(Variant(name=f"Shirt {number}", article=article, tiers=tiers))
    return shop
