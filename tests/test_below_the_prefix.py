"""Every response below the prefix: problem documents, tokens from any location, caching."""

import gzip
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask import Blueprint, Flask, abort, request
from flask_jwt_extended import create_access_token
from flask_sqlalchemy import SQLAlchemy
from werkzeug.test import TestResponse

from example_app import create_app
from flask_orders import ConfigurationError, current_orders, orders_bp
from flask_orders.service import components_of

from .support.apps import install, make_app
from .support.database import nothing_changed
from .support.openapi import check_valid
from .support.pricings import PlainPricing
from .support.requests import ORDERS, SAVE
from .support.responses import body, refused
from .support.shops import Shop

TEXT = json.dumps(SAVE).encode()
ORDER = f"{ORDERS}{UUID(int=1)}/"


@pytest.mark.parametrize("url", [f"{ORDERS}a/b/", f"{ORDER}pay/", f"{ORDERS}openapi.json/x"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_returns_a_problem_document(method: str, url: str) -> None:
    refused(install(SQLAlchemy()).test_client().open(url, method=method), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "url", "allowed"),
    [
        ("DELETE", ORDERS, {"GET", "HEAD", "OPTIONS", "POST"}),
        ("PUT", ORDERS.rstrip("/"), {"GET", "HEAD", "OPTIONS", "POST"}),
        ("PATCH", ORDER, {"GET", "HEAD", "OPTIONS"}),
        ("GET", f"{ORDER}cancel/", {"OPTIONS", "POST"}),
        ("BREW", f"{ORDERS}openapi.json", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_an_unsupported_method_returns_405_with_the_supported_ones(
    method: str, url: str, allowed: set[str]
) -> None:
    answer = install(SQLAlchemy()).test_client().open(url, method=method)
    refused(answer, 405, "method_not_allowed")
    assert set(answer.allow) == allowed


def test_problem_documents_win_over_the_shop_s_error_handlers(tmp_path: Any) -> None:
    """Elsewhere the shop's own handler answers."""
    client = create_app(str(tmp_path)).test_client()
    refused(client.delete(ORDERS), 405, "method_not_allowed")
    assert client.delete(ORDERS).headers["Allow"]
    refused(client.get(f"{ORDERS}a/b/"), 404, "not_found")
    assert body(client.get("/nowhere")).keys() == {"error"}
    assert body(client.delete("/api/v1/i/products/")).keys() == {"error"}


@pytest.mark.parametrize(
    ("options", "prefix"),
    [
        ({"url_prefix": "/o"}, "/o/"),
        ({"url_prefix": "/<lang>/orders"}, "/en/orders/"),
        ({"name": "mine"}, ORDERS),
        ({"url_defaults": {"tenant": "a"}}, ORDERS),
    ],
)
def test_problem_documents_below_any_prefix(options: dict[str, Any], prefix: str) -> None:
    client = install(SQLAlchemy(), **options).test_client()
    refused(client.get(f"{prefix}a/b/"), 404, "not_found")
    refused(client.delete(prefix), 405, "method_not_allowed")
    for url in ("/", "/api/", "/ordersx/", "/api/v1/i/", f"{prefix[:-1]}x/"):
        assert client.get(url).mimetype == "text/html"


@pytest.mark.parametrize(
    ("options", "prefix"),
    [
        ({"url_prefix": "/<lang>/orders"}, "/en/orders/"),
        ({"url_defaults": {"tenant": "a"}}, ORDERS),
    ],
)
def test_the_shop_s_url_variables_stay_in_an_order_s_url(
    options: dict[str, Any], prefix: str
) -> None:
    app = install(SQLAlchemy(), **options)
    with app.app_context():
        app.extensions["sqlalchemy"].create_all()
        headers = {"Authorization": f"Bearer {create_access_token('ann')}"}
        models, session = current_orders.models, current_orders.session
        item = models.CartItem(product=models.Product(sku="A", name="A", price=3), quantity=1)
        session.add(models.Cart(customer_id="ann", items=[item]))
        session.commit()
        session.remove()
    made = app.test_client().post(prefix, json=SAVE, headers=headers)
    assert made.status_code == 201, made.text
    assert made.headers["Location"].startswith(prefix)
    assert app.test_client().get(made.headers["Location"], headers=headers).status_code == 200


def test_in_another_blueprint_and_on_a_subdomain() -> None:
    app = install(SQLAlchemy())
    api = Blueprint("api", __name__, url_prefix="/api/v2")
    api.register_blueprint(orders_bp, url_prefix="/orders")
    app.register_blueprint(api)
    refused(app.test_client().get("/api/v2/orders/a/b/"), 404, "not_found")
    assert app.test_client().get("/api/v2/other/").mimetype == "text/html"

    app = install(
        SQLAlchemy(),
        config={"SERVER_NAME": "shop.test"},
        flask={"subdomain_matching": True},
        subdomain="api",
    )
    client = app.test_client()
    refused(client.get(f"{ORDERS}a/b/", base_url="http://api.shop.test"), 404, "not_found")
    assert client.get(f"{ORDERS}a/b/", base_url="http://shop.test").mimetype == "text/html"


def test_options_and_head_are_flask_s_own() -> None:
    client = install(SQLAlchemy()).test_client()
    preflight = client.options(ORDERS)
    assert (preflight.status_code, preflight.data) == (200, b"")
    assert set(preflight.allow) == {"GET", "HEAD", "OPTIONS", "POST"}
    assert client.head(f"{ORDERS}openapi.json").status_code == 200


def test_nothing_is_an_html_page() -> None:
    app = install(SQLAlchemy())
    app.config["TRUSTED_HOSTS"] = ["localhost"]

    @app.before_request
    def limit() -> None:
        if "limited" in request.args:
            abort(429)

    client = app.test_client()
    redirected = client.get(f"{ORDERS}/preview/")
    assert (redirected.status_code, redirected.data) == (308, b"")
    assert redirected.headers["Location"].endswith(f"{ORDERS}preview/")
    for answer, code in (
        (client.get(f"{ORDERS}?limited"), "too_many_requests"),
        (client.get(ORDERS, base_url="http://evil.test"), "bad_request"),
    ):
        assert (answer.mimetype, body(answer)["code"]) == ("application/problem+json", code)
    for url in (f"{ORDERS}?status=%ff", f"{ORDERS}%ff/", f"{ORDERS}%00/"):
        assert client.get(url).mimetype in ("application/json", "application/problem+json")


def test_a_bug_without_a_handler_of_the_shop_is_no_html_page() -> None:
    app = install(SQLAlchemy())

    @app.before_request
    def fail() -> None:
        raise TypeError("a bug of the shop's")

    answer = app.test_client().get(ORDERS)
    assert (answer.status_code, answer.mimetype) == (500, "application/problem+json")
    assert "a bug" not in answer.text


@pytest.fixture
def located() -> Callable[..., tuple[Flask, str]]:
    def make(**config: Any) -> tuple[Flask, str]:
        app, db = make_app("sqlite://", **config)
        with app.app_context():
            db.create_all()
            models = current_orders.models
            product = models.Product(sku="A", name="A", price=3)
            item = models.CartItem(product=product, quantity=1)
            db.session.add(models.Cart(customer_id="ann", items=[item]))
            db.session.commit()
            return app, create_access_token("ann")

    return make


def check_scheme(app: Flask) -> dict[str, Any]:
    document = body(app.test_client().get(f"{ORDERS}openapi.json"))
    check_valid(document)
    for path in document["paths"].values():
        for operation in path.values():
            assert operation.get("security") != [] or operation["operationId"] == "openapi"
    return document


@pytest.mark.parametrize("name", ["jwt", "token"])
def test_a_token_in_the_query(located: Any, name: str) -> None:
    config = {"JWT_TOKEN_LOCATION": "query_string", "JWT_QUERY_STRING_NAME": name}
    app, token = located(**config)
    client, query = app.test_client(), {name: token}
    assert client.get(ORDERS, query_string={**query, "limit": 1}).status_code == 200
    assert client.get(f"{ORDERS}preview/", query_string=query).status_code == 200
    refused(client.get(ORDERS, query_string={**query, "other": 1}), 400, "invalid_request")
    assert client.post(ORDERS, query_string=query, json=SAVE).status_code == 201
    assert token not in client.get(ORDERS, query_string={**query, "limit": 1}).text
    document = check_scheme(app)
    assert document["components"]["securitySchemes"] == {
        "query": {"type": "apiKey", "in": "query", "name": name}
    }
    assert document["paths"][ORDERS]["post"]["security"] == [{"query": []}]


def test_a_token_in_the_body(located: Any) -> None:
    app, token = located(JWT_TOKEN_LOCATION=["json"])
    client, request = app.test_client(), {**SAVE, "access_token": token}
    headers = {"Idempotency-Key": "k"}
    refused(client.post(ORDERS, json={**request, "other": 1}), 400, "invalid_request")
    made = client.post(ORDERS, json=request, headers=headers)
    assert made.status_code == 201
    # A fresh token is not another request.
    with app.app_context():
        renewed = {**SAVE, "access_token": create_access_token("ann", fresh=True)}
    again = client.post(ORDERS, json=renewed, headers=headers)
    assert again.headers["Idempotent-Replayed"] == "true"
    cancelled = client.post(f"{made.headers['Location']}cancel/", json={"access_token": token})
    assert cancelled.status_code == 200
    for broken in (b"[1]", b'"x"', b"[" * 10_000, b"{", b"x" * 20_000):
        answer = client.post(ORDERS, data=broken, content_type="application/json")
        assert answer.status_code == 401
    document = check_scheme(app)
    schema = document["components"]["schemas"]["CreateOrder"]
    assert "access_token" in schema["properties"]
    assert "access_token" in schema["required"]


def test_a_token_in_the_header_or_in_the_body(located: Any) -> None:
    app, token = located(JWT_TOKEN_LOCATION=["headers", "json"])
    client, headers = app.test_client(), {"Authorization": f"Bearer {token}"}
    refused(client.post(ORDERS, json=[1], headers=headers), 400, "invalid_request")
    assert client.post(ORDERS, json=SAVE, headers=headers).status_code == 201
    document = check_scheme(app)
    assert document["paths"][ORDERS]["get"]["security"] == [{"header": []}]
    assert "access_token" not in document["components"]["schemas"]["CreateOrder"]["required"]


def test_responses_with_an_address_are_not_cached(shop: Shop) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})

    def is_kept(answer: TestResponse) -> bool:
        return answer.headers.get("Cache-Control") != "no-store"

    made = shop.post(customer)
    url = made.headers["Location"]
    order = shop.get(customer, url)
    unchanged = shop.get(customer, url, **{"If-None-Match": order.headers["ETag"]})
    assert unchanged.status_code == 304
    answers = [made, order, unchanged, *(shop.get(customer, ORDERS + p) for p in ("", "preview/"))]
    answers.append(shop.send(customer, f"{url}cancel/"))
    assert [is_kept(answer) for answer in answers] == [False] * 6
    assert is_kept(shop.app.test_client().get(f"{ORDERS}openapi.json"))


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "GZIP", "identity, gzip"])
def test_a_compressed_body_is_415(shop: Shop, coding: str) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    headers = {**shop.token(customer), "Content-Encoding": coding}
    options: dict[str, Any] = {"headers": headers, "content_type": "application/json"}
    with nothing_changed(shop):
        answer = shop.post(customer, data=gzip.compress(TEXT), **options)
        assert "compressed" in refused(answer, 415, "unsupported_media_type")["detail"]
    headers["Content-Encoding"] = "identity"
    assert shop.post(customer, data=TEXT, **options).status_code == 201


