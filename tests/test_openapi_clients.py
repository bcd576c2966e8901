"""What others make of openapi.json: a linter, a fuzzer, and clients in Python and TypeScript."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from flask import Flask, request, request_started
from flask_jwt_extended import decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt import PyJWTError
from sqlalchemy import select
from sqlalchemy.engine import URL

from example_app.models import Cart, CartItem, Order, Product, db
from flask_orders.models import OrderMixin

from .support.commands import PATH, run
from .support.example import example_shop, new_customer
from .support.openapi import OPENAPI
from .support.requests import ORDERS
from .support.servers import Missing, required
from .support.serving import served

pytestmark = pytest.mark.server

CLIENTS = Path(__file__).parent / "clients"

EXAMPLES = "30"


@contextmanager
def installed(*modules: str) -> Iterator[None]:
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise Missing(f'no {missing[0]}: pip install -e ".[clients]"')
    yield


@contextmanager
def node_modules() -> Iterator[Path]:
    """Install the tools that package.json names, once; yield a folder with them."""
    npm = shutil.which("npm", path=PATH)
    if npm is None:
        raise Missing('no npm: pip install -e ".[clients]", which brings Node')
    if not CLIENTS.joinpath("node_modules", ".package-lock.json").exists():
        in_folder(CLIENTS, npm, "ci", "--no-fund", "--no-audit", "--loglevel=error")
    yield CLIENTS / "node_modules" / ".bin"


def in_folder(folder: Path, *command: str | Path) -> str:
    """Run a command that imports what is in the folder; return what it prints."""
    return run(command, folder, PYTHONPATH=str(folder))


@pytest.fixture(scope="module")
def node(app: Flask) -> Iterator[Path]:
    """The tools of Node, for an app whose database has these tests."""
    with required(node_modules()) as folder:
        yield folder


@pytest.fixture(scope="module")
def app(server_url: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The example shop, whose customers always have something in the cart."""
    if server_url.get_backend_name() not in ("sqlite", "postgresql"):
        pytest.skip("the document does not depend on the database")
    with example_shop(server_url, tmp_path_factory.mktemp("instance")) as app:

        def fill_cart(_app: Flask) -> None:
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if request.method == "POST" and request.path == ORDERS and token:
                with suppress(JWTExtendedException, PyJWTError):
                    fill(int(decode_token(token)["sub"]))

        with request_started.connected_to(fill_cart, app):
            yield app


def fill(customer_id: int) -> None:
    """Put a gift card, of which there are always enough, into an empty cart."""
    cart = db.session.scalars(select(Cart).where(Cart.customer_id == customer_id)).one()
    if not cart.items:
        card = db.session.scalars(select(Product).where(Product.sku == "GIFT-CARD")).one()
        cart.items.append(CartItem(product=card, quantity=1))
    db.session.commit()


@pytest.fixture(scope="module")
def url(app: Flask) -> Iterator[str]:
    with served(app) as url:
        yield url


def customer(app: Flask) -> tuple[int, str]:
    """A new customer with a full cart; the key and a token."""
    customer_id, token = new_customer(app)
    with app.app_context():
        fill(customer_id)
    return customer_id, token


@pytest.fixture
def document(app: Flask, tmp_path: Path) -> Path:
    """The document as a shop on the internet serves it."""
    answer = app.test_client().get(OPENAPI, base_url="https://shop.test")
    path = tmp_path / "openapi.json"
    path.write_text(answer.text)
    return path


def bought(app: Flask, customer_id: int, printed: str) -> OrderMixin:
    """The customer's only order, which a client has printed."""
    with app.app_context():
        mine = select(Order).where(Order.customer_id == customer_id)
        order: OrderMixin = db.session.scalars(mine).one()
        assert printed.split() == [str(order.id), order.status, "23.75", "GIFT-CARD"]
        return order


