"""Hosts of the tests' own, each in a network namespace, so that one can be cut off from the others.

Needs root and Debian's iproute2. The tests reach every host, also one that is cut off.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from .servers import Missing


class Network:
    """Hosts on a bridge, numbered from 0; the tests are on the bridge too."""

    def __init__(self, hosts: int) -> None:
        # Two runs may be side by side.
        self._name, subnet = f"fo{os.getpid()}", f"10.203.{os.getpid() % 250}"
        self._host_numbers = range(hosts)
        self._own_address = f"{subnet}.254"
        self.subnet = f"{subnet}.0/24"
        self.addresses = [f"{subnet}.{number + 1}" for number in self._host_numbers]

    def namespace(self, host: int) -> str:
        return f"{self._name}-{host}"

    def create(self) -> None:
        ip("link", "add", self._name, "type", "bridge")
        ip("address", "add", f"{self._own_address}/24", "dev", self._name)
        ip("link", "set", self._name, "up")
        for host, address in enumerate(self.addresses):
            inside, outside = self.namespace(host), f"{self._name}v{host}"
            ip("netns", "add", inside)
            ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", inside)
            ip("link", "set", outside, "master", self._name, "up")
            self._inside(host, "link", "set", "lo", "up")
            self._inside(host, "address", "add", f"{address}/24", "dev", "eth0")
            self._inside(host, "link", "set", "eth0", "up")

    def remove(self) -> None:
        for host in self._host_numbers:
            subprocess.run(["ip", "netns", "delete", self.namespace(host)], check=False)
        subprocess.run(["ip", "link", "delete", self._name], check=False)

    @contextmanager
    def cut_off(self, host: int) -> Iterator[None]:
        """Let no packet pass between the host and the other hosts."""
        self._set_routes("add", host)
        try:
            yield
        finally:
            self._set_routes("delete", host)

    def _set_routes(self, action: str, host: int) -> None:
        for other in self._host_numbers:
            if other != host:
                for here, there in ((host, other), (other, host)):
                    self._inside(here, "route", action, "blackhole", self.addresses[there])

    def _inside(self, host: int, *arguments: str) -> None:
        ip("-n", self.namespace(host), *arguments)


def free_ports(count: int) -> list[int]:
    """Return different ports of 127.0.0.1 on which nothing listens now."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in held]


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def network(hosts: int) -> Iterator[Network]:
    """Yield a network with this many hosts, which is removed afterwards.

    Raises:
        Missing: namespaces can't be created.
    """
    made = Network(hosts)
    if shutil.which("ip") is None or os.geteuid() != 0:
        raise Missing("no network namespaces: apt-get install iproute2, and run the tests as root")
    try:
        made.create()
    except subprocess.CalledProcessError as error:
        made.remove()
        raise Missing(f"no network namespaces here: {error.stderr.decode().strip()}") from None
    try:
        yield made
    finally:
        made.remove()
