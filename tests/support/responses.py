"""Read and check responses: bodies, refusals, and the outcomes of requests that raced."""

from collections import Counter
from typing import Any

from werkzeug.test import TestResponse

from flask_orders import OrdersError, errors


def body(answer: TestResponse) -> dict[str, Any]:
    """Return the JSON object of a response."""
    assert isinstance(answer.json, dict), answer.text
    return answer.json


def order_id(answer: TestResponse) -> str:
    """Return the id of the order that a response redirects to or has created."""
    return answer.headers["Location"].split("/")[-2]


def refused(answer: TestResponse, status: int, code: str) -> dict[str, Any]:
    """Assert that a response is a complete problem document with this code, and return it."""
    assert (answer.status_code, body(answer)["code"]) == (status, code), answer.text
    assert answer.mimetype == "application/problem+json"
    problem = body(answer)
    assert problem["type"] == f"urn:problem-type:flask-orders:{code}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    return problem


def outcomes(answers: list[TestResponse]) -> Counter[object]:
    """Count the responses: refusals by their codes, the rest by status (401 is the JWT's own)."""
    statuses = {201, 303, 401}
    return Counter(
        answer.status_code if answer.status_code in statuses else body(answer)["code"]
        for answer in answers
    )


def library_codes() -> list[str]:
    """Return the codes of the library's own refusals; a test may have defined others."""
    return [
        error.code for error in OrdersError.__subclasses__() if error.__module__ == errors.__name__
    ]
