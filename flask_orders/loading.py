"""Load a document by a schema, or refuse it with each field at fault by its whole name."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from marshmallow import Schema, ValidationError
from marshmallow.exceptions import SCHEMA

from .errors import InvalidRequest


def load(schema: Schema, document: dict[str, Any]) -> dict[str, Any]:
    """Return the validated fields of a document.

    Raises:
        InvalidRequest: with each field at fault by its whole name.
    """
    try:
        loaded = cast(dict[str, Any], schema.load(document))
    except ValidationError as error:
        raise InvalidRequest.of_fields(dict(_by_field(error.messages_dict))) from None
    return loaded


def _by_field(messages: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Yield marshmallow's nested messages by the field's whole name: `billing_address.country`.

    The names of a list's members are their positions. What is about no field, such as a rule of the
    shop's for the whole body, is under `_schema`.
    """
    for name, found in messages.items():
        # The value itself is not an object.
        whole = (prefix.rstrip(".") or SCHEMA) if name == SCHEMA else f"{prefix}{name}"
        if isinstance(found, Mapping):
            yield from _by_field(found, f"{whole}.")
        else:
            yield whole, [found] if isinstance(found, str) else list(found)
