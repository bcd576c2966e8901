"""Refuse a schema of the shop's own that can't be used, when it is registered.

Everything that is wrong with a class is listed together, each with the line to write. What a hook
of the shop's (`@post_load`) returns is known only with a request, and is checked then.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from marshmallow import RAISE, Schema, ValidationError, fields, missing
from sqlalchemy import inspect

from .addresses import BillingAddress
from .check_fields import has_post_load, loaded_name, null_problems, type_problems
from .currency import Currency
from .errors import ConfigurationError
from .models.own_columns import OwnColumns
from .pricing import PricedCart
from .projection import order_fields
from .schemas import (
    ACTIONS,
    BillingAddressSchema,
    CreateOrderSchema,
    Flattened,
    OrderSchema,
)

LIBRARY_FIELDS = frozenset(CreateOrderSchema._declared_fields)

_ADDRESS = {
    "street_address": "1 Bay St",
    "postal_code": "K1A 0B1",
    "city": "Ottawa",
    "state": "ON",
    "country": "Canada",
}
# Of each field of the library a value as it is sent, and what it must be loaded to.
_PROBES: dict[str, tuple[Any, Any]] = {
    "action": (ACTIONS[0], ACTIONS[0]),
    "billing_address": (_ADDRESS, BillingAddress(**_ADDRESS)),
    "expected_total": ("79.99", Decimal("79.99")),
}
# What each may be where it is left out.
_DEFAULTS: dict[str, tuple[str | None, ...]] = {
    "action": ACTIONS,
    "billing_address": (None,),
    "expected_total": (None,),
}


def check_request_schema(cls: Any, columns: OwnColumns) -> CreateOrderSchema:
    """Return an instance of the class.

    Raises:
        ConfigurationError: it can't load a request for an order.
    """
    schema: CreateOrderSchema = _instance("request_schema", cls, CreateOrderSchema)
    _refuse("request_schema", cls, _request_problems(schema, columns))
    return schema


def check_order_schema(cls: Any, order: type[Any], order_url: Callable[[UUID], str]) -> OrderSchema:
    """Return an instance of the class.

    Raises:
        ConfigurationError: it can't serialize an order.
    """
    schema: OrderSchema = _instance("order_schema", cls, OrderSchema, order_url)
    _refuse("order_schema", cls, _order_problems(schema, order))
    return schema


def own_load_fields(schema: Schema) -> dict[str, "fields.Field[Any]"]:
    """Return the fields that a request schema loads beyond the library's."""
    return {name: field for name, field in schema.load_fields.items() if name not in LIBRARY_FIELDS}


def show_nulls(schema: OrderSchema, order: type[Any]) -> None:
    """Let the fields of nullable columns be null in the OpenAPI document, as they are served."""
    columns = inspect(order).columns
    for name, field in _own_dump_fields(schema).items():
        column = columns.get(field.attribute or name)
        if column is not None and column.nullable:
            field.allow_none = True


def _instance(option: str, cls: Any, base: type[Any], *arguments: Any) -> Any:
    if not isinstance(cls, type) or not issubclass(cls, base):
        raise ConfigurationError(
            f"register_blueprint(orders_bp, {option}={cls!r}): pass a class, not an instance, "
            f"declared as class {base.__name__.replace('Create', 'Shop')}({base.__name__})."
        )
    try:
        return cls(*arguments)
    # By marshmallow: two fields of one name; or by the shop's own __init__.
    except (TypeError, ValueError) as error:
        raise _problem(option, cls, str(error)) from error


def _refuse(option: str, cls: type[Any], problems: Iterator[str]) -> None:
    found = list(problems)
    if found:
        raise _problem(option, cls, "; ".join(found))


def _problem(option: str, cls: type[Any], sentence: str) -> ConfigurationError:
    called = f"register_blueprint(orders_bp, {option}={cls.__name__})"
    return ConfigurationError(f"{called}: {sentence.rstrip('.')}.")


