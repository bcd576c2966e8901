"""The Python in the README and in `docs/`, executed in a shop, and what comes of it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from flask import (
    Blueprint,
    Flask,
    g,
    has_app_context,
    redirect,
    render_template_string,
    request,
    url_for,
)
from flask.testing import FlaskClient
from flask_cors import CORS
from flask_jwt_extended import JWTManager, create_access_token
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import Mapped, mapped_column, relationship

from flask_orders import current_orders, declare_models, mapping
from flask_orders.db.dialects.mysql import MySQL
from flask_orders.models import OrderItemMixin, OrderMixin

from .support import servers
from .support.apps import JWT_SECRET_KEY, install, new_db
from .support.docs import EXAMPLE, HOSTS, RUN, TESTS, blocks, pages, run
from .support.requests import ADDRESS, CHECKOUT, ORDERS, SAVE
from .support.responses import body


@pytest.fixture
def url(tmp_path: Path) -> URL:
    return URL.create("sqlite", database=str(tmp_path / "shop.sqlite3"))


def test_every_page_with_python_is_tested() -> None:
    assert {page for page in pages() if blocks(page)} == {*RUN, *HOSTS, *EXAMPLE, *TESTS}


def new_app(url: URL, db: SQLAlchemy | None = None) -> Flask:
    """Return an app before anything is installed in it."""
    app = Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = url.render_as_string(hide_password=False)
    app.config["JWT_SECRET_KEY"] = JWT_SECRET_KEY
    app.config["SECRET_KEY"] = "for the session"
    app.add_url_rule("/pay/<order_id>/", "payments.pay", lambda order_id: order_id)
    if db is not None:
        db.init_app(app)
    return app


def fill(app: Flask, db: SQLAlchemy, customer_id: Any = "ann") -> None:
    """Create the tables, and a cart with two units of a product."""
    with app.app_context():
        db.create_all()
        shop = current_orders.models
        product = shop.Product(sku="TEA", name="Tea", price=Decimal("9.50"), stock=100)
        items = [shop.CartItem(product=product, quantity=2)]
        db.session.add(shop.Cart(customer_id=customer_id, items=items))
        db.session.commit()


def token(app: Flask, customer_id: Any = "ann") -> dict[str, str]:
    with app.app_context():
        return {"Authorization": f"Bearer {create_access_token(str(customer_id))}"}


def order(app: Flask, customer_id: Any = "ann", **more: Any) -> Any:
    return app.test_client().post(
        ORDERS, json={**CHECKOUT, **more}, headers=token(app, customer_id)
    )


def orders_of(app: Flask, db: SQLAlchemy) -> list[Any]:
    with app.app_context():
        return list(db.session.scalars(select(current_orders.models.Order)))


@pytest.mark.parametrize("page", ["README", "index"])
def test_the_lines_that_install_it(page: str, url: URL) -> None:
    app, db = new_app(url), SQLAlchemy()
    run(page, {"app": app, "db": db, "jwt": JWTManager()})
    fill(app, db)
    answer = order(app)
    assert (answer.status_code, answer.headers["Location"][:5]) == (303, "/pay/")


def test_the_readme_s_own_models(url: URL) -> None:
    """The classes are those of the page about a shop's own models."""
    db = SQLAlchemy()
    names = run("own-models", {**vars(sa), **orm_names(), "db": db}, [])
    exec(blocks("own-models", "python before")[0], names)
    run("README", names, [1])
    app = install(db, url)
    assert names["CartItem"].__table__.name == "basket_lines"
    with app.app_context():
        db.create_all()
        ann = names["User"]()
        tea = names["Product"](sku="TEA", title="Tea", unit_price=Decimal("9.50"))
        db.session.add_all([ann, tea])
        db.session.flush()
        basket = names["Cart"](owner_id=ann.id)
        db.session.add(basket)
        db.session.flush()
        db.session.add(names["CartItem"](basket_id=basket.id, sku="TEA", qty=2))
        db.session.commit()
        key = ann.id
    assert order(app, key, action="save_order").status_code == 201


def orm_names() -> dict[str, Any]:
    return {
        "Decimal": Decimal,
        "Mapped": Mapped,
        "mapped_column": mapped_column,
        "UUID": UUID,
        "uuid4": uuid4,
        "relationship": relationship,
    }


