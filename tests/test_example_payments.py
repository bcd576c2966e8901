"""The example shop's payments from the outside: the sandbox's page, and the signed callback."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.engine import URL
from werkzeug.test import TestResponse

from example_app.models import Order, Product, db
from example_app.signatures import HEADER, sign
from flask_orders.db.dialects import mysql, postgresql, sqlite
from flask_orders.testing import fault

from .support.example import checked_out, example_shop

API = "/api/v1/i"
CALLBACK = "/payments/callback/"
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
TOTAL = "17.10"
RECORDED = "204 No Content: the payment is recorded."

# By what a transaction begins that is going to change an order.
OF_A_STEP = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "SET LOCAL lock_timeout",
    "mariadb": "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "mysql": "@@transaction_isolation = 'READ-COMMITTED'",
}

NAME = "A <b>small</b> book of 'tea' & more"


@pytest.fixture(scope="module")
def app(server_url: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The shop on each database, with a book of an awkward name."""
    with example_shop(server_url, tmp_path_factory.mktemp("instance")) as app:
        with app.app_context():
            db.session.execute(sa.update(Product).where(Product.sku == "BOOK").values(name=NAME))
            db.session.commit()
        yield app


@dataclass
class Checkout:
    """An order that is to be paid; seen by its customer, and by the payment provider."""

    client: FlaskClient
    token: dict[str, str]
    order: str
    page: str
    reference: str = field(default_factory=lambda: f"ref-{uuid4()}")

    @property
    def id(self) -> str:
        return self.order.rstrip("/").rsplit("/", 1)[1]

    def seen(self) -> tuple[Any, Any]:
        """The order and its payment, as they are answered now."""
        order = self.client.get(self.order, headers=self.token)
        return order.get_json(), self.client.get(self.page).get_json()

    def outcome(self) -> tuple[str, list[tuple[str, bool]]]:
        """The order's status, and which payments have arrived, and whether to refund them."""
        order, page = self.seen()
        assert page["status"] == order["status"]
        return page["status"], [(one["amount"], one["to_refund"]) for one in page["payments"]]

    def body(self, **changes: Any) -> bytes:
        payment = {"order_id": self.id, "reference": self.reference, "amount": TOTAL}
        return json.dumps({**payment, "currency": "CAD", "sent": "now", **changes}).encode()

    def tell(self, body: bytes | None = None, age: int = 0) -> TestResponse:
        """A callback of the provider's, signed so many seconds ago."""
        body = self.body() if body is None else body
        secret = self.client.application.config["PAYMENT_SECRET"]
        return self.send(body, sign(body, secret, time.time() - age))

    def send(self, body: bytes, signature: str | None) -> TestResponse:
        headers = {} if signature is None else {HEADER: signature}
        return self.client.post(
            CALLBACK, data=body, headers=headers, content_type="application/json"
        )


@pytest.fixture
def checkout(app: Flask) -> Checkout:
    return Checkout(*checked_out(app, "BOOK", 1))


def test_payment_reported_twice_is_recorded_once(checkout: Checkout) -> None:
    body = checkout.body()
    assert checkout.outcome() == ("awaiting_payment", [])
    answers = [checkout.tell(body).status_code, checkout.tell(body, age=290).status_code]
    assert answers == [204, 204]
    assert checkout.outcome() == ("paid", [(TOTAL, False)])


def test_replayed_callback_is_recorded_once(checkout: Checkout) -> None:
    body, secret = checkout.body(), checkout.client.application.config["PAYMENT_SECRET"]
    signature = sign(body, secret, time.time())
    assert [checkout.send(body, signature).status_code for _ in range(2)] == [204, 204]
    assert checkout.outcome() == ("paid", [(TOTAL, False)])


@pytest.mark.parametrize("age", [301, -360], ids=["old", "from the future"])
def test_expired_callback_is_refused(checkout: Checkout, age: int) -> None:
    before = checkout.seen()
    assert checkout.tell(age=age).status_code == 400
    assert checkout.seen() == before


