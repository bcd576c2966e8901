"""`GET /openapi.json` is valid and complete, and the responses match it."""

import json
import sys
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import URL
from werkzeug.test import TestResponse

from flask_orders.countries import country_names
from flask_orders.errors import IdempotencyKeyInUse
from flask_orders.http.openapi import TAG

from .hosts.drivers import DRIVERS, WITH_ENDPOINTS
from .support import servers
from .support.apps import install, make_app
from .support.openapi import OPENAPI, Contract, check_valid, resolved
from .support.requests import ADDRESS, CHECKOUT, ORDERS, PREVIEW, SAVE
from .support.responses import body, library_codes
from .support.shops import Shop, make_shop

ORDER = f"{ORDERS}{{order_id}}/"


# In Python only, of no path that is described, or of a shop without JWTs.
NO_ANSWERS = {
    *("order_not_deliverable", "payment_mismatch", "refund_mismatch"),
    *("not_found", "method_not_allowed"),
    "unauthorized",
}


@pytest.fixture
def contract(shop: Shop) -> Contract:
    return Contract(shop.app)


def unavailable() -> TestResponse:
    """The answer of a shop whose database is unavailable."""
    shop = make_shop(
        URL.create("postgresql+psycopg", "nobody", None, "127.0.0.1", 9, "x"), create_tables=False
    )
    return shop.post(1, SAVE)


def test_it_is_valid(contract: Contract) -> None:
    assert contract.document["openapi"].startswith("3.1.")
    check_valid(contract.document)


