"""`flask orders check` judges a payment endpoint and CSRF protection as a request would."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask import Flask, g
from flask_jwt_extended import JWTManager, create_access_token
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect
from werkzeug.routing import BaseConverter, Rule, ValidationError

from flask_orders import orders_bp

from .support.checks import check
from .support.requests import ORDERS, SAVE

WELL = (0, "Everything is set up.\n")

PAY = "/pay/<uuid:order_id>"

HOSTS = {"host_matching": True, "static_host": "shop.example"}

Arrange = Callable[[Flask], None]


def pay(**_values: Any) -> str:
    return "pay"


def make_app(folder: Path, arrange: Arrange, config: dict[str, Any], **options: Any) -> Flask:
    cls: type[Flask] = options.pop("cls", Flask)
    blueprint: dict[str, Any] = options.pop("blueprint", {})
    app, db = cls("checked", **options), SQLAlchemy()
    app.config.update(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{folder}/shop.sqlite3",
        SQLALCHEMY_ENGINE_OPTIONS={"hide_parameters": True},
        JWT_SECRET_KEY="s" * 32,
        SECRET_KEY="s" * 32,
        ORDERS_PAYMENT_ENDPOINT="pay",
        **config,
    )
    db.init_app(app)
    JWTManager(app)
    arrange(app)
    app.register_blueprint(orders_bp, **blueprint)
    with app.app_context():
        db.create_all()
        db.engine.dispose()
    return app


def at_subdomain(app: Flask) -> None:
    app.add_url_rule(PAY, "pay", pay, subdomain="secure")


def at_root(app: Flask) -> None:
    app.add_url_rule(PAY, "pay", pay)


def on_another_host(app: Flask) -> None:
    app.add_url_rule(PAY, "pay", pay, host="pay.shop.example")


def beside_old_orders(app: Flask) -> None:
    at_root(app)
    app.add_url_rule(ORDERS, "old_orders", pay, methods=["POST"])


class ShopRule(Rule):
    """Without a host a rule would match none."""

    def __init__(self, path: str, host: str = "shop.example", **options: Any) -> None:
        super().__init__(path, host=host, **options)


class HostShop(Flask):
    url_rule_class = ShopRule  # type: ignore[assignment] # Flask declares it for Rule itself


def in_the_customer_s_language(app: Flask) -> None:
    """As in Flask's own documentation ("Internationalized Application URLs")."""
    app.add_url_rule("/<lang>" + PAY, "pay", pay)

    @app.url_value_preprocessor
    def learn(_endpoint: str | None, values: dict[str, Any] | None) -> None:
        g.lang = (values or {}).pop("lang", "en")

    @app.url_defaults
    def add(endpoint: str, values: dict[str, Any]) -> None:
        if app.url_map.is_endpoint_expecting(endpoint, "lang"):
            values.setdefault("lang", g.lang)


def in_the_language_of_a_header(app: Flask) -> None:
    app.add_url_rule("/<lang>" + PAY, "pay", pay)

    @app.before_request
    def learn() -> None:
        g.lang = "en"

    @app.url_defaults
    def add(endpoint: str, values: dict[str, Any]) -> None:
        values.setdefault("lang", g.lang)


def at_a_payment_provider(app: Flask) -> None:
    def build(_error: Exception, endpoint: str, values: dict[str, Any]) -> str:
        return f"https://pay.example.com/{endpoint}/{values['order_id']}"

    app.url_build_error_handlers.append(build)


def at_a_front_end_of_this_app(app: Flask) -> None:
    app.add_url_rule("/<path:path>", "front_end", pay)
    app.url_build_error_handlers.append(lambda _error, _endpoint, values: f"/app/{values}")


def in_front_of_this_app(app: Flask) -> None:
    app.add_url_rule("/<path:path>", "front_end", pay)
    app.add_url_rule(PAY, "pay", build_only=True)


class Order(BaseConverter):
    def to_python(self, value: str) -> Any:
        raise ValidationError(f"there is no order {value}")


def by_a_converter_that_looks_the_order_up(app: Flask) -> None:
    app.url_map.converters["order"] = Order
    app.add_url_rule("/pay/<order:order_id>", "pay", pay)


