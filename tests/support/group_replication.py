"""Run three nodes of MySQL Group Replication, with a single primary, on this machine.

`.ci/mysql fetch` brings the server.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import pymysql
from sqlalchemy.engine import URL

from .cluster import Cluster, wait_until
from .network import Network, free_ports
from .servers import Missing, refuse_unwanted

SCRIPT = Path(__file__).parents[2] / ".ci" / "mysql"
# Where that script unpacks it.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
SERVER = Path(os.environ.get("ORDERS_TEST_MYSQL_SERVER") or CACHE / "flask_orders" / "mysql")
NODES = 3

# Seconds for which a router, and these clients, believe that the primary is the same.
BELIEVED = 0.5

OPTIONS = (
    # A killed process loses nothing that it has committed: the system writes it later.
    "--innodb-flush-log-at-trx-commit=2",
    *("--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--max-connections=100"),
    *("--innodb-buffer-pool-size=64M", "--plugin-load-add=group_replication.so"),
    "--loose-group-replication-group-name=00000000-0000-4000-8000-000000000001",
    "--loose-group-replication-start-on-boot=OFF",
    "--loose-group-replication-recovery-get-public-key=ON",
    # A node that is silent for 5 s, which can't be changed, is expelled immediately.
    "--loose-group-replication-member-expel-timeout=0",
    # A node that is cut off gives up, and undoes what waits for its COMMIT, instead of waiting for
    # the others for ever, which is the default.
    "--loose-group-replication-unreachable-majority-timeout=5",
)

MEMBERS = (
    "SELECT member_port, member_host, member_state, member_role"
    " FROM performance_schema.replication_group_members"
)


class Group(Cluster):
    """A group in which one node at a time takes writes."""

    def __init__(self, folder: Path, network: Network | None) -> None:
        self._network = network
        hosts = ["127.0.0.1"] * NODES if network is None else network.addresses
        ports = free_ports(2 * NODES)
        self._group = [f"{hosts[node]}:{ports[NODES + node]}" for node in range(NODES)]
        urls = [
            URL.create("mysql+pymysql", "root", host=hosts[node], port=ports[node])
            for node in range(NODES)
        ]
        super().__init__(folder, urls)
        self._seen_primary = (0, -BELIEVED)

    def up(self) -> None:
        """Start all nodes; the first begins the group."""
        self._initialize()
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._run, range(NODES)))
        for node in range(NODES):
            self.ask(node, "RESET BINARY LOGS AND GTIDS")
            self.ask(
                node,
                "CHANGE REPLICATION SOURCE TO SOURCE_USER = 'root'"
                " FOR CHANNEL 'group_replication_recovery'",
            )
        self.ask(0, "SET GLOBAL group_replication_bootstrap_group = ON")
        self.ask(0, "START GROUP_REPLICATION")
        self.ask(0, "SET GLOBAL group_replication_bootstrap_group = OFF")
        for node in range(1, NODES):
            self.ask(node, "START GROUP_REPLICATION")
        wait_until(lambda: all(map(self.is_ready, range(NODES))))

    def down(self) -> None:
        # Of what was written nothing is needed any more.
        for node in range(NODES):
            if self.runs(node):
                self.send(node, signal.SIGKILL)

    def start(self, node: int) -> None:
        self._run(node)
        self.ask(node, "START GROUP_REPLICATION")

    def repair(self) -> None:
        """Start the nodes that were killed, have the others join again, and wait for all."""
        for node in range(NODES):
            if self.answers(node) and self._state(node) in ("ERROR", "OFFLINE"):
                wait_until(partial(self._joins_again, node), seconds=180)
        super().repair()

    def _joins_again(self, node: int) -> bool:
        """Have the node join, unless it still is at what it does by itself."""
        try:
            self.ask(node, "STOP GROUP_REPLICATION")
            self.ask(node, "SET GLOBAL offline_mode = OFF")
            self.ask(node, "START GROUP_REPLICATION")
        except pymysql.MySQLError:
            # It takes long to give up, or runs another STOP or START (3663).
            return False
        return True

    def is_ready(self, node: int) -> bool:
        states = [state for _, _, state, _ in self.ask(node, MEMBERS)]
        return states.count("ONLINE") > NODES / 2 and self._state(node) == "ONLINE"

    def catch_up(self, node: int) -> None:
        ((done,),) = self.ask(self.primary(), "SELECT @@GLOBAL.gtid_executed")
        self.ask(node, f"SELECT WAIT_FOR_EXECUTED_GTID_SET('{done}', 30)")

    def believed_primary(self) -> int:
        """Return the node that took writes a moment ago."""
        node, seen = self._seen_primary
        if time.monotonic() > seen + BELIEVED:
            # So that the other clients don't ask too.
            self._seen_primary = node, time.monotonic()
            node = self.primary()
            self._seen_primary = node, time.monotonic()
        return node

    def primary(self) -> int:
        """Return the node that takes writes; any that responds while there is none."""
        alive = 0
        for node in range(NODES):
            # It may be killed meanwhile.
            with suppress(pymysql.MySQLError):
                for port, host, state, role in self.ask(node, MEMBERS):
                    if (state, role) == ("ONLINE", "PRIMARY") and self.is_ready(node):
                        return self._at(host, port)
                alive = node
        return alive

    def _at(self, host: str, port: int) -> int:
        return next(i for i, url in enumerate(self.urls) if (url.host, url.port) == (host, port))

    def _state(self, node: int) -> str:
        for port, host, state, _ in self.ask(node, MEMBERS):
            if not host or self._at(host, port) == node:
                return str(state)
        return "OFFLINE"

    def _initialize(self) -> None:
        """Make the first node's data, and copy them: each server has a UUID of its own."""
        self._script("up", 0, str(self.urls[0].port))
        socket_file = str(self.folder / "1" / "socket")
        connection = pymysql.connect(unix_socket=socket_file, user="root")
        with closing(connection), connection.cursor() as cursor:
            cursor.execute("CREATE USER root@'%'")
            cursor.execute("GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION")
        self._script("down", 0)
        first = self.folder / "1" / "data"
        (first / "auto.cnf").unlink()
        for node in range(1, NODES):
            shutil.copytree(first, self.folder / str(node + 1) / "data")

    def _run(self, node: int) -> None:
        url = self.urls[node]
        self._script(
            "run",
            node,
            *OPTIONS,
            f"--bind-address={url.host}",
            f"--port={url.port}",
            f"--report-host={url.host}",
            f"--report-port={url.port}",
            f"--server-id={node + 1}",
            f"--loose-group-replication-local-address={self._group[node]}",
            f"--loose-group-replication-group-seeds={','.join(self._group)}",
            "--loose-group-replication-ip-allowlist="
            + ("127.0.0.1/8" if self._network is None else self._network.subnet),
        )

    def _script(self, action: str, node: int, *arguments: str) -> None:
        inside: list[str] = []
        if self._network is not None and action == "run":
            inside = ["ip", "netns", "exec", self._network.namespace(node)]
        subprocess.run(
            [*inside, SCRIPT, action, self.folder / str(node + 1), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=120,
        )


@contextmanager
def group(network: Network | None = None) -> Iterator[Group]:
    """Start a group: on loopback, or each node on a host of the network.

    Raises:
        Missing: there is no MySQL to run.
    """
    refuse_unwanted("group-replication")
    if not SERVER.exists():
        raise Missing("no MySQL for Group Replication: run `.ci/mysql fetch` (on Debian)")
    with tempfile.TemporaryDirectory() as made:
        started = Group(Path(made), network)
        try:
            started.up()
            yield started
        finally:
            started.down()
