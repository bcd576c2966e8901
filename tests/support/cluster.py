"""What the tests do with a cluster of three nodes: kill, pause and restart them.

A node may be unavailable at any time, so it is asked by a connection of its own.
"""

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pymysql
from sqlalchemy.engine import URL


class Cluster(ABC):
    """Nodes of MySQL or MariaDB, numbered from 0, each with a folder numbered from 1."""

    def __init__(self, folder: Path, urls: Sequence[URL]) -> None:
        self.folder = folder
        self.urls = list(urls)

    @abstractmethod
    def start(self, node: int) -> None:
        """Start a node that was killed, and wait until it belongs to the cluster again."""

    @abstractmethod
    def is_ready(self, node: int) -> bool:
        """Return whether the node belongs to a majority."""

    @abstractmethod
    def catch_up(self, node: int) -> None:
        """Wait until the node has applied everything that the cluster has committed."""

    def send(self, node: int, number: signal.Signals) -> None:
        os.kill(self._process(node), number)

    def runs(self, node: int) -> bool:
        """Return whether its process exists: a killed one leaves its number to somebody else."""
        try:
            command = Path(f"/proc/{self._process(node)}/cmdline").read_text()
        except FileNotFoundError:
            return False
        return str(self.folder) in command

    def _process(self, node: int) -> int:
        return int((self.folder / str(node + 1) / "pid").read_text())

    def kill(self, node: int) -> None:
        self.send(node, signal.SIGKILL)
        wait_until(lambda: not self.answers(node))

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
            self.repair()

    def repair(self) -> None:
        """Start the nodes that were killed, and wait until all are ready."""
        for node in range(len(self.urls)):
            if not self.answers(node):
                self.start(node)
        wait_until(lambda: all(map(self.is_ready, range(len(self.urls)))))

    def answers(self, node: int) -> bool:
        try:
            self.ask(node, "SELECT 1")
        except pymysql.MySQLError:
            return False
        return True

    def ask(self, node: int, statement: str) -> list[tuple[Any, ...]]:
        # Not through SQLAlchemy: a node without a majority refuses even the ROLLBACK at its end.
        url = self.urls[node]
        connection = pymysql.connect(
            host=url.host, port=url.port or 0, user=url.username, autocommit=True, read_timeout=30
        )
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not so after {seconds} s")
        time.sleep(0.1)
