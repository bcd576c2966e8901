"""The catalogue: products with pictures, and what they cost this customer today."""

from flask import Blueprint, Response, render_template
from flask_jwt_extended import current_user
from sqlalchemy import select

from flask_orders import current_orders
from flask_orders.pricing import PricedItem

from ..models import Product, db
from .pictures import picture


def add_to(pages: Blueprint) -> None:
    """Add the routes to the blueprint."""
    pages.get("/")(show_catalogue)
    pages.get("/pictures/<sku>.svg")(show_picture)


def show_catalogue() -> str:
    """Return the page of all products on sale."""
    return render_template("shop/catalogue.html", items=priced_products())


def priced_products() -> list[PricedItem]:
    """Return every product as an order of one unit would be priced: by the same code."""
    query = select(Product).where(Product.active).order_by(Product.id)
    units = {product.id: 1 for product in db.session.scalars(query)}
    # Nobody has the key 0: what a visitor sees is what a new customer pays.
    customer_id = current_user.id if current_user else 0
    return list(current_orders.preview(customer_id, items=units).items)


def show_picture(sku: str) -> Response:
    """Return a product's picture."""
    response = Response(picture(sku), mimetype="image/svg+xml")
    response.cache_control.max_age = 86400
    return response
