"""Which constraint has refused a statement, and whether a lost race may be why.

It may be for the unique and foreign key constraints that `models` has declared on the library's
tables, and for no other: a constraint of the host's refuses the same rows for ever, and no retry
cures that.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, MetaData, Table, event, inspect
from sqlalchemy.engine import Inspector
from sqlalchemy.sql.dml import UpdateBase

from ..models.builder import race_foreign_keys, race_unique_keys
from .drivers import mysql_code, sqlite_name, sqlstate

UNIQUE, FOREIGN_KEY, CHECK, NOT_NULL = "unique", "foreign key", "CHECK", "NOT NULL"

# Raised by a trigger of the host's with a code of its own (P0001, 1644) it is no violation.
SQLSTATES = {
    "23001": FOREIGN_KEY,
    "23502": NOT_NULL,
    "23503": FOREIGN_KEY,
    "23505": UNIQUE,
    "23514": CHECK,
    "23P01": UNIQUE,
}
MYSQL_CODES = {
    1048: NOT_NULL,
    1062: UNIQUE,
    1216: FOREIGN_KEY,
    1217: FOREIGN_KEY,
    1364: NOT_NULL,
    1451: FOREIGN_KEY,
    1452: FOREIGN_KEY,
    1586: UNIQUE,
    3819: CHECK,
    4025: CHECK,
}
SQLITE_NAMES = {
    "SQLITE_CONSTRAINT_CHECK": CHECK,
    "SQLITE_CONSTRAINT_FOREIGNKEY": FOREIGN_KEY,
    "SQLITE_CONSTRAINT_NOTNULL": NOT_NULL,
    "SQLITE_CONSTRAINT_PRIMARYKEY": UNIQUE,
    "SQLITE_CONSTRAINT_UNIQUE": UNIQUE,
}

FIXES = {
    UNIQUE: "leave it out, or add a column that tells two orders apart (if it is a primary key, "
    "set its sequence to the largest one)",
    FOREIGN_KEY: "declare it with ON DELETE CASCADE or SET NULL if it points to what an order "
    "deletes or changes, and see that the row exists if it is on what an order inserts",
    CHECK: "have it allow what was to be written, or refuse such a cart in a pricing of your own",
    NOT_NULL: "give the column a default, or let it be NULL",
}

_TABLE = "flask_orders_table"

_IDENTIFIER = re.compile(r"`((?:[^`]|``)*)`")
_QUOTED = re.compile(r"'([^']*)'")


@dataclass(frozen=True, slots=True)
class Violation:
    """A constraint that was violated, as far as the database names it.

    Attributes:
        kind: one of UNIQUE, FOREIGN_KEY, CHECK, NOT_NULL.
        table: the one that has the constraint; None if the driver does not say which.
        name: the constraint's.
        columns: the constraint's, where the driver names them and not the constraint.
        written: the table that the statement has changed.
    """

    kind: str
    table: str | None = None
    name: str | None = None
    columns: frozenset[str] = frozenset()
    written: str | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether it may be any foreign key: SQLite never says which."""
        return self.kind == FOREIGN_KEY and self.table is None

    def sentence(self) -> str:
        """What is wrong, and how to mend it; without any value of the rows."""
        called = self.name or ", ".join(sorted(self.columns))
        named = f"{self.kind} constraint{f' ({called})' if called else ''}"
        if self.table is not None:
            where = f"on your table '{self.table}'"
        elif self.written is not None:
            where = f"on your table '{self.written}', or on one that points to it,"
        else:
            where = "of your database"
        return (
            f"A {named} {where} refuses what flask_orders writes, and trying again can't help: "
            f"{FIXES[self.kind]}."
        )


def remember_tables(engines: Iterable[Engine]) -> None:
    """Have errors carry the table that their statement changes: MariaDB does not say it."""
    for engine in engines:
        if not event.contains(engine, "handle_error", _remember_table):
            event.listen(engine, "handle_error", _remember_table)


