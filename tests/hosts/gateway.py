"""A wine shop behind a gateway that signs customers in, elsewhere: it only knows their keys.

The gateway removes X-Customer from what clients send, and nobody reaches the app except through it.
"""

from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Flask, abort, request
from flask.typing import ResponseReturnValue
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, Numeric, String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from flask_orders import declare_models, mapping, orders_bp  # + flask_orders


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Wine(db.Model):
    __tablename__ = "wines"

    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(String(100))
    price: Mapped[Decimal] = mapped_column(Numeric(8, 2))
    bottles: Mapped[int]


class Crate(db.Model):
    __tablename__ = "crates"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(String(255), unique=True)
    places: Mapped[list["Place"]] = relationship(back_populates="crate")


class Place(db.Model):
    __tablename__ = "places"

    id: Mapped[int] = mapped_column(primary_key=True)
    crate_id: Mapped[int] = mapped_column(ForeignKey(Crate.id), index=True)
    wine_id: Mapped[int] = mapped_column(ForeignKey(Wine.id))
    bottles: Mapped[int]
    crate: Mapped[Crate] = relationship(back_populates="places")
    wine: Mapped[Wine] = relationship()


declare_models(  # + flask_orders
    db,  # + flask_orders
    product=mapping.product(Wine, sku=None, name=Wine.label, stock=Wine.bottles),  # + flask_orders
    cart=mapping.cart(Crate, customer=Crate.owner),  # + flask_orders
    cart_item=mapping.cart_item(Place, quantity=Place.bottles),  # + flask_orders
)  # + flask_orders


def customer() -> str | None:
    return request.headers.get("X-Customer")


def my_crate() -> Crate:
    owner = customer() or abort(401)
    crate = db.session.scalar(select(Crate).filter_by(owner=owner))
    if crate is None:
        crate = Crate(owner=owner)
        db.session.add(crate)
    return crate


def list_wines() -> ResponseReturnValue:
    found = db.session.scalars(select(Wine).order_by(Wine.label))
    return {"wines": [{"id": one.id, "label": one.label, "price": one.price} for one in found]}


def add_to_crate(wine_id: int) -> ResponseReturnValue:
    crate, wine = my_crate(), db.get_or_404(Wine, wine_id)
    crate.places.append(Place(wine=wine, bottles=request.get_json()["bottles"]))
    db.session.commit()
    return "", 204


def show_crate() -> ResponseReturnValue:
    return {"crate": {one.wine.label: one.bottles for one in my_crate().places}}


def pay(order_id: UUID) -> ResponseReturnValue:
    return {"order": str(order_id), "pay": "by the gateway"}


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI=url,
        ORDERS_PAYMENT_ENDPOINT="pay",  # + flask_orders
    )
    app.config.from_mapping(config)
    db.init_app(app)
    Migrate(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    app.add_url_rule("/wines", view_func=list_wines)
    app.add_url_rule("/crate/<int:wine_id>", view_func=add_to_crate, methods=["POST"])
    app.add_url_rule("/crate", view_func=show_crate)
    app.add_url_rule("/pay/<uuid:order_id>", view_func=pay)
    app.register_blueprint(orders_bp, current_customer=customer)  # + flask_orders
    return app