def test_it_has_every_route(shop: Shop, contract: Contract) -> None:
    routes = {
        (rule.rule.replace("<order_id>", "{order_id}"), method.lower())
        for rule in shop.app.url_map.iter_rules()
        if rule.endpoint.startswith("orders.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {
        (path, method) for path, item in contract.document["paths"].items() for method in item
    }
    assert described == routes


def test_it_has_every_code(contract: Contract) -> None:
    """Errors of a shop's own may be among them, as other tests have defined some."""
    codes = library_codes()
    schemas = contract.document["components"]["schemas"]
    listed = schemas["Problem"]["properties"]["code"]["enum"]
    assert [code for code in listed if code in codes] == codes
    assert len(set(listed)) == len(listed)
    described = set()
    for item in contract.document["paths"].values():
        for operation in item.values():
            for response in operation["responses"].values():
                shared = resolved(contract.document, response)
                problem = shared.get("content", {}).get("application/problem+json")
                if problem:
                    described |= set(problem["schema"]["allOf"][1]["properties"]["code"]["enum"])
    assert described & set(codes) == set(codes) - NO_ANSWERS


def test_only_the_document_needs_no_token(shop: Shop, contract: Contract) -> None:
    client = shop.app.test_client()
    for path, item in contract.document["paths"].items():
        for method, operation in item.items():
            answer = client.open(path.replace("{order_id}", str(UUID(int=1))), method=method)
            is_public = operation["security"] == []
            assert (answer.status_code != 401) == is_public == (path == OPENAPI)
            assert str(answer.status_code) in operation["responses"]


def test_successes_match_the_document(shop: Shop, contract: Contract) -> None:
    customer, products = shop.customer(), [shop.product("9.99", shipping=1) for _ in range(2)]
    shop.offer("10%", products[0])
    shop.cart(customer, dict.fromkeys(products, 2), shop.voucher("V", "10%"))
    contract.check(shop.get(customer, PREVIEW), "get", PREVIEW)

    keyed = {**shop.token(customer), "Idempotency-Key": "k"}
    for _ in range(2):
        saved = shop.post(customer, SAVE, headers=keyed)
        contract.check(saved, "post", ORDERS)
    assert saved.headers["Idempotent-Replayed"] == "true"
    url = saved.headers["Location"]
    shop.fill(customer, {products[0]: 1})
    contract.check(shop.post(customer, CHECKOUT), "post", ORDERS)

    found = shop.get(customer, url)
    contract.check(found, "get", ORDER)
    unchanged = shop.get(customer, url, **{"If-None-Match": found.headers["ETag"]})
    contract.check(unchanged, "get", ORDER)
    for query in ("", "?limit=1", "?limit=1&offset=1", "?status=paid"):
        contract.check(shop.get(customer, ORDERS + query), "get", ORDERS)
    contract.check(shop.send(customer, f"{url}checkout/"), "post", f"{ORDER}checkout/")
    contract.check(shop.send(customer, f"{url}cancel/"), "post", f"{ORDER}cancel/")

    # An order of nothing has no payment.
    shop.fill(customer, {shop.product("0.00"): 1})
    contract.check(shop.post(customer, CHECKOUT), "post", ORDERS)
    # What is gone leaves null behind.
    with shop.session() as session:
        session.execute(sa.delete(shop.models.Product))
        session.execute(sa.delete(shop.models.Offer))
    contract.check(shop.get(customer, url), "get", ORDER)
    contract.check(shop.app.test_client().get(OPENAPI), "get", OPENAPI)


def test_unavailable_items_match_the_document(shop: Shop, contract: Contract) -> None:
    customer, gone = shop.customer(), shop.product()
    old = shop.voucher("OLD", "10%", active=False)
    shop.cart(customer, {shop.product(): 1, shop.product(active=False): 1, gone: 1}, old)
    with shop.session() as session:
        session.delete(session.get_one(shop.models.Product, gone))
    seen = shop.get(customer, f"{PREVIEW}?expected_total=1")
    contract.check(seen, "get", PREVIEW)
    assert body(seen)["changed"]
    assert body(seen)["voucher_refusal"]
    assert len(body(seen)["unavailable"]) == 2


def test_every_refusal_matches_the_document(
    shop: Shop, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer, product = shop.customer(), shop.product("10.00", stock=9)

    def post(request: Any = SAVE, **options: Any) -> None:
        contract.check(shop.post(customer, request, **options), "post", ORDERS)

    def with_key() -> dict[str, str]:
        return {**shop.token(customer), "Idempotency-Key": "k"}

    post({**SAVE, "billing_address": {**ADDRESS, "country": "CA"}, "price": 1})
    post()
    shop.cart(customer, {product: 1})
    post({"action": "save_order"})
    post({**SAVE, "expected_total": "9.99"})
    post(data=b"x" * 20_000, content_type="application/json")
    post(data=b"x", content_type="text/plain")
    with monkeypatch.context() as patch:
        patch.setitem(shop.app.config, "ORDERS_PAYMENT_ENDPOINT", None)
        post(CHECKOUT)
    post(headers=with_key())
    post(CHECKOUT, headers=with_key())
    shop.fill(customer, {product: 99})
    post()
    other = shop.customer()
    shop.cart(other, {product: 1}, shop.voucher("OLD", "10%", active=False))
    contract.check(shop.post(other, SAVE), "post", ORDERS)

    url = body(shop.get(customer, ORDERS))["results"][0]["url"]
    with shop.service() as orders:
        orders.record_payment(UUID(url.split("/")[-2]), "ref-1", Decimal(10))
    for call in ("checkout/", "cancel/"):
        contract.check(shop.send(customer, url + call), "post", ORDER + call)
        contract.check(shop.send(other, url + call), "post", ORDER + call)
    contract.check(shop.get(other, url), "get", ORDER)
    contract.check(shop.get(other, f"{ORDERS}?limit=0"), "get", ORDERS)
    contract.check(shop.get(other, f"{PREVIEW}?expected_total=x"), "get", PREVIEW)
    contract.check(unavailable(), "post", ORDERS)
    in_use = contract.response(409, "post", ORDERS)
    schema = in_use["content"]["application/problem+json"]["schema"]
    contract.validator(schema).validate(IdempotencyKeyInUse().problem())

    assert contract.seen == set(library_codes()) - NO_ANSWERS - {"idempotency_key_in_use"}


@pytest.mark.parametrize("name", WITH_ENDPOINTS)
def test_it_holds_in_an_existing_shop(server_url: URL, name: str) -> None:
    """With any type of key, and with the shop's own pricing or without."""
    with servers.fresh_database(server_url) as url:
        host = DRIVERS[name](url)
        host.create_all()
        contract = Contract(host.app)
        check_valid(contract.document)
        buyer = host.customer()
        had, withdrawn = host.product(), host.product()
        host.put(buyer, had)
        contract.check(host.request("GET", PREVIEW, buyer), "get", PREVIEW)
        contract.check(made := host.order(buyer), "post", ORDERS)
        order = host.request("GET", made.headers["Location"], buyer)
        contract.check(order, "get", ORDER)
        contract.check(host.request("GET", ORDERS, buyer), "get", ORDERS)
        host.put(buyer, withdrawn)
        host.withdraw(withdrawn)
        contract.check(host.request("GET", PREVIEW, buyer), "get", PREVIEW)
        contract.check(host.order(buyer), "post", ORDERS)
        assert contract.seen == {"item_unavailable"}
        host.close()


def changed(**fields: Any) -> dict[str, Any]:
    return {**SAVE, "billing_address": {**ADDRESS, **fields}}


WITHOUT_CODE = changed(country="Qatar")["billing_address"]
del WITHOUT_CODE["postal_code"]


@pytest.mark.parametrize(
    ("request_", "is_allowed"),
    [
        (SAVE, True),
        ({"action": "checkout"}, True),
        ({"action": "checkout", "billing_address": None, "expected_total": None}, True),
        ({**SAVE, "expected_total": "10.00"}, True),
        ({**SAVE, "expected_total": 10}, True),
        (changed(postal_code="K1A 0B1"), True),
        (changed(state=""), True),
        (changed(state=None), True),
        (changed(country="Qatar", postal_code=""), True),
        (changed(country="Qatar", postal_code=None), True),
        ({**SAVE, "billing_address": WITHOUT_CODE}, True),
        ({"action": "buy"}, False),
        ({}, False),
        ({**SAVE, "price": "1"}, False),
        ({**SAVE, "expected_total": "1e3"}, False),
        ({**SAVE, "expected_total": "10.00000"}, False),
        ({**SAVE, "expected_total": -1}, False),
        ({**SAVE, "expected_total": 9.99}, False),
        (changed(postal_code=-1), False),
        (changed(postal_code=1.5), False),
        (changed(street_address=""), False),
        (changed(city="x" * 256), False),
        (changed(phone="1"), False),
        ({**SAVE, "billing_address": {"city": "Anytown"}}, False),
    ],
)
def test_it_allows_the_accepted_requests(
    shop: Shop, contract: Contract, request_: dict[str, Any], is_allowed: bool
) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product("5.00"): 1})
    shop.post(customer, SAVE)
    shop.fill(customer, {shop.product("5.00"): 1})
    assert (shop.post(customer, request_).status_code in (201, 303)) == is_allowed
    assert contract.allows(request_) == is_allowed


