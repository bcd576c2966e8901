"""Compare the tables with the declared ones, for `flask orders check`.

It reads the catalogue, and no row.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import SAWarning

from ..models import CartItemMixin, CartMixin, Models, ProductMixin
from ..service import OrderService

MIGRATE = "run `flask db migrate` and `flask db upgrade`"

LIBRARY = (
    *("Order", "OrderItem", "OrderPayment", "OrderRefund", "OrderEvent", "OutboxEvent"),
    *("Address", "IdempotencyKey"),
)

PROMOTIONS = ("Offer", "Voucher", "VoucherRedemption")

SHOP = ("Customer", "Product", "Cart", "CartItem")


def check_tables(db: SQLAlchemy, orders: OrderService, incomplete: set[str]) -> Iterator[str]:
    """Compare the tables with what is declared, the library's with their constraints too.

    Args:
        db: the shop's extension.
        orders: the shop's service.
        incomplete: gets the keys of the tables that are missing or lack columns.
    """
    library = {table.key for table in library_tables(orders)}
    shop = {table.key for table in shop_tables(orders.models)}
    with db.engine.connect() as connection:
        inspector = sa.inspect(connection)
        for table in db.metadata.tables.values():
            lacking = list(_lacking(inspector, table))
            if lacking:
                yield from lacking
                incomplete.add(table.key)
                continue
            if table.key in library:
                yield from _constraints(inspector, table)
            if table.key in shop:
                yield from _view(inspector, table)


def library_tables(orders: OrderService) -> Iterator[sa.Table]:
    """Return the tables of the classes that are the library's, or made of its mixins."""
    models = orders.models
    yield from (getattr(models, name).__table__ for name in LIBRARY)
    for cls in (models.Product, models.Cart, models.CartItem):
        if isinstance(cls, type) and issubclass(cls, ProductMixin | CartMixin | CartItemMixin):
            yield sa.inspect(cls).local_table
    if models.promotion_models is not None:
        yield from (getattr(models, name).__table__ for name in PROMOTIONS)
        yield models.offer_products


def shop_tables(models: Models) -> Iterator[sa.Table]:
    """Return the tables of the shop's classes, whose rows an order locks, changes and points to."""
    shop = models.shop
    for source in (shop.product.source, shop.cart.source, shop.cart_item.source):
        yield from source.tables
    if models.Customer is not None:
        yield from sa.inspect(models.Customer).tables


def _lacking(inspector: sa.Inspector, table: sa.Table) -> Iterator[str]:
    if not inspector.has_table(table.name, schema=table.schema):
        yield f"the table '{table.fullname}' is missing: {MIGRATE}"
        return
    existing = {column["name"] for column in inspector.get_columns(table.name, schema=table.schema)}
    missing = [column.name for column in table.columns if column.name not in existing]
    if missing:
        yield f"the table '{table.fullname}' lacks {', '.join(missing)}: {MIGRATE}"


def _view(inspector: sa.Inspector, table: sa.Table) -> Iterator[str]:
    if table.name in inspector.get_view_names(schema=table.schema):
        yield (
            f"'{table.fullname}' is a view, whose rows an order can't lock and change: "
            "give declare_models the class of the table behind it"
        )


def _constraints(inspector: sa.Inspector, table: sa.Table) -> Iterator[str]:
    """Look for constraints that a migration written by hand may have left out."""
    missing = [
        *(f"UNIQUE ({', '.join(names)})" for names in _missing_uniques(inspector, table)),
        *_missing_foreign_keys(inspector, table),
    ]
    if missing:
        yield (
            f"the table '{table.fullname}' lacks {', '.join(missing)}, on which the library "
            f"relies when requests race: {MIGRATE}"
        )
    for name, condition in _missing_checks(inspector, table):
        yield (
            f"the table '{table.fullname}' lacks CHECK ({condition}): add it in a migration, by "
            f"op.create_check_constraint('{name}', ...), since Alembic does not notice"
        )


def _missing_uniques(inspector: sa.Inspector, table: sa.Table) -> list[tuple[str, ...]]:
    found = {frozenset(names) for names, unique in indexes(inspector, table) if unique}
    declared = [
        tuple(column.name for column in constraint.columns)
        for constraint in table.constraints
        if isinstance(constraint, sa.UniqueConstraint)
    ]
    return sorted(names for names in declared if frozenset(names) not in found)


def _missing_foreign_keys(inspector: sa.Inspector, table: sa.Table) -> list[str]:
    found = {
        (tuple(key["constrained_columns"]), key["referred_table"].lower()): _action(
            key.get("options", {}).get("ondelete")
        )
        for key in inspector.get_foreign_keys(table.name, schema=table.schema)
    }
    missing = []
    for key in table.foreign_key_constraints:
        names, parent = tuple(key.column_keys), key.referred_table.name
        if found.get((names, parent.lower())) != _action(key.ondelete):
            action = f" ON DELETE {key.ondelete}" if key.ondelete else ""
            missing.append(f"FOREIGN KEY ({', '.join(names)}) REFERENCES {parent}{action}")
    return sorted(missing)


def _action(ondelete: str | None) -> str:
    # Databases leave out their default.
    action = (ondelete or "NO ACTION").upper()
    return "NO ACTION" if action == "RESTRICT" else action


def _missing_checks(inspector: sa.Inspector, table: sa.Table) -> Iterator[tuple[str, str]]:
    found = inspector.get_check_constraints(table.name, schema=table.schema)
    declared = [check for check in table.constraints if isinstance(check, sa.CheckConstraint)]
    # They may have other names in a migration.
    if len(found) >= len(declared):
        return
    names = {check["name"] for check in found}
    preparer = inspector.dialect.identifier_preparer
    for check in sorted(declared, key=lambda check: str(check.sqltext)):
        # By the shop's naming_convention, cut to the database's longest name.
        name = (preparer.format_constraint(check) or "").strip('"`')
        if name not in names:
            yield name, str(check.sqltext)


def indexes(inspector: sa.Inspector, table: sa.Table) -> list[tuple[tuple[str, ...], bool]]:
    """Return the columns of every key and index of a table, and whether they are unique.

    An index of a part of the rows is left out, unless only the rows with NULL are not in it.
    """
    where = {"schema": table.schema}
    with warnings.catch_warnings():
        # About an index of an expression, which is not looked for.
        warnings.simplefilter("ignore", SAWarning)
        found = inspector.get_indexes(table.name, include_auto_indexes=True, **where)
        uniques = inspector.get_unique_constraints(table.name, **where)
        key = inspector.get_pk_constraint(table.name, **where)["constrained_columns"]
    keys = [(tuple(key), True), *((tuple(unique["column_names"]), True) for unique in uniques)]
    return keys + [
        (tuple(name or "" for name in index["column_names"]), bool(index["unique"]))
        for index in found
        if not _is_partial(index)
    ]


def _is_partial(index: Any) -> bool:
    options = index.get("dialect_options", {})
    # A text, or a clause, which has no truth value; the name begins with that of the dialect.
    found = (str(value) for name, value in options.items() if name.endswith("_where"))
    condition = next(found, "")
    words = condition.replace('"', "").strip("()").upper().split()
    return bool(words) and words[1:] != ["IS", "NOT", "NULL"]
