"""Fields of the shop's own are loaded, stored and served like the library's, or refused early."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from marshmallow import EXCLUDE, Schema, fields, post_load, pre_load
from openapi_spec_validator import validate as validate_document
from sqlalchemy.engine import URL
from sqlalchemy.orm import mapped_column

from flask_orders import ConfigurationError, declare_models, orders_bp
from flask_orders.errors import IdempotencyKeyReused, InvalidRequest
from flask_orders.models import OrderMixin
from flask_orders.schemas import BillingAddressSchema, CreateOrderSchema, OrderSchema

from .support import servers
from .support.apps import install, new_db
from .support.database import nothing_changed
from .support.gifts import GiftOrderSchema, GiftRequestSchema, Wrapping, gift_shop
from .support.openapi import Contract
from .support.requests import ADDRESS, HOME, ORDERS, PREVIEW, SAVE
from .support.responses import body, refused
from .support.shops import Shop

DELIVERY = {"street": "2 Lake Rd", "city": "Gimli"}
PARTNER = "8c2f3a52-7f0e-4c9e-9d5e-0d6f4a1b2c3d"
GIFT: dict[str, Any] = {
    **SAVE,
    "delivery_address": DELIVERY,
    "giftNote": "  For Ann ♥ ",
    "card": {"text": "Happy birthday", "lines": ["to", "you"]},
    "wrapping": "BOX",
    "tip": "1.50",
    "deliver_on": "2026-12-24",
    "points": 7,
    "partner": PARTNER,
    "accepts_terms": True,
}


@pytest.fixture(scope="module")
def module_shop(server_url: URL) -> Iterator[Shop]:
    with servers.fresh_database(server_url) as url:
        shop = gift_shop(url)
        yield shop
        shop.close()


@pytest.fixture
def shop(module_shop: Shop) -> Shop:
    """The shop; Ann has a cart with two units of a product, for 20.00."""
    module_shop.clear()
    module_shop.cart("ann", {module_shop.product(): 2})
    return module_shop


def own_row(shop: Shop) -> dict[str, Any]:
    (order,) = shop.rows("orders")
    names = ("delivery_street", "delivery_city", "note", "card", "wrapping", "tip", "deliver_on")
    return {name: order[name] for name in (*names, "points", "partner", "invoice_number")}


def test_a_delivery_address_and_a_gift_note(shop: Shop) -> None:
    order = shop.order("ann", **GIFT)

    assert own_row(shop) == {
        "delivery_street": "2 Lake Rd",
        "delivery_city": "Gimli",
        "note": "For Ann ♥",
        "card": GIFT["card"],
        "wrapping": Wrapping.BOX,
        "tip": Decimal("1.50"),
        "deliver_on": date(2026, 12, 24),
        "points": 7,
        "partner": UUID(PARTNER),
        "invoice_number": None,
    }
    served = {
        "delivery_address": DELIVERY,
        "giftNote": "For Ann ♥",
        "card": GIFT["card"],
        "wrapping": "BOX",
        "tip": "1.50",
        "deliver_on": "2026-12-24",
        "invoice_number": None,
        "loyalty_points": 20,
    }
    assert {name: order[name] for name in served} == served
    assert body(shop.get("ann", ORDERS))["results"] == [order]
    cancelled = body(shop.send("ann", f"{order['url']}cancel/"))
    assert cancelled == {**order, "status": "cancelled", "updated": cancelled["updated"]}


def test_what_is_left_out_is_null_or_the_column_s_default(shop: Shop) -> None:
    order = shop.order("ann")
    assert own_row(shop) == {**dict.fromkeys(own_row(shop)), "points": 0}
    assert shop.rows("orders")[0]["channel"] == "web"
    assert order["delivery_address"] is order["giftNote"] is order["tip"] is None


def test_the_preview_has_what_a_cart_can_tell(shop: Shop) -> None:
    preview = body(shop.get("ann", PREVIEW))
    assert preview["loyalty_points"] == 20
    own = GiftOrderSchema._declared_fields.keys() - OrderSchema._declared_fields.keys()
    assert preview.keys() & {*own, "giftNote"} == {"loyalty_points"}


def test_an_own_field_is_in_the_etag(shop: Shop) -> None:
    url = shop.order("ann", **GIFT)["url"]
    etag = shop.get("ann", url).headers["ETag"]
    assert shop.get("ann", url, **{"If-None-Match": etag}).status_code == 304
    with shop.session() as session:
        session.execute(sa.update(shop.models.Order).values(invoice_number="2026-1"))
    changed = shop.get("ann", url, **{"If-None-Match": etag})
    assert (changed.status_code, body(changed)["invoice_number"]) == (200, "2026-1")


NUL, SURROGATE = "a\0b", "a\ud800b"


@pytest.mark.parametrize(
    ("sent", "at_fault"),
    [
        ({"colour": "red"}, "colour"),
        ({"gift_note": "by its name in Python"}, "gift_note"),
        ({"points": "many"}, "points"),
        ({"delivery_address": {"street": "", "city": "Gimli"}}, "delivery_address.street"),
        ({"delivery_address": {"street": "2 Lake Rd"}}, "delivery_address.city"),
        ({"delivery_address": "2 Lake Rd"}, "delivery_address"),
        ({"delivery_address": {**DELIVERY, "floor": 2}}, "delivery_address.floor"),
        ({"card": {"text": "x", "lines": ["a", 2]}, "wrapping": "BOX"}, "card.lines.1"),
        ({"card": {"text": "x"}}, "wrapping"),
        ({"points": 101}, "_schema"),
        ({"accepts_terms": False}, "accepts_terms"),
        ({"wrapping": "LEAF"}, "wrapping"),
        # What one database or another can't hold.
        ({"giftNote": NUL}, "giftNote"),
        ({"giftNote": SURROGATE}, "giftNote"),
        ({"delivery_address": {**DELIVERY, "city": NUL}}, "delivery_address.city"),
        ({"card": {"text": SURROGATE}, "wrapping": "BOX"}, "card.text"),
        ({"card": {"text": "x", "lines": ["a", NUL]}, "wrapping": "BOX"}, "card.lines.1"),
        ({"giftNote": "x" * 41}, "giftNote"),
        ({"points": -(2**31) - 1}, "points"),
        ({"points": -(2**70)}, "points"),
        ({"tip": "10000"}, "tip"),
        ({"tip": "9999.995"}, "tip"),
        ({"tip": "1e999999"}, "tip"),
        ({"points": None}, "points"),
    ],
)
def test_a_field_at_fault_is_named(shop: Shop, sent: dict[str, Any], at_fault: str) -> None:
    with nothing_changed(shop):
        problem = refused(shop.post("ann", {**SAVE, **sent}), 400, "invalid_request")
    assert problem["errors"].keys() == {at_fault}
    ((message,),) = problem["errors"].values()
    assert isinstance(message, str)


def test_the_longest_values_are_stored(shop: Shop) -> None:
    sent = {"giftNote": "é" * 40, "points": -(2**31), "tip": "9999.99"}
    shop.order("ann", **sent)
    row = own_row(shop)
    assert (row["note"], row["points"], row["tip"]) == ("é" * 40, -(2**31), Decimal("9999.99"))


def test_the_largest_body_is_the_same(shop: Shop) -> None:
    with nothing_changed(shop):
        refused(shop.post("ann", {**GIFT, "giftNote": "x" * 16384}), 413, "request_too_large")


def install_with(
    columns: dict[str, Any], url: URL | str = "sqlite://", **options: Any
) -> tuple[Shop, type[Any]]:
    """Return a shop whose order class has these columns, and that class."""
    db = new_db()
    order = type("Order", (OrderMixin, db.Model), columns)
    models = declare_models(db, order=order)
    shop = Shop(install(db, url, **options), db, models)
    with shop.app.app_context():
        db.create_all()
    return shop, order


def column(type_: Any, *, nullable: bool = True, **options: Any) -> Any:
    return mapped_column(type_, nullable=nullable, **options)


def request_schema(base: type[Any] = CreateOrderSchema, **members: Any) -> type[Any]:
    return type("RequestSchema", (base,), members)


def test_deep_nesting_is_refused(tmp_path: Any) -> None:
    """A field that takes any JSON does not exhaust the stack."""
    schema = request_schema(card=fields.Raw())
    shop, _ = install_with(
        {"card": column(sa.JSON)}, f"sqlite:///{tmp_path}/shop", request_schema=schema
    )
    for depth, code in ((50, "empty_cart"), (51, "invalid_request"), (4000, "invalid_request")):
        nested = "[" * depth + "]" * depth
        data = json.dumps({**SAVE, "card": 0}).replace('"card": 0', f'"card": {nested}')
        answer = shop.post("ann", data=data, content_type="application/json")
        refused(answer, 400, code)
    shop.close()


@pytest.mark.parametrize(
    ("sent", "at_fault"),
    [
        ('{"a": {"b": [1, 1e400]}}', "card.a.b.1"),
        ('{"a": {"b\\u0000": 1}}', "card.a"),
        ('["\\ud800"]', "card.0"),
        ('"\\u0000"', "card"),
    ],
)
def test_any_json_can_be_stored_or_is_refused(sent: str, at_fault: str) -> None:
    schema = request_schema(card=fields.Raw())
    shop, _ = install_with({"card": column(sa.JSON)}, request_schema=schema)
    data = json.dumps({**SAVE, "card": 0}).replace('"card": 0', f'"card": {sent}')
    problem = refused(
        shop.post("ann", data=data, content_type="application/json"), 400, "invalid_request"
    )
    assert problem["errors"].keys() == {at_fault}


def test_an_unknown_value_of_an_enum_is_refused() -> None:
    schema = request_schema(size=fields.String())
    columns = {"size": column(sa.Enum("S", "M", native_enum=False))}
    shop, _ = install_with(columns, request_schema=schema)
    problem = refused(shop.post("ann", {**SAVE, "size": "XL"}), 400, "invalid_request")
    assert problem["errors"] == {"size": ["Choose one of: S, M."]}
    refused(shop.post("ann", {**SAVE, "size": "M"}), 400, "empty_cart")


class NotASchema:
    """Of no use."""


class AnyAddressSchema(BillingAddressSchema):
    phone = fields.String()


class LetsAnythingIn(CreateOrderSchema):
    class Meta:
        unknown = EXCLUDE


class MeetsNowhere(Schema):
    day = fields.Date()


OWN_COLUMNS: dict[str, Any] = {
    "gift_note": sa.String(40),
    "needed": sa.String(40),
    "count": sa.Integer,
    "flag": sa.Boolean,
    "card": sa.JSON,
}
REQUESTS: list[tuple[Any, str]] = [
    (NotASchema, "pass a class, not an instance, declared as class ShopOrderSchema(CreateOrder"),
    (OrderSchema, "declared as class ShopOrderSchema(CreateOrderSchema)"),
    (CreateOrderSchema(), "pass a class, not an instance"),
    (
        request_schema(colour=fields.String()),
        "add `colour: Mapped[str | None]` to your class Order",
    ),
    (request_schema(colour=fields.String()), "not_stored = ('colour',)"),
    (request_schema(note=fields.String(attribute="colour")), "'note' loads 'colour', which is no"),
    (request_schema(status=fields.String()), "'status', which is a column of flask_orders"),
    (request_schema(x=fields.String(attribute="total_amount")), "a column of flask_orders"),
    (request_schema(customer_id=fields.String()), "a column of flask_orders"),
    (request_schema(voucher_id=fields.String()), "a column of flask_orders"),
    (request_schema(items=fields.Raw()), "'items', which is no column of your own"),
    (request_schema(x=fields.String(attribute="action")), "attribute argument for one or more"),
    (request_schema(x=fields.String(data_key="action")), "data_key argument for one or more"),
    (LetsAnythingIn, "its Meta.unknown lets any field in"),
    (request_schema(not_stored=("colour",)), "not_stored names 'colour', which is no field"),
    (request_schema(action=fields.String()), "'action' may be left out: give it required=True"),
    (request_schema(action=fields.String(required=True, attribute="x")), "does not load 'action'"),
    (request_schema(action=fields.Constant("go")), "'action' loads 'go'"),
    (request_schema(billing_address=fields.Raw(load_default=None)), "'billing_address' loads {"),
    (
        request_schema(billing_address=fields.Nested(AnyAddressSchema, required=True)),
        "a field 'phone', for which a billing address has no place",
    ),
    (request_schema(expected_total=fields.String(load_default=None)), "'expected_total' loads"),
    (
        request_schema(needed=fields.String()),
        "'needed' may be left out, and its column is NOT NULL",
    ),
    (
        request_schema(needed=fields.String(required=True, allow_none=True)),
        "'needed' may be null, and its column is NOT NULL",
    ),
    (request_schema(count=fields.String()), "'count' loads a str, and its column is Integer()"),
    (request_schema(count=fields.Boolean()), "'count' loads a bool"),
    (request_schema(flag=fields.Integer()), "'flag' loads a int, and its column is Boolean()"),
    (request_schema(gift_note=fields.Date()), "'gift_note' loads a date"),
    (request_schema(gift_note=fields.Dict()), "'gift_note' loads a dict"),
    (request_schema(card=fields.Nested(MeetsNowhere)), "'card.day' loads a date, which a JSON"),
    (request_schema(card=fields.List(fields.Decimal())), "'card' loads a Decimal, which a JSON"),
]


def own_columns() -> dict[str, Any]:
    """`needed` and `count` are NOT NULL; `count` has a default."""
    columns = {name: column(type_) for name, type_ in OWN_COLUMNS.items()}
    columns["needed"] = column(sa.String(40), nullable=False)
    columns["count"] = column(sa.Integer, nullable=False, default=0)
    return columns


@pytest.mark.parametrize(("schema", "sentence"), REQUESTS)
def test_a_request_schema_is_refused_when_registered(schema: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        install_with(own_columns(), request_schema=schema)
    assert "register_blueprint(orders_bp, request_schema=" in str(refusal.value)
    assert sentence in str(refusal.value)


def test_everything_wrong_is_said_at_once() -> None:
    schema = request_schema(a=fields.String(), b=fields.String(), status=fields.String())
    with pytest.raises(ConfigurationError, match=r"'a'.*'b'.*'status'"):
        install_with({}, request_schema=schema)


def order_schema(**members: Any) -> type[Any]:
    return type("ShownSchema", (OrderSchema,), members)


ORDER_SCHEMAS: list[tuple[Any, str]] = [
    (CreateOrderSchema, "declared as class OrderSchema(OrderSchema)"),
    (OrderSchema(str), "pass a class, not an instance"),
    (order_schema(status=fields.Integer()), "it changes 'status', which every order has"),
    (order_schema(Meta=type("Meta", (), {"exclude": ("url",)})), "it changes 'url'"),
    (order_schema(gift_note=fields.String(data_key="number")), "data_key argument for one or more"),
    (order_schema(colour=fields.String()), "'colour' reads 'colour', which Order has not"),
    (order_schema(in_preview=("gift_note",)), "'gift_note', which is no field of your own"),
    (
        order_schema(gift_note=fields.String(), in_preview=("gift_note",)),
        "'gift_note', which reads what a cart has not",
    ),
    (
        order_schema(x=fields.Function(lambda order: order.gift_note), in_preview=("x",)),
        "'x', which reads what a cart has not",
    ),
]


@pytest.mark.parametrize(("schema", "sentence"), ORDER_SCHEMAS)
def test_an_order_schema_is_refused_when_registered(schema: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        install_with(own_columns(), order_schema=schema)
    assert "register_blueprint(orders_bp, order_schema=" in str(refusal.value)
    assert sentence in str(refusal.value)


def test_a_second_registration_keeps_or_refuses_the_schemas() -> None:
    schema = request_schema(gift_note=fields.String())
    app = install_with(own_columns(), request_schema=schema)[0].app
    app.register_blueprint(orders_bp, name="again", url_prefix="/again")
    app.register_blueprint(orders_bp, name="same", url_prefix="/same", request_schema=schema)
    with pytest.raises(ConfigurationError, match="another request_schema before"):
        app.register_blueprint(orders_bp, name="other", request_schema=request_schema())
    with pytest.raises(ConfigurationError, match="another order_schema before"):
        app.register_blueprint(orders_bp, name="other", order_schema=order_schema())


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (None, "does not load to a dict with an action"),
        ({}, "does not load to a dict with an action"),
        ({"action": "save_order", "billing_address": ADDRESS}, "a billing_address (a BillingAddr"),
        ({"action": "save_order", "expected_total": "9"}, "an expected_total (a Decimal or None)"),
        ({"action": "save_order", "colour": "red"}, "extra has 'colour', which is no column"),
        ({"action": "save_order", "status": "paid"}, "extra has 'status', which is a column of"),
    ],
)
def test_what_a_post_load_returns_is_checked(
    database: URL, caplog: pytest.LogCaptureFixture, returned: Any, sentence: str
) -> None:
    def answer(self: Any, data: Any, **_rest: Any) -> Any:
        return returned

    shop = gift_shop(database, request_schema=request_schema(answer=post_load(answer)))
    shop.cart("ann", {shop.product(): 1})
    with nothing_changed(shop):
        refused(shop.post("ann"), 500, "misconfigured")
    assert sentence in caplog.text
    shop.close()


def test_check_names_a_column_that_no_request_fills() -> None:
    shop, _ = install_with(own_columns())
    (sentence,) = [line for line in checked(shop) if "Order.needed" in line]
    assert "give the column a default, make it Mapped[... | None], or load it, with needed" in (
        sentence
    )
    schema = request_schema(needed=fields.String(required=True))
    filled, _ = install_with(own_columns(), request_schema=schema)
    assert [line for line in checked(filled) if "Order." in line] == []


def checked(shop: Shop) -> list[str]:
    result = shop.app.test_cli_runner().invoke(args=["orders", "check"])
    assert result.exit_code == 1
    return result.output.splitlines()


# From Python


def test_place_and_convert_take_the_shop_s_own_columns(shop: Shop) -> None:
    extra = {"gift_note": "For Ann", "points": 1, "wrapping": Wrapping.BOX}
    with shop.service() as orders:
        orders.place("ann", billing_address=HOME, extra=extra)
    shop.fill("ann", {shop.product(): 1})
    with shop.service() as orders:
        order: Any = orders.convert("ann", billing_address=HOME, extra={**extra, "points": 2})
        assert (order.gift_note, order.points) == ("For Ann", 2)
    assert sorted(row["points"] for row in shop.rows("orders")) == [1, 2]


@pytest.mark.parametrize("call", ["place", "convert"])
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("colour", "(they are: delivery_street, delivery_city, gift_note, card"),
        ("note", "which is no column of your own"),
        ("status", "which is a column of flask_orders"),
        ("billing_address_id", "which is a column of flask_orders"),
        ("written", "which is a column of flask_orders"),
    ],
)
def test_an_unknown_name_is_refused(shop: Shop, call: str, name: str, sentence: str) -> None:
    with nothing_changed(shop), shop.service() as orders, pytest.raises(ConfigurationError) as no:
        getattr(orders, call)("ann", billing_address=HOME, extra={name: "x"})
    assert f"extra has {name!r}" in str(no.value)
    assert sentence in str(no.value)


@pytest.mark.parametrize("call", ["place", "convert"])
@pytest.mark.parametrize("note", ["x" * 41, NUL, SURROGATE])
def test_a_value_that_does_not_fit_is_refused(shop: Shop, call: str, note: str) -> None:
    with nothing_changed(shop), shop.service() as orders, pytest.raises(InvalidRequest) as no:
        getattr(orders, call)("ann", billing_address=HOME, extra={"gift_note": note, "points": 0})
    assert no.value.extensions["errors"].keys() == {"gift_note"}


# Idempotency


def test_the_same_body_is_replayed_and_another_note_is_another_request(shop: Shop) -> None:
    first = shop.post("ann", GIFT, key="k")
    assert first.status_code == 201
    reversed_ = dict(reversed(GIFT.items())) | {"card": dict(reversed(GIFT["card"].items()))}
    again = shop.post("ann", reversed_, key="k")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    for other in (
        {**GIFT, "giftNote": "For Ben"},
        {**GIFT, "tip": "2.50"},
        {**GIFT, "delivery_address": {**DELIVERY, "city": "Arnes"}},
        {**GIFT, "card": {**GIFT["card"], "lines": ["you", "to"]}},
        {**GIFT, "giftNote": None},
    ):
        refused(shop.post("ann", other, key="k"), 422, "idempotency_key_reused")
    assert len(shop.rows("orders")) == 1


def test_what_a_hook_makes_of_a_body_is_no_part_of_the_request(database: URL) -> None:
    def stamp(self: Any, data: Any, **_rest: Any) -> Any:
        data["card"]["text"] += f", {uuid4()}"
        return data

    schema = request_schema(GiftRequestSchema, stamp=pre_load(stamp))
    shop = gift_shop(database, request_schema=schema)
    shop.cart("ann", {shop.product(): 1})
    assert shop.post("ann", GIFT, key="k").status_code == 201
    assert shop.post("ann", GIFT, key="k").headers["Idempotent-Replayed"] == "true"
    assert own_row(shop)["card"]["text"].startswith("Happy birthday, ")
    shop.close()


def test_a_field_that_is_null_is_as_left_out(shop: Shop) -> None:
    assert shop.post("ann", {**SAVE, "giftNote": None}, key="k").status_code == 201
    assert shop.post("ann", key="k").headers["Idempotent-Replayed"] == "true"


VALUES: dict[str, Any] = {
    "gift_note": "For Ann",
    "points": 1,
    "wrapping": Wrapping.BOX,
    "tip": Decimal("1.50"),
    "deliver_on": date(2026, 12, 24),
    "partner": UUID(PARTNER),
    "card": {"text": "x", "lines": ["a", "b"], "more": {"n": 1, "m": None}},
}
SAME: dict[str, Any] = {
    "tip": Decimal("1.5"),
    "card": {"more": {"m": None, "n": 1}, "lines": ["a", "b"], "text": "x"},
}
OTHER: dict[str, Any] = {
    "gift_note": "For Ben",
    "points": 2,
    "wrapping": Wrapping.PAPER,
    "tip": Decimal("1.51"),
    "deliver_on": date(2026, 12, 25),
    "partner": UUID(int=1),
    "card": {"text": "x", "lines": ["b", "a"], "more": {"n": 1, "m": None}},
}


def test_equal_values_are_the_same_call(shop: Shop) -> None:
    def place(**values: Any) -> Any:
        with shop.service() as orders:
            extra = {**VALUES, **values}
            return orders.place("ann", billing_address=HOME, idempotency_key="k", extra=extra)

    assert not place().replayed
    assert place().replayed
    assert place(**SAME, invoice_number=None).replayed
    for name, value in OTHER.items():
        with pytest.raises(IdempotencyKeyReused):
            place(**{name: value})


FINGERPRINT = """
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from uuid import UUID, uuid4
from flask_orders.idempotency import IdempotentRequest

