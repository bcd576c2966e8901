"""A request and its response, as a reader would repeat it with curl, and what it changed."""

import json
from dataclasses import dataclass
from shlex import quote

from flask import Request
from werkzeug.wrappers import Response

from .rows import Change

RETURNED = ("Location", "Idempotent-Replayed", "Retry-After")


@dataclass(frozen=True)
class Exchange:
    """A request, its response, the rows that changed, and what the drawer did besides."""

    request: str
    response: str
    changes: list[Change]
    note: str | None


def request_text(request: Request) -> str:
    """Return the request as a curl command; the customer's token is left out."""
    lines = [f"curl -X {request.method} {quote(request.base_url)}"]
    if request.is_json:
        lines.append('-H "Authorization: Bearer YOUR_TOKEN"')
        if key := request.headers.get("Idempotency-Key"):
            lines.append(f"-H {quote(f'Idempotency-Key: {key}')}")
        lines.append('-H "Content-Type: application/json"')
        lines.append(f"-d {quote(_pretty(request.get_data(as_text=True)))}")
    else:
        lines.append("-b cookies.txt")
        lines += [
            f"--data-urlencode {quote(f'{name}={value}')}"
            for name, value in request.form.items()
            if name != "csrf_token" and value
        ]
    return " \\\n  ".join(lines)


def response_text(response: Response) -> str:
    """Return the status, the headers that matter, and the body if it is JSON."""
    lines = [f"HTTP/1.1 {response.status}"]
    lines += [f"{name}: {response.headers[name]}" for name in RETURNED if name in response.headers]
    if response.is_json:
        lines += ["", _pretty(response.get_data(as_text=True))]
    return "\n".join(lines)


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text
