"""Check the functions of a product that the mapping has, on a sample, for `flask orders check`.

A function that walks to rows which are not read with the products sends a statement for each of
them, and finds what the session has seen before instead of today's row.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, RelationshipProperty, Session, lazyload

from ..cart_queries import loads
from ..errors import ConfigurationError
from ..models.parts import Function
from ..models.shop import PRICES, PricePart, ProductParts
from ..product_reader import TEXTS
from ..service import OrderService, components_of
from .check_shop import session_of

# Products of which each function is called.
SAMPLE = 20

FUNCTION = "the mapping's function"


def check_functions(db: SQLAlchemy, orders: OrderService) -> Iterator[str]:
    """Call each function for some products: it sends no statement, and returns no float."""
    product = orders.models.shop.product
    for name, function in _functions(product).items():
        sample = _Sample(product)
        with session_of(db) as session:
            found = sample.call(session, db.engine, function)
        # The function may have read by it.
        orders.session.rollback()
        yield from sample.sent(name)
        if components_of(orders).has_own_pricing:
            # Without one the check of all products' prices names them.
            yield from sample.failures(name)
            yield from _amounts(orders, name, found)


def _functions(product: ProductParts) -> dict[str, Function]:
    parts = {name: getattr(product, name) for name in (*TEXTS, *PRICES)}
    plain = {n: part.part if isinstance(part, PricePart) else part for n, part in parts.items()}
    return {name: part for name, part in plain.items() if isinstance(part, Function)}


class _Sample:
    """Calls of one function, for the first products."""

    def __init__(self, product: ProductParts) -> None:
        self._product = product
        self._walked = dict[str, None]()
        self._statements = 0
        self._failure: tuple[Any, Exception] | None = None

    def call(self, session: Session, engine: sa.Engine, function: Function) -> dict[Any, Any]:
        """Return what the function returns, by the products' keys, until it raises."""
        source = self._product.source
        key = source.attribute(self._product.key)
        read = sa.select(key, source.given).order_by(key).limit(SAMPLE)
        rows = session.execute(read.options(lazyload("*"), *loads(self._product))).all()
        event.listen(session, "do_orm_execute", self._see_load)
        event.listen(engine, "before_cursor_execute", self._count)
        try:
            return self._returned(rows, function)
        finally:
            event.remove(engine, "before_cursor_execute", self._count)

    def _returned(self, rows: Iterable[Any], function: Function) -> dict[Any, Any]:
        returned = dict[Any, Any]()
        for key, product in rows:
            try:
                returned[key] = function.call(product)
            except Exception as error:
                self._failure = key, error
                break
        return returned

    def _see_load(self, state: ORMExecuteState) -> None:
        path = state.loader_strategy_path
        prop = None if path is None else path[-1]
        if isinstance(prop, RelationshipProperty):
            self._walked[str(prop)] = None

    def _count(self, *_arguments: Any) -> None:
        self._statements += 1

    def sent(self, name: str) -> Iterator[str]:
        """Say which relationships the function has loaded, or that it has sent statements."""
        if self._walked:
            loaded = [*map(str, self._product.loaded), *self._walked]
            line = loaded[0] if len(loaded) == 1 else f"({', '.join(loaded)})"
            yield (
                f"{FUNCTION} for {name} reads {', '.join(self._walked)} by a statement for each "
                f"product, and may find an old row: say mapping.product(..., load={line})"
            )
        elif self._statements:
            yield (
                f"{FUNCTION} for {name} sends a statement for each product: let it read the "
                "product's own columns and what load= names; prices that lie elsewhere are read "
                "together by register_blueprint(orders_bp, pricing=...)"
            )

    def failures(self, name: str) -> Iterator[str]:
        if self._failure is not None:
            key, error = self._failure
            yield (
                f"{FUNCTION} for {name} fails for the product {key!r} "
                f"({type(error).__name__}: {error}), and no cart with it can be ordered: let it "
                "return a value for every product, such as None"
            )


def _amounts(orders: OrderService, name: str, returned: Mapping[Any, Any]) -> Iterator[str]:
    """Say which of the returned amounts is none, such as a float."""
    if name not in PRICES:
        return
    kind = getattr(orders.models.shop.product, name).kind
    for key, value in returned.items():
        try:
            kind.amount(value, orders.currency)
        except ConfigurationError as error:
            yield f"{name} of the product {key!r}: {str(error).removesuffix('.')}"
            return