@pytest.mark.parametrize(
    "forge",
    [
        lambda right: None,
        lambda right: "",
        lambda right: "nonsense \xff",
        lambda right: right.upper(),
        lambda right: right[:-1],
        lambda right: f"t={int(time.time()) + 1},{right.split(',')[1]}",
        lambda right: right + "\u0660",
        lambda right: right.split(",")[0],
        lambda right: sign(b"{}", "another key", time.time()),
    ],
)
def test_callback_without_the_right_signature_is_refused(checkout: Checkout, forge: Any) -> None:
    before, body = checkout.seen(), checkout.body()
    right = sign(body, checkout.client.application.config["PAYMENT_SECRET"], time.time())
    answer = checkout.send(body, forge(right))
    assert (answer.status_code, "signature" in answer.text) == (400, True)
    assert checkout.seen() == before


def test_callback_whose_body_was_changed_is_refused(checkout: Checkout) -> None:
    before, secret = checkout.seen(), checkout.client.application.config["PAYMENT_SECRET"]
    signature = sign(checkout.body(), secret, time.time())
    assert checkout.send(checkout.body(reference="another"), signature).status_code == 400
    assert checkout.seen() == before


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"order_id": str(uuid4())}, 404),
        ({"amount": "17.11"}, 409),
        ({"amount": "0.00"}, 400),
        ({"currency": "USD"}, 409),
        ({"order_id": "1"}, 400),
        ({"amount": "NaN"}, 400),
        ({"amount": None}, 400),
        ({"amount": "17.00001"}, 400),
        ({"currency": "EURO"}, 400),
        ({"reference": ""}, 400),
        ({"reference": "x" * 256}, 400),
    ],
)
def test_payment_that_is_not_the_orders_is_refused(
    checkout: Checkout, changes: dict[str, Any], status: int
) -> None:
    before = checkout.seen()
    answer = checkout.tell(checkout.body(**changes))
    assert (answer.status_code, bool(answer.get_json()["error"])) == (status, True)
    assert checkout.seen() == before
    assert checkout.tell().status_code == 204


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
def test_signed_callback_that_is_no_payment_is_refused(checkout: Checkout, body: bytes) -> None:
    before = checkout.seen()
    assert checkout.tell(body).status_code == 400
    assert checkout.seen() == before


def test_payment_of_a_cancelled_order_is_due_for_refund(
    checkout: Checkout, caplog: pytest.LogCaptureFixture
) -> None:
    answer = checkout.client.post(f"{checkout.order}cancel/", headers=checkout.token)
    assert answer.status_code == 200
    assert [checkout.tell().status_code for _ in range(2)] == [204, 204]
    assert checkout.outcome() == ("cancelled", [(TOTAL, True)])
    number, reference = answer.get_json()["number"], checkout.reference
    assert [record.getMessage() for record in caplog.records] == [
        f"Refund 17.10 CAD: payment {reference} of order {number} (cancelled)"
    ]


