"""Measure the same calls with ten orders and with a million in the tables, and their plans."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial

import psycopg
from rich.table import Table
from sqlalchemy.engine import URL

from .calls import Calls, Ready, prepared
from .contenders import in_turns
from .report import Part, Ratio, Sizes, new_table
from .stage import Stage, staged
from .watch import at_cursor, scans_so_far, sequential_scans

FEW = 10


def measure(server: URL, sizes: Sizes) -> Part:
    """Measure a small shop and a grown one, in turns."""
    with ExitStack() as stack:
        few, many = (stack.enter_context(staged(server, n)) for n in (FEW, sizes.many))
        calls = _calls(Calls(many))
        runs = {f"{name}, {FEW}": prepared(one) for name, one in _calls(Calls(few)).items()}
        runs |= {f"{name}, {sizes.many}": prepared(one) for name, one in calls.items()}
        before = _scans(many)
        spreads = in_turns(runs, sizes.rounds, sizes.warm_up)
        after = _scans(many)
        planned = _planned_scans(many, calls)
        rows = _row_counts(many)
    table = new_table(
        "As the tables grow, ms: median (p90)", "", f"{FEW} orders", f"{sizes.many:,} orders"
    )
    ratios = []
    for name in calls:
        small, large = spreads[f"{name}, {FEW}"], spreads[f"{name}, {sizes.many}"]
        table.add_row(name, str(small), str(large))
        growth = large.median / small.median
        ratios.append(Ratio(f"{name}: {sizes.many:,} orders / {FEW}", growth, at_most=1.2))
    done = {name: count - before[name] for name, count in after.items() if count > before[name]}
    ratios.append(Ratio("sequentially scanned tables", len(planned | done), at_most=0))
    return Part(ratios, [table, _scans_table(planned, done, rows)])


def _calls(calls: Calls) -> dict[str, Callable[[], Ready]]:
    return {
        "POST, 5 items": partial(calls.post, 5),
        "POST, 5 items, Idempotency-Key": partial(calls.post_with_key, 5),
        "POST, 200 items": partial(calls.post, 200),
        "POST with the saved address": calls.post_to_saved_address,
        "GET an order": calls.get,
        # One order in both shops: without the limit the page of the grown shop would be longer.
        "GET the list, one order": partial(calls.get_list, 1),
        "GET the preview": calls.get_preview,
    }


def _scans(stage: Stage) -> dict[str, int]:
    """Count the scans so far, with those of foreign key checks, which EXPLAIN does not show."""
    stage.shop.engine.dispose()
    stage.engine.dispose()
    with psycopg.connect(stage.dsn) as connection:
        return scans_so_far(connection)


def _planned_scans(stage: Stage, calls: Mapping[str, Callable[[], Ready]]) -> dict[str, str]:
    """Return the tables that these calls would scan sequentially, each with a call that does."""
    found: dict[str, str] = {}
    for name, prepare in calls.items():
        call = prepare()
        with at_cursor(stage.shop.engine) as sent:
            call()
        found |= dict.fromkeys(sequential_scans(stage.shop.engine, sent) - found.keys(), name)
    return found


def _row_counts(stage: Stage) -> dict[str, int]:
    with psycopg.connect(stage.dsn) as connection:
        return dict(
            connection.execute("SELECT relname, reltuples::bigint FROM pg_class").fetchall()
        )


def _scans_table(
    planned: Mapping[str, str], done: Mapping[str, int], rows: Mapping[str, int]
) -> Table:
    table = new_table("Sequentially scanned tables", "", "rows", "scans", "planned by EXPLAIN for")
    for name in sorted({*planned, *done}):
        table.add_row(name, f"{rows[name]:,}", str(done.get(name, 0)), planned.get(name, ""))
    return table
