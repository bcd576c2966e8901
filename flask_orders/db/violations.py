"""Decide whether a violated constraint may be a lost race, or refuses the same rows for ever.

A race is noticed by the unique and foreign key constraints that `models` declares on the library's
tables, and by no other: a constraint of the shop's is not satisfied by a retry.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, MetaData, Table, event, inspect
from sqlalchemy.engine import Inspector
from sqlalchemy.sql.dml import UpdateBase

from ..models.builder import race_foreign_keys, race_unique_keys
from .dialects import CHECK, FOREIGN_KEY, NOT_NULL, UNIQUE, Violation, dialect_of_error

FIXES = {
    UNIQUE: "remove it, or add a column that distinguishes two orders (if it is a primary key, "
    "set its sequence to the largest key)",
    FOREIGN_KEY: "declare it with ON DELETE CASCADE or SET NULL if it points to rows that an order "
    "deletes or changes, and make sure that the row exists if it is on rows that an order inserts",
    CHECK: "let it allow such rows, or refuse such a cart in a pricing of your own",
    NOT_NULL: "give the column a default, or let it be NULL",
}

_TABLE = "flask_orders_table"


def remember_tables(engines: Iterable[Engine]) -> None:
    """Have errors carry the table that their statement changes: MySQL does not name it."""
    for engine in engines:
        if not event.contains(engine, "handle_error", _remember_table):
            event.listen(engine, "handle_error", _remember_table)


def violation_of(original: BaseException) -> Violation | None:
    """Return the violation that a driver's error reports, or None."""
    written: str | None = getattr(original, _TABLE, None)
    return dialect_of_error(original).violation_of(original, written)


def may_be_race(violation: Violation, metadata: MetaData, bind: Engine | Connection) -> bool:
    """Return whether the constraint is one by which the library notices a lost race."""
    if violation.kind not in (UNIQUE, FOREIGN_KEY):
        return False
    name = violation.written if violation.is_anonymous else violation.table
    if name is None:
        return violation.is_anonymous
    find = race_unique_keys if violation.kind == UNIQUE else race_foreign_keys
    # MariaDB may store the names of tables in lower case.
    tables = [table for table in metadata.tables.values() if table.name.lower() == name.lower()]
    keys = {key for table in tables for key in find(table)}
    if violation.is_anonymous:
        return bool(keys)
    # The database is asked only where it may matter.
    return bool(keys) and (violation.columns or _columns(violation, tables[0], bind)) in keys


def refusal_sentence(violation: Violation) -> str:
    """Return what is wrong and how to fix it, without any value of the rows."""
    called = violation.name or ", ".join(sorted(violation.columns))
    named = f"{violation.kind} constraint{f' ({called})' if called else ''}"
    if violation.table is not None:
        where = f"on your table '{violation.table}'"
    elif violation.written is not None:
        where = f"on your table '{violation.written}', or on one that points to it,"
    else:
        where = "of your database"
    return (
        f"A {named} {where} refuses a write of flask_orders, and a retry can't help: "
        f"{FIXES[violation.kind]}."
    )


def _remember_table(context: ExceptionContext) -> None:
    execution: Any = context.execution_context
    compiled = None if execution is None else execution.compiled
    if compiled is not None and isinstance(compiled.statement, UpdateBase):
        changed: Any = compiled.statement
        if isinstance(changed.table, Table):
            setattr(context.original_exception, _TABLE, changed.table.name)


def _columns(violation: Violation, table: Table, bind: Engine | Connection) -> frozenset[str]:
    """Return the columns of a constraint, whose name the server may have made itself."""
    inspector: Inspector = inspect(bind)
    where: Any = {"table_name": table.name, "schema": table.schema}
    found: dict[str | None, Iterable[str | None]] = {}
    if violation.kind == FOREIGN_KEY:
        keys = inspector.get_foreign_keys(**where)
        found |= {key["name"]: key["constrained_columns"] for key in keys}
    else:
        primary = inspector.get_pk_constraint(**where)
        # InnoDB's has no name of its own.
        found |= {"PRIMARY": primary["constrained_columns"]}
        found |= {primary["name"]: primary["constrained_columns"]}
        indexes = inspector.get_indexes(**where)
        found |= {index["name"]: index["column_names"] for index in indexes}
        uniques = inspector.get_unique_constraints(**where)
        found |= {unique["name"]: unique["column_names"] for unique in uniques}
    return frozenset(str(name) for name in found.get(violation.name, ()))
