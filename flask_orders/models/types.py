"""Column types: money without floats, times in UTC, and the codes of vouchers.

They are written into a shop's migrations as SQLAlchemy's own, so that a migration imports
nothing of the library's; they can be pickled and copied like any other type.
"""

import copyreg
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Numeric, String
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator, TypeEngine

from ..texts import voucher_code

# ISO 4217 knows no currency with more than four decimals; ten trillion is enough for an order.
PRECISION, SCALE = 18, 4

# SQLite numbers the rows of an INTEGER primary key only, not those of a BIGINT one.
BigKey = BigInteger().with_variant(Integer, "sqlite")

# A text that is a key. MariaDB takes "Ann" and "ann " for "ann" unless it is told not to: three
# customers, one cart.
EXACT = "utf8mb4_nopad_bin"
EXACT_TEXT = String(255).with_variant(mysql.VARCHAR(255, collation=EXACT), "mysql", "mariadb")

VOUCHER_CODE_LENGTH = 64


class _WrittenAsSQLAlchemys(type):
    """The class of a type that Alembic writes into a migration as `sa.<repr>`.

    Alembic does so if the type's module is SQLAlchemy's; else it writes the type's own module,
    without importing that, and the shop's `flask db upgrade` would fail. No other hook of it works
    without a change to the shop's `env.py`.
    """

    def __init__(cls, name: str, bases: tuple[type, ...], attributes: dict[str, Any]) -> None:
        super().__init__(name, bases, attributes)
        cls.__module__ = "sqlalchemy.types"


def _find(name: str) -> Any:
    return globals()[name]


# Pickle finds a class by its module and name, unless it is told how.
copyreg.pickle(_WrittenAsSQLAlchemys, lambda cls: (_find, (cls.__name__,)))


class Money(TypeDecorator[Decimal], metaclass=_WrittenAsSQLAlchemys):
    """An exact amount: NUMERIC(18, 4), and on SQLite, which has none, a whole number of 1/10000.

    What it can't hold to the last digit is refused on every database, with a sentence.
    """

    impl = Numeric(PRECISION, SCALE)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(Numeric(PRECISION, SCALE))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if isinstance(value, float):
            raise TypeError(f"an amount is a Decimal, not the float {value!r}")
        amount = Decimal(value)
        if not amount.is_finite() or abs(amount) >= 10 ** (PRECISION - SCALE):
            raise ValueError(
                f"an amount is finite, with at most {PRECISION - SCALE} digits before the decimal "
                f"point, not {value}"
            )
        scaled = amount.scaleb(SCALE)
        if scaled != int(scaled):
            raise ValueError(f"an amount has at most {SCALE} decimals, not {value}")
        return int(scaled) if dialect.name == "sqlite" else amount

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        if value is None or dialect.name != "sqlite":
            return value  # type: ignore[no-any-return] # a Decimal, by the driver
        return Decimal(value).scaleb(-SCALE)

    def __repr__(self) -> str:
        return (
            f"Numeric(precision={PRECISION}, scale={SCALE}).with_variant(sa.BigInteger(), 'sqlite')"
        )


class VoucherCode(TypeDecorator[str], metaclass=_WrittenAsSQLAlchemys):
    """A voucher's code, in its normal form in every statement, and compared exactly.

    So two codes that look alike are one, whether the ORM, Core or a bulk insert stores them. By
    MariaDB's own collation CAFE would be CAFÉ.
    """

    impl = String(VOUCHER_CODE_LENGTH)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        collation = EXACT if dialect.name in ("mysql", "mariadb") else None
        return dialect.type_descriptor(String(VOUCHER_CODE_LENGTH, collation=collation))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else voucher_code(value)

    def __repr__(self) -> str:
        exact = f"sa.String({VOUCHER_CODE_LENGTH}, collation='{EXACT}')"
        return f"String(length={VOUCHER_CODE_LENGTH}).with_variant({exact}, 'mysql', 'mariadb')"


class UTCDateTime(TypeDecorator[datetime], metaclass=_WrittenAsSQLAlchemys):
    """A time with its zone in Python, in UTC in every database, to the second.

    MariaDB keeps whole seconds, so the fraction is cut off everywhere; a time without a zone is
    refused, since whose midnight it means can't be known.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time needs its time zone, as in datetime.now(UTC), not {value!r}")
        utc = value.astimezone(UTC).replace(microsecond=0)
        return utc if dialect.name == "postgresql" else utc.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def __repr__(self) -> str:
        return "DateTime(timezone=True)"
