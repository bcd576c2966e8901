"""Measure orders by their number of items beside the yardsticks, and the endpoint's other calls."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain
from typing import NamedTuple

from rich.table import Table
from sqlalchemy.engine import URL

from .bare import bare
from .calls import Calls, Ready, prepared
from .contenders import (
    LIBRARY,
    WARM_UP,
    Contender,
    Spread,
    bought,
    check_agreement,
    in_turns,
)
from .handwritten import handwritten
from .report import Part, Ratio, Sizes, new_table, per_size
from .stage import OWN_PAGE, OWN_PAGE_THAT_COMMITS, Stage, staged
from .watch import Wire, at_cursor, lock_times, on_the_wire

ITEMS = (1, 5, 50, 200)

YARDSTICK, BY_HAND = "bare view, SQLAlchemy Core", "hand-written SQL"

# How long an order may take at most, as a multiple of a yardstick's with as many items: where it is
# written by one statement, and elsewhere.
WANTED = {(YARDSTICK, 5): 0.8, (YARDSTICK, 200): 0.9, (BY_HAND, 5): 2, (BY_HAND, 200): 1.3}
ELSEWHERE = {(YARDSTICK, 5): 1.5, (YARDSTICK, 200): 1.5}

AFTER_LIST = "POST, 5 items, after a GET of the list"


def measure(server: URL, sizes: Sizes) -> Part:
    """Measure the library, the bare view and hand-written SQL, in turns."""
    with staged(server, sizes.history) as stage:
        calls = Calls(stage)
        placed: dict[str, Contender] = {LIBRARY: calls.place, YARDSTICK: bare(stage)}
        if stage.server == "postgresql":
            placed[BY_HAND] = handwritten(stage)
        check_agreement(stage, placed, 50)
        spreads: dict[tuple[str, int], Spread] = {}
        for items in ITEMS:
            runs = {name: partial(bought, stage, place, items) for name, place in placed.items()}
            found = in_turns(runs, sizes.rounds, sizes.warm_up)
            spreads |= {(name, items): spread for name, spread in found.items()}
        others: dict[str, Spread] = {}
        for name, call in _others(calls).items():
            # One after another: a refusal is a ROLLBACK, after which nothing is prepared.
            others |= in_turns({name: prepared(call)}, sizes.rounds, sizes.warm_up)
        counted = {f"POST, {items} items": partial(calls.post, items) for items in ITEMS}
        statements = _statements(stage, {**counted, **_others(calls)})
        locked = _product_locks(stage, calls, sizes)
    table = per_size("An order with a voucher and a new address, ms: median (p90)", spreads)
    ratios = [
        *_beside(stage, spreads),
        *_counts(stage, [statements[name] for name in counted]),
    ]
    if stage.server == "postgresql":
        ratios += [
            Ratio(
                "POST after a GET of the list / POST, 5 items",
                others[AFTER_LIST].median / others["POST, 5 items"].median,
                at_most=1.1,
            ),
            Ratio("ms for which a product is locked, 5 items", locked, at_most=5.6),
        ]
    return Part(ratios, [table, _others_table(others), _statements_table(statements)])


def _beside(stage: Stage, spreads: Mapping[tuple[str, int], Spread]) -> list[Ratio]:
    """Return the library's medians divided by the yardsticks'."""
    wanted = WANTED if stage.server == "postgresql" else ELSEWHERE
    return [
        Ratio(
            f"{LIBRARY} / {name}, {items} items",
            spreads[LIBRARY, items].median / spreads[name, items].median,
            at_most=goal,
        )
        for (name, items), goal in wanted.items()
    ]


def _counts(stage: Stage, counts: Sequence["_Count"]) -> list[Ratio]:
    statements = [count.statements for count in counts]
    # MySQL's wait for locks is put back by a statement of its own.
    most = {"mysql": 15, "postgresql": 7}.get(stage.server, 14)
    return [
        Ratio("statements of a POST, without the user lookup", max(statements) - 1, at_most=most),
        Ratio("statements, 200 items / 1 item", statements[-1] / statements[0], at_most=1),
        *(
            Ratio("round trips of a POST, 200 items", w.round_trips, at_most=14)
            for w in counts[-1].wire
        ),
        *(
            Ratio("statements that the server runs, 200 items", w.executed, at_most=20)
            for w in counts[-1].wire
        ),
    ]


def _product_locks(stage: Stage, calls: Calls, sizes: Sizes) -> float:
    """Return the median milliseconds for which an order locks its products; 0 without row locks."""
    engine, session = stage.shop.engine, stage.shop.db.session
    with lock_times(engine, session, "products") as seconds:
        for _ in range(sizes.rounds):
            calls.post(5)()
    return Spread.of(seconds).median if seconds else 0


class _Count(NamedTuple):
    statements: int
    compiled: int
    wire: list[Wire]


def _others(calls: Calls) -> dict[str, Callable[[], Ready]]:
    return {
        "POST, 5 items": partial(calls.post, 5),
        AFTER_LIST: partial(calls.post_after_list, 5),
        "POST, 5 items, after the shop's own page": partial(calls.post_after_page, OWN_PAGE),
        "the same, if that page commits": partial(calls.post_after_page, OWN_PAGE_THAT_COMMITS),
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
        for _ in range(WARM_UP):
            prepare()()
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
