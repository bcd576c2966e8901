"""Invalid bodies, headers and URLs return a problem document and change no row.

All of them are sent to one shop (`Till`) where a customer is ready to order, and are held to one
rule: a refusal leaves the whole database as it was; a success has made one complete order of what
was sent. ORDERS_TEST_LONG sends 2,000 generated bodies to each database; otherwise it is 200.
"""

import gzip
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import pycountry
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from flask_orders.texts import strip, whole_number

from .support.database import Rows
from .support.effort import LONG, examples
from .support.requests import ADDRESS, ORDERS
from .support.responses import body
from .support.shops import Shop

JSON = "application/json"
MEGABYTE = 1_000_000
SAVED = {**ADDRESS, "street_address": "1 Bay St", "postal_code": "K1A 0B1", "city": "Ottawa"}
GOOD: dict[str, Any] = {
    "action": "save_order",
    "billing_address": ADDRESS,
    "expected_total": "17.98",
}
FIELDS = tuple(ADDRESS)
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
CONTROLS: tuple[Literal["Cc", "Cs", "Zl", "Zp"], ...] = ("Cc", "Cs", "Zl", "Zp")
# The bidi controls that reorder other characters than their own, and the noncharacters.
NONCHARACTERS = [
    *range(0xFDD0, 0xFDF0),
    *(0xFFFE | plane << 16 | last for plane in range(17) for last in (0, 1)),
]
REFUSED = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069" + "".join(
    map(chr, NONCHARACTERS)
)

# The tables into which a success inserts rows.
WRITTEN = ("orders", "order_items", "order_addresses", "order_idempotency_keys")
ORDER = {
    "sequence": 2,
    "status": "awaiting_payment",
    "items_count": 2,
    "subtotal": Decimal("19.98"),
    "discount_amount": Decimal("2.00"),
    "total_amount": Decimal("17.98"),
    "voucher_code": "WELCOME",
}
ITEM = {
    "position": 1,
    "quantity": 2,
    "unit_price": Decimal("9.99"),
    "total_price": Decimal("19.98"),
    "voucher_discount": Decimal("2.00"),
}