def _request_problems(schema: CreateOrderSchema, columns: OwnColumns) -> Iterator[str]:
    if schema.unknown != RAISE:
        yield "its Meta.unknown lets any field in, and an order refuses unknown ones: remove it"
    for name in sorted(LIBRARY_FIELDS):
        yield from _library_field_problems(name, schema.load_fields.get(name))
    own = own_load_fields(schema)
    for name in schema.not_stored:
        if name not in own:
            yield f"not_stored names {name!r}, which is no field that it loads: remove it there"
    for name, field in own.items():
        if name not in schema.not_stored:
            yield from _own_field_problems(field, columns, is_final=not has_post_load(schema))


def _library_field_problems(name: str, field: Any) -> Iterator[str]:
    """Yield why a field of the library's, which a subclass may declare anew, does not work."""
    sent, expected = _PROBES[name]
    fix = f"remove your own {name!r}, or have it load what the library's loads"
    if field is None or loaded_name(field) != name:
        yield f"it does not load {name!r}: {fix}"
        return
    if not field.required and field.load_default not in _DEFAULTS[name]:
        allowed = " or ".join(f"load_default={default!r}" for default in _DEFAULTS[name])
        yield f"{name!r} may be left out: give it required=True, {allowed}"
    loaded = _loaded(field, sent)
    if loaded not in (expected, missing):
        yield f"{name!r} loads {loaded!r} from {sent!r}, not {expected!r}: {fix}"
    schema = field.schema if isinstance(field, fields.Nested) else None
    if isinstance(schema, BillingAddressSchema):
        for added in schema.load_fields.keys() - _ADDRESS.keys():
            yield (
                f"{name!r} has a field {added!r}, for which a billing address has no place: "
                "declare it beside it, in the request schema"
            )


def _loaded(field: Any, sent: Any) -> Any:
    """Return what a field makes of a value; missing if it refuses the value."""
    try:
        return field.deserialize(sent)
    except ValidationError:
        return missing
    # The shop's own code.
    except Exception as error:
        return error


def _own_field_problems(field: Any, columns: OwnColumns, *, is_final: bool) -> Iterator[str]:
    """Yield why what a field loads can't be stored; `is_final`: no hook changes it."""
    name = loaded_name(field)
    if name not in columns:
        yield (
            f"{field.name!r} loads {name!r}, {columns.what_is_wrong(name)}; if it is only checked, "
            f"or a @post_load makes other columns of it, write not_stored = ({field.name!r},)"
        )
    elif is_final:
        yield from null_problems(field, columns[name])
        yield from type_problems(field, columns[name].type)


def _order_problems(schema: OrderSchema, order: type[Any]) -> Iterator[str]:
    library = OrderSchema._declared_fields
    for name in library:
        if type(schema)._declared_fields.get(name) is not library[name] or (
            name not in schema.dump_fields
        ):
            yield f"it changes {name!r}, which every order has: give your field another name"
    own = _own_dump_fields(schema)
    for name, field in own.items():
        attribute = (field.attribute or name).split(".")[0]
        reads_order = isinstance(field, Flattened) and field.attribute is None
        if field._CHECK_ATTRIBUTE and not (reads_order or _has_attribute(order, attribute)):
            yield (
                f"{name!r} reads {attribute!r}, which {order.__name__} has not: add the column or "
                "the relationship to the class (with back_populates, where it is a backref of "
                "another one), or use fields.Method or fields.Function"
            )
    cart = SimpleNamespace(**order_fields(None, PricedCart.of((), Currency.of("USD"))), items=[])
    for name in schema.in_preview:
        if name not in own:
            yield f"in_preview names {name!r}, which is no field of your own: remove it there"
        elif not _can_read(own[name], cart):
            yield f"in_preview names {name!r}, which reads what a cart has not: remove it there"


def _can_read(field: Any, cart: Any) -> bool:
    try:
        return field.serialize(field.name, cart) is not missing
    except AttributeError:
        return False
    # The shop's own code, which may need a request.
    except Exception:
        return True


def _own_dump_fields(schema: OrderSchema) -> dict[str, "fields.Field[Any]"]:
    library = OrderSchema._declared_fields
    return {name: field for name, field in schema.dump_fields.items() if name not in library}


def _has_attribute(cls: type[Any], name: str) -> bool:
    # Not by getattr, which calls hybrids, and would configure mappers too early.
    return any(name in vars(each) for each in cls.__mro__)
