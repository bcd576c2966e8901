"""Send many rows as one parameter, a JSON array of objects, from which the database reads them.

An array for each column would need a parameter for each, whose items the driver converts one by
one. Measured with 200 order items of 16 columns, on the client's side: 2.5 ms as JSON, 4.0 ms as
arrays, 5.0 ms row by row.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Self

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Dialect,
    Enum,
    Float,
    Integer,
    Numeric,
    String,
    Table,
    Text,
    Uuid,
    bindparam,
    cast,
    column,
    func,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from .writes import PREFIX

Processor = Callable[[Any], Any]


class JsonRows:
    """Rows of some columns of a table, sent as one parameter.

    Attributes:
        values: what an INSERT ... SELECT takes for each column, by the column's name.
        rows: what it selects from.
    """

    def __init__(
        self, name: str, types: Mapping[str, TypeEngine[Any]], processors: Mapping[str, Processor]
    ) -> None:
        self._names = {each: f"c{number}" for number, each in enumerate(types)}
        self._name, self._processors = name, dict(processors)
        columns = [column(self._names[each], type_) for each, type_ in types.items()]
        sent = cast(bindparam(name, type_=Text), JSON)
        self.rows: Any = (
            func.json_to_recordset(sent)
            .table_valued(*columns, name=name)
            .render_derived(with_types=True)
        )
        self.values: dict[str, Any] = {
            each: self.rows.c[short] for each, short in self._names.items()
        }

    @classmethod
    def of(cls, rows: Table, names: Collection[str], dialect: Dialect) -> Self | None:
        """Return rows of these columns; None if a value of one has no exact form in JSON."""
        types, processors = {}, {}
        for name in names:
            column_type = rows.c[name].type
            type_, processor = _plain(column_type, dialect), _processor(column_type, dialect)
            if type_ is None:
                return None
            types[name] = type_
            if processor is not None:
                processors[name] = processor
        return cls(f"{PREFIX}{rows.name}", types, processors)

    def parameters(self, rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
        """Return the parameter for rows that have a value for every column."""
        names = self._names.items()
        sent = [{short: row[name] for name, short in names} for row in rows]
        for name, process in self._processors.items():
            short = self._names[name]
            for row in sent:
                row[short] = process(row[short])
        # A Decimal, a UUID and a time as text, which the database reads as the column's type.
        return {self._name: json.dumps(sent, default=str)}


def _plain(type_: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any] | None:
    """Return the type as which the database reads a value; None if it has no exact text.

    Without lengths and precisions: a conversion to VARCHAR(3) would cut "abcd" off, where an INSERT
    refuses it.
    """
    *decorated, found = _stored(type_, dialect)
    # In SQLAlchemy 2.0 a Float is a Numeric, and the database's own type is no Float.
    if any(isinstance(each, Enum | Float) for each in (*decorated, found)):
        return None
    if isinstance(found, DateTime):
        return DateTime(timezone=found.timezone)
    for kind, plain in _PLAIN.items():
        if isinstance(found, kind):
            return plain
    return None


_PLAIN: Mapping[type[TypeEngine[Any]], TypeEngine[Any]] = {
    String: Text(),
    Integer: BigInteger(),
    Numeric: Numeric(),
    Boolean: Boolean(),
    Date: Date(),
    Uuid: Uuid(),
}


def _stored(type_: TypeEngine[Any], dialect: Dialect) -> list[TypeEngine[Any]]:
    """Return the type, those that it decorates, and last the database's own."""
    found = [type_, type_.dialect_impl(dialect)]
    while isinstance(found[-1], TypeDecorator):
        decorated = found[-1].load_dialect_impl(dialect)
        found += [decorated, decorated.dialect_impl(dialect)]
    return found


def _processor(type_: TypeEngine[Any], dialect: Dialect) -> Processor | None:
    return type_.dialect_impl(dialect).bind_processor(dialect)
