"""Tell whether what a field loads can go into the column of the same name.

Only what is certain is a problem: a field or a column of the shop's own type may do anything.
"""

from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, missing
from marshmallow.decorators import POST_LOAD
from sqlalchemy import JSON, Column, TypeDecorator

from .models.own_columns import must_be_given

# What marshmallow's own fields load to; a subclass may load to anything.
LOADED_TYPES: dict[type, type] = {
    fields.String: str,
    fields.Email: str,
    fields.Url: str,
    fields.Integer: int,
    fields.Float: float,
    fields.Decimal: Decimal,
    fields.Boolean: bool,
    fields.Date: date,
    fields.DateTime: datetime,
    fields.Time: time,
    fields.UUID: UUID,
    fields.Dict: dict,
    fields.List: list,
    fields.Nested: dict,
}
# Python's JSON encoder refuses them.
NOT_IN_JSON = (Decimal, date, time, UUID)


def loaded_name(field: "fields.Field[Any]") -> str:
    """Return the name under which a field's value is loaded: an attribute of the order."""
    # "delivery.city" is loaded to a dict under "delivery".
    return str(field.attribute or field.name).split(".")[0]


def has_post_load(schema: Schema) -> bool:
    """Return whether a `@post_load` of the shop's may load other names than the fields have."""
    # The library's has none. Private, and the same in marshmallow 3 and 4.
    return bool(schema._hooks[POST_LOAD])


def null_problems(field: Any, column: Column[Any]) -> Iterator[str]:
    """Yield why a field may lead to a NULL that its column refuses."""
    if must_be_given(column) and not field.required and field.load_default is missing:
        yield (
            f"{field.name!r} may be left out, and its column is NOT NULL without a default: "
            "give the field required=True or load_default=..., or the column a default"
        )
    if field.allow_none and not column.nullable:
        yield (
            f"{field.name!r} may be null, and its column is NOT NULL: give the field "
            "allow_none=False, or make the column Mapped[... | None]"
        )


def type_problems(field: Any, type_: Any) -> Iterator[str]:
    """Yield why a column of SQLAlchemy's own type can't hold what one of marshmallow's loads."""
    loaded = _loaded_type(field)
    if loaded is None or isinstance(type_, TypeDecorator):
        return
    if isinstance(type_, JSON):
        yield from _json_problems(field.name, field)
        return
    try:
        stored = type_.python_type
    except NotImplementedError:
        return
    if not _fits(loaded, stored):
        yield (
            f"{field.name!r} loads a {loaded.__name__}, and its column is {type_!r}: use the field "
            "of marshmallow's for that type, or a column of the type that is loaded"
        )


def _fits(loaded: type, stored: type) -> bool:
    if bool in (loaded, stored):
        # A PostgreSQL integer takes no boolean.
        return loaded is stored
    return issubclass(loaded, stored) or (loaded is int and stored in (Decimal, float))


def _loaded_type(field: Any) -> type | None:
    if isinstance(field, fields.Nested) and has_post_load(field.schema):
        return None
    return list if getattr(field, "many", False) else LOADED_TYPES.get(type(field))


def _json_problems(path: str, field: Any) -> Iterator[str]:
    """Yield the fields, also nested ones, whose values JSON does not hold."""
    loaded = _loaded_type(field)
    if isinstance(field, fields.Nested) and loaded is not None:
        for name, inner in field.schema.load_fields.items():
            yield from _json_problems(f"{path}.{name}", inner)
    elif isinstance(field, fields.List):
        yield from _json_problems(path, field.inner)
    elif loaded is not None and issubclass(loaded, NOT_IN_JSON):
        yield (
            f"{path!r} loads a {loaded.__name__}, which a JSON column does not hold: use "
            "fields.String, with a validator"
        )
