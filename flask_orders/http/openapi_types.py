"""What `openapi.json` says of the fields: their JSON types, and an example of each property."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from marshmallow import fields

from ..addresses import LONGEST_POSTAL_CODE
from ..countries import country_code, country_names, has_postal_codes
from ..currency import PRECISION, SCALE
from ..errors import EmptyCart, VoucherReason
from ..schemas import (
    Amount,
    CartItemKeyField,
    Country,
    ExpectedTotal,
    PostalCode,
    PrimaryKeyField,
    VoucherRefusalField,
    WholeNumber,
)
from ..status import AWAITING_PAYMENT, PAID

Json = dict[str, Any]

PRIMARY_KEY: Json = {"type": ["integer", "string"]}

NAMED_COUNTRY: Json = {"$ref": "#/components/schemas/CountryName"}

# The JSON schema of the library's own fields, beyond what apispec derives from their base classes.
TYPES: Mapping[type, Json] = {
    Amount: {
        "type": "string",
        "pattern": rf"^[0-9]{{1,{PRECISION - SCALE}}}(\.[0-9]{{1,{SCALE}}})?$",
    },
    Country: {"anyOf": [NAMED_COUNTRY, {"type": ["string", "null"]}]},
    ExpectedTotal: {
        "type": ["string", "integer"],
        "pattern": f"^{ExpectedTotal.PATTERN.pattern}$",
        "minimum": 0,
        "maximum": 10**ExpectedTotal.DIGITS - 1,
    },
    PrimaryKeyField: PRIMARY_KEY,
    CartItemKeyField: {"anyOf": [PRIMARY_KEY, {"type": "array", "items": PRIMARY_KEY}]},
    PostalCode: {
        "type": ["string", "integer"],
        "minimum": 0,
        "maximum": 10**LONGEST_POSTAL_CODE - 1,
    },
    WholeNumber: {"minimum": 0, "maximum": WholeNumber.MOST},
    # A pricing of the shop's own may have reasons of its own.
    VoucherRefusalField: {"anyOf": [{"enum": list(VoucherReason)}, {"type": ["string", "null"]}]},
    # A shop's own Decimal is read from both, and served as a string.
    fields.Decimal: {"type": ["string", "number"]},
}


def country_name_schema() -> Json:
    """Return the schema of a country's name."""
    return {
        "type": "string",
        "description": "The name of a country in English. Other full names of it are accepted too.",
        "enum": list(country_names()),
        "examples": ["Canada"],
    }


@cache
def names_with_postal_codes() -> tuple[str, ...]:
    """Return the names of the countries that have postal codes; it reads a file for each."""
    return tuple(name for name in country_names() if has_postal_codes(country_code(name) or ""))


def with_postal_code() -> Json:
    """Return what else holds for a billing address: it has a code where its country has codes."""
    return {
        "if": {"properties": {"country": {"enum": list(names_with_postal_codes())}}},
        "then": {
            "required": ["postal_code"],
            "properties": {"postal_code": {"type": ["string", "integer"], "pattern": r"\S"}},
        },
    }


_EMPTY_CART = EmptyCart().problem()

_ORDER = "/api/v1/i/orders/0190c5a8-7f6b-7c4e-9d2b-3f1a8e6d5c40/"

# By the name of the property: it means the same in every schema.
EXAMPLES: Mapping[str, Any] = {
    "action": "checkout",
    "actual": "79.49",
    "amount_saved": "18.00",
    "available": 1,
    "city": "Ottawa",
    "code": "WELCOME10",
    "count": 1,
    "country": "Canada",
    "created": "2026-11-26T14:30:00Z",
    "currency": "CAD",
    "detail": _EMPTY_CART["detail"],
    "discount_amount": "8.00",
    "errors": {"billing_address.country": ["Give the full name of a country in English."]},
    "expected": "78.49",
    "expected_total": "79.49",
    "id": 7,
    "items_count": 2,
    "list_price": "40.00",
    "name": "Gooseneck kettle",
    "next": None,
    "number": "7WAT8-253AJ",
    "order": _ORDER,
    "order_status": PAID,
    "payment": "/pay/0190c5a8-7f6b-7c4e-9d2b-3f1a8e6d5c40/",
    "postal_code": "K1A 0B1",
    "previous": None,
    "quantity": 2,
    "reason": "used_up",
    "requested": 2,
    "savings_on_items": "10.00",
    "shipping": "8.50",
    "sku": "KETTLE-GOOSE",
    "state": "ON",
    "status": AWAITING_PAYMENT,
    "street_address": "123 Main St",
    "subtotal": "79.00",
    "success": "Your Order has been saved",
    "title": "10.00 off every kettle",
    "total_amount": "79.49",
    "total_price": "70.00",
    "type": _EMPTY_CART["type"],
    "unit_price": "35.00",
    "updated": "2026-11-26T14:30:00Z",
    "url": _ORDER,
    "voucher_discount": "7.00",
    "voucher_refusal": None,
}

# Where the same name has another type.
OTHER_EXAMPLES: Mapping[tuple[str, str], Any] = {
    ("Order", "id"): "0190c5a8-7f6b-7c4e-9d2b-3f1a8e6d5c40",
    ("OrderItem", "id"): "0190c5a8-7f6b-7c4e-9d2b-3f1a8e6d5c41",
    **{("Problem", name): _EMPTY_CART[name] for name in ("code", "status", "title")},
    ("Refusal", "code"): _EMPTY_CART["code"],
    ("Unavailable", "reason"): "out_of_stock",
}
