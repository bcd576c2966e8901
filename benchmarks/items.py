"""Measure orders by their number of items beside the yardsticks, and the endpoint's other calls."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain
from typing import NamedTuple

from rich.table import Table
from sqlalchemy.engine import URL

from .bare import bare
from .calls import Calls, Ready, prepared
from .contenders import LIBRARY, Contender, Spread, bought, check_agreement, in_turns
from .handwritten import handwritten
from .report import Part, Ratio, Sizes, new_table, per_size
from .stage import Stage, staged
from .watch import Wire, at_cursor, on_the_wire

ITEMS = (1, 5, 50, 200)

YARDSTICK = "bare view, SQLAlchemy Core"


def measure(server: URL, sizes: Sizes) -> Part:
    """Measure the library, the bare view and hand-written SQL, in turns."""
    with staged(server, sizes.history) as stage:
        calls = Calls(stage)
        placed: dict[str, Contender] = {LIBRARY: calls.place, YARDSTICK: bare(stage)}
        if stage.server == "postgresql":
            placed["hand-written SQL"] = handwritten(stage)
        check_agreement(stage, placed, 50)
        spreads: dict[tuple[str, int], Spread] = {}
        for items in ITEMS:
            runs = {name: partial(bought, stage, place, items) for name, place in placed.items()}
            found = in_turns(runs, sizes.rounds, sizes.warm_up)
            spreads |= {(name, items): spread for name, spread in found.items()}
        sent = {name: prepared(call) for name, call in _others(calls).items()}
        others = in_turns(sent, sizes.rounds, sizes.warm_up)
        counted = {f"POST, {items} items": partial(calls.post, items) for items in ITEMS}
        statements = _statements(stage, {**counted, **_others(calls)})
    table = per_size("An order with a voucher and a new address, ms: median (p90)", spreads)
    library, bare_view = (
        {items: spreads[name, items].median for items in ITEMS} for name in (LIBRARY, YARDSTICK)
    )
    counts = [statements[name].statements for name in counted]
    # MySQL's wait for locks is put back by a statement of its own.
    most = 15 if stage.server == "mysql" else 14
    ratios = [
        Ratio("flask_orders / bare view, 5 items", library[5] / bare_view[5], at_most=1.5),
        Ratio("flask_orders, 200 items / 5 items", library[200] / library[5], at_most=5),
        Ratio("statements of a POST, without the user lookup", max(counts) - 1, at_most=most),
        Ratio("statements, 200 items / 1 item", counts[-1] / counts[0], at_most=1),
    ]
    return Part(ratios, [table, _others_table(others), _statements_table(statements)])


class _Count(NamedTuple):
    statements: int
    compiled: int
    wire: list[Wire]


def _others(calls: Calls) -> dict[str, Callable[[], Ready]]:
    return {
        "POST, 5 items": partial(calls.post, 5),
        "POST, 5 items, known address": partial(calls.post_to_known_address, 5),
        "POST, 5 items, Idempotency-Key": partial(calls.post_with_key, 5),
        "POST, refused: the cart is empty": calls.refused,
        "GET an order of 5 items": calls.get,
        "GET the list": partial(calls.get_list, 20),
        "GET the preview of 3 items": calls.get_preview,
    }


def _statements(stage: Stage, calls: Mapping[str, Callable[[], Ready]]) -> dict[str, _Count]:
    """Count what one call of each sends; at the cursor without BEGIN, COMMIT and savepoints."""
    counts = {}
    for name, prepare in calls.items():
        call = prepare()
        with _traced(stage) as wire, at_cursor(stage.shop.engine) as sent:
            call()
        counted = [statement for statement in sent if not statement.is_bound]
        compiled = sum(statement.is_compiled for statement in sent)
        counts[name] = _Count(len(counted), compiled, wire)
    return counts


def _traced(stage: Stage) -> AbstractContextManager[list[Wire]]:
    """Record what the server sees; only libpq has a trace of it."""
    if stage.server == "postgresql":
        return on_the_wire(stage.shop.engine)
    return nullcontext([])


def _others_table(spreads: Mapping[str, Spread]) -> Table:
    table = new_table("The endpoint's calls, ms", "", "median", "p90")
    for name, spread in spreads.items():
        table.add_row(name, f"{spread.median:.1f}", f"{spread.p90:.1f}")
    return table


def _statements_table(counts: Mapping[str, _Count]) -> Table:
    table = new_table(
        "What a call sends, with the user lookup",
        "",
        "statements at the cursor",
        "compiled",
        "executed by the server",
        "round trips",
    )
    for name, count in counts.items():
        figures = (count.statements, count.compiled, *chain.from_iterable(count.wire))
        table.add_row(name, *map(str, figures))
    return table
