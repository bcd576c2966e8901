"""The example shop's payments by Stripe: against localstripe, and by events as Stripe sends them.

localstripe knows neither Idempotency-Keys nor webhooks about refunds, and Stripe's own answers say
which payment methods are enabled: those are requests and events of the shapes that Stripe's API
reference has.
"""

import hmac
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID, uuid4

import pytest
import requests
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.engine import URL
from werkzeug.test import TestResponse

from example_app import create_app
from example_app.models import OrderPayment, OrderRefund, db
from example_app.stripe_payments.amounts import from_units, to_units
from flask_orders import current_orders
from flask_orders.pricing import Currency

from .support.example import checked_out
from .support.network import free_ports
from .support.servers import fresh_database
from .support.serving import served

API = "/api/v1/i"
WEBHOOK = "/stripe/webhook/"
SECRET = "whsec_of_the_tests"
# Two gift cards: no shipping, and the welcome offer's 5 % off.
TOTAL = 4750


@dataclass
class StripeShop:
    """The shop, where it is served, and its stand-in for Stripe."""

    app: Flask
    url: str
    api: str

    def order(self) -> "Placed":
        """An order of two gift cards, by a new customer."""
        return Placed(self, *checked_out(self.app, "GIFT-CARD", 2))

    def send(self, event: Mapping[str, Any], *, age: int = 0, secret: str = SECRET) -> TestResponse:
        """Send an event as Stripe does, signed so many seconds ago."""
        body, sent = json.dumps(event).encode(), int(time.time()) - age
        signature = hmac.new(secret.encode(), b"%d." % sent + body, "sha256").hexdigest()
        headers = {"Stripe-Signature": f"t={sent},v1={signature}"}
        return self.app.test_client().post(WEBHOOK, data=body, headers=headers)


@dataclass
class Placed:
    """An order, as its customer and the tables show it."""

    shop: StripeShop
    client: FlaskClient
    token: dict[str, str]
    path: str
    page: str

    @property
    def id(self) -> str:
        return self.path.rstrip("/").rsplit("/", 1)[1]

    def seen(self) -> Any:
        return self.client.get(self.path, headers=self.token).get_json()

    def status(self) -> str:
        return str(self.seen()["status"])

    def cancel(self) -> None:
        assert self.client.post(f"{self.path}cancel/", headers=self.token).status_code == 200

    def rows(self, model: Any) -> list[Any]:
        with self.shop.app.app_context():
            return list(db.session.scalars(sa.select(model).filter_by(order_id=UUID(self.id))))

    def payments(self) -> list[tuple[str, Decimal, str, bool]]:
        return [
            (row.reference, row.amount, row.currency, row.expected)
            for row in self.rows(OrderPayment)
        ]

    def refunds(self) -> list[tuple[str, Decimal]]:
        return [(row.reference, row.amount) for row in self.rows(OrderRefund)]

    def due(self) -> list[Decimal]:
        with self.shop.app.app_context():
            key = UUID(self.id)
            return [due.amount for due in current_orders.refunds_due() if due.order_id == key]

    def succeeded(self, intent: str = "pi_1", **changes: Any) -> dict[str, Any]:
        """The event of a payment, with the fields of Stripe's that matter, and some that don't."""
        return {
            "id": f"evt_{uuid4().hex}",
            "object": "event",
            "type": "payment_intent.succeeded",
            "livemode": False,
            "data": {
                "object": {
                    "id": f"{intent}_{self.id}",
                    "object": "payment_intent",
                    "amount": TOTAL,
                    "amount_received": TOTAL,
                    "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
                    "currency": "cad",
                    "metadata": {"order_id": self.id},
                    "status": "succeeded",
                    **changes,
                }
            },
        }

    def refunded(self, kind: str = "refund.created", **changes: Any) -> dict[str, Any]:
        """The event of a refund, made at the dashboard."""
        return {
            "id": f"evt_{uuid4().hex}",
            "object": "event",
            "type": kind,
            "data": {
                "object": {
                    "id": f"re_1_{self.id}",
                    "object": "refund",
                    "amount": 1000,
                    "charge": "ch_1",
                    "currency": "cad",
                    "payment_intent": f"pi_1_{self.id}",
                    "metadata": {},
                    "reason": None,
                    "status": "succeeded",
                    **changes,
                }
            },
        }