def test_an_answer_may_get_new_members(contract: Contract) -> None:
    schemas = contract.document["components"]["schemas"]
    closed = {name for name, schema in schemas.items() if "additionalProperties" in schema}
    assert closed == {"BillingAddress", "CreateOrder"}


def test_every_parameter_is_described(contract: Contract) -> None:
    parameters = [
        parameter
        for item in contract.document["paths"].values()
        for operation in item.values()
        for parameter in operation.get("parameters", [])
    ]
    assert all(parameter["description"] for parameter in parameters)
    headers = {parameter["name"] for parameter in parameters if parameter["in"] == "header"}
    assert headers == {"Idempotency-Key", "If-None-Match"}


def test_the_parameters_of_the_list(contract: Contract) -> None:
    described = {
        parameter["name"]: parameter["schema"]
        for parameter in contract.document["paths"][ORDERS]["get"]["parameters"]
    }
    number = {"type": "integer", "minimum": 1, "maximum": 999_999_999}
    statuses = ["awaiting_payment", "paid", "delivered", "cancelled"]
    assert described == {
        "status": {"type": "string", "enum": statuses},
        "limit": {**number, "default": 20},
        "offset": {**number, "default": 0, "minimum": 0},
        "until": number,
        "before": number,
        "after": {**number, "minimum": 0},
    }


BEARER = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
COOKIE = {"type": "apiKey", "in": "cookie", "name": "access_token_cookie"}
CSRF = {"type": "apiKey", "in": "header", "name": "X-CSRF-TOKEN"}


