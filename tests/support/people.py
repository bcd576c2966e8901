"""A shop with several classes of persons, of which one is the customers'."""

from typing import Any, ClassVar

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column

from flask_orders import declare_models

from .apps import install
from .shops import Shop


def people(url: URL, **options: Any) -> tuple[Shop, dict[str, Any]]:
    """A shop whose customers and staff are in one table, and a second class of users.

    `options` are those of `install`.
    """
    db = SQLAlchemy()

    class Person(db.Model):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str] = mapped_column(sa.String(20))
        deleted: Mapped[bool] = mapped_column(default=False)
        __mapper_args__: ClassVar[Any] = {
            "polymorphic_on": "kind",
            "polymorphic_identity": "person",
        }

    class Customer(Person):
        __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "customer"}

    class Wholesaler(Customer):
        __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "wholesaler"}

    class Staff(Person):
        __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "staff"}

    class User(db.Model):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)

    models = declare_models(db, customer=Customer)
    app = install(db, url, config={"ORDERS_PAYMENT_ENDPOINT": "orders.get_order"}, **options)
    shop = Shop(app, db, models)
    with app.app_context():
        db.create_all()
        db.session.add_all([Customer(id=1), Staff(id=2), Wholesaler(id=3), User(id=1)])
        product = models.Product(sku="A", name="A", price=1, stock=9)
        db.session.add(product)
        db.session.commit()
    for person in (1, 2, 3):
        shop.cart(person, {shop.rows("products")[0]["id"]: 1})
    classes = {cls.__name__: cls for cls in (Person, Customer, Wholesaler, Staff, User)}
    return shop, classes


def close(shop: Shop) -> None:
    with shop.app.app_context():
        shop.db.drop_all()
    shop.close()
