"""The OpenAPI document of an app, to hold its answers against."""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from flask import Flask
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from openapi_spec_validator import validate
from werkzeug.test import TestResponse

from .requests import ORDERS
from .responses import body

OPENAPI = f"{ORDERS}openapi.json"

_valid: set[str] = set()


def resolved(document: Mapping[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    """Return a response, or the one of the components that it refers to."""
    if "$ref" not in described:
        return described
    found: dict[str, Any] = document["components"]["responses"]
    shared: dict[str, Any] = found[described["$ref"].rsplit("/", 1)[1]]
    return shared


def check_valid(document: dict[str, Any]) -> None:
    """Assert that a document is valid OpenAPI; the shops' documents are often the same."""
    text = json.dumps(document)
    if text not in _valid:
        validate(document)
        _valid.add(text)


class Contract:
    """An app's document, and what it says of an answer; members that it leaves out are faults."""

    def __init__(self, app: Flask) -> None:
        self.document = body(app.test_client().get(OPENAPI))
        self.seen: set[str] = set()
        self._sealed = deepcopy(self.document)
        for schema in self._sealed["components"]["schemas"].values():
            schema["additionalProperties"] = False

    def response(self, status: int, method: str, path: str) -> dict[str, Any]:
        responses = self._sealed["paths"][path][method]["responses"]
        return resolved(self._sealed, responses[str(status)])

    def check(self, answer: TestResponse, method: str, path: str) -> None:
        described = self.response(answer.status_code, method, path)
        for name, header in described.get("headers", {}).items():
            assert name in answer.headers or not header.get("required"), (name, answer.headers)
        if "content" not in described:
            assert answer.data == b""
            return
        ((kind, media),) = described["content"].items()
        assert answer.mimetype == kind
        found = body(answer)
        schema = media["schema"]
        self.validator(schema).validate(found)
        if "properties" in schema:
            assert found.keys() == schema["properties"].keys()
        if "code" in found:
            self.seen.add(found["code"])

    def validator(self, schema: Mapping[str, Any]) -> Any:
        whole = {**schema, "components": self._sealed["components"]}
        return OAS31Validator(whole, format_checker=oas31_format_checker)

    def allows(self, request: Any) -> bool:
        components = self.document["components"]
        body = {"$ref": "#/components/schemas/CreateOrder", "components": components}
        return bool(OAS31Validator(body).is_valid(request))