@contextmanager
def stripe_shop(url: URL, folder: Path, api: str) -> Iterator[StripeShop]:
    """A shop with PAYMENTS=stripe that is served on this machine."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
        environment.setenv("PAYMENTS", "stripe")
        environment.setenv("STRIPE_API", api)
        environment.setenv("STRIPE_WEBHOOK_SECRET", SECRET)
        app = create_app(str(folder))
    app.test_client().get("/")
    try:
        with served(app) as own_url:
            yield StripeShop(app, own_url, api)
    finally:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture(scope="module")
def shop(server_url: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StripeShop]:
    """A shop whose Stripe can't be reached: for what Stripe sends."""
    folder = tmp_path_factory.mktemp("instance")
    with fresh_database(server_url) as url, stripe_shop(url, folder, "http://127.0.0.1:9") as made:
        yield made


@contextmanager
def localstripe(shop: StripeShop, folder: Path) -> Iterator[None]:
    """`flask localstripe`, at the port that the shop expects, for a while."""
    port = shop.api.rsplit(":", 1)[1]
    command = ["--app", f"example_app:create_app({str(folder)!r})", "localstripe"]
    environment = {
        **os.environ,
        "PAYMENTS": "stripe",
        "STRIPE_API": shop.api,
        "STRIPE_WEBHOOK_SECRET": SECRET,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "flask", *command, "--port", port, "--shop", shop.url],
        env=environment,
        cwd=Path(__file__).parents[1],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            wait_until(lambda: is_served(shop.api), process)
            # Its webhook is registered as soon as it answers.
            time.sleep(0.5)
            yield
        finally:
            process.terminate()


def is_served(api: str) -> bool:
    try:
        return requests.get(f"{api}/v1/charges", auth=("sk_test_local", ""), timeout=5).ok
    except requests.ConnectionError:
        return False


