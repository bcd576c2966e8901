"""Write the reference's tables from the code, so that they can't be wrong.

`python docs/reference/generated.py` writes them into the pages of `docs/`, between markers such as
`<!-- generated: errors -->` and `<!-- end -->`; a test compares them.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from inspect import getdoc, getsource
from pathlib import Path
from typing import Any

import click
from flask import Flask
from flask_jwt_extended import JWTManager
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.schema import DefaultClause

from flask_orders import errors, orders_bp, signals
from flask_orders.db.dialects import DatabaseDialect
from flask_orders.settings import Settings
from flask_orders.status import TRANSITIONS

METHODS = ("get", "post", "put", "patch", "delete")


def shop() -> tuple[Flask, SQLAlchemy]:
    """Return a shop with the default models; nothing is connected to its database."""
    app = Flask("shop")
    app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", JWT_SECRET_KEY="x" * 32)
    db = SQLAlchemy(app)
    JWTManager(app)
    app.register_blueprint(orders_bp)
    return app, db


def configuration() -> str:
    """Return the keys of `app.config`, with their defaults."""
    described = _attributes(Settings)
    return _table(
        ("key of `app.config`", "default", "meaning"),
        [
            (f"`ORDERS_{field.name.upper()}`", f"`{field.default!r}`", described[field.name])
            for field in fields(Settings)
        ],
    )


def cli() -> str:
    """Return the commands under `flask orders`, with their options."""
    parts = []
    for name, command in sorted(orders_bp.cli.commands.items()):
        arguments = [
            f" {parameter.human_readable_name}"
            for parameter in command.params
            if isinstance(parameter, click.Argument)
        ]
        parts += [f"### flask orders {name}{''.join(arguments)}", _text(command.help)]
        options = [
            (f"`{', '.join(option.opts)}`", _text(option.help))
            for option in command.params
            if isinstance(option, click.Option)
        ]
        if options:
            parts.append(_table(("option", "meaning"), options))
    return "\n\n".join(parts)


def signal_list() -> str:
    """Return the signals."""
    named = [(name, getattr(signals, name)) for name in signals.__all__]
    return _table(
        ("signal", "sent when"), [(f"`{name}`", _text(one.__doc__)) for name, one in named]
    )


def transitions() -> str:
    """Return the permitted transitions of an order."""
    return _table(
        ("from", "to", "by", "signal"),
        [
            (
                f"`{rule.source}`",
                f"`{rule.target}`",
                ", ".join(rule.actors),
                f"`{rule.signal.replace('-', '_')}`",
            )
            for rule in TRANSITIONS
        ],
    )


def error_list() -> str:
    """Return every refusal: its status, code and class."""
    found = [getattr(errors, name) for name in errors.__all__]
    refusals = [
        one
        for one in found
        if isinstance(one, type)
        and issubclass(one, errors.OrdersError)
        and one is not errors.OrdersError
    ]
    return _table(
        ("status", "`code`", "class", "when"),
        [
            (str(one.status), f"`{one.code}`", f"`{one.__name__}`", _text(_first(getdoc(one))))
            for one in sorted(refusals, key=lambda one: (one.status, one.code))
        ],
    )


def reasons() -> str:
    """Return why an item is unavailable, and why a voucher is refused."""
    unavailable = [
        (f"`{reason.value}`", _comment(errors.UnavailableReason, reason.name))
        for reason in errors.UnavailableReason
    ]
    refused = [(f"`{reason.value}`", f"{reason.sentence}.") for reason in errors.VoucherReason]
    return "\n\n".join(
        (
            _table(("`reason` of an unavailable item", "meaning"), unavailable),
            _table(("`reason` of a voucher", "meaning"), refused),
        )
    )


def dialect() -> str:
    """Return what a file about a database says."""
    rows = [(f"`{name}`", about) for name, about in _attributes(DatabaseDialect).items()]
    return _table(("attribute", "meaning"), rows)


def tables() -> str:
    """Return the tables that a new shop gets, with their columns."""
    _app, db = shop()
    parts = []
    for table in db.metadata.sorted_tables:
        parts.append(f"### {table.name}")
        parts.append(
            _table(
                ("column", "type", "null", "refers to"),
                [
                    (
                        f"`{column.name}`" + (" (key)" if column.primary_key else ""),
                        _type(column),
                        "yes" if column.nullable else "",
                        ", ".join(f"`{key.target_fullname}`" for key in column.foreign_keys),
                    )
                    for column in table.columns
                ],
            )
        )
    return "\n\n".join(parts)


def http() -> str:
    """Return each call of the HTTP API, and its schemas, by the OpenAPI document."""
    app, _db = shop()
    document = app.test_client().get("/api/v1/i/orders/openapi.json").get_json()
    parts = []
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                parts += _operation(document, f"{method.upper()} {path}", item[method])
    for name, schema in document["components"]["schemas"].items():
        parts += [f"### {name}", _text(schema.get("description"))]
        if "properties" in schema:
            parts.append(_properties(schema))
        elif "enum" in schema:
            # Some names of countries have a comma.
            parts.append(f"One of: {'; '.join(schema['enum'])}.")
    return "\n\n".join(part for part in parts if part)


def _operation(document: Any, title: str, operation: Mapping[str, Any]) -> list[str]:
    parts = [f"### {title}", _text(operation.get("summary") or operation.get("description"))]
    parameters = [_resolved(document, one) for one in operation.get("parameters", ())]
    if parameters:
        rows = [
            (f"`{one['name']}`", one["in"], _text(one.get("description"))) for one in parameters
        ]
        parts.append(_table(("parameter", "in", "meaning"), rows))
    bodies = operation.get("requestBody", {}).get("content", {}).values()
    parts += [f"The body is {_name(content['schema'])}." for content in bodies]
    responses = [
        (status, _joined(_resolved(document, response).get("description")))
        for status, response in sorted(operation["responses"].items())
    ]
    parts.append(_table(("response", "when"), responses))
    return parts


def _properties(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    return _table(
        ("property", "type", "meaning"),
        [
            (
                f"`{name}`" + (" (required)" if name in required else ""),
                _name(one),
                _text(f"{one.get('description', '')} {_values(one)}"),
            )
            for name, one in schema["properties"].items()
        ],
    )


def _resolved(document: Any, value: Any) -> Any:
    if "$ref" not in value:
        return value
    for name in value["$ref"].removeprefix("#/").split("/"):
        document = document[name]
    return document


def _name(schema: Mapping[str, Any]) -> str:
    """Return a schema's type in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_name(one) for one in schema[key]))
    if schema.get("type") == "array":
        return f"list of {_name(schema['items'])}"
    if "enum" in schema:
        return "integer" if isinstance(schema["enum"][0], int) else "string"
    kind = schema.get("type", "any")
    text = " or ".join(kind) if isinstance(kind, list) else str(kind)
    return f"{text} ({schema['format']})" if "format" in schema else text


