"""The example shop from the outside: the CLI of a fresh clone, its migrations, its endpoints."""

import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import CheckConstraint, inspect
from sqlalchemy.engine import URL

import example_app
from example_app import create_app
from example_app.models import Customer, db

API = "/api/v1/i"
WHO = {"email": "ada@example.com", "password": "a long password"}
FIRST_ORDER = ("102.49 CAD", "14.30 CAD", "10.25 CAD", "106.54 CAD", "14.70 CAD", "24.95 CAD")
SECOND_ORDER = ("116.35 CAD", "15.60 CAD", "10.00 CAD", "121.95 CAD", "20.00 CAD")

# The environment variables that the shop reads.
SETTINGS = (
    *("DATABASE_URL", "JWT_SECRET_KEY", "PAYMENT_SECRET"),
    *("ADMIN_PASSWORD", "SECRET_KEY"),
)

LATER_REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    with op.batch_alter_table("products", recreate="always") as batch:
        batch.add_column(sa.Column("colour", sa.String(10)))
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the example app and nothing else."""
    package = Path(example_app.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, tmp_path / package.name, ignore=ignored)
    return tmp_path


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


@contextmanager
def shop_in(folder: Path) -> Iterator[Flask]:
    app = create_app(str(folder))
    try:
        yield app
    finally:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture(scope="module")
def stocked_instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The instance folder of a shop that has its products and a customer, to be copied."""
    folder = tmp_path_factory.mktemp("stocked")
    with pytest.MonkeyPatch.context() as environment:
        for name in SETTINGS:
            environment.delenv(name, raising=False)
        with shop_in(folder) as app:
            client = app.test_client()
            client.get("/")
            assert client.post(f"{API}/customers/", json=WHO).status_code == 201
    return folder


@pytest.fixture
def app(tmp_path: Path, stocked_instance: Path) -> Iterator[Flask]:
    shutil.copytree(stocked_instance, tmp_path, dirs_exist_ok=True)
    with shop_in(tmp_path) as app:
        yield app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def token(client: FlaskClient) -> dict[str, str]:
    """The header of a customer who has signed in."""
    answer = client.post(f"{API}/sign-in/", json=WHO)
    return {"Authorization": f"Bearer {answer.get_json()['access_token']}"}


def flask(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", "example_app", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def run_in(app: Flask, *arguments: str) -> None:
    result = app.test_cli_runner().invoke(args=list(arguments))
    assert result.exit_code == 0, result.output


def migrated_checks(app: Flask) -> set[Any]:
    """The names of the CHECK constraints, at which `flask db check` does not look."""
    with app.app_context():
        checks = inspect(db.engine).get_multi_check_constraints().values()
    return {check["name"] for table in checks for check in table}


def declared_checks() -> set[Any]:
    tables = db.metadata.tables.values()
    constraints = [constraint for table in tables for constraint in table.constraints]
    return {check.name for check in constraints if isinstance(check, CheckConstraint)}


@pytest.mark.server
def test_demo_works_in_a_fresh_clone_and_again(clone: Path) -> None:
    for _ in range(2):
        demo = flask(clone, "demo")
        assert demo.returncode == 0, demo.stderr
        assert "303 SEE OTHER\nLocation: /pay/" in demo.stdout
        assert '{\n  "success": "Your Order has been saved"\n}' in demo.stdout
        assert '"code": "empty_cart"' in demo.stdout
        for amount in (*FIRST_ORDER, *SECOND_ORDER):
            assert amount in demo.stdout
        assert demo.stdout.count("204 NO CONTENT") == 3
        assert re.findall(r"POT-IRON: (\d+) in stock", demo.stdout) == ["12", "10", "12"]
        assert "Orders cancelled: 1." in demo.stdout
        assert "Refund 18.00 CAD: payment sandbox-" in demo.stdout
        assert re.search(r"Orders examined: \d+; problems: 0\.", demo.stdout)
        before, after = demo.stdout.split("flask orders show ")
        # A table of all that an order has is wider.
        after = after[after.index("The customer's orders") :]
        assert max(map(len, (before + after).splitlines())) <= 80
        assert "refund-of-sandbox-" in demo.stdout
        assert demo.stderr == ""


@pytest.mark.server
def test_demo_fails_at_an_unexpected_response(clone: Path) -> None:
    assert flask(clone, "seed").returncode == 0
    with closing(sqlite3.connect(clone / "instance" / "shop.sqlite3")) as connection, connection:
        connection.execute("UPDATE products SET active = 0 WHERE sku = 'FILTERS'")
    demo = flask(clone, "demo")
    assert demo.returncode == 1
    assert "returned 404, not 201" in demo.stderr


@pytest.mark.server
def test_demo_ends_with_the_audit(clone: Path) -> None:
    assert flask(clone, "demo").returncode == 0
    with closing(sqlite3.connect(clone / "instance" / "shop.sqlite3")) as connection, connection:
        connection.execute("UPDATE orders SET shipping = shipping + 10000, total_amount = 1")
    demo = flask(clone, "demo")
    assert demo.returncode == 1
    assert "Orders examined: 8; problems: 5." in demo.stdout
    assert "All responses were as expected." not in demo.stdout


@pytest.mark.parametrize(
    ("setting", "name"), [("JWT_SECRET_KEY", "jwt_key"), ("PAYMENT_SECRET", "payment_key")]
)
def test_key_is_stored_and_only_its_owner_may_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, name: str
) -> None:
    keys = {create_app(str(tmp_path)).config[setting] for _ in range(2)}
    file = tmp_path / name
    assert keys == {file.read_text()}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    monkeypatch.setenv(setting, "given by the environment, and long enough")
    assert create_app(str(tmp_path)).config[setting].startswith("given")


