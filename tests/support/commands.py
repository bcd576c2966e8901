"""Commands of this environment, as somebody would type them."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# This environment's programs first, whether or not it is activated.
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def environment(**more: str) -> dict[str, str]:
    """Return the variables for a process, with this environment's programs on the path."""
    return {**os.environ, "PATH": PATH, **more}


def run(command: Sequence[str | Path], folder: Path, **more: str) -> str:
    """Run a command, which has to succeed; return what it prints.

    Args:
        command: the program and its arguments.
        folder: where it runs.
        more: further variables of its environment.
    """
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