def violation_of(original: BaseException) -> Violation | None:
    """The violation that a driver's error is about, if it is about one."""
    written: str | None = getattr(original, _TABLE, None)
    kind = SQLSTATES.get(sqlstate(original) or "")
    if kind is not None:
        return _of_postgresql(kind, original, written)
    kind = MYSQL_CODES.get(mysql_code(original) or 0)
    if kind is not None:
        return _of_mysql(kind, str(original.args[-1]), written)
    kind = SQLITE_NAMES.get(sqlite_name(original))
    if kind is not None:
        return _of_sqlite(kind, str(original), written)
    return None


def may_be_race(violation: Violation, metadata: MetaData, bind: Engine | Connection) -> bool:
    """Whether the constraint is one by which the library notices that it has lost a race."""
    if violation.kind not in (UNIQUE, FOREIGN_KEY):
        return False
    name = violation.written if violation.is_anonymous else violation.table
    if name is None:
        return violation.is_anonymous
    find = race_unique_keys if violation.kind == UNIQUE else race_foreign_keys
    # MariaDB may keep the names of tables in lower case.
    tables = [table for table in metadata.tables.values() if table.name.lower() == name.lower()]
    keys = {key for table in tables for key in find(table)}
    if violation.is_anonymous:
        return bool(keys)
    # Asked only where it may matter.
    return bool(keys) and (violation.columns or _columns(violation, tables[0], bind)) in keys


def _remember_table(context: ExceptionContext) -> None:
    execution: Any = context.execution_context
    compiled = None if execution is None else execution.compiled
    if compiled is not None and isinstance(compiled.statement, UpdateBase):
        changed: Any = compiled.statement
        if isinstance(changed.table, Table):
            setattr(context.original_exception, _TABLE, changed.table.name)


def _of_postgresql(kind: str, original: Any, written: str | None) -> Violation:
    told = original.diag
    columns = frozenset([told.column_name] if told.column_name else [])
    return Violation(kind, told.table_name, told.constraint_name, columns, written)


def _of_mysql(kind: str, message: str, written: str | None) -> Violation:
    """By the names that the server quotes; the value, which comes first, is a customer's."""
    names = [name.replace("``", "`") for name in _IDENTIFIER.findall(message)]
    quoted = _QUOTED.findall(message)
    if kind == FOREIGN_KEY and len(names) > 2:
        return Violation(kind, names[1], names[2], written=written)
    if kind == CHECK and len(names) > 2:
        return Violation(kind, names[2], names[0], written=written)
    if kind == UNIQUE and quoted:
        # MySQL says 'table.key', MariaDB 'key'.
        return Violation(kind, written, quoted[-1].rpartition(".")[2], written=written)
    if kind == NOT_NULL and quoted:
        return Violation(kind, written, columns=frozenset(quoted[:1]), written=written)
    return Violation(kind, written=written)


def _of_sqlite(kind: str, message: str, written: str | None) -> Violation:
    _, _, told = message.partition(": ")
    if kind == CHECK:
        return Violation(kind, written, told, written=written)
    columns = [column.rpartition(".") for column in told.split(", ")]
    table, names = columns[0][0], frozenset(name for _, _, name in columns)
    return Violation(kind, table or None, None, names - {""}, written)


def _columns(violation: Violation, table: Table, bind: Engine | Connection) -> frozenset[str]:
    """The columns of a constraint, whose name the server may have made itself."""
    told: Inspector = inspect(bind)
    where: Any = {"table_name": table.name, "schema": table.schema}
    found: dict[str | None, Iterable[str | None]] = {}
    if violation.kind == FOREIGN_KEY:
        found |= {one["name"]: one["constrained_columns"] for one in told.get_foreign_keys(**where)}
    else:
        primary = told.get_pk_constraint(**where)
        # InnoDB's has no name of its own.
        found |= {"PRIMARY": primary["constrained_columns"]}
        found |= {primary["name"]: primary["constrained_columns"]}
        found |= {one["name"]: one["column_names"] for one in told.get_indexes(**where)}
        found |= {one["name"]: one["column_names"] for one in told.get_unique_constraints(**where)}
    return frozenset(str(name) for name in found.get(violation.name, ()))
