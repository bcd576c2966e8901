"""The same calls with ten orders in the tables and with a million; and by which plans."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial

from rich.table import Table
from sqlalchemy.engine import URL

from .calls import Calls, Ready, prepared
from .contenders import in_turns
from .report import Part, Ratio, Sizes, new_table
from .stage import Stage, staged
from .watch import at_cursor, scans_so_far, sequential_scans

FEW = 10


def measure(server: URL, sizes: Sizes) -> Part:
    """Two shops in turns, a small one and one that has grown."""
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
    ratios.append(Ratio("tables read from end to end", len(planned | done), at_most=0))
    return Part(ratios, [table, _scans_table(planned, done, rows)])


def _calls(calls: Calls) -> dict[str, Callable[[], Ready]]:
    return {
        "POST, 5 items": partial(calls.post, 5),
        "POST, 5 items, Idempotency-Key": partial(calls.post_with_key, 5),
        "POST, 200 items": partial(calls.post, 200),
        "POST to the saved address": calls.post_to_saved_address,
        "GET an order": calls.get,
        # A page that is as long in both: who has ordered more has a longer one.
        "GET the list, one order": partial(calls.get_list, 1),
        "GET the preview": calls.get_preview,
    }


def _scans(stage: Stage) -> dict[str, int]:
    """So far; by the foreign keys' checks too, which no EXPLAIN shows."""
    stage.shop.engine.dispose()
    return scans_so_far(stage.connection)


def _planned_scans(stage: Stage, calls: Mapping[str, Callable[[], Ready]]) -> dict[str, str]:
    """The tables that a statement of these calls would read from end to end, and the call."""
    found: dict[str, str] = {}
    for name, prepare in calls.items():
        call = prepare()
        with at_cursor(stage.shop.engine) as sent:
            call()
        found |= dict.fromkeys(sequential_scans(stage.shop.engine, sent) - found.keys(), name)
    return found


def _row_counts(stage: Stage) -> dict[str, int]:
    return dict(
        stage.connection.execute("SELECT relname, reltuples::bigint FROM pg_class").fetchall()
    )


def _scans_table(
    planned: Mapping[str, str], done: Mapping[str, int], rows: Mapping[str, int]
) -> Table:
    table = new_table("Tables read from end to end", "", "rows", "how often", "as EXPLAIN says, by")
    for name in sorted({*planned, *done}):
        table.add_row(name, f"{rows[name]:,}", str(done.get(name, 0)), planned.get(name, ""))
    return table