@dataclass
class Till:
    """A shop, a customer who is ready to order, a stranger, and every row before a request."""

    shop: Shop
    customer: int
    stranger: int
    own_order: str
    stranger_s_order: str
    before: Rows

    @classmethod
    def of(cls, shop: Shop) -> "Till":
        """Both have ordered before, have a saved address, and have a voucher in a full cart."""
        shop.clear()
        customer, stranger = shop.customer(), shop.customer()
        product, voucher = shop.product("9.99", stock=100), shop.voucher("WELCOME", "10%")
        orders = {}
        for each in (customer, stranger):
            shop.cart(each, {product: 1})
            orders[each] = shop.order(each, billing_address=SAVED)["id"]
            shop.fill(each, {product: 2}, voucher)
        own, theirs = orders[customer], orders[stranger]
        return cls(shop, customer, stranger, own, theirs, shop.everything())

    def post(self, data: bytes, content_type: str | None = JSON, **options: Any) -> TestResponse:
        """Send a body, hold the answer to the rule, and put everything back."""
        headers = {**self.shop.token(self.customer), **options.pop("headers", {})}
        options |= {"data": data, "content_type": content_type, "headers": headers}
        answer = self.shop.post(self.customer, **options)
        after = self.shop.everything()
        try:
            if answer.status_code >= 400:
                check_problem(answer)
                assert after == self.before
            else:
                document = understood(data)
                assert (
                    answer.status_code == {"save_order": 201, "checkout": 303}[document["action"]]
                )
                self._check_order(after, document, keyed="Idempotency-Key" in headers)
        finally:
            self._put_back(after)
        return answer

    def ask(self, url: str, method: str = "GET", **headers: str) -> TestResponse:
        """Send what changes nothing, whatever the answer."""
        headers = {**self.shop.token(self.customer), **headers}
        answer = self.shop.app.test_client().open(url, method=method, headers=headers)
        assert self.shop.everything() == self.before
        return answer

    def _check_order(self, after: Rows, document: dict[str, Any], *, keyed: bool) -> None:
        made = {name: added(self.before[name], after[name]) for name in WRITTEN}
        (order,), (item,) = made["orders"], made["order_items"]
        assert part(order, ORDER) == ORDER
        assert part(item, ITEM) == ITEM
        assert item["order_id"] == order["id"]
        address = normalised(document.get("billing_address") or SAVED)
        assert {name: order[f"billing_{name}"] for name in FIELDS} == address
        for entry in made["order_addresses"]:
            assert part(entry, address) == address
            assert entry["id"] == order["billing_address_id"]
        owned = [*made["orders"], *made["order_addresses"], *made["order_idempotency_keys"]]
        assert {row["customer_id"] for row in owned} == {self.customer}
        assert len(made["order_addresses"]) <= 1
        assert len(made["order_idempotency_keys"]) == keyed
        self._check_the_rest(after, made)

    def _check_the_rest(self, after: Rows, made: Rows) -> None:
        """Nothing else is new, and only the cart, stock and voucher have changed."""
        expected = {name: list(map(dict, rows)) for name, rows in self.before.items()}
        (cart,) = (row for row in expected["carts"] if row["customer_id"] == self.customer)
        cart["voucher_id"] = None
        expected["cart_items"] = [
            row for row in expected["cart_items"] if row["cart_id"] != cart["id"]
        ]
        expected["products"][0]["stock"] -= ITEM["quantity"]
        expected["vouchers"][0]["times_used"] += 1
        for name, rows in expected.items():
            assert added(made.get(name, []), after[name]) == rows

    def _put_back(self, after: Rows) -> None:
        tables = [rows for rows in self.shop.db.metadata.sorted_tables if "id" in rows.c]
        changed = [rows for rows in tables if after[rows.name] != self.before[rows.name]]
        if not changed:
            return
        with self.shop.engine.begin() as connection:
            for rows in reversed(changed):
                old = {row["id"] for row in self.before[rows.name]}
                for row in after[rows.name]:
                    if row["id"] not in old:
                        connection.execute(rows.delete().where(rows.c.id == row["id"]))
            for rows in changed:
                there = {row["id"] for row in after[rows.name]}
                for row in added(after[rows.name], self.before[rows.name]):
                    if row["id"] in there:
                        connection.execute(rows.update().where(rows.c.id == row["id"]).values(row))
                    else:
                        connection.execute(rows.insert().values(row))


