"""Run three MariaDB Galera nodes on this machine, to be killed, paused and restarted.

`.ci/galera` starts and stops the cluster.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pymysql
from sqlalchemy.engine import make_url

from .servers import Missing

SCRIPT = Path(__file__).parents[2] / ".ci" / "galera"
PROVIDER = os.environ.get("ORDERS_TEST_GALERA", "/usr/lib/galera/libgalera_smm.so")


class Cluster:
    """A cluster whose nodes are numbered from 0; each may be unavailable."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        lines = (folder / "urls").read_text().split()
        self.urls = [make_url(line).set(drivername="mysql+pymysql") for line in lines]

    def send(self, node: int, number: signal.Signals) -> None:
        os.kill(int((self._folder / str(node + 1) / "pid").read_text()), number)

    def kill(self, node: int) -> None:
        self.send(node, signal.SIGKILL)
        wait_until(lambda: not self._answers(node))

    @contextmanager
    def paused(self, *nodes: int) -> Iterator[None]:
        """Stop the nodes; afterwards continue them and wait until all are ready."""
        for node in nodes:
            self.send(node, signal.SIGSTOP)
        try:
            yield
        finally:
            for node in nodes:
                self.send(node, signal.SIGCONT)
            wait_until(lambda: all(map(self.is_ready, range(len(self.urls)))))

    def repair(self) -> None:
        """Start the nodes that were killed."""
        for node in range(len(self.urls)):
            if not self._answers(node):
                _script("start", self._folder, str(node + 1))

    def is_ready(self, node: int) -> bool:
        """Return whether the node belongs to a majority and accepts statements."""
        return tuple(self._ask(node, "SHOW STATUS LIKE 'wsrep_ready'")) == ("wsrep_ready", "ON")

    def catch_up(self, node: int) -> None:
        """Wait until the node has applied everything that the cluster has committed."""
        self._ask(node, "SET STATEMENT wsrep_sync_wait=1 FOR SELECT 1")

    def _answers(self, node: int) -> bool:
        try:
            self.is_ready(node)
        except pymysql.OperationalError:
            return False
        return True

    def _ask(self, node: int, statement: str) -> Sequence[Any]:
        # Not through SQLAlchemy: a node without a majority refuses even the ROLLBACK at its end.
        url = self.urls[node]
        connection = pymysql.connect(host=url.host, port=url.port or 0, user=url.username)
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone() or ()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Start a cluster.

    Raises:
        Missing: Galera is not installed.
    """
    if not (Path(PROVIDER).exists() and shutil.which("mariadbd") and shutil.which("rsync")):
        raise Missing("no Galera: apt-get install mariadb-server galera-4 rsync")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)  # The servers run as another user.
        try:
            _script("up", folder)
            yield Cluster(folder)
        finally:
            _script("down", folder)


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not so after {seconds} s")
        time.sleep(0.1)


def _script(action: str, folder: Path, *arguments: str) -> None:
    # Not captured: a server holds what it inherits open for as long as it runs.
    subprocess.run(
        [SCRIPT, action, folder, *arguments], check=True, stdout=subprocess.DEVNULL, timeout=60
    )
