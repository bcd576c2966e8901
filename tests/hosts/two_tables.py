"""A shop for tools whose logins and customers are two tables; a login may have no customer.

Several people of one company may sign in, and share the company's basket.
"""

from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Flask, abort, request
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, Numeric, String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from werkzeug.security import check_password_hash, generate_password_hash

from flask_orders import declare_models, orders_bp  # + flask_orders

# Few rounds: the passwords of its customers are the tests' own.
HASH = "pbkdf2:sha256:1000"


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)
logins = LoginManager()


class Company(db.Model):
    __tablename__ = "companies"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120))


class Login(UserMixin, db.Model):
    __tablename__ = "logins"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(120), unique=True)
    password: Mapped[str] = mapped_column(String(255))
    company_id: Mapped[int | None] = mapped_column(ForeignKey(Company.id))
    company: Mapped[Company | None] = relationship()


class Tool(db.Model):
    __tablename__ = "tools"

    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    stock: Mapped[int]


class Basket(db.Model):
    __tablename__ = "baskets"

    id: Mapped[int] = mapped_column(primary_key=True)
    company_id: Mapped[int] = mapped_column(ForeignKey(Company.id), unique=True)
    opened_by: Mapped[int | None] = mapped_column(ForeignKey(Login.id))
    lines: Mapped[list["Line"]] = relationship(back_populates="basket")


class Line(db.Model):
    __tablename__ = "lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    basket_id: Mapped[int] = mapped_column(ForeignKey(Basket.id), index=True)
    tool_id: Mapped[int] = mapped_column(ForeignKey(Tool.id))
    quantity: Mapped[int]
    basket: Mapped[Basket] = relationship(back_populates="lines")
    tool: Mapped[Tool] = relationship()


declare_models(db, customer=Company, product=Tool, cart=Basket, cart_item=Line)  # + flask_orders


@logins.user_loader
def load_login(key: str) -> Login | None:
    return db.session.get(Login, int(key))


def register() -> ResponseReturnValue:
    form = request.get_json()
    company = Company(name=form["company"]) if form.get("company") else None
    password = generate_password_hash(form["password"], HASH)
    login = Login(email=form["email"], password=password, company=company)
    db.session.add(login)
    db.session.commit()
    return {"login": login.id, "company": login.company_id}, 201


def sign_in() -> ResponseReturnValue:
    form = request.get_json()
    login = db.session.scalar(select(Login).filter_by(email=form["email"]))
    if login is None or not check_password_hash(login.password, form["password"]):
        abort(403)
    login_user(login)
    return {"welcome": login.email}


def list_tools() -> ResponseReturnValue:
    found = db.session.scalars(select(Tool).order_by(Tool.name))
    return {one.sku: {"name": one.name, "price": str(one.price)} for one in found}


def my_basket() -> Basket:
    company = current_user.company_id or abort(403)
    basket = db.session.scalar(select(Basket).filter_by(company_id=company))
    if basket is None:
        basket = Basket(company_id=company, opened_by=current_user.id)
        db.session.add(basket)
    return basket


@login_required
def add_to_basket(tool_id: int) -> ResponseReturnValue:
    basket, tool = my_basket(), db.get_or_404(Tool, tool_id)
    basket.lines.append(Line(tool=tool, quantity=request.get_json()["quantity"]))
    db.session.commit()
    return "", 204


@login_required
def show_basket() -> ResponseReturnValue:
    return {"lines": [[one.tool.sku, one.quantity] for one in my_basket().lines]}


@login_required
def pay(order_id: UUID) -> ResponseReturnValue:
    return {"order": str(order_id), "pay": "on account"}


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI=url,
        SECRET_KEY="the secret of the shop for tools",
        ORDERS_PAYMENT_ENDPOINT="pay",  # + flask_orders
    )
    app.config.from_mapping(config)
    db.init_app(app)
    Migrate(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    logins.init_app(app)
    app.add_url_rule("/register", view_func=register, methods=["POST"])
    app.add_url_rule("/sign-in", view_func=sign_in, methods=["POST"])
    app.add_url_rule("/tools", view_func=list_tools)
    app.add_url_rule("/basket/<int:tool_id>", view_func=add_to_basket, methods=["POST"])
    app.add_url_rule("/basket", view_func=show_basket)
    app.add_url_rule("/pay/<uuid:order_id>", view_func=pay)
    app.register_blueprint(  # + flask_orders
        orders_bp,  # + flask_orders
        current_customer=lambda: current_user.company_id,  # + flask_orders
    )  # + flask_orders
    return app
