"""Types that the key of a shop's customers may have, each with a key, its text, and other texts."""

from collections.abc import Callable
from datetime import date
from enum import Enum
from typing import Any
from uuid import UUID

import sqlalchemy as sa

KEY = str(UUID(int=7))


class Prefixed(sa.types.TypeDecorator[str]):
    """ "cus_7" in Python, 7 in the database."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else int(value.removeprefix("cus_"))

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else f"cus_{value}"


class Plain(sa.types.TypeDecorator[int]):
    impl = sa.Integer
    cache_ok = True


class Folded(sa.types.TypeDecorator[str]):
    impl = sa.String(20)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else value.lower()


class Typed(sa.types.TypeDecorator[UUID]):
    """Of a type that won't say what its values are in Python."""

    impl = sa.Uuid
    cache_ok = True

    @property
    def python_type(self) -> type[Any]:
        raise NotImplementedError


class Branch(Enum):
    NORTH = "n"
    SOUTH = "s"


NUMBERS = ["8", " 7", "7 ", "7.0", "+7", "07", "1_0", "\uff17", "", "abc", str(2**31), str(2**63)]
ODD = ["9" * 30, "9" * 5000, "a\0", "\ud800", "x" * 300, "None", "True"]

# A key type, a key, how a token has it, and what others may have.
KINDS: dict[str, tuple[Callable[[], Any], Any, str, list[str]]] = {
    "integer": (sa.Integer, 7, "7", NUMBERS),
    "bigint": (sa.BigInteger, 7, "7", NUMBERS),
    "uuid": (sa.Uuid, UUID(int=7), KEY, ["7", KEY[:-1] + "8", f"{{{KEY}}}", f"urn:uuid:{KEY}"]),
    "uuid as text": (lambda: sa.Uuid(as_uuid=False), KEY, KEY, ["7", KEY.replace("-", "")]),
    "text": (lambda: sa.String(40), "ann", "ann", ["bob", "ann\0", ""]),
    "enum": (lambda: sa.Enum(Branch), Branch.NORTH, "NORTH", ["SOUTH", "EAST", "N"]),
    "date": (sa.Date, date(2026, 1, 2), "2026-01-02", ["20260102", "2026-1-2", "2026-13-01"]),
    "prefixed": (Prefixed, "cus_7", "cus_7", ["7", "cus_ 7", "cus_07", "cus_x", "cus_8"]),
    "plain": (Plain, 7, "7", NUMBERS),
    "folded": (Folded, "ann", "ann", ["bob", ""]),
    "untold": (Typed, UUID(int=7), KEY, ["7", KEY[:-1] + "8"]),
}
