"""Draw the README's picture: what an order costs, by its number of items."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from .contenders import LIBRARY, Spread

FILE = Path(__file__).parents[1] / "docs" / "images" / "cost.svg"

COLOURS = {"django-oscar": "#b5563c", LIBRARY: "#1f6f8b", "hand-written SQL": "#777777"}

LABELS = {LIBRARY: "flask_orders, the whole request"}


def draw(spreads: Mapping[tuple[str, int], Spread]) -> None:
    """Write the picture; equal figures make equal files."""
    # Text stays text, and nothing in the file is random.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "flask_orders", "font.size": 11}):
        figure = Figure(figsize=(7, 4), layout="constrained", facecolor="white")
        axes = figure.subplots()
        sizes = sorted({items for _, items in spreads})
        for name, colour in COLOURS.items():
            medians = [spreads[name, items].median for items in sizes]
            axes.plot(sizes, medians, "o-", color=colour)
            for items, median in zip(sizes, medians, strict=True):
                axes.annotate(
                    f"{median:,.0f}" if median >= 10 else f"{median:.1f}",
                    (items, median),
                    (0, 7),
                    textcoords="offset points",
                    ha="center",
                    color=colour,
                )
            axes.annotate(
                LABELS.get(name, name),
                (sizes[-1], medians[-1]),
                (14, -4),
                textcoords="offset points",
                color=colour,
            )
        axes.set(xscale="log", yscale="log", xlabel="items", ylabel="ms for one order (median)")
        axes.set_xticks(sizes, [str(items) for items in sizes])
        axes.minorticks_off()
        axes.margins(x=0.06, y=0.15)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
        figure.savefig(FILE, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