def test_the_classes_of_a_new_shop(url: URL) -> None:
    db = SQLAlchemy()
    names = run("reference/tables", {"db": db, **orm_names()})
    app = install(db, url)
    assert names["Order"] is app.extensions["orders"].models.Order
    with app.app_context():
        db.create_all()
        db.session.add(names["User"](id=7))
        db.session.commit()
    fill(app, db, 7)
    assert order(app, 7, action="save_order").status_code == 201


def test_other_origins(url: URL) -> None:
    db = SQLAlchemy()
    app = install(db, url)
    run("cors", {"app": app, "CORS": CORS})
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "Content-Type",
    }
    client = app.test_client()
    own = client.options(ORDERS, headers={"Origin": "https://shop.example.com", **asked})
    assert own.headers["Access-Control-Allow-Origin"] == "https://shop.example.com"
    assert own.headers["Access-Control-Allow-Headers"] == "Content-Type"
    foreign = client.options(ORDERS, headers={"Origin": "https://evil.example.com", **asked})
    assert "Access-Control-Allow-Origin" not in foreign.headers
    fill(app, db)
    made = client.post(
        ORDERS, json=SAVE, headers={**token(app), "Origin": "https://shop.example.com"}
    )
    assert {"ETag", "Location"} <= set(made.headers["Access-Control-Expose-Headers"].split(", "))


def test_events_are_passed_to_celery(url: URL) -> None:
    sent: list[tuple[str, Any]] = []

    def send_task(name: str, args: list[Any], task_id: str) -> None:
        sent.append((name, args[0]["type"]))
        assert task_id == args[0]["id"]

    db = SQLAlchemy()
    names = run("events", {"celery": SimpleNamespace(send_task=send_task)})
    app = install(db, url, config={"ORDERS_OUTBOX": True})
    fill(app, db)
    assert order(app, action="save_order").status_code == 201
    assert app.test_cli_runner().invoke(args=["orders", "relay", "--once"]).exit_code == 0
    assert sent == [("shop.order_event", "flask-orders.order-placed")]
    assert names["to_celery"]


def test_the_life_of_an_order(url: URL) -> None:
    db = SQLAlchemy()
    app = install(db, url)
    fill(app, db)
    assert order(app, action="save_order").status_code == 201
    with app.app_context():
        shop = current_orders.models
        cart = db.session.scalars(select(shop.Cart)).one()
        product = db.session.scalars(select(shop.Product)).one()
        cart.items.append(shop.CartItem(product=product, quantity=2))
        db.session.commit()
    assert order(app, action="save_order").status_code == 201
    first, second = orders_of(app, db)
    with app.app_context():
        current_orders.record_payment(second.id, "pi_other", second.total_amount)
        db.session.commit()
        names = {"current_orders": current_orders, "db": db, "amount": first.total_amount}
        run("lifecycle", {**names, "order_id": first.id, "other_id": second.id})
        assert current_orders.refunds_due() == []
    assert [made.status for made in orders_of(app, db)] == ["delivered", "cancelled"]


def with_gift_note(db: Any) -> dict[str, Any]:
    class Order(OrderMixin, db.Model):
        __tablename__ = "orders"

        gift_note: Mapped[str | None] = mapped_column(sa.String(200))

    class Invoice(db.Model):
        __tablename__ = "invoices"

        id: Mapped[int] = mapped_column(primary_key=True)
        order_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Order.id))

    declare_models(db, order=Order)
    return {"Invoice": Invoice}


def test_a_view_of_the_shop_s_own(url: URL) -> None:
    db = SQLAlchemy()
    shop = Blueprint("shop", __name__)
    names = {"shop": shop, "request": request, "redirect": redirect, "url_for": url_for}
    run("own-code", {**names, "current_user": SimpleNamespace(id="ann")})
    for endpoint in ("pay", "thank_you"):
        shop.add_url_rule(f"/{endpoint}/<order_id>/", endpoint, lambda order_id: order_id)
    app = install(db, url)
    app.register_blueprint(shop)
    fill(app, db)
    form = {**ADDRESS, "key": "7", "csrf_token": "ignored"}
    first, again = (app.test_client().post("/checkout/", data=form) for _ in range(2))
    assert first.headers["Location"][:5] == "/pay/"
    assert again.headers["Location"] == first.headers["Location"]
    assert len(orders_of(app, db)) == 1


