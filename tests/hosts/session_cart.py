"""A tea shop whose basket is in the session, for visitors and for members; only members can order.

Orders are taken at the counter so far, where the member shows the basket on the phone.
"""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from flask import Flask, abort, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Numeric, String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from werkzeug.security import check_password_hash, generate_password_hash

import flask_orders as fo  # + flask_orders

# Few rounds: the passwords of its customers are the tests' own.
HASH = "pbkdf2:sha256:1000"


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)
logins = LoginManager()


class Member(UserMixin, db.Model):
    __tablename__ = "members"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(120), unique=True)
    password: Mapped[str] = mapped_column(String(255))


class Tea(db.Model):
    __tablename__ = "teas"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    tins: Mapped[int]


tea = fo.mapping.product(Tea, sku=None, stock=Tea.tins)  # + flask_orders
fo.declare_models(db, customer=Member, product=tea)  # + flask_orders


@logins.user_loader
def load_member(key: str) -> Member | None:
    return db.session.get(Member, int(key))


def register() -> ResponseReturnValue:
    form = request.get_json()
    member = Member(email=form["email"], password=generate_password_hash(form["password"], HASH))
    db.session.add(member)
    db.session.commit()
    return {"id": member.id}, 201


def sign_in() -> ResponseReturnValue:
    form = request.get_json()
    member = db.session.scalar(select(Member).filter_by(email=form["email"]))
    if member is None or not check_password_hash(member.password, form["password"]):
        abort(403)
    login_user(member)
    return {"welcome": member.email}


def list_teas() -> ResponseReturnValue:
    found = db.session.scalars(select(Tea).order_by(Tea.name))
    return {one.name: {"id": one.id, "price": str(one.price)} for one in found}


def my_basket() -> dict[str, int]:
    session.setdefault("basket_id", uuid4().hex)  # + flask_orders
    basket: dict[str, int] = session.setdefault("basket", {})
    return basket


def add_to_basket(tea_id: int) -> ResponseReturnValue:
    db.get_or_404(Tea, tea_id)
    # JSON has no other keys than text.
    basket, key = my_basket(), str(tea_id)
    basket[key] = basket.get(key, 0) + request.get_json()["tins"]
    session.modified = True
    return "", 204


def show_basket() -> ResponseReturnValue:
    basket = my_basket()
    found = db.session.scalars(select(Tea).where(Tea.id.in_(map(int, basket))))
    return {"basket": {one.name: basket[str(one.id)] for one in found}}


@login_required  # + flask_orders
def check_out() -> ResponseReturnValue:  # + flask_orders
    fields = fo.schemas.CreateOrderSchema().load(request.get_json())  # + flask_orders
    pays = fields.pop("action") == "checkout"  # + flask_orders
    basket, key = session.get("basket", {}), session.get("basket_id")  # + flask_orders
    try:  # + flask_orders
        placed = fo.current_orders.place(current_user.id, items=basket,  # + flask_orders
            idempotency_key=key, checkout=pays, **fields)  # fmt: skip  # + flask_orders
    except fo.OrdersError as error:  # + flask_orders
        return error.problem(), error.status  # + flask_orders
    del session["basket"], session["basket_id"]  # + flask_orders
    url = url_for("pay" if pays else "orders.get_order", order_id=placed.order_id)  # + flask_orders
    return redirect(url, 303 if pays else 201)  # + flask_orders


@login_required
def pay(order_id: UUID) -> ResponseReturnValue:
    return {"order": str(order_id), "pay": "at the counter"}


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI=url,
        SECRET_KEY="the secret of the shop for tea",
        ORDERS_PAYMENT_ENDPOINT="pay",  # + flask_orders
    )
    app.config.from_mapping(config)
    db.init_app(app)
    Migrate(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    logins.init_app(app)
    app.add_url_rule("/register", view_func=register, methods=["POST"])
    app.add_url_rule("/sign-in", view_func=sign_in, methods=["POST"])
    app.add_url_rule("/teas", view_func=list_teas)
    app.add_url_rule("/basket/<int:tea_id>", view_func=add_to_basket, methods=["POST"])
    app.add_url_rule("/basket", view_func=show_basket)
    app.add_url_rule("/checkout", view_func=check_out, methods=["POST"])  # + flask_orders
    app.add_url_rule("/pay/<uuid:order_id>", view_func=pay)
    app.register_blueprint(fo.orders_bp, current_customer=current_user)  # + flask_orders
    return app