def test_migrations_go_up_down_and_up_again(
    database: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.render_as_string(hide_password=False))
    with shop_in(tmp_path) as app:
        for _ in range(2):
            run_in(app, "db", "upgrade")
            run_in(app, "db", "check")
            assert migrated_checks(app) == declared_checks()
            run_in(app, "seed")
            run_in(app, "db", "downgrade", "base")
            with app.app_context():
                assert inspect(db.engine).get_table_names() == ["alembic_version"]


@pytest.mark.server
def test_later_revision_alters_a_table_of_sqlite_without_losing_rows(clone: Path) -> None:
    count = "SELECT count(product_id) FROM order_items"
    assert flask(clone, "demo").returncode == 0
    with closing(sqlite3.connect(clone / "instance" / "shop.sqlite3")) as connection:
        before = connection.execute(count).fetchone()
        (clone / "example_app" / "migrations" / "versions" / "0002.py").write_text(LATER_REVISION)
        assert flask(clone, "db", "upgrade").returncode == 0
        connection.execute("SELECT colour FROM products")
        assert connection.execute(count).fetchone() == before == (9,)


def test_first_request_finds_a_stocked_shop(tmp_path: Path) -> None:
    with shop_in(tmp_path) as app:
        client = app.test_client()
        links = client.get("/").get_json()
        rows = client.get(links["products"]).get_json()["products"]
    products = {row["sku"]: row for row in rows}
    assert products["TEA-ASSAM"] == {
        "sku": "TEA-ASSAM",
        "name": "Assam, 250 g",
        "price": "9.50",
        "shipping": "2.90",
        "stock": 120,
    }
    assert products["GIFT-CARD"]["stock"] is None
    assert "TEA-FIRST-FLUSH" not in products


def test_index_leads_everywhere(client: FlaskClient, token: dict[str, str]) -> None:
    links = client.get("/").get_json()
    answers = {name: client.get(link, headers=token).status_code for name, link in links.items()}
    only_post = {"register": 405, "sign_in": 405}
    read = ("products", "cart", "orders", "preview", "openapi")
    assert answers == {**only_post, **dict.fromkeys(read, 200)}


def test_cart_is_filled_changed_and_emptied(client: FlaskClient, token: dict[str, str]) -> None:
    for sku, quantity in (("strainer", 2), ("STRAINER", 1), ("BOOK", 1)):
        body = {"sku": sku, "quantity": quantity}
        assert client.post(f"{API}/cart/items/", json=body, headers=token).status_code == 201
    client.put(f"{API}/cart/voucher/", json={"code": " welcome10 "}, headers=token)
    cart = client.get(f"{API}/cart/", headers=token).get_json()
    assert [(item["product"]["sku"], item["quantity"]) for item in cart["items"]] == [
        ("STRAINER", 3),
        ("BOOK", 1),
    ]
    assert cart["voucher"] == {"code": "WELCOME10"}

    strainer, book = (f"{API}/cart/items/{item['id']}/" for item in cart["items"])
    client.patch(strainer, json={"quantity": 5}, headers=token)
    client.delete(book, headers=token)
    cart = client.delete(f"{API}/cart/voucher/", headers=token).get_json()
    assert [item["quantity"] for item in cart["items"]] == [5]
    assert cart["voucher"] is None
    assert client.delete(book, headers=token).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "items/", {"sku": "NOTHING", "quantity": 1}, 404),
        ("POST", "items/", {"sku": "TEA-FIRST-FLUSH", "quantity": 1}, 404),
        ("POST", "items/", {"sku": "POT-IRON", "quantity": 13}, 409),
        ("POST", "items/", {"sku": "POT-IRON", "quantity": 0}, 400),
        ("POST", "items/", {"sku": "POT-IRON", "quantity": "1"}, 400),
        ("POST", "items/", {"sku": "\x00", "quantity": 1}, 400),
        ("POST", "items/", [], 400),
        ("PATCH", "items/99999999999999999999/", {"quantity": 1}, 404),
        ("PUT", "voucher/", {"code": "NOTHING"}, 404),
        ("PUT", "voucher/", {"code": "SPRING-2020"}, 409),
    ],
)
def test_cart_refuses_what_it_can_not_hold(
    client: FlaskClient, token: dict[str, str], method: str, path: str, body: Any, status: int
) -> None:
    answer = client.open(f"{API}/cart/{path}", method=method, json=body, headers=token)
    assert answer.status_code == status
    assert answer.get_json()["error"]
    cart = client.get(f"{API}/cart/", headers=token).get_json()
    assert cart == {"items": [], "voucher": None}


def test_wrong_credentials_are_refused(
    app: Flask, client: FlaskClient, token: dict[str, str]
) -> None:
    wrong = {**WHO, "password": "another password"}
    assert client.post(f"{API}/sign-in/", json=wrong).status_code == 401
    assert client.post(f"{API}/customers/", json=wrong).status_code == 409
    assert client.post(f"{API}/customers/", json={"email": "ada"}).status_code == 400
    assert client.get(f"{API}/cart/").status_code == 401
    forged = {"Authorization": "Bearer forged"}
    assert client.get(f"{API}/cart/", headers=forged).status_code == 401
    with app.app_context():
        db.session.delete(db.session.scalars(db.select(Customer)).one())
        db.session.commit()
    answer = client.get(f"{API}/cart/", headers=token)
    assert answer.status_code == 401
    assert answer.get_json()["error"]
