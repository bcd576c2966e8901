"""Run three MariaDB Galera nodes on this machine. `.ci/galera` starts and stops them."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import make_url

from .cluster import Cluster
from .network import Network
from .servers import Missing, refuse_unwanted

SCRIPT = Path(__file__).parents[2] / ".ci" / "galera"
PROVIDER = os.environ.get("ORDERS_TEST_GALERA", "/usr/lib/galera/libgalera_smm.so")


class Galera(Cluster):
    """A cluster of which every node takes writes."""

    def start(self, node: int) -> None:
        _script("start", self.folder, str(node + 1))

    def is_ready(self, node: int) -> bool:
        return self.ask(node, "SHOW STATUS LIKE 'wsrep_ready'") == [("wsrep_ready", "ON")]

    def catch_up(self, node: int) -> None:
        self.ask(node, "SET STATEMENT wsrep_sync_wait=1 FOR SELECT 1")


@contextmanager
def galera(network: Network | None = None) -> Iterator[Galera]:
    """Start a cluster: on loopback, or each node on a host of the network.

    Raises:
        Missing: Galera is not installed.
    """
    refuse_unwanted("galera")
    if not (Path(PROVIDER).exists() and shutil.which("mariadbd") and shutil.which("rsync")):
        raise Missing("no Galera: apt-get install mariadb-server galera-4 rsync")
    hosts = [] if network is None else [network.namespace(host) for host in range(3)]
    addresses = [] if network is None else network.addresses
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)  # The servers run as another user.
        try:
            _script("up", folder, *hosts, *addresses)
            lines = (folder / "urls").read_text().split()
            yield Galera(folder, [make_url(line).set(drivername="mysql+pymysql") for line in lines])
        finally:
            _script("down", folder)


def _script(action: str, folder: Path, *arguments: str) -> None:
    # Not captured: a server holds what it inherits open for as long as it runs.
    subprocess.run(
        [SCRIPT, action, folder, *arguments], check=True, stdout=subprocess.DEVNULL, timeout=60
    )