def test_a_transaction_of_the_shop_s_own(url: URL) -> None:
    db = new_db()
    classes = with_gift_note(db)
    app = install(db, url)
    fill(app, db)
    with app.app_context():
        run("own-code", {"db": db, "user": SimpleNamespace(id="ann"), **classes}, [1])
        assert db.session.query(classes["Invoice"]).count() == 1
    [made] = orders_of(app, db)
    assert (made.gift_note, made.billing_country) == ("For Ann", "CA")


def engraving_models() -> tuple[Any, Any]:
    """A shop with engravings and points; its `db` and classes."""
    db = new_db()

    class Customer(db.Model):
        __tablename__ = "customers"

        id: Mapped[int] = mapped_column(primary_key=True)
        is_verified: Mapped[bool] = mapped_column(default=False)
        points: Mapped[int] = mapped_column(default=0)

    class Product(db.Model):
        __tablename__ = "products"

        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(sa.String(50))
        price: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2))

    class Cart(db.Model):
        __tablename__ = "carts"

        id: Mapped[int] = mapped_column(primary_key=True)
        customer_id: Mapped[int] = mapped_column(sa.ForeignKey(Customer.id), unique=True)
        total_items: Mapped[int] = mapped_column(default=0)
        customer: Mapped[Customer] = relationship()

    class CartItem(db.Model):
        __tablename__ = "cart_items"

        id: Mapped[int] = mapped_column(primary_key=True)
        cart_id: Mapped[int] = mapped_column(sa.ForeignKey(Cart.id))
        product_id: Mapped[int] = mapped_column(sa.ForeignKey(Product.id))
        quantity: Mapped[int]
        engraving: Mapped[str | None] = mapped_column(sa.String(20))

    class OrderItem(OrderItemMixin, db.Model):
        __tablename__ = "order_items"

        engraving: Mapped[str | None] = mapped_column(sa.String(20))

    declare_models(
        db,
        customer=Customer,
        product=mapping.product(Product, sku=None, stock=None),
        cart=Cart,
        cart_item=CartItem,
        order_item=OrderItem,
    )
    classes = (Customer, Product, Cart, CartItem, OrderItem)
    return db, {cls.__name__: cls for cls in classes}


def fill_engravings(app: Flask, db: Any, made: Any) -> None:
    with app.app_context():
        db.create_all()
        db.session.add(made["Customer"](id=7))
        db.session.add(made["Product"](id=5, name="Mug", price=Decimal("300.00")))
        db.session.flush()
        db.session.add(made["Cart"](id=1, customer_id=7, total_items=2))
        db.session.flush()
        item = made["CartItem"](cart_id=1, product_id=5, quantity=2, engraving="Ann")
        db.session.add(item)
        db.session.commit()


def test_a_receiver_writes_with_the_order_or_refuses_it(url: URL) -> None:
    db, made = engraving_models()
    app = install(db, url)
    run(
        "writing-with-the-order",
        {"app": app, "Order": app.extensions["orders"].models.Order, **made},
    )
    fill_engravings(app, db, made)
    refused = order(app, 7, action="save_order")
    assert (refused.status_code, body(refused)["code"]) == (403, "fraud_suspected")
    with app.app_context():
        db.session.get_one(made["Customer"], 7).is_verified = True
        db.session.commit()
    assert order(app, 7, action="save_order").status_code == 201
    with app.app_context():
        assert db.session.get_one(made["Customer"], 7).points == 600
        assert db.session.get_one(made["Cart"], 1).total_items == 0
        found = db.session.scalars(select(current_orders.models.OrderItem)).one()
        assert found.engraving == "Ann"


@pytest.fixture
def tested(url: URL) -> Iterator[dict[str, Any]]:
    """What the tests of the page about tests take."""
    db = SQLAlchemy()
    app = install(db, url, config={"ORDERS_PAYMENT_ENDPOINT": "payments.pay", "TESTING": True})
    app.add_url_rule("/pay/<order_id>/", "payments.pay", lambda order_id: order_id)
    fill(app, db)

    def client_of(customer: str) -> FlaskClient:
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = token(app, customer)["Authorization"]
        return client

    with app.app_context():
        engine = db.engine
    yield {
        "app": app,
        "db": SimpleNamespace(engine=engine),
        "client_of": client_of,
        "ann": "ann",
    }
    engine.dispose()