def _values(schema: Mapping[str, Any]) -> str:
    """Return a sentence about the values of an enum, unless they are those of the errors."""
    values = schema.get("enum", ())
    return f"One of {', '.join(f'`{one}`' for one in values)}." if 0 < len(values) < 10 else ""


def _joined(description: str | None) -> str:
    """Return a list's lines as one."""
    lines = str(description or "").splitlines()
    return "; ".join(_text(line.removeprefix("- ").removesuffix(".")) for line in lines) + "."


def _type(column: Any) -> str:
    found = str(column.type).replace("VARCHAR", "text")
    is_set = isinstance(column.server_default, DefaultClause)
    return f"{found}, default {column.server_default.arg}" if is_set else found


def _attributes(cls: type[Any]) -> dict[str, str]:
    """Return what a class's docstring says about each attribute."""
    text = str(getdoc(cls)).split("Attributes:\n")[1]
    found = re.findall(r"(?m)^    (\w+): ((?:.*\n?)(?:^ {8}.*\n?)*)", text)
    return {name: _text(about) for name, about in found}


def _comment(cls: type[Any], name: str) -> str:
    """Return the `#:` comment of a member of an enum."""
    return str(re.findall(rf"(?m)^    {name} = .*#: (.*)$", getsource(cls))[0])


def _first(text: str | None) -> str:
    return str(text).split("\n\n")[0]


def _text(text: str | None) -> str:
    return " ".join(str(text or "").split()).replace("|", "\\|")


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


GENERATED: Mapping[str, Callable[[], str]] = {
    "cli": cli,
    "configuration": configuration,
    "dialect": dialect,
    "errors": error_list,
    "http": http,
    "reasons": reasons,
    "signals": signal_list,
    "tables": tables,
    "transitions": transitions,
}


def written(page: str) -> str:
    """Return a page with its generated parts as the code has them now."""
    return re.sub(
        r"(?s)<!-- generated: (\w+) -->\n.*?<!-- end -->",
        lambda found: f"<!-- generated: {found[1]} -->\n\n{GENERATED[found[1]]()}\n\n<!-- end -->",
        page,
    )


if __name__ == "__main__":
    for path in Path(__file__).parents[1].rglob("*.md"):
        path.write_text(written(path.read_text()))