@pytest.mark.parametrize(
    ("config", "schemes", "to_read", "to_write"),
    [
        ({}, {"header": BEARER}, [{"header": []}], [{"header": []}]),
        (
            {"JWT_TOKEN_LOCATION": ["headers", "cookies"]},
            {"header": BEARER, "cookie": COOKIE, "csrf": CSRF},
            [{"header": []}, {"cookie": []}],
            [{"header": []}, {"cookie": [], "csrf": []}],
        ),
        (
            {"JWT_TOKEN_LOCATION": "cookies", "JWT_COOKIE_CSRF_PROTECT": False},
            {"cookie": COOKIE},
            [{"cookie": []}],
            [{"cookie": []}],
        ),
        (
            {"JWT_HEADER_NAME": "X-Token", "JWT_HEADER_TYPE": ""},
            {"header": {"type": "apiKey", "in": "header", "name": "X-Token"}},
            [{"header": []}],
            [{"header": []}],
        ),
    ],
)
def test_the_security_schemes_follow_the_jwt_configuration(
    config: dict[str, Any], schemes: Any, to_read: Any, to_write: Any
) -> None:
    app, _ = make_app("sqlite://", **config)
    document = body(app.test_client().get(OPENAPI))
    check_valid(document)
    assert document["components"]["securitySchemes"] == schemes
    assert document["paths"][ORDERS]["get"]["security"] == to_read
    assert document["paths"][ORDERS]["post"]["security"] == to_write


def test_the_paths_follow_the_registration() -> None:
    app = install(SQLAlchemy(), url_prefix="/shop/orders")
    get: Callable[..., TestResponse] = app.test_client().get
    paths = body(get("/shop/orders/openapi.json"))["paths"]
    assert {"/shop/orders/", "/shop/orders/{order_id}/cancel/"} <= paths.keys()
    mounted = body(get("/shop/orders/openapi.json", base_url="http://localhost/eu"))["paths"]
    assert mounted.keys() == {f"/eu{path}" for path in paths}


def test_without_apispec_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app, _ = make_app("sqlite://")
    monkeypatch.setitem(sys.modules, "apispec", None)
    assert app.test_client().get(OPENAPI).status_code == 500
    assert 'pip install "flask_orders[openapi]"' in caplog.text


def test_every_property_is_described_with_an_example(contract: Contract) -> None:
    """An object's example is that of its own properties."""
    document = contract.document
    for name, schema in document["components"]["schemas"].items():
        for member, described in schema.get("properties", {}).items():
            assert described.get("description"), (name, member)
            is_object = "object" in str(described.get("type", ""))
            refers = is_object or "$ref" in str(described)
            assert described.get("examples") or refers, (name, member)
            for example in described.get("examples", []):
                contract.validator(described).validate(example)


def test_its_lists_are_those_of_the_code(contract: Contract) -> None:
    schemas = contract.document["components"]["schemas"]
    assert schemas["CountryName"]["enum"] == list(country_names())
    reference = "#/components/schemas/CountryName"
    assert schemas["BillingAddress"]["properties"]["country"]["$ref"] == reference
    assert {"$ref": reference} in schemas["OrderAddress"]["properties"]["country"]["anyOf"]
    assert contract.document["tags"] == [TAG]
    assert contract.document["servers"] == [
        {"url": "http://localhost", "description": "This shop."}
    ]
    assert {"description", "license", "title", "version"} == contract.document["info"].keys()
    for item in contract.document["paths"].values():
        assert all(operation["tags"] == ["orders"] for operation in item.values())


def test_what_calls_refuse_alike_is_described_once(contract: Contract) -> None:
    seen = Counter[str]()
    for item in contract.document["paths"].values():
        for operation in item.values():
            for status, response in operation["responses"].items():
                if status >= "400" and "$ref" not in response:
                    seen[json.dumps(response)] += 1
    assert max(seen.values()) == 1
    assert {"Misconfigured", "TryAgain", "OrderNotFound", "NoToken"} <= contract.document[
        "components"
    ]["responses"].keys()


def test_an_order_links_to_what_comes_next(shop: Shop, contract: Contract) -> None:
    document = contract.document
    operations = {
        operation["operationId"]
        for item in document["paths"].values()
        for operation in item.values()
    }
    links = [
        link
        for item in document["paths"].values()
        for operation in item.values()
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]
    assert {link["operationId"] for link in links} <= operations
    assert len(links) == 4
    found = document["paths"][ORDER]["get"]["responses"]["200"]["links"]
    assert found["cancel"]["parameters"] == {"order_id": "$response.body#/id"}