@pytest.mark.parametrize(
    ("arrange", "config", "options"),
    [
        (at_root, {}, {}),
        (at_root, {"SERVER_NAME": "shop.example"}, {}),
        (at_root, {"APPLICATION_ROOT": "/shop"}, {}),
        (at_root, {"TRUSTED_HOSTS": [".shop.example"]}, {}),
        (at_subdomain, {"SERVER_NAME": "shop.example"}, {"subdomain_matching": True}),
        (on_another_host, {}, {"cls": HostShop, **HOSTS}),
        (
            at_root,
            {"SERVER_NAME": "shop.example"},
            {"subdomain_matching": True, "blueprint": {"subdomain": "api"}},
        ),
        (in_the_customer_s_language, {}, {}),
        (in_the_language_of_a_header, {}, {}),
        (at_a_payment_provider, {}, {}),
        (at_a_front_end_of_this_app, {}, {}),
        (in_front_of_this_app, {}, {}),
        (by_a_converter_that_looks_the_order_up, {}, {}),
    ],
)
def test_a_working_payment_endpoint_is_accepted(
    tmp_path: Path, arrange: Arrange, config: dict[str, Any], options: dict[str, Any]
) -> None:
    assert check(make_app(tmp_path, arrange, config, **options)) == WELL


@pytest.mark.parametrize(
    ("arrange", "fix"),
    [
        (lambda app: None, "`flask routes` lists yours"),
        (lambda app: app.add_url_rule("/pay", "pay", pay), "give it a route such as"),
        (
            lambda app: app.add_url_rule("/pay/<int:order_id>", "pay", pay),
            "does not take order_id: give it a route such as '/pay/<uuid:order_id>'",
        ),
        (
            lambda app: app.add_url_rule("/<shop>" + PAY, "pay", pay),
            "needs shop besides order_id",
        ),
        (
            lambda app: app.add_url_rule(PAY, "pay", pay, methods=["POST"]),
            "add methods=['GET', ...]",
        ),
        (
            lambda app: [app.add_url_rule(PAY, name, pay) for name in ("page", "pay")],
            "leads to 'page'",
        ),
    ],
)
def test_a_payment_endpoint_that_leads_nowhere_is_named_with_its_fix(
    tmp_path: Path, arrange: Arrange, fix: str
) -> None:
    code, output = check(make_app(tmp_path, arrange, {}))
    assert (code, output.count("\n")) == (1, 1), output
    assert fix in output


@pytest.mark.parametrize(
    ("arrange", "options", "fix"),
    [
        (on_another_host, HOSTS, "use subdomain_matching, or give the rules of the app a host"),
        (at_root, {"blueprint": {"subdomain": "api"}}, "subdomain_matching=True"),
        (
            beside_old_orders,
            {},
            "leads to 'old_orders' and not to 'orders.create_order'",
        ),
    ],
)
def test_unreachable_order_routes_are_named(
    tmp_path: Path, arrange: Arrange, options: dict[str, Any], fix: str
) -> None:
    app = make_app(tmp_path, arrange, {}, **options)
    code, output = check(app)
    assert code == 1
    assert fix in output
    client = app.test_client()
    for host in ("localhost", "shop.example", "api.shop.example"):
        assert client.post(ORDERS, base_url=f"http://{host}").status_code in (200, 404)


def unprotected(_csrf: CSRFProtect) -> None:
    pass


@pytest.mark.parametrize(
    ("exempt", "config", "is_refused"),
    [
        (unprotected, {}, True),
        (unprotected, {"WTF_CSRF_ENABLED": False}, False),
        (unprotected, {"WTF_CSRF_CHECK_DEFAULT": False}, False),
        (unprotected, {"WTF_CSRF_METHODS": ["PUT"]}, False),
        (lambda csrf: csrf.exempt(orders_bp), {}, False),
        (lambda csrf: csrf.exempt("flask_orders.http.blueprint.create_order"), {}, True),
    ],
)
def test_csrf_protection_that_refuses_orders_is_named(
    tmp_path: Path, exempt: Callable[[CSRFProtect], Any], config: dict[str, Any], is_refused: bool
) -> None:
    """Every POST would be refused; what `check` says is what the requests meet."""

    def protect(app: Flask) -> None:
        at_root(app)
        exempt(CSRFProtect(app))

    app = make_app(tmp_path, protect, config)

    code, output = check(app)

    assert (code == 1, "call csrf.exempt(orders_bp)" in output) == (is_refused, is_refused)
    with app.app_context():
        headers = {"Authorization": f"Bearer {create_access_token('ann')}"}
    client, order = app.test_client(), UUID(int=7)
    answers = [
        client.post(ORDERS, json=SAVE),
        client.post(f"{ORDERS}{order}/cancel/", headers=headers),
    ]
    assert any(answer.status_code == 400 for answer in answers) == is_refused
    with app.app_context():
        app.extensions["sqlalchemy"].engine.dispose()
