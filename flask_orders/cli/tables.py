"""Print rows for people: a table of rich's in a terminal, aligned columns anywhere else."""

import sys
from collections.abc import Mapping, Sequence

import click


def print_table(title: str, rows: Sequence[Mapping[str, str]]) -> None:
    """Print rows that have the same columns; nothing if there are none."""
    if not rows:
        return
    if not sys.stdout.isatty() or not _print_rich(title, rows):
        _print_plain(title, rows)


def _print_rich(title: str, rows: Sequence[Mapping[str, str]]) -> bool:
    """Print a table of rich's; return False if rich is not installed (the extra `support`)."""
    try:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table
    except ImportError:
        return False
    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        table.add_column(name)
    for row in rows:
        # A product's name is no markup.
        table.add_row(*map(escape, row.values()))
    Console().print(table)
    return True


def _print_plain(title: str, rows: Sequence[Mapping[str, str]]) -> None:
    lines = [list(rows[0]), *([*row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    click.echo(f"{title}:")
    for line in lines:
        padded = (value.ljust(width) for value, width in zip(line, widths, strict=True))
        click.echo("  " + "  ".join(padded).rstrip())
