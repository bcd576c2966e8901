"""The results of a part: ratios, which are printed first, and tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from rich.table import Table

from .contenders import Spread


@dataclass(frozen=True)
class Sizes:
    """How much is measured; the README's figures use the defaults.

    Attributes:
        history: orders in the tables, except for `growth`.
        many: orders in the grown tables.
        rounds: orders of each kind that are counted.
        warm_up: uncounted orders of each kind before them.
        oscar_rounds, oscar_warm_up: the same beside django-oscar.
        load: orders of each kind in a round of `gunicorn`.
        load_rounds: rounds of `gunicorn`.
    """

    history: int = 50_000
    many: int = 1_000_000
    rounds: int = 60
    warm_up: int = 12
    oscar_rounds: int = 12
    oscar_warm_up: int = 3
    load: int = 600
    load_rounds: int = 3


QUICK = Sizes(
    history=5_000,
    many=50_000,
    rounds=8,
    oscar_rounds=3,
    oscar_warm_up=1,
    load=150,
    load_rounds=1,
)


class Ratio(NamedTuple):
    """A figure with a goal."""

    what: str
    measured: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def goal(self) -> str:
        return f"<= {self.at_most:g}" if self.at_most is not None else f">= {self.at_least:g}"

    @property
    def is_met(self) -> bool:
        if self.at_most is not None and self.measured > self.at_most:
            return False
        return self.at_least is None or self.measured >= self.at_least


class Part(NamedTuple):
    ratios: list[Ratio]
    tables: list[Table]


def summary(ratios: list[Ratio]) -> Table:
    """Return the table of all ratios."""
    table = new_table("Ratios", "", "measured", "goal", "")
    for ratio in ratios:
        met = "[green]yes" if ratio.is_met else "[red]no"
        table.add_row(ratio.what, f"{ratio.measured:.2f}".removesuffix(".00"), ratio.goal, met)
    return table


def new_table(title: str, *columns: str) -> Table:
    """Return a table with a first column of text and further columns of figures."""
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def per_size(title: str, spreads: Mapping[tuple[str, int], Spread]) -> Table:
    """Return a table with a row per contender and a column per number of items."""
    names = dict.fromkeys(name for name, _ in spreads)
    sizes = sorted({items for _, items in spreads})
    table = new_table(title, "", *(f"{items} items" if items > 1 else "1 item" for items in sizes))
    for name in names:
        table.add_row(name, *(str(spreads[name, items]) for items in sizes))
    return table