def test_the_linter_finds_nothing_else(node: Path, document: Path) -> None:
    rules = CLIENTS / "redocly.yaml"
    command = (node / "redocly", "lint", "--config", rules, "--format", "json", document)
    found = json.loads(in_folder(CLIENTS, *command))
    problems = {(each["ruleId"], each["location"][0]["pointer"]) for each in found["problems"]}
    paths = f"#/paths/{ORDERS.replace('/', '~1')}"
    assert problems == {
        # A checkout responds with a redirect, 303.
        ("operation-2xx-response", f"{paths}{{order_id}}~1checkout~1/post/responses"),
        # Anybody may read the document, which refuses nothing.
        ("operation-4xx-response", f"{paths}openapi.json/get/responses"),
    }


def test_a_client_in_typescript_buys(app: Flask, url: str, node: Path, document: Path) -> None:
    folder = document.parent
    for name in ("buy.ts", "package.json", "tsconfig.json"):
        shutil.copy(CLIENTS / name, folder)
    folder.joinpath("node_modules").symlink_to(node.parent)
    in_folder(folder, node / "openapi-typescript", document, "-o", "schema.d.ts")
    in_folder(folder, node / "tsc", "-p", ".")
    customer_id, token = customer(app)
    printed = in_folder(folder, "node", "built/buy.js", url, token, str(uuid4()))
    bought(app, customer_id, printed)


def test_a_client_in_python_buys(app: Flask, url: str, document: Path) -> None:
    with required(installed("openapi_python_client", "mypy")):
        folder = document.parent
        shutil.copy(CLIENTS / "buy.py", folder)
        made = ("generate", "--path", document, "--output-path", "client", "--meta", "none")
        in_folder(folder, "openapi-python-client", *made, "--fail-on-warning")
        in_folder(folder, sys.executable, "-m", "mypy", "--strict", "buy.py")
        customer_id, token = customer(app)
        printed = in_folder(folder, sys.executable, "buy.py", url, token, str(uuid4()))
        bought(app, customer_id, printed)


def test_the_fuzzer_finds_nothing(app: Flask, url: str, tmp_path: Path) -> None:
    with required(installed("schemathesis")):
        _customer_id, token = customer(app)
        auth = ("-H", f"Authorization: Bearer {token}")
        options = ("--checks", "all", "--max-examples", EXAMPLES, "--seed", "1", "--no-color")
        config = CLIENTS / "schemathesis.toml"
        command = ("schemathesis", "--config-file", config, "run")
        printed = in_folder(tmp_path, *command, f"{url}{OPENAPI}", *auth, *options)
        assert "Authentication failed" not in printed


def test_another_customer_s_orders_are_not_found(app: Flask, url: str) -> None:
    """By every call that names an order, as one that does not exist; nothing changes."""
    _ann_id, ann = customer(app)
    _eve_id, eve = customer(app)
    client = app.test_client()
    made = client.post(
        ORDERS,
        json={"action": "save_order", "billing_address": HOME},
        headers={"Authorization": f"Bearer {ann}"},
    )
    assert made.status_code == 201
    path = made.headers["Location"]
    document = client.get(OPENAPI).get_json()
    named = [
        (method, name)
        for name, item in document["paths"].items()
        for method in item
        if "{order_id}" in name
    ]
    assert len(named) == 3
    own = {"Authorization": f"Bearer {ann}"}
    before = client.get(path, headers=own).get_json()
    for method, name in named:
        answers = [
            client.open(
                name.replace("{order_id}", order_id),
                method=method,
                headers={"Authorization": f"Bearer {eve}"},
            )
            for order_id in (before["id"], str(UUID(int=7)))
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].get_json() == answers[1].get_json()
    assert client.get(path, headers=own).get_json() == before


HOME = {
    "street_address": "123 Main St",
    "postal_code": "K1A 0B1",
    "city": "Ottawa",
    "state": "ON",
    "country": "Canada",
}
