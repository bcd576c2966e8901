"""The public pages: the entry point and the products."""

from flask import Blueprint, Response, jsonify, redirect, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from .models import Product, db
from .schemas import ProductSchema

shop = Blueprint("shop", __name__)


@shop.get("/")
def index() -> ResponseReturnValue:
    """Send a browser to the catalogue, and return the URLs of the API's endpoints to a client."""
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
        return redirect(url_for("pages.show_catalogue"))
    return jsonify(
        register=url_for("accounts.register"),
        sign_in=url_for("accounts.sign_in"),
        products=url_for("shop.list_products"),
        cart=url_for("carts.get_cart"),
        orders=url_for("orders.list_orders"),
        preview=url_for("orders.preview_order"),
        openapi=url_for("orders.openapi"),
    )


@shop.get("/api/v1/i/products/")
def list_products() -> Response:
    """Return the products on sale, with list price and stock."""
    products = db.session.scalars(select(Product).where(Product.active).order_by(Product.sku))
    return jsonify(products=ProductSchema(many=True).dump(products))