def added(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> Any:
    return [row for row in after if row not in before]


def part(row: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in like}


def check_problem(answer: TestResponse) -> None:
    """A refusal is a problem document (RFC 9457) that says what was wrong with the request."""
    assert answer.status_code < 500, answer.text
    assert answer.mimetype == "application/problem+json", (answer.status, answer.text)
    problem = body(answer)
    assert problem["status"] == answer.status_code
    assert problem["type"].endswith(problem["code"])
    assert problem["title"]
    assert problem["detail"]
    assert problem.get("errors") != {}


def understood(data: bytes) -> dict[str, Any]:
    """The body of a success: by what the contract says, it has to have been acceptable."""
    document = json.loads(data.decode())
    assert set(document) <= set(GOOD)
    assert set(document.get("billing_address") or {}) <= set(FIELDS)
    total = document.get("expected_total")
    if total is not None:
        assert type(total) is str or whole_number(total) is not None
        text = total if type(total) is str else str(whole_number(total))
        assert re.fullmatch(r"[0-9]+(\.[0-9]+)?", text)
        assert Decimal(text) >= ORDER["total_amount"]  # type: ignore[operator] # a Decimal
    return dict(document)


def normalised(address: dict[str, Any]) -> dict[str, str]:
    """The address as the database should hold it."""
    sent = {name: "" if text is None else text for name, text in address.items()}
    assert all(type(text) is str for name, text in sent.items() if name != "postal_code")
    code = whole_number(sent.get("postal_code"))
    if code is not None:
        sent["postal_code"] = code
    assert type(sent.get("postal_code", "")) in (str, int)
    texts = {name: clean(str(sent.get(name, ""))) for name in FIELDS}
    texts["street_address"] = LINE_BREAKS.sub(" ", texts["street_address"])
    for name, text in texts.items():
        shortest = name not in ("state", "postal_code")
        assert shortest <= len(text) <= (32 if name == "postal_code" else 255)
        assert not any(unicodedata.category(each) in CONTROLS or each in REFUSED for each in text)
    country = pycountry.countries.lookup(" ".join(texts["country"].split()))
    return {**texts, "country": country.alpha_2}


LINE_BREAKS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")


def clean(text: str) -> str:
    return unicodedata.normalize("NFC", strip(text))


@pytest.fixture(scope="module")
def till(session_shop: Shop) -> Till:
    return Till.of(session_shop)


@pytest.fixture
def large_bodies(till: Till) -> Iterator[None]:
    """As in a shop whose host lets them in."""
    till.shop.app.config["ORDERS_MAX_BODY"] = 20 * MEGABYTE
    yield
    del till.shop.app.config["ORDERS_MAX_BODY"]


# Where in the body something odd is put: it is in the place of "@".
PLACES: dict[str, Any] = {
    "the body": "@",
    "an item": [GOOD, "@"],
    "action": {**GOOD, "action": "@"},
    "billing_address": {**GOOD, "billing_address": "@"},
    **{name: {**GOOD, "billing_address": {**ADDRESS, name: "@"}} for name in FIELDS},
    "expected_total": {**GOOD, "expected_total": "@"},
    "an unknown field": {**GOOD, "note": "@"},
    "an unknown field of the address": {**GOOD, "billing_address": {**ADDRESS, "note": "@"}},
}

ODD = {
    "null": b"null",
    "true": b"true",
    "false": b"false",
    "1.9": b"1.9",
    "minus zero": b"-0",
    "minus one": b"-1",
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "-Infinity": b"-Infinity",
    "1e1000000": b"1e1000000",
    "-1e1000000": b"-1e1000000",
    "1e-1000000": b"1e-1000000",
    "4,000 digits": b"9" * 4000,
    "5,000 digits": b"9" * 5000,
    "4,000 decimals": b"1." + b"9" * 4000,
    "5,000 digits as text": b'"' + b"9" * 5000 + b'"',
    "an integer of 64 bits and one": b"18446744073709551616",
    "a leading zero": b"01234",
    "hexadecimal": b"0x10",
    "full-width digits": "\uff11\uff12\uff13".encode(),
    "full-width digits as text": '"\uff11\uff12\uff13"'.encode(),
    "arabic digits as text": '"\u0661\u0662\u0663"'.encode(),
    "digits with underscores": b'"1_0"',
    "an exponent as text": b'"1e3"',
    "NaN as text": b'"NaN"',
    "sNaN as text": b'"sNaN"',
    "NUL, escaped": b'"a\\u0000b"',
    "NUL": b'"a\x00b"',
    "a bare NUL": b"\x00",
    "a line feed, escaped": b'"a\\nb"',
    "a line feed": b'"a\nb"',
    "DEL": b'"a\x7fb"',
    "NEL": '"a\x85b"'.encode(),
    "a line separator": '"a\u2028b"'.encode(),
    **{f"the bidi control {ord(each):04X}": f'"a{each}b"'.encode() for each in BIDI},
    "a high surrogate, escaped": b'"a\\ud800b"',
    "a low surrogate, escaped": b'"a\\udc00"',
    "surrogates in the wrong order": b'"\\udc00\\ud800"',
    "a surrogate in UTF-8": b'"a\xed\xa0\x80b"',
    "an overlong slash": b'"a\xc0\xafb"',
    "a byte of latin-1": b'"caf\xe9"',
    "beyond Unicode": b'"\xf4\x90\x80\x80"',
    "a noncharacter": '"a\uffffb"'.encode(),
    "an unassigned character": '"a\U000e0fffb"'.encode(),
    "256 characters": b'"' + b"x" * 256 + b'"',
    "256 emoji": ('"' + "\U0001f600" * 256 + '"').encode(),
    "255 characters that NFC makes 510": ('"' + "\u0958" * 255 + '"').encode(),
    "8,000 combining marks": ('"a' + "\u0301\u0323" * 4000 + '"').encode()[:16000] + b'"',
    "nothing but white space": '" \u3000\u00a0\u2003 "'.encode(),
    "an empty text": b'""',
    "a list": b"[]",
    "a list of a text": b'["checkout"]',
    "an object": b"{}",
    "a name of nothing": b'{"": 1}',
    "a name with a surrogate": b'{"\\ud800": 1}',
    "a name that is long": b'{"' + b"n" * 10_000 + b'": 1}',
    "names of Python's": b'{"__class__": {"__init__": {"__globals__": 1}}, "_schema": 1}',
    "a name twice": b'{"a": 1, "a": 2}',
    "a name twice, once escaped": b'{"a": 1, "\\u0061": 2}',
    "SQL": b'"\'; DROP TABLE orders; -- \\\\"',
    "arrays, 7,000 deep": b"[" * 7000 + b"]" * 7000,
    "objects, 2,000 deep": b'{"a":' * 2000 + b"1" + b"}" * 2000,
    "arrays, 10,000 deep and open": b"[" * 10_000,
    "objects, 2,500 deep and open": b'{"a":' * 2500,
}

# Deeper or longer than the default of ORDERS_MAX_BODY lets through.
GIANT = {
    "arrays, 10,000 deep": b"[" * 10_000 + b"]" * 10_000,
    "objects, 10,000 deep": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "arrays, 5,000,000 deep and open": b"[" * 5 * MEGABYTE,
    "10 MB of digits": b"9" * 10 * MEGABYTE,
    "300 KB of text": b'"' + b"x" * 300_000 + b'"',
}


def put(value: bytes, place: str) -> bytes:
    return json.dumps(PLACES[place]).encode().replace(b'"@"', value)


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_an_odd_value_in_every_place(till: Till, value: bytes) -> None:
    for place in PLACES:
        till.post(put(value, place))


@pytest.mark.parametrize("value", GIANT.values(), ids=GIANT)
def test_a_giant_value_in_a_place(till: Till, large_bodies: None, value: bytes) -> None:
    for place in ("the body", "action", "city", "expected_total", "an unknown field"):
        assert till.post(put(value, place)).status_code == 400


def test_deep_nesting_is_refused_at_every_depth(till: Till) -> None:
    for depth in range(800, 1000, 4):
        answer = till.post(put(b"[" * depth + b"]" * depth, "city"))
        assert answer.status_code == 400


TEXT = json.dumps(GOOD)

WHOLE = {
    "two documents": TEXT * 2,
    "a document and a comma": f"{TEXT},",
    "a comma too much": f"{TEXT[:-1]},}}",
    "a comment": f"/* */ {TEXT}",
    "single quotes": TEXT.replace('"', "'"),
    "two byte order marks": f"\ufeff\ufeff{TEXT}",
    "a NUL behind": f"{TEXT}\x00",
    "JSONP": f"f({TEXT})",
    "a form": "action=save_order",
    "XML": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><action>&b;</action>',
    "UTF-16": TEXT.encode("utf-16"),
    "UTF-32": TEXT.encode("utf-32"),
    "UTF-16 without a mark": TEXT.encode("utf-16-le"),
    "gzip": gzip.compress(TEXT.encode()),
    "a field twice": TEXT.replace("{", '{"action": "checkout",', 1),
    "a field of the address twice": TEXT.replace('"city"', '"city": "Elsewhere", "city"'),
    "a field twice, once escaped": TEXT.replace("{", '{"\\u0061ction": "checkout",', 1),
    "a field in capitals": TEXT.replace("action", "ACTION"),
    "a field in full width": TEXT.replace("action", "\uff41ction"),
    "a field with a NUL": TEXT.replace("action", "action\\u0000"),
    "a field with a surrogate": TEXT.replace('"city"', '"\\udfff": 1, "city"'),
    "a surrogate for a field": '{"\\ud800": 1}',
}


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
def test_a_body_that_is_not_a_request_object(till: Till, text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    assert till.post(data).status_code == 400


EXTRA = ("price", "total", "customer_id", "customer", "user_id", "status", "id", "items", "number")
EXTRA_OF_ADDRESS = ("id", "customer_id", "fingerprint", "billing_address_id")


def test_an_extra_field_with_another_customer_s_key(till: Till) -> None:
    (foreign,) = (
        row for row in till.before["order_addresses"] if row["customer_id"] == till.stranger
    )
    theirs = [till.stranger, str(till.stranger), foreign["id"], till.stranger_s_order, [], None]
    for value in theirs:
        for name in EXTRA:
            answer = till.post(json.dumps({**GOOD, name: value}).encode())
            assert list(body(answer)["errors"]) == [name]
        for name in EXTRA_OF_ADDRESS:
            address = {**ADDRESS, name: value}
            answer = till.post(json.dumps({**GOOD, "billing_address": address}).encode())
            assert list(body(answer)["errors"]) == [f"billing_address.{name}"]
        if value is not None:
            answer = till.post(json.dumps({**GOOD, "billing_address": value}).encode())
            assert answer.status_code == 400


def test_another_customer_s_key_outside_the_body_is_ignored(till: Till) -> None:
    theirs = str(till.stranger)
    query = {"customer_id": theirs, "user": theirs, "action": "checkout"}
    headers = {"X-User-Id": theirs, "X-HTTP-Method-Override": "DELETE", "Cookie": f"id={theirs}"}
    assert till.post(TEXT.encode(), query_string=query, headers=headers).status_code == 201


@pytest.mark.parametrize(
    ("size", "options", "status"),
    [
        (10 * MEGABYTE, {}, 413),
        (10 * MEGABYTE, {"chunked": True}, 413),
        (10 * MEGABYTE, {"content_type": "text/plain"}, 413),
        (10 * MEGABYTE, {"content_type": "application/x-www-form-urlencoded"}, 413),
        (10 * MEGABYTE, {"content_type": "multipart/form-data; boundary=x"}, 413),
        (10 * MEGABYTE, {"length": None}, 400),
        (10 * MEGABYTE, {"length": "0"}, 400),
        (10 * MEGABYTE, {"length": "9" * 30}, 413),
        (10 * MEGABYTE, {"length": "-1"}, 400),
        (10 * MEGABYTE, {"length": "ten"}, 400),
        (16384, {}, 201),
        (16384, {"chunked": True}, 201),
        (16385, {}, 413),
        (16385, {"chunked": True}, 413),
    ],
)
def test_a_large_body(till: Till, size: int, options: dict[str, Any], status: int) -> None:
    """`length` is what the header claims; `chunked`, that there is none and the server counts."""
    environ: dict[str, Any] = {}
    if "length" in options:
        environ["CONTENT_LENGTH"] = options["length"] or ""
    if "chunked" in options:
        environ |= {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    content_type = options.get("content_type", JSON)
    data = TEXT.encode().ljust(size)
    answer = till.post(data, content_type, environ_overrides=environ)
    assert answer.status_code == status


def test_a_truncated_body(till: Till) -> None:
    length = {"CONTENT_LENGTH": str(len(TEXT) + 100)}
    assert till.post(TEXT.encode(), environ_overrides=length).status_code == 400


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json; charset=utf-8", 201),
        ("application/json;charset=iso-8859-1", 201),
        ("application/json; charset=utf-16", 201),
        ("application/json; charset=\x00", 201),
        ("application/json;", 201),
        ("APPLICATION/JSON", 201),
        ("application/vnd.api+json", 201),
        ("application/vnd.api+json; ext=bulk", 201),
        (None, 415),
        ("", 415),
        ("text/json", 415),
        ("text/plain", 415),
        ("application/javascript", 415),
        ("application/json-seq", 415),
        ("application/json, text/plain", 415),
        ("text/plain; application/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data", 415),
        ("multipart/form-data; boundary=" + "b" * 5000, 415),
        ("json", 415),
        ("/", 415),
        (";;;=", 415),
        ("application/json\u00a0", 415),
        ("x" * 10_000, 415),
    ],
)
def test_only_json_content_types_are_accepted(
    till: Till, content_type: str | None, status: int
) -> None:
    assert till.post(TEXT.encode(), content_type).status_code == status


@pytest.mark.parametrize(
    ("key", "status"),
    [
        ('"', 201),
        ('"a', 201),
        ('""a""', 201),
        ('"\\"', 201),
        ('"\\\\"', 201),
        ("a,b", 201),
        ('"a";q=1', 201),
        ("'; DROP", 400),
        ("';DROP--", 201),
        ("%00", 201),
        ("x" * 255, 201),
        ('"' + "x" * 255 + '"', 201),
        ('"' + "x" * 256 + '"', 400),
        ("x" * 10_000, 400),
        ("\x7f", 400),
        ("a\x00b", 400),
        ("\x85", 400),
        ("\u00a0", 400),
        ("\u00ff" * 255, 400),
        ('" "', 400),
        ('"\\""', 201),
    ],
)
def test_an_odd_idempotency_key(till: Till, key: str, status: int) -> None:
    answer = till.post(TEXT.encode(), headers={"Idempotency-Key": key})
    assert answer.status_code == status


def urls(order: str) -> dict[str, str]:
    """Ways to write the URL of an order, and ways to fail to."""
    bare = order.replace("-", "")
    return {
        "in capitals": order.upper(),
        "in braces": f"{{{order}}}",
        "a URN": f"urn:uuid:{order}",
        "without hyphens": bare,
        "with hyphens everywhere": "-".join(bare),
        "in full-width digits": order.translate({48 + i: 0xFF10 + i for i in range(10)}),
        "too short": order[:-1],
        "too long": f"{order}0",
        "much too long": order * 1000,
        "with underscores": f"{bare[:8]}_{bare[9:]}",
        "signed": f"+{bare[1:]}",
        "hexadecimal": f"0x{bare[2:]}",
        "a space behind": f"{order}%20",
        "a NUL behind": f"{order}%00",
        "a line feed behind": f"{order}%0a",
        "a slash inside": f"{order}%2Fitems",
        "a way up": f"{order}%2F..%2F{order}",
        "a plain way up": f"../orders/{order}",
        "two slashes": f"/{order}",
        "a semicolon": f"{order};a=b",
        "a query": f"{order}?id={order}",
        "percent-encoded twice": order.replace("-", "%252d"),
        "no UTF-8": "%ff%fe",
        "a surrogate": "%ed%a0%80",
        "half a percent sign": "%",
        "a number": "1",
        "a negative number": "-1",
        "NaN": "NaN",
        "SQL": "'%20OR%20'1'='1",
    }


@pytest.mark.parametrize("kind", urls(""))
def test_an_odd_url_of_an_order(till: Till, kind: str) -> None:
    """One's own order is found or not; a stranger's never is, and looks like none."""
    own = till.ask(f"{ORDERS}{urls(till.own_order)[kind]}/")
    theirs = till.ask(f"{ORDERS}{urls(till.stranger_s_order)[kind]}/")
    if own.status_code == 200:
        assert body(own)["id"] == till.own_order
        assert own.headers["ETag"]
    else:
        assert own.status_code in (308, 404)
    assert theirs.status_code in (308, 404)
    assert till.stranger_s_order not in theirs.text or theirs.status_code == 308
    if theirs.status_code == 404 and body(theirs)["code"] == "not_found":
        assert theirs.data == own.data
    elif theirs.mimetype == "application/problem+json":
        none = till.ask(f"{ORDERS}00000000-0000-7000-8000-000000000000/")
        assert (theirs.data, theirs.status_code) == (none.data, none.status_code)
        check_problem(theirs)


@pytest.mark.parametrize("path", ["", "{order}/"])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "\u00e9"])
def test_a_method_that_is_not_allowed(till: Till, path: str, method: str) -> None:
    answer = till.ask(ORDERS + path.format(order=till.own_order), method)
    assert answer.status_code == 405


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_head_and_options(till: Till, method: str) -> None:
    answer = till.ask(f"{ORDERS}{till.own_order}/", method)
    assert (answer.status_code, answer.data) == (200, b"")


