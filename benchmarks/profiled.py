"""Attribute the time of an order to packages, by a sampling profiler.

pyinstrument samples the stack every 0.1 ms. A sample is attributed to the innermost frame of a
listed package, so the standard library's time counts for its caller. The time that psycopg waits
for the server is the thread's wall time minus its CPU time. The profiler slows the work down, so
its shares are applied to the CPU time measured without it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from time import thread_time
from typing import Any, NamedTuple

from pyinstrument import Profiler
from rich.table import Table
from sqlalchemy.engine import URL

from .calls import Calls
from .report import Part, Sizes, new_table
from .stage import Stage, staged

ITEMS = (5, 200)

DRIVER = "psycopg, without waiting"
DATABASE = "waiting for PostgreSQL"
ORM = "SQLAlchemy: ORM and session"
SCHEMAS = "marshmallow and pycountry"
FLASK = "Flask and Werkzeug"
PRICING = "flask_orders: pricing"
ELSE = "everything else"

LIBRARY = "/flask_orders/"

# A part of a file's path and the package it belongs to; the first match counts.
PACKAGES = {
    "/psycopg": DRIVER,
    "/sqlalchemy/orm/": ORM,
    "/flask_sqlalchemy/": ORM,
    "/sqlalchemy/sql/": "SQLAlchemy: building and compiling statements",
    "/sqlalchemy/": "SQLAlchemy: engine, results, types",
    "/flask_jwt_extended/": "JWT",
    "/jwt/": "JWT",
    "/marshmallow/": SCHEMAS,
    "/pycountry/": SCHEMAS,
    "/flask_orders/schemas.py": SCHEMAS,
    "/flask_orders/currency.py": PRICING,
    "/flask_orders/offers.py": PRICING,
    "/flask_orders/pricing.py": PRICING,
    "/flask_orders/": "flask_orders: everything else",
    "/werkzeug/test.py": "Werkzeug's test client",
    "/werkzeug/": FLASK,
    "/flask/": FLASK,
}

# Functions below this share of an order are left out.
WORTH = 0.02


class Profile(NamedTuple):
    """One order: milliseconds by package; shares by function of the library, with its callees."""

    packages: Mapping[str, float]
    functions: Mapping[str, float]


class Frame(NamedTuple):
    function: str
    path: str


def measure(server: URL, sizes: Sizes) -> Part:
    """Profile orders with few and with many items."""
    with staged(server, sizes.history) as stage:
        found = [_profile(stage, items, sizes) for items in ITEMS]
    return Part([], [_packages_table(found), _functions_table(found)])


def _profile(stage: Stage, items: int, sizes: Sizes) -> Profile:
    calls = Calls(stage)
    for _ in range(sizes.warm_up):
        calls.post(items)()
    wall, cpu = _times(calls, items, sizes.rounds, nullcontext())
    profiler = Profiler(interval=0.0001, async_mode="disabled")
    profiled_wall, profiled_cpu = _times(calls, items, sizes.rounds, profiler)
    packages, functions = defaultdict[str, float](float), defaultdict[str, float](float)
    for stack, seconds in _samples(profiler):
        packages[_package(stack)] += seconds
        for name in {_name(frame) for frame in stack if LIBRARY in frame.path}:
            functions[name] += seconds
    packages[DRIVER] -= profiled_wall - profiled_cpu
    to_ms = 1000 / sizes.rounds * cpu / sum(packages.values())
    return Profile(
        {DATABASE: 1000 * (wall - cpu) / sizes.rounds}
        | {name: seconds * to_ms for name, seconds in packages.items()},
        {name: seconds / profiled_wall for name, seconds in functions.items()},
    )


def _times(
    calls: Calls, items: int, rounds: int, meanwhile: AbstractContextManager[Any]
) -> tuple[float, float]:
    """Return the seconds of all rounds: wall time, and CPU time of this thread."""
    wall, cpu = 0.0, 0.0
    for _ in range(rounds):
        purchase = calls.purchase(items)
        with meanwhile:
            started = thread_time()
            wall += calls.place(purchase)[0]
            cpu += thread_time() - started
    return wall, cpu


def _samples(profiler: Profiler) -> Iterator[tuple[list[Frame], float]]:
    """Yield the stacks, outermost frame first, each with its seconds."""
    session = profiler.last_session
    for identifiers, seconds in session.frame_records if session else ():
        yield [Frame(*identifier.split("\x00")[:2]) for identifier in identifiers], seconds


def _package(stack: Sequence[Frame]) -> str:
    for frame in reversed(stack):
        for part, name in PACKAGES.items():
            if part in frame.path:
                return name
    return ELSE


def _name(frame: Frame) -> str:
    return f"{frame.path.rpartition('/')[2].removesuffix('.py')}.{frame.function}"


def _packages_table(found: Sequence[Profile]) -> Table:
    columns = [f"{items} items: {unit}" for items in ITEMS for unit in ("ms", "%")]
    table = new_table("Where the time of an order goes, by package", "", *columns)
    totals = [sum(one.packages.values()) for one in found]
    for name in sorted(found[0].packages, key=lambda name: -found[0].packages[name]):
        cells = []
        for profile, total in zip(found, totals, strict=True):
            ms = profile.packages.get(name, 0)
            cells += [f"{ms:.2f}", f"{100 * ms / total:.0f}"]
        table.add_row(name, *cells)
    return table


def _functions_table(found: Sequence[Profile]) -> Table:
    columns = [f"{items} items: %" for items in ITEMS]
    table = new_table("The same by functions of the library, with their callees", "", *columns)
    names = {name for one in found for name, share in one.functions.items() if share >= WORTH}
    for name in sorted(names, key=lambda name: -found[0].functions.get(name, 0)):
        table.add_row(name, *(f"{100 * one.functions.get(name, 0):.0f}" for one in found))
    return table