def wait_until(is_true: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    # A process of its own starts slowly while other tests run beside it.
    deadline = time.monotonic() + 90
    while not is_true():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None
        time.sleep(0.1)


@pytest.mark.server
def test_an_order_is_paid_and_refunded_by_localstripe(sqlite_file: URL, tmp_path: Path) -> None:
    """From `checkout` to `flask orders show`, by signed webhooks of a server like Stripe's."""
    [port] = free_ports(1)
    with (
        stripe_shop(sqlite_file, tmp_path, f"http://127.0.0.1:{port}") as shop,
        localstripe(shop, tmp_path),
    ):
        order = shop.order()
        page = requests.get(shop.url + order.page, timeout=30)
        assert "Pay with the test card" in page.text
        assert "47.50 CAD" in page.text
        answer = requests.post(f"{shop.url}{order.page}test-card/", timeout=30)
        assert answer.status_code == 200
        wait_until(lambda: order.status() == "paid")
        [(reference, amount, currency, expected)] = order.payments()
        assert reference.startswith("pi_")
        assert (amount, currency, expected) == (Decimal("47.50"), "CAD", True)
        assert "Pay with" not in requests.get(shop.url + order.page, timeout=30).text

        number = order.seen()["number"]
        runner = shop.app.test_cli_runner()
        assert runner.invoke(args=["orders", "cancel", number]).exit_code == 0
        assert order.due() == [Decimal("47.50")]
        for count in (1, 0):
            result = runner.invoke(args=["refund-due"])
            assert result.exit_code == 0, result.output
            assert f"Payments refunded: {count}." in result.output
        assert order.due() == []
        [(refund, amount)] = order.refunds()
        assert amount == Decimal("47.50")
        shown = json.loads(runner.invoke(args=["orders", "show", number, "--json"]).output)
        assert shown["status"] == "cancelled"
        assert [each["reference"] for each in shown["payments"]] == [reference]
        assert [each["reference"] for each in shown["refunds"]] == [refund]
        audit = runner.invoke(args=["orders", "audit"])
        assert audit.exit_code == 0, audit.output


def test_a_payment_that_is_reported_twice_is_recorded_once(shop: StripeShop) -> None:
    order = shop.order()
    for age in (0, 290):
        assert shop.send(order.succeeded(), age=age).status_code == 204
    assert order.status() == "paid"
    assert order.payments() == [(f"pi_1_{order.id}", Decimal("47.50"), "CAD", True)]


def test_a_second_payment_is_to_be_refunded(shop: StripeShop) -> None:
    order = shop.order()
    assert shop.send(order.succeeded("pi_1")).status_code == 204
    assert shop.send(order.succeeded("pi_2")).status_code == 204
    assert [expected for *_, expected in order.payments()] == [True, False]
    assert order.due() == [Decimal("47.50")]


def test_a_payment_of_a_cancelled_order_is_to_be_refunded(shop: StripeShop) -> None:
    order = shop.order()
    order.cancel()
    assert shop.send(order.succeeded()).status_code == 204
    assert order.status() == "cancelled"
    assert order.due() == [Decimal("47.50")]


@pytest.mark.parametrize(
    "changes", [{"amount_received": TOTAL - 1}, {"amount": TOTAL + 1, "amount_received": TOTAL + 1}]
)
def test_another_amount_is_refused(shop: StripeShop, changes: dict[str, Any]) -> None:
    order = shop.order()
    assert shop.send(order.succeeded(**changes)).status_code == 409
    assert (order.status(), order.payments()) == ("awaiting_payment", [])


def test_an_event_before_the_customer_comes_back(shop: StripeShop) -> None:
    order = shop.order()
    assert shop.send(order.succeeded()).status_code == 204
    page = order.client.get(order.page)
    assert page.status_code == 200
    assert "paid" in page.text


@pytest.mark.parametrize(
    "wrong", [{"age": 301}, {"age": -360}, {"secret": "whsec_another"}], ids=str
)
def test_an_event_that_is_not_signed_is_refused(shop: StripeShop, wrong: dict[str, Any]) -> None:
    order = shop.order()
    answer = shop.send(order.succeeded(), **wrong)
    # Stripe's library refuses old signatures only: one from the future was made with the secret.
    assert answer.status_code == (204 if wrong == {"age": -360} else 400)
    assert order.status() == ("paid" if wrong == {"age": -360} else "awaiting_payment")


@pytest.mark.parametrize("signature", [None, "", "nonsense", "t=1,v1=0", "t=x,v1="])
def test_a_malformed_signature_is_refused(shop: StripeShop, signature: str | None) -> None:
    headers = {} if signature is None else {"Stripe-Signature": signature}
    assert shop.app.test_client().post(WEBHOOK, data=b"{}", headers=headers).status_code == 400


def test_events_of_other_kinds_and_shops_are_ignored(shop: StripeShop) -> None:
    order = shop.order()
    failed = {**order.succeeded(), "type": "payment_intent.payment_failed"}
    for event in (failed, order.succeeded(metadata={})):
        assert shop.send(event).status_code == 204
    assert shop.send(order.succeeded(metadata={"order_id": str(uuid4())})).status_code == 404
    assert (order.status(), order.payments()) == ("awaiting_payment", [])


def test_a_refund_at_the_dashboard_is_recorded_once(shop: StripeShop) -> None:
    order = shop.order()
    assert shop.send(order.succeeded()).status_code == 204
    for kind in ("refund.created", "refund.updated", "refund.created"):
        assert shop.send(order.refunded(kind)).status_code == 204
    assert order.refunds() == [(f"re_1_{order.id}", Decimal(10))]


def test_a_pending_refund_is_recorded_when_it_has_succeeded(shop: StripeShop) -> None:
    order = shop.order()
    assert shop.send(order.succeeded()).status_code == 204
    assert shop.send(order.refunded(status="pending")).status_code == 204
    assert order.refunds() == []
    assert shop.send(order.refunded("refund.updated")).status_code == 204
    assert order.refunds() == [(f"re_1_{order.id}", Decimal(10))]


def test_a_refund_that_comes_before_its_payment_is_sent_again(shop: StripeShop) -> None:
    order = shop.order()
    assert shop.send(order.refunded()).status_code == 409
    assert shop.send(order.succeeded()).status_code == 204
    assert shop.send(order.refunded()).status_code == 204
    assert order.refunds() == [(f"re_1_{order.id}", Decimal(10))]


def test_more_than_came_in_is_refused(shop: StripeShop) -> None:
    order = shop.order()
    assert shop.send(order.succeeded()).status_code == 204
    assert shop.send(order.refunded(amount=TOTAL + 1)).status_code == 409
    assert order.refunds() == []


class Recorder(BaseHTTPRequestHandler):
    """Answers with a PaymentIntent of the shape that Stripe's reference has."""

    requests: list[tuple[str, str | None, dict[str, list[str]]]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        key = self.headers.get("Idempotency-Key")
        self.requests.append((self.path, key, parse_qs(body)))
        answer = json.dumps(
            {
                "id": "pi_3MtwBwLkdIwHu7ix28a3tqPa",
                "object": "payment_intent",
                "amount": TOTAL,
                "automatic_payment_methods": {"enabled": True},
                "client_secret": "pi_3MtwBwLkdIwHu7ix28a3tqPa_secret_x",
                "currency": "cad",
                "metadata": {},
                "payment_method_types": ["card", "link"],
                "status": "requires_payment_method",
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


def test_the_intent_has_the_orders_id_as_key(sqlite_file: URL, tmp_path: Path) -> None:
    received: list[tuple[str, str | None, dict[str, list[str]]]] = []
    handler = type("Recording", (Recorder,), {"requests": received})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            api = f"http://127.0.0.1:{server.server_port}"
            with stripe_shop(sqlite_file, tmp_path, api) as shop:
                order = shop.order()
                for _ in range(2):
                    assert order.client.get(order.page).status_code == 200
        finally:
            server.shutdown()
            thread.join()
    body = {
        "amount": [str(TOTAL)],
        "currency": ["cad"],
        "metadata[order_id]": [order.id],
    }
    assert received == [("/v1/payment_intents", order.id, body)] * 2


def test_stripe_can_not_be_reached(shop: StripeShop) -> None:
    order = shop.order()
    assert order.client.get(order.page).status_code == 503
    assert order.status() == "awaiting_payment"


@pytest.mark.parametrize(
    ("amount", "currency", "units"),
    [
        ("47.50", "CAD", 4750),
        ("0.01", "USD", 1),
        ("500", "JPY", 500),
        # ISO 4217 has no decimals for these two, and two for MGA.
        ("5", "ISK", 500),
        ("5", "UGX", 500),
        ("7000", "MGA", 7000),
        ("5.120", "KWD", 5120),
        ("10.45", "HUF", 1045),
    ],
)
def test_minor_units(amount: str, currency: str, units: int) -> None:
    assert to_units(Decimal(amount), currency) == units
    assert from_units(units, currency) == Decimal(amount)


# https://docs.stripe.com/currencies
ZERO_DECIMAL = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"


@pytest.mark.parametrize("currency", ZERO_DECIMAL.split())
def test_currencies_without_decimals(currency: str) -> None:
    assert to_units(Decimal(700), currency) == 700


@pytest.mark.parametrize(("amount", "currency"), [("5.124", "KWD"), ("1.5", "MGA")])
def test_amounts_that_stripe_can_not_charge(amount: str, currency: str) -> None:
    assert Decimal(amount) % Currency.of(currency).quantum == 0
    with pytest.raises(ValueError, match="Stripe can't charge"):
        to_units(Decimal(amount), currency)


def test_missing_keys_are_named_at_start_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PAYMENTS", "stripe")
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_test_1")
    names = "STRIPE_PUBLISHABLE_KEY, STRIPE_WEBHOOK_SECRET"
    with pytest.raises(RuntimeError, match=names):
        create_app(str(tmp_path))
    monkeypatch.setenv("PAYMENTS", "strip")
    with pytest.raises(RuntimeError, match="one of sandbox, stripe"):
        create_app(str(tmp_path))


def test_the_test_card_is_not_for_stripe_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("STRIPE_SECRET_KEY", "STRIPE_PUBLISHABLE_KEY", "STRIPE_WEBHOOK_SECRET"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("PAYMENTS", "stripe")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///" + str(tmp_path / "shop.sqlite3"))
    app = create_app(str(tmp_path))
    page = app.test_client().post(f"/stripe/pay/{uuid4()}/test-card/")
    assert page.status_code == 404