TEXTS = {
    "emoji": "\U0001f3e0 \U0001f468\u200d\U0001f469\u200d\U0001f467 Lane \U0001f1e8\U0001f1e6",
    "combining marks": "e\u0301 a\u0323\u0302 Z\u0351\u036b\u0343",
    "marks in another order": "a\u0302\u0323",
    "Hebrew and Arabic": "\u05e8\u05d7\u05d5\u05d1 \u0634\u0627\u0631\u0639 5",
    "Hangul in pieces": "\u1109\u1165\u110b\u116e\u11af",
    "Han of plane 2": "\U00020000\U0002a6df",
    "compatibility characters": "\ufb01 \u2460 \uff21 \u212b \u2126",
    "a composition exclusion": "\u0958\u0308",
    "a private one": "\ue000\U0010fffd",
    "quotes and slashes": "\\ \\' \" % %s :x ? ; -- /*",
    "white space around": "\u3000\t x  y\u00a0\n",
    "long": "\U0001f600" * 255,
    "long before NFC": "e\u0301" * 255,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_is_stored_as_sent_except_for_nfc_and_trimming(till: Till, text: str) -> None:
    """By `Till.post`, which compares the rows."""
    address = {**ADDRESS, "street_address": text, "city": text, "state": text}
    for escaped in (True, False):
        data = json.dumps({**GOOD, "billing_address": address}, ensure_ascii=escaped).encode()
        assert till.post(data).status_code == 201


def test_every_country_by_all_of_its_names(till: Till) -> None:
    """Every tenth of them, in capitals, to each database."""
    for country in list(pycountry.countries)[:: 1 if LONG else 10]:
        for kind in ("name", "official_name", "common_name"):
            if name := getattr(country, kind, None):
                address = {**ADDRESS, "country": name.upper()}
                data = json.dumps({**GOOD, "billing_address": address}).encode()
                assert till.post(data).status_code == 201


def lines(longest: int, shortest: int = 1) -> st.SearchStrategy[str]:
    """Text of every category that is taken, and the edges of the lengths."""
    allowed = st.characters(exclude_categories=CONTROLS, exclude_characters=REFUSED)
    edges = [letter * longest for letter in ("x", "\u00e9", "e\u0301", "\U0001f600")]
    texts = st.text(allowed, min_size=shortest, max_size=min(longest, 40)) | st.sampled_from(edges)
    return texts.filter(lambda text: shortest <= len(clean(text)) <= longest and is_seen(text))


def is_seen(text: str) -> bool:
    """Whether nothing is left of the text, or a letter, a digit, a sign or something unassigned."""
    text = clean(text)
    return not text or any(unicodedata.category(each)[0] in "LNPS" for each in text)


ADDRESSES = st.fixed_dictionaries(
    {
        "street_address": lines(255),
        "postal_code": lines(32) | st.integers(0, 10**32 - 1),
        "city": lines(255),
        "country": st.sampled_from([country.name for country in pycountry.countries]),
    },
    optional={"state": lines(255, 0)},
)
BODIES = st.fixed_dictionaries(
    {"action": st.sampled_from(["save_order", "checkout"])},
    optional={
        "billing_address": st.none() | ADDRESSES,
        "expected_total": st.sampled_from([None, "17.98", "17.9800", "00018", 18, 10**12 - 1]),
    },
)

ANY_TEXT = (
    st.text(st.characters(), max_size=20)
    | st.builds(str.__mul__, st.characters(), st.sampled_from([32, 33, 255, 256]))
    | st.sampled_from(["17.97", "17.980000", "CA", "checkout", "save_order ", "\u202e", "\x00"])
)
ANY_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(0, 50).map(lambda zeros: 10**zeros)
    | st.floats()
    | ANY_TEXT,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(ANY_TEXT, values, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*GOOD, *FIELDS, *EXTRA, *EXTRA_OF_ADDRESS]) | ANY_TEXT