@pytest.mark.parametrize(("most", "status"), [(100, 413), (100_000, 201), (len(TEXT), 201)])
def test_the_lower_of_both_body_limits_applies(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, most: int, status: int
) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    monkeypatch.setitem(shop.app.config, "MAX_CONTENT_LENGTH", most)
    assert shop.post(customer, data=TEXT, content_type="application/json").status_code == status


def test_a_byte_order_mark_is_skipped(shop: Shop) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    data = b"\xef\xbb\xbf" + TEXT
    assert shop.post(customer, data=data, content_type="application/json").status_code == 201


def test_openapi_needs_no_token_however_the_shop_wraps_its_views() -> None:
    app = install(SQLAlchemy())
    for name, view in list(app.view_functions.items()):
        app.view_functions[name] = lambda _view=view, **values: _view(**values)
    client = app.test_client()
    assert client.get(f"{ORDERS}openapi.json").status_code == 200
    assert client.get(ORDERS).status_code == 401


def test_a_second_registration_keeps_the_options_of_the_first() -> None:
    prices = PlainPricing()
    app = install(SQLAlchemy(), pricing=prices)
    service = app.extensions["orders"]
    app.register_blueprint(orders_bp, name="second", url_prefix="/second")
    app.register_blueprint(orders_bp, name="third", url_prefix="/third", pricing=prices)
    assert app.extensions["orders"] is service
    assert components_of(service).options["pricing"] is prices
    for prefix in (ORDERS, "/second/", "/third/"):
        assert app.test_client().get(prefix).status_code == 401


@pytest.mark.parametrize("option", ["pricing", "saved_address"])
@pytest.mark.parametrize("first", [None, PlainPricing()])
def test_a_second_registration_with_other_options_is_refused(option: str, first: Any) -> None:
    app = install(SQLAlchemy(), **{option: first})
    other: dict[str, Any] = {option: PlainPricing()}
    with pytest.raises(ConfigurationError, match=f"an app has one order service.*{option}="):
        app.register_blueprint(orders_bp, name="second", url_prefix="/s", **other)
    # Another app is another shop.
    install(SQLAlchemy(), **other)
