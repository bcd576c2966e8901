"""Installing the library, and the errors for what is missing."""

import ast
import re
import socket
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from typing import cast
from uuid import UUID

import pytest
from click import Group
from flask import Blueprint, Flask
from flask_jwt_extended import JWTManager, create_access_token
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column

import flask_orders
from flask_orders import (
    ConfigurationError,
    current_orders,
    declare_models,
    errors,
    orders_bp,
)
from flask_orders.service import components_of
from flask_orders.signals import order_placed

from .support.apps import install, make_app
from .support.docs import page_text, pages
from .support.requests import HOME, ORDERS, SAVE
from .support.responses import body
from .support.shops import Shop, make_shop

PACKAGE = Path(flask_orders.__file__).parent


def test_one_line_gives_a_new_shop_everything(database: URL) -> None:
    app, db = make_app(database)
    with app.app_context():
        db.create_all()
        models = current_orders.models
        product = models.Product(sku="A", name="A", price=3)
        db.session.add(
            models.Cart(customer_id="ann", items=[models.CartItem(product=product, quantity=1)])
        )
        db.session.commit()
        token = create_access_token("ann")
    answer = app.test_client().post(
        ORDERS,
        json=SAVE,
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 201, answer.text
    with app.app_context():
        db.session.remove()
        db.drop_all()
        db.engine.dispose()


def test_subjects_are_compared_exactly(database: URL) -> None:
    """MariaDB's usual collations take these for one."""
    subjects = ["ann", "Ann", "ann ", "\u00e4nn"]
    app, db = make_app(database)
    with app.app_context():
        db.create_all()
        models = current_orders.models
        product = models.Product(sku="A", name="A", price=3)
        for subject in subjects:
            item = models.CartItem(product=product, quantity=1)
            db.session.add(models.Cart(customer_id=subject, items=[item]))
        db.session.commit()
        for subject in subjects:
            order = current_orders.convert(subject, billing_address=HOME)
            assert (order.customer_id, order.sequence) == (subject, 1)
        db.session.commit()
        db.session.remove()
        db.engine.dispose()


def test_before_init_app_the_error_says_so() -> None:
    with pytest.raises(ConfigurationError, match=r"needs db\.init_app\(app\) first"):
        Flask("early").register_blueprint(orders_bp)


@pytest.mark.parametrize(
    ("key", "value"),
    [("ORDERS_CURRENCY", "EURO"), ("ORDERS_RETRIES", 0), ("ORDERS_MAX_BODY", "16K")],
)
def test_a_wrong_setting_is_named_at_registration(key: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=key):
        make_app("sqlite://", **{key: value})


def test_create_app_may_run_any_number_of_times() -> None:
    db = SQLAlchemy()
    apps = [install(db) for _ in range(3)]
    found = []
    for app in apps:
        with app.app_context():
            found.append(current_orders.models)
    assert found[0] is found[1] is found[2]


def test_two_dbs_are_two_sets_of_models() -> None:
    first, second = SQLAlchemy(), SQLAlchemy()
    assert declare_models(first).Order is not declare_models(second).Order


def test_the_same_call_returns_the_same_models_and_another_one_is_refused() -> None:
    db = SQLAlchemy()
    assert declare_models(db) is declare_models(db)
    with pytest.raises(ConfigurationError, match=r"before register_blueprint\(orders_bp\)"):
        declare_models(db, table_prefix="fo_")


def test_a_prefix_is_put_before_every_table() -> None:
    db = SQLAlchemy()
    models = declare_models(db, table_prefix="fo_")
    assert models.Voucher.__tablename__ == "fo_vouchers"
    assert len(db.metadata.tables) == 15
    assert all(name.startswith("fo_") for name in db.metadata.tables)


def test_an_unavailable_database_is_503() -> None:
    shop_url = "postgresql+psycopg://nobody@127.0.0.1:9/nothing"
    app, _ = make_app(shop_url)
    with app.app_context():
        token = create_access_token("ann")
    answer = app.test_client().post(
        ORDERS, json={"action": "save_order"}, headers={"Authorization": f"Bearer {token}"}
    )
    assert (answer.status_code, body(answer)["code"]) == (503, "try_again")
    assert answer.headers["Retry-After"] == "1"


def test_a_database_that_does_not_answer_is_503() -> None:
    """As behind a firewall that drops what it does not let through."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+psycopg://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing"
        options = {"connect_args": {"connect_timeout": 2}}
        app, _ = make_app(url, SQLALCHEMY_ENGINE_OPTIONS=options, ORDERS_RETRIES=1)
        with app.app_context():
            token = create_access_token("ann")
        headers = {"Authorization": f"Bearer {token}"}
        answer = app.test_client().post(ORDERS, json={"action": "save_order"}, headers=headers)
    assert (answer.status_code, body(answer)["code"]) == (503, "try_again")


def test_a_signal_is_sent_once_after_the_commit_even_if_a_receiver_fails(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    seen = []

    def receive(app: Flask, order: object) -> None:
        seen.append((app, order, len(shop.rows("orders"))))
        raise RuntimeError("a receiver of the host's")

    with order_placed.connected_to(receive):
        made = shop.post(customer)
        shop.post(customer)

    assert made.status_code == 201
    ((app, order, rows),) = seen
    assert (app, type(order), rows) == (shop.app, shop.models.Order, 1)
    assert "a receiver of order-placed failed" in caplog.text


def test_a_receiver_that_breaks_the_session_does_not_break_the_next_one_s(shop: Shop) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    worked: list[str] = []

    def receive(name: str) -> None:
        shop.db.session.execute(text("SELECT 1"))
        worked.append(name)
        shop.db.session.execute(text("SELECT * FROM nowhere"))

    def one(_app: Flask, order: object) -> None:
        receive("one")

    def other(_app: Flask, order: object) -> None:
        receive("other")

    with order_placed.connected_to(one), order_placed.connected_to(other):
        assert shop.post(customer).status_code == 201
    assert sorted(worked) == ["one", "other"]


def test_the_currency_is_locked_into_the_order(database: URL) -> None:
    shop = make_shop(database, ORDERS_CURRENCY="JPY")
    customer = shop.customer()
    shop.cart(customer, {shop.product("1000"): 3})
    order = shop.order(customer)
    shop.app.config["ORDERS_CURRENCY"] = "USD"
    assert (order["currency"], order["total_amount"]) == ("JPY", "3000")
    assert shop.get(customer, order["url"]).json == order
    shop.close()


# The layers of the package: a module imports from its own layer and from those above its line.
LAYERS = (
    {"errors"},
    {"db.managed", "db.dialects", "db.bulk", "db.defaults", "db.typing", "db.writes"},
    {
        *("addresses", "amounts", "countries", "currency", "current_customer", "keys"),
        *("key_values", "offers", "pricing", "projection", "settings", "status", "stock", "texts"),
    },
    {"models", "stock_columns"},
    {"db"},
    {
        *("address_book", "audit", "cart_items", "cart_queries", "cart_vouchers"),
        *("carts", "check_fields", "check_schemas", "components", "converting"),
        *("dependents", "idempotency", "lifecycle", "links", "list_prices", "loading"),
        *("one_write", "outbox", "own_fields", "pagination", "payments", "placing"),
        *("plan", "product_lock", "product_reader", "product_stock", "promotions"),
        *("receivers", "refunds", "rows", "schemas", "service", "signals"),
        *("stock_audit", "testing", "versions", "writer"),
    },
    {"cli"},
    {"http"},
)


def test_imports_go_down_and_never_up() -> None:
    """The layers of the package, read off its import statements; no module imports in a circle."""
    found = {module: _imports(path) for module, path in _modules().items()}
    upward = [
        (module, imported)
        for module, imports in found.items()
        for imported in imports
        if _layer(imported) > _layer(module)
    ]
    assert upward == []
    tuple(TopologicalSorter(found).static_order())


def _layer(module: str) -> int:
    """The number of the line of LAYERS that has the module or, else, a package that it is in."""
    number = {name: i for i, names in enumerate(LAYERS) for name in names}
    parts = module.split(".")
    packages = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next(number[name] for name in packages if name in number)


# SQLAlchemy's names for databases and drivers.
DATABASE_NAMES = {
    *("sqlite", "postgresql", "mysql", "mariadb"),
    *("pysqlite", "psycopg", "psycopg2", "pymysql", "mysqldb", "mysqlconnector"),
}


def test_only_the_file_of_a_database_asks_for_its_name() -> None:
    """So that a database is added by one file."""
    asking = {
        f"{module}:{ast.unparse(node)}"
        for module, path in _modules().items()
        if not module.startswith("db.dialects.")
        for node in ast.walk(ast.parse(path.read_text()))
        if _is_database_name(node)
    }
    # The sentence about an unsupported database names it; the registry looks it up.
    assert {where.partition(":")[0] for where in asking} <= {"db.dialects", "cli.check_database"}
    assert len(asking) == 2, asking


def _is_database_name(node: ast.AST) -> bool:
    """Whether it is `dialect.name`, or the literal name of a database or a driver."""
    if isinstance(node, ast.Attribute) and node.attr == "name":
        return ast.unparse(node.value).endswith("dialect")
    return isinstance(node, ast.Constant) and node.value in DATABASE_NAMES


def _modules() -> dict[str, Path]:
    """Each module's name below the package and its file; a package is its __init__.py."""
    files = (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
    return {
        ".".join(path.with_suffix("").parts).removesuffix(".__init__"): PACKAGE / path
        for path in files
        if len(path.parts) > 1 or path.stem != "__init__"
    }


def _imports(path: Path) -> set[str]:
    """The modules of the package that a file imports from."""
    package = path.relative_to(PACKAGE).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            found.add(".".join([*base, *(node.module or "").split(".")]).strip("."))
    return {name for name in found if name}


@pytest.mark.parametrize(
    "name", ["service", "placing", "idempotency", "pricing", "models/declare", "carts"]
)
def test_only_the_blueprint_knows_http_and_the_jwt(name: str) -> None:
    tree = ast.parse((PACKAGE / f"{name}.py").read_text())
    names = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in ("flask", "flask_jwt_extended")
        for alias in node.names
    }
    assert names <= {"current_app"}


# The modules whose `__all__` is public; every other name of the package is private.
PUBLIC = (
    *("", ".models", ".models.mapping", ".pricing", ".stock"),
    *(".schemas", ".errors", ".signals", ".testing"),
)


def test_the_root_exports_what_most_shops_need() -> None:
    assert sorted(flask_orders.__all__) == [
        "BillingAddress",
        "BillingAddressSchema",
        "ConfigurationError",
        "Conflict",
        "Models",
        "OrderService",
        "OrdersError",
        "current_orders",
        "declare_models",
        "mapping",
        "orders_bp",
    ]
    assert re.findall(r"`(\.[\w.]+)`", str(flask_orders.__doc__)) == [
        name for name in PUBLIC if name
    ]


def test_every_error_is_public() -> None:
    raised = {name for name, cls in vars(errors).items() if _is_error(cls)}
    assert raised == {name for name in errors.__all__ if _is_error(getattr(errors, name))}


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_in_the_docs_and_in_a_test(module: str) -> None:
    """An error may be there as its code."""
    tests = "".join(path.read_text() for path in sorted(Path(__file__).parent.rglob("*.py")))
    docs = "".join(page_text(page) for page in pages())
    found = import_module(f"flask_orders{module}")
    for name in found.__all__:
        code = getattr(vars(found)[name], "code", name) if module == ".errors" else name
        pattern = rf"\b({name}|{code})\b"
        assert re.search(pattern, docs), f"{name} is not in the docs"
        assert re.search(pattern, tests), f"{name} is in no test"


def test_no_other_module_has_public_names() -> None:
    """What is not in a list is private, and has no list."""
    public = {name.removeprefix(".") for name in PUBLIC}
    with_list = {name for name, path in _modules().items() if "\n__all__" in path.read_text()}
    inner = {name for name in with_list if name.startswith(("cli.", "db.", "http."))}
    assert with_list - inner == public - {""}


def test_the_service_s_own_attributes_are_private(shop: Shop) -> None:
    with shop.app.app_context():
        assert {name for name in vars(current_orders) if name[0] != "_"} == {"models", "session"}


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


def test_every_attack_has_an_existing_test() -> None:
    root = PACKAGE.parent
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", page_text("explanation/attacks"))
    assert len(named) >= 40
    for file, name in named:
        assert f"def {name}(" in (root / "tests" / file).read_text(), f"{file}::{name}"


def test_an_app_without_a_jwt_manager_logs_the_fix(caplog: pytest.LogCaptureFixture) -> None:
    app, db = Flask("no-jwt"), SQLAlchemy()
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    db.init_app(app)
    app.register_blueprint(orders_bp)
    assert app.test_client().post(ORDERS, json={}).status_code == 500
    assert "the app needs JWTManager(app)" in caplog.text


def test_under_another_name_and_inside_another_blueprint() -> None:
    """A shop may keep `orders` for its own blueprint, or put the library's into that of its API."""
    app, db = Flask("names"), SQLAlchemy()
    app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", JWT_SECRET_KEY="s" * 32)
    JWTManager(app)
    db.init_app(app)
    api = Blueprint("api", __name__, url_prefix="/api/v2")
    api.register_blueprint(orders_bp, url_prefix="/orders")
    app.register_blueprint(api)
    app.register_blueprint(orders_bp, url_prefix="/shop/orders", name="shop_orders")
    with app.app_context():
        db.create_all()
        headers = {"Authorization": f"Bearer {create_access_token('ann')}"}
        models, client = current_orders.models, app.test_client()
        product = models.Product(sku="A", name="A", price=3)
        cart = models.Cart(customer_id="ann")
        for prefix in ("/api/v2/orders/", "/shop/orders/"):
            cart.items = [models.CartItem(product=product, quantity=1)]
            db.session.add(cart)
            db.session.commit()
            request = SAVE
            made = client.post(prefix, json=request, headers=headers)
            assert made.status_code == 201, made.text
            order = body(client.get(made.headers["Location"], headers=headers))
            assert order["url"] == made.headers["Location"]
            assert order["url"].startswith(prefix)
            assert client.get(f"{prefix}?limit=1", headers=headers).status_code == 200
            assert f"{prefix}preview/" in body(client.get(f"{prefix}openapi.json"))["paths"]
            assert client.get(prefix).status_code == 401
        db.session.remove()
        db.engine.dispose()


def test_the_options_of_register_blueprint_that_are_flask_s_own() -> None:
    app, db = Flask("options", subdomain_matching=True), SQLAlchemy()
    app.config.update(
        SQLALCHEMY_DATABASE_URI="sqlite://", JWT_SECRET_KEY="s" * 32, SERVER_NAME="shop.example"
    )
    JWTManager(app)
    db.init_app(app)
    app.register_blueprint(
        orders_bp,
        url_prefix="/buy",
        name="buying",
        subdomain="eu",
        url_defaults={"region": "eu"},
        cli_group="buying",
        saved_address=lambda _customer: None,
    )
    assert set(app.blueprints) == {"buying"}
    assert "orders" not in app.cli.commands
    assert "check" in cast(Group, app.cli.commands["buying"]).commands
    rules = {rule.endpoint: rule for rule in app.url_map.iter_rules()}
    create = rules["buying.create_order"]
    assert (create.rule, create.subdomain, create.defaults) == ("/buy/", "eu", {"region": "eu"})
    client = app.test_client()
    here, elsewhere = "http://eu.shop.example", "http://us.shop.example"
    assert client.get("/buy/openapi.json", base_url=here).status_code == 200
    assert client.get("/buy/", base_url=here).status_code == 401
    assert client.get("/buy/", base_url=elsewhere).status_code == 404


def test_the_same_options_inside_a_blueprint_that_is_registered_twice() -> None:
    """Flask hands out its options anew each time; so do those of the library reach it."""
    outer = Blueprint("outer", __name__)
    outer.register_blueprint(orders_bp, url_prefix="/orders", saved_address=no_address)
    for _ in range(2):
        app, db = Flask("twice"), SQLAlchemy()
        app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", JWT_SECRET_KEY="s" * 32)
        JWTManager(app)
        db.init_app(app)
        app.register_blueprint(outer)
        assert components_of(app.extensions["orders"]).options["saved_address"] is no_address


def no_address(_customer_id: object) -> None:
    """Return that the customer has no saved address."""


def test_a_user_lookup_that_only_uses_the_claims(database: URL) -> None:
    """It saves a query; whether there is such a customer, an order finds out itself."""
    shop = make_shop(database)
    jwt: JWTManager = shop.app.extensions["flask-jwt-extended"]
    model = shop.models.Customer
    assert model is not None
    jwt.user_lookup_loader(lambda _header, claims: model(id=int(claims["sub"])))
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    assert shop.get(customer, shop.order(customer)["url"]).status_code == 200
    assert shop.post(customer + 1).status_code == 401
    shop.close()


def test_a_token_from_before_the_customers_had_uuids() -> None:
    db = SQLAlchemy()

    class Customer(db.Model):
        __tablename__ = "customers"

        id: Mapped[UUID] = mapped_column(primary_key=True)

    declare_models(db, customer=Customer)
    app = install(db, config={"JWT_VERIFY_SUB": False})
    with app.app_context():
        db.create_all()
        headers = {"Authorization": f"Bearer {create_access_token(5)}"}
        # Flask-JWT-Extended 4.7.0 refuses it itself, by 422.
        assert app.test_client().get(ORDERS, headers=headers).status_code in (401, 422)
        db.engine.dispose()