@st.composite
def bent_bodies(draw: st.DrawFn) -> Any:
    """A good body in which up to three things are replaced, left out or added."""
    document: Any = draw(st.one_of(BODIES, BODIES, BODIES, ANY_VALUE))
    for _ in range(draw(st.integers(0, 3))):
        target = document
        if isinstance(target, dict) and isinstance(target.get("billing_address"), dict):
            target = draw(st.sampled_from([target, target["billing_address"]]))
        if not isinstance(target, dict):
            break
        name = draw(st.sampled_from([*target, ""]) if draw(st.booleans()) else NAMES)
        if draw(st.integers(0, 3)):
            target[name] = draw(ANY_VALUE)
        else:
            target.pop(name, None)
    return document


@given(st.data())
@settings(
    max_examples=600 if LONG else examples(60), deadline=None, database=None, derandomize=not LONG
)
def test_a_generated_valid_body_is_an_order(till: Till, data: st.DataObject) -> None:
    document = data.draw(BODIES)
    sent = json.dumps(document, ensure_ascii=data.draw(st.booleans())).encode()
    assert till.post(sent).status_code in (201, 303)


@given(bent_bodies(), st.sampled_from(["ascii", "utf-8", "utf-8", "utf-16"]))
@settings(
    max_examples=1400 if LONG else examples(140), deadline=None, database=None, derandomize=not LONG
)
def test_a_generated_invalid_body(till: Till, document: Any, encoding: str) -> None:
    text = json.dumps(document, ensure_ascii=encoding == "ascii")
    answer = till.post(text.encode(encoding, "surrogatepass"))
    event(f"status {answer.status_code}")
