"""Column types: money without floats, times in UTC, exact texts.

They are written into a shop's migrations as SQLAlchemy's own types, so that a migration imports
nothing from the library; they can be pickled and copied like any other type. How each database
stores them is in `db/dialects/`.
"""

import copyreg
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Numeric, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeDecorator, TypeEngine

from ..currency import PRECISION, SCALE, TOO_MUCH
from ..db.dialects import DIALECTS, UNSUPPORTED, DatabaseDialect, dialect_of
from ..texts import voucher_code

KEY_LENGTH, VOUCHER_CODE_LENGTH = 255, 64


_QUANTUM = Decimal(1).scaleb(-SCALE)


def _fits(amount: Decimal) -> bool:
    """Return whether an amount fits; the amounts of an order all do."""
    return (
        amount.is_finite()
        and amount.adjusted() < PRECISION - SCALE
        and amount.quantize(_QUANTUM) == amount
    )


def _stored(type_of: Callable[[DatabaseDialect], TypeEngine[Any]]) -> TypeEngine[Any]:
    """Return a type of SQLAlchemy's, with a variant for each database that needs another type."""
    common = type_of(UNSUPPORTED)
    for database in DIALECTS:
        variant = type_of(database)
        if repr(variant) != repr(common):
            common = common.with_variant(variant, *database.names)
    return common


# A key that the database numbers.
BigKey: TypeEngine[Any] = _stored(lambda database: database.row_number)


def _as_written(type_: TypeEngine[Any]) -> str:
    """Return what Alembic writes after `sa.`: the type and its variants."""
    names: dict[str, list[str]] = {}
    for name, variant in type_._variant_mapping.items():
        names.setdefault(f"sa.{variant!r}", []).append(repr(name))
    variants = (f".with_variant({variant}, {', '.join(names[variant])})" for variant in names)
    return repr(type_) + "".join(variants)


class _WrittenAsSQLAlchemys(type):
    """The class of a type that Alembic writes into a migration as `sa.<repr>`.

    Alembic does so if the type's module is SQLAlchemy's; else it writes the type's own module
    without importing it, and the shop's `flask db upgrade` would fail. No other hook of Alembic's
    works without a change to the shop's `env.py`.
    """

    def __init__(cls, name: str, bases: tuple[type, ...], attributes: dict[str, Any]) -> None:
        super().__init__(name, bases, attributes)
        cls.__module__ = "sqlalchemy.types"


def _find(name: str) -> Any:
    return globals()[name]


# Without it, pickle would look for the classes in the module that they name.
copyreg.pickle(_WrittenAsSQLAlchemys, lambda cls: (_find, (cls.__name__,)))


class ExactText(String, metaclass=_WrittenAsSQLAlchemys):
    """A text that equals another only if all their characters are equal."""

    def __repr__(self) -> str:
        return _as_written(
            _stored(lambda database: String(self.length, database.exact_collation()))
        )


@compiles(ExactText)
def _compile_exact_text(type_: ExactText, compiler: Any, **options: Any) -> str:
    dialect: Dialect = compiler.dialect
    collation = dialect_of(dialect).exact_collation(dialect)
    return str(compiler.process(String(type_.length, collation), **options))


class Money(TypeDecorator[Decimal], metaclass=_WrittenAsSQLAlchemys):
    """An exact amount: NUMERIC(18, 4), or a whole number of 1/10000 where that is not exact.

    An amount that it can't hold to the last digit is refused on every database.
    """

    impl: Any = _stored(
        lambda database: Numeric(PRECISION, SCALE) if database.has_decimals else BigInteger()
    )
    cache_ok: bool | None = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if type(value) is Decimal and _fits(value):
            return value if dialect_of(dialect).has_decimals else int(value.scaleb(SCALE))
        if isinstance(value, float):
            raise TypeError(f"an amount is a Decimal, not the float {value!r}")
        amount = Decimal(value)
        if not amount.is_finite() or abs(amount) >= TOO_MUCH:
            raise ValueError(
                f"an amount is finite, with at most {PRECISION - SCALE} digits before the decimal "
                f"point, not {value}"
            )
        scaled = amount.scaleb(SCALE)
        if scaled != int(scaled):
            raise ValueError(f"an amount has at most {SCALE} decimals, not {value}")
        return amount if dialect_of(dialect).has_decimals else int(scaled)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        if value is None or dialect_of(dialect).has_decimals:
            return value  # type: ignore[no-any-return] # a Decimal, by the driver
        return Decimal(value).scaleb(-SCALE)

    def __repr__(self) -> str:
        return _as_written(self.impl_instance)


class VoucherCode(TypeDecorator[str], metaclass=_WrittenAsSQLAlchemys):
    """A voucher's code, in its normal form in every statement, and compared exactly.

    So two codes that look alike are one, whether the ORM, Core or a bulk insert stores them, and
    CAFE is not CAFÉ.
    """

    impl: Any = ExactText(VOUCHER_CODE_LENGTH)
    cache_ok: bool | None = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else voucher_code(value)

    def __repr__(self) -> str:
        return repr(self.impl_instance)


class UTCDateTime(TypeDecorator[datetime], metaclass=_WrittenAsSQLAlchemys):
    """A time with its zone in Python, in UTC in every database, to the second.

    MySQL and MariaDB store whole seconds, so the fraction is cut off everywhere. A time without a
    zone is refused, since it could be any zone's.
    """

    impl: Any = DateTime(timezone=True)
    cache_ok: bool | None = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time needs its time zone, as in datetime.now(UTC), not {value!r}")
        utc = value.astimezone(UTC).replace(microsecond=0)
        return utc if dialect_of(dialect).has_time_zones else utc.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def __repr__(self) -> str:
        return "DateTime(timezone=True)"
