"""Measure django-oscar beside the library and hand-written SQL.

Oscar runs in its own process and environment (created at first use), on the same database server,
and places one order at a time on request.
"""

import json
import subprocess
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from sqlalchemy.engine import URL

from tests.support.servers import fresh_database

from . import picture
from .calls import Calls
from .contenders import LIBRARY, Contender, Spread, bought, in_turns
from .handwritten import handwritten
from .report import Part, Ratio, Sizes, per_size
from .stage import staged

NEEDS = ("django-oscar", "psycopg[binary]")

ENVIRONMENT = Path(__file__).with_name(".oscar")

ITEMS = (5, 50, 200)

GOALS = {5: 13, 200: 95}


def compare(server: URL, sizes: Sizes) -> Part:
    """Measure the library, oscar and hand-written SQL in turns; draw the picture."""
    with staged(server, sizes.history) as stage, _oscar(server, sizes.history) as oscar:
        placed: dict[str, Contender] = {
            LIBRARY: Calls(stage).place,
            "hand-written SQL": handwritten(stage),
        }
        statements = {items: oscar.statements(items) for items in ITEMS}
        spreads: dict[tuple[str, int], Spread] = {}
        for items in ITEMS:
            calls: dict[str, Callable[[], float]] = {
                name: partial(bought, stage, place, items) for name, place in placed.items()
            }
            calls["django-oscar"] = partial(oscar.seconds, items)
            found = in_turns(calls, sizes.oscar_rounds, warm_up=sizes.oscar_warm_up)
            spreads |= {(name, items): spread for name, spread in found.items()}
    picture.draw(spreads)
    table = per_size("An order beside django-oscar's, ms: median (p90)", spreads)
    table.add_row("statements of django-oscar", *(str(statements[items]) for items in ITEMS))
    ratios = [
        Ratio(
            f"django-oscar / flask_orders, {items} items",
            spreads["django-oscar", items].median / spreads[LIBRARY, items].median,
            at_least=goal,
        )
        for items, goal in GOALS.items()
    ]
    return Part(ratios, [table])


class _Oscar:
    """The process with oscar: requests and responses are lines of JSON."""

    def __init__(self, requests: IO[str], responses: IO[str]) -> None:
        self._requests, self._responses = requests, responses
        self._line()

    def seconds(self, items: int) -> float:
        return float(self._ask(items, counted=False)["seconds"])

    def statements(self, items: int) -> int:
        return int(self._ask(items, counted=True)["statements"])

    def _ask(self, items: int, *, counted: bool) -> dict[str, Any]:
        self._requests.write(json.dumps({"items": items, "counted": counted}) + "\n")
        self._requests.flush()
        answer: dict[str, Any] = json.loads(self._line())
        return answer

    def _line(self) -> str:
        line = self._responses.readline()
        if not line:
            raise RuntimeError("django-oscar's process has ended; its error is above")
        return line


@contextmanager
def _oscar(server: URL, orders: int) -> Iterator[_Oscar]:
    with fresh_database(server) as url:
        dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        script = str(Path(__file__).with_name("oscar_process.py"))
        process = subprocess.Popen(
            [_python(), "-P", script, dsn, str(orders)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield _Oscar(process.stdin, process.stdout)
        finally:
            process.stdin.close()
            process.wait()


def _python() -> str:
    """Return the Python of oscar's environment, which is created if it is missing."""
    python = str(ENVIRONMENT / "bin" / "python")
    if not (ENVIRONMENT / "complete").exists():
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        (ENVIRONMENT / ".gitignore").write_text("*\n")
        install = ["-m", "pip", "install", "-qq", "--disable-pip-version-check", *NEEDS]
        subprocess.run([python, *install], check=True)
        (ENVIRONMENT / "complete").touch()
    return python