def test_callback_that_meets_a_lock_returns_503(
    app: Flask, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, order = checkout.seen(), sa.update(Order).where(Order.number != "")
    for module in (mysql, postgresql, sqlite):
        monkeypatch.setattr(module, "LOCK_WAIT", 1)
    with app.app_context():
        db.engine.dispose()
        with db.engine.connect() as another:
            another.execute(order.values(number=Order.number))
            assert checkout.tell().status_code == 503
        db.engine.dispose()
    assert checkout.seen() == before
    assert checkout.tell().status_code == 204
    assert checkout.outcome() == ("paid", [(TOTAL, False)])


def test_page_is_json_unless_html_is_asked_for(checkout: Checkout) -> None:
    for accept in ({}, {"Accept": "*/*"}, {"Accept": "application/json, text/html;q=0.5"}):
        answer = checkout.client.get(checkout.page, headers=accept)
        assert answer.json == {
            "sandbox": True,
            "message": "This is a sandbox: no money is taken.",
            "number": checkout.seen()[0]["number"],
            "amount": TOTAL,
            "currency": "CAD",
            "status": "awaiting_payment",
            "payments": [],
        }
        assert "Accept" in answer.vary


def page_of(answer: TestResponse) -> ElementTree.Element:
    """The page, as the well-formed document that it has to be."""
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert "Accept" in answer.vary
    return ElementTree.fromstring(answer.text)


def text_of(page: ElementTree.Element) -> str:
    return " ".join("".join(page.itertext()).split())


def test_page_shows_the_amount_due(checkout: Checkout) -> None:
    page = page_of(checkout.client.get(checkout.page, headers=HTML))
    assert page.attrib == {"lang": "en"}
    assert page.find("body/main/h1") is not None
    assert f"1 \u00d7 {NAME}" in text_of(page)
    assert "Total17.10 CAD" in text_of(page)


@pytest.mark.parametrize(
    ("way", "answers", "outcome"),
    [
        ("once", [RECORDED], ("paid", [(TOTAL, False)])),
        ("twice", [RECORDED, RECORDED], ("paid", [(TOTAL, False)])),
        ("late", [RECORDED], ("cancelled", [(TOTAL, True)])),
        ("cancelled", [RECORDED], ("cancelled", [(TOTAL, True)])),
        ("amount", ["409 Conflict: the payment does not match"], ("awaiting_payment", [])),
        ("forged", ["400 Bad Request: the signature is invalid"], ("awaiting_payment", [])),
    ],
)
def test_button_does_what_it_says(
    checkout: Checkout, way: str, answers: list[str], outcome: tuple[str, Any]
) -> None:
    page = page_of(checkout.client.get(checkout.page, headers=HTML))
    buttons = {(button.get("name"), button.get("value")) for button in page.iter("button")}
    assert ("way", way) in buttons
    form = {"data": {"way": way}, "headers": HTML, "follow_redirects": True}
    text = text_of(page_of(checkout.client.post(checkout.page, **form)))
    assert [response in text for response in answers] == [True] * len(answers)
    assert text.count("The callback was sent") == len(answers)
    assert f"status is now {outcome[0].replace('_', ' ')}" in text
    assert ("has to refund it" in text) == any(refund for _, refund in outcome[1])
    assert checkout.outcome() == outcome


def test_callback_of_a_button_is_a_transaction_of_its_own(
    app: Flask, checkout: Checkout, server: str
) -> None:
    with app.app_context():
        engine = db.engine
    with fault(engine, at=0) as sent:
        assert checkout.client.post(checkout.page, data={"way": "once"}).status_code == 303
    assert any(OF_A_STEP[server] in statement for statement in sent), sent


def test_second_payment_of_an_order_is_due_for_refund(checkout: Checkout) -> None:
    for _ in range(2):
        assert checkout.client.post(checkout.page, data={"way": "once"}).status_code == 303
    assert checkout.outcome() == ("paid", [(TOTAL, False), (TOTAL, True)])
    page = page_of(checkout.client.get(checkout.page, headers=HTML))
    terms = [term.text for term in page.iter("dt")]
    assert terms == ["Status", "For", "Total", "Paid", "To refund"]


def test_page_refuses_unknown_orders_and_actions(checkout: Checkout) -> None:
    before = checkout.seen()
    assert checkout.client.post(checkout.page, data={"way": "else"}).status_code == 400
    assert checkout.client.post(checkout.page).status_code == 400
    for method in ("GET", "POST"):
        answer = checkout.client.open(f"/pay/{uuid4()}/", method=method, data={"way": "once"})
        assert answer.status_code == 404
    forged = {"status": ["<b>", "999", "204"]}
    page = page_of(checkout.client.get(checkout.page, query_string=forged, headers=HTML))
    assert f"returned {RECORDED}" in text_of(page)
    assert text_of(page).count("The callback was sent") == 1
    assert checkout.seen() == before