class Colour(Enum):
    RED = 1

@dataclass
class Stamp:
    colours: set
    at: datetime

def fingerprint(**extra):
    request = IdempotentRequest.of("k", 1, ("place",), {}, checkout=True, extra=extra)
    return request.fingerprint

utc = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
print(fingerprint(
    names={"Ann", "Ben", "Cleo", "Dora"}, stamp=Stamp({"red", "blue", "green"}, utc),
    colour=Colour.RED, amounts={Decimal("1.50"): UUID(int=1)}, raw=b"x", none=None))
assert fingerprint(at=utc) == fingerprint(at=utc.astimezone(timezone(timedelta(hours=2))))
assert fingerprint(a=1, b=2) == fingerprint(b=2, a=1) != fingerprint(a=2, b=1)
"""


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    """Sets and objects have no order and no address in it."""
    printed = {
        subprocess.run(
            [sys.executable, "-c", FINGERPRINT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(printed) == 1


def test_a_value_that_can_t_be_compared_is_refused(shop: Shop) -> None:
    extra = {"card": {"text": NotASchema()}, "points": 0}
    with nothing_changed(shop), shop.service() as orders, pytest.raises(ConfigurationError) as no:
        orders.place("ann", billing_address=HOME, idempotency_key="k", extra=extra)
    assert "NotASchema has nothing to compare" in str(no.value)


# OpenAPI


def test_the_document_has_the_fields_of_both_schemas(shop: Shop) -> None:
    contract = Contract(shop.app)
    validate_document(contract.document)
    schemas = contract.document["components"]["schemas"]
    request, order = schemas["CreateOrder"], schemas["Order"]
    assert request["required"] == ["action"]
    assert schemas["Delivery"]["required"] == ["city", "street"]
    own = GiftRequestSchema._declared_fields.keys() - CreateOrderSchema._declared_fields.keys()
    assert own - {"gift_note"} | {"giftNote"} <= request["properties"].keys()
    assert request["properties"]["giftNote"]["type"] == ["string", "null"]
    assert request["properties"]["points"] == {"type": "integer", "default": 0}
    assert request["properties"]["deliver_on"] == {"type": "string", "format": "date"}
    assert request["properties"]["tip"]["type"] == ["string", "number"]
    assert schemas["Delivery"]["properties"]["street"]["maxLength"] == 100
    assert order["properties"]["invoice_number"]["type"] == ["string", "null"]
    assert set(order["required"]) == order["properties"].keys()
    assert schemas["Preview"]["properties"]["loyalty_points"]["type"] == "integer"
    assert "invoice_number" not in schemas["Preview"]["properties"]


def test_answers_match_the_document(shop: Shop) -> None:
    contract = Contract(shop.app)
    contract.check(shop.get("ann", PREVIEW), "get", PREVIEW)
    made = shop.post("ann", GIFT)
    contract.check(made, "post", ORDERS)
    shop.fill("ann", {shop.product(): 1})
    contract.check(shop.post("ann"), "post", ORDERS)
    contract.check(shop.get("ann", ORDERS), "get", ORDERS)
    one = f"{ORDERS}{{order_id}}/"
    contract.check(shop.get("ann", made.headers["Location"]), "get", one)
    cancelled = shop.send("ann", f"{made.headers['Location']}cancel/")
    contract.check(cancelled, "post", f"{one}cancel/")
    contract.check(shop.post("ann", {**SAVE, "points": "x"}), "post", ORDERS)


@pytest.mark.parametrize(
    ("sent", "is_allowed"),
    [
        (GIFT, True),
        ({"giftNote": None}, True),
        ({"tip": 1}, True),
        ({"card": None}, True),
        ({"gift_note": "x"}, False),
        ({"delivery_address": {"city": "Gimli"}}, False),
        ({"delivery_address": {**DELIVERY, "floor": 2}}, False),
        ({"delivery_address": {**DELIVERY, "street": "x" * 101}}, False),
        ({"wrapping": "LEAF"}, False),
        ({"points": None}, False),
        ({"tip": -1}, False),
        ({"accepts_terms": None}, False),
    ],
)
def test_the_document_allows_the_accepted_requests(
    shop: Shop, sent: dict[str, Any], is_allowed: bool
) -> None:
    request = {**SAVE, **sent}
    assert (shop.post("ann", request).status_code == 201) == is_allowed
    assert Contract(shop.app).allows(request) == is_allowed


def test_a_schema_named_as_one_of_the_library_s() -> None:
    """It does not take the place of the library's in the document."""
    product = type("ProductSchema", (Schema,), {"colour": fields.String()})
    schema = order_schema(gift_note=fields.Nested(product))
    shop, _ = install_with(own_columns(), order_schema=schema)
    schemas = Contract(shop.app).document["components"]["schemas"]
    assert schemas["OwnProduct"]["properties"].keys() == {"colour"}
    assert schemas["Product"]["properties"].keys() == {"id", "sku", "name"}