@pytest.mark.parametrize("name", re.findall(r"(?m)^def (test_\w+)", "\n".join(blocks("testing"))))
def test_the_tests_of_a_shop(tested: dict[str, Any], name: str) -> None:
    test = run("testing", {"CHECKOUT": CHECKOUT, "pytest": pytest})[name]
    names = test.__code__.co_varnames[: test.__code__.co_argcount]
    test(**{argument: tested[argument] for argument in names})


def test_a_page_that_ends_its_reads_by_a_commit(url: URL) -> None:
    db = SQLAlchemy()
    app = install(db, url)
    shop = app.extensions["orders"].models
    ended: list[str] = []

    def render_template(_name: str, products: Any) -> str:
        return render_template_string(
            "{% for one in products %}{{ one.name }}{% endfor %}", products=products
        )

    names = {"app": app, "db": db, "select": select, "Product": shop.Product}
    run("databases/postgresql", {**names, "render_template": render_template})
    fill(app, db)
    with app.app_context():
        event.listen(db.engine, "commit", lambda _connection: ended.append("commit"))
    assert app.test_client().get("/products/").text == "Tea"
    assert ended == ["commit"]


def test_the_url_of_a_primary_and_its_standby() -> None:
    names = run("databases/postgresql-failover", {})
    url = make_url(names["SQLALCHEMY_DATABASE_URI"])
    [], given = sa.create_engine(url).dialect.create_connect_args(url)
    assert (given["host"], given["port"]) == ("db1,db2", "5432,5432")
    assert given["target_session_attrs"] == "read-write"


def test_the_collation_of_exact_text() -> None:
    """That of the library's own codes and keys, in a migration for either database."""
    column = eval(blocks("databases/mysql-and-mariadb")[0].splitlines()[-1], {"sa": sa})
    assert column.collation == MySQL().exact_collation()


def test_the_options_behind_pgbouncer() -> None:
    """`test_pgbouncer.py` runs the races with them."""
    options = run("databases/pgbouncer", {})["SQLALCHEMY_ENGINE_OPTIONS"]
    assert options == {"connect_args": {"prepare_threshold": None}, "hide_parameters": True}


@pytest.mark.server
def test_tenants_by_row_level_security() -> None:
    """Each tenant orders its own carts and sees its own orders, by a role that owns the tables."""
    with (
        servers.required(servers.server("postgresql")) as server,
        servers.fresh_database(server) as url,
        a_role(url) as own_url,
    ):
        db = SQLAlchemy()
        app = install(db, own_url)
        with app.app_context():
            names = {"event": event, "db": db, "g": g, "text": text}
            run("shops/row-level-security", {**names, "has_app_context": has_app_context})
            db.create_all()
            for statement in blocks("shops/row-level-security", "sql")[0].split(";\n"):
                db.session.execute(text(statement))
            db.session.commit()

        @app.before_request
        def know_tenant() -> None:
            g.tenant_id = request.headers["X-Tenant"]

        fill(app, db)
        client = app.test_client()
        red, blue = ({**token(app), "X-Tenant": name} for name in ("red", "blue"))
        made = client.post(ORDERS, json=SAVE, headers=red)
        assert made.status_code == 201, made.text
        path = made.headers["Location"]
        assert client.get(path, headers=red).status_code == 200
        assert client.get(path, headers=blue).status_code == 404
        assert (body(client.get(ORDERS, headers=red))["count"]) == 1
        assert (body(client.get(ORDERS, headers=blue))["count"]) == 0
        with app.app_context():
            db.engine.dispose()


@contextmanager
def a_role(url: URL) -> Iterator[URL]:
    """Make a role that owns the database's tables, and is no superuser; yield its URL."""
    name = f"shop_{uuid4().hex[:8]}"
    admin = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with admin.connect() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'"))
        connection.execute(text(f"GRANT ALL ON SCHEMA public TO {name}"))
    yield url.set(username=name, password="secret")
    with admin.connect() as connection:
        connection.execute(text(f"DROP OWNED BY {name}"))
        connection.execute(text(f"DROP ROLE {name}"))
