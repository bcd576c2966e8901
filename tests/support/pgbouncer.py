"""Run a PgBouncer in transaction mode in front of the tests' PostgreSQL.

Each transaction of a client may use another connection to the server.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy.engine import URL

from .cluster import wait_until
from .network import free_ports
from .servers import Missing

# Connections to the server: fewer than clients.
POOL = 3

CONFIGURATION = """\
[databases]
* = {server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {pool}
max_client_conn = 100
"""


@contextmanager
def pgbouncer(server_url: URL) -> Iterator[URL]:
    """Yield the server's URL through PgBouncer.

    Raises:
        Missing: it is not installed.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise Missing("no PgBouncer: apt-get install pgbouncer")
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)  # It may run as another user.
        file, log = folder / "pgbouncer.ini", folder / "log"
        file.write_text(CONFIGURATION.format(server=_target(server_url), port=port, pool=POOL))
        file.chmod(0o644)
        with log.open("w") as written:
            process = subprocess.Popen([program, *_user(server_url), file], stderr=written)
        try:
            wait_until(lambda: process.poll() is not None or _listens(port))
            if process.poll() is not None:
                raise AssertionError(log.read_text())
            yield URL.create("postgresql+psycopg", "shop", host="127.0.0.1", port=port)
        finally:
            process.terminate()
            process.wait(10)


def _target(url: URL) -> str:
    """Return the server's address in PgBouncer's syntax."""
    found = {
        "host": _host(url),
        "port": str(url.port or url.query.get("port") or 5432),
        "user": url.username,
        "password": url.password,
    }
    quoted = {name: text.replace("'", "''") for name, text in found.items() if text}
    return " ".join(f"{name}='{text}'" for name, text in quoted.items())


def _host(url: URL) -> str:
    return url.host or str(url.query.get("host", "127.0.0.1"))


def _user(url: URL) -> list[str]:
    """Return the option for a user: PgBouncer refuses root, and a socket belongs to its owner."""
    if os.geteuid() != 0:
        return []
    folder = Path(_host(url))
    return ["-u", folder.owner() if folder.is_absolute() else "nobody"]


def _listens(port: int) -> bool:
    with closing(socket.socket()) as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
