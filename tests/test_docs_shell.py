"""The commands of the tutorial and of the README, run in a shell, with real HTTP."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from .support import commands
from .support.docs import blocks, page_text, pages
from .support.network import free_ports
from .support.requests import CHECKOUT
from .support.servers import Missing, refuse_unwanted, required

pytestmark = pytest.mark.server

# The pages whose commands are run: here, by `.ci/run`, or by the tests of the example.
SHELL = {
    "README": "here, and by .ci/run",
    "reference/http": "here",
    "taking-payments": "test_example_stripe.py",
    "tutorial": "here",
}


def test_every_page_with_commands_is_run() -> None:
    assert {page for page in pages() if blocks(page, "sh")} == set(SHELL)


@contextmanager
def curl() -> Iterator[str]:
    refuse_unwanted("docs")
    found = shutil.which("curl")
    if found is None:
        raise Missing("no curl: install curl")
    yield found


@pytest.fixture(scope="module", autouse=True)
def _needs_curl() -> Iterator[None]:
    with required(curl()):
        yield


@pytest.fixture
def tutorial(tmp_path: Path) -> Iterator["Tutorial"]:
    made = Tutorial(tmp_path)
    yield made
    made.stop()


class Tutorial:
    """The folder of somebody who follows the tutorial, and what they type."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (self.port,) = free_ports(1)
        self._server: subprocess.Popen[str] | None = None
        code = blocks("tutorial")
        folder.joinpath("shop.py").write_text(code[0])
        self._later = code[1]

    def add_the_rest(self) -> None:
        with self.folder.joinpath("shop.py").open("a") as file:
            file.write(self._later)

    def type(self, typed: str, **environment: str) -> str:
        """Run commands as they are on the page, at a free port."""
        return commands.run(["bash", "-euc", self._at_port(typed)], self.folder, **environment)

    def serve(self) -> None:
        command = [sys.executable, "-m", "flask", "--app", "shop", "run", "--port", str(self.port)]
        self._server = subprocess.Popen(
            command,
            cwd=self.folder,
            env=commands.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            connection = HTTPConnection("127.0.0.1", self.port)
            with suppress(OSError):
                connection.request("GET", "/")
                connection.getresponse()
                return
            time.sleep(0.1)
        raise AssertionError("the shop does not answer")

    def stop(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait()
            self._server = None

    def _at_port(self, typed: str) -> str:
        return typed.replace(":5000", f":{self.port}")


def test_the_tutorial(tutorial: Tutorial) -> None:
    _install, prepare, serve, post, look = blocks("tutorial", "sh")
    token = tutorial.type(f"{prepare}echo $TOKEN").splitlines()[-1]
    assert serve == "flask --app shop run &\n"
    tutorial.serve()

    answer = tutorial.type(post, TOKEN=token)
    for line in blocks("tutorial", "text")[0].splitlines():
        # The order's id is another.
        assert line.split("/")[0] in answer
    location = re.findall(r"Location: (\S+)", answer)[0]
    again = tutorial.type(post, TOKEN=token)
    assert "Idempotent-Replayed: true" in again
    assert re.findall(r"Location: (\S+)", again) == [location]
    other = tutorial.type(re.sub(r'  -H "Idempotency-Key.*\n', "", post), TOKEN=token)
    assert "empty_cart" in other

    shown = tutorial.type(look, TOKEN=token)
    assert '"total_amount":"20.00"' in shown.replace(" ", "")
    assert shown.count("20.00") > 1, "the command prints it too"

    tutorial.stop()
    tutorial.add_the_rest()
    tutorial.serve()
    payment = {"order": location.split("/")[2], "reference": "pi_1", "amount": "20.00"}
    url, kind = "http://127.0.0.1:5000/paid/", "Content-Type: application/json"
    paid = f"curl -i -X POST {url} -H '{kind}' -d '{json.dumps(payment)}'"
    for _ in range(2):
        assert "204" in tutorial.type(paid)
    engine = sa.create_engine(f"sqlite:///{tutorial.folder}/instance/shop.sqlite3")
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT status, total_amount FROM orders")).all()
        payments = connection.execute(sa.text("SELECT count(*) FROM order_payments")).scalar_one()
    engine.dispose()
    assert [tuple(row) for row in rows] == [("paid", 200000)]
    assert payments == 1


@pytest.mark.parametrize("page", ["README", "reference/http"])
def test_the_request_of_the_docs(tutorial: Tutorial, page: str) -> None:
    """As it is there, with another host and token."""
    token = tutorial.type(f"{blocks('tutorial', 'sh')[1]}echo $TOKEN").splitlines()[-1]
    tutorial.serve()
    command = next(block for block in blocks(page, "sh") if block.startswith("curl"))
    assert json.loads(command.split("-d '")[1].split("'")[0]) == CHECKOUT
    command = command.replace("https://api.example.com", "http://127.0.0.1:5000")
    answer: Any = json.loads(tutorial.type(command.replace("YOUR_TOKEN", token)))
    assert answer["payment"].startswith("/pay/")


def test_the_readme_s_commands_are_run() -> None:
    """By `.ci/run`, which installs and tests, and by the tests of the demo and of `check`."""
    typed = [line for block in blocks("README", "sh") for line in block.splitlines()]
    rest = [line for line in typed if not re.match(r"\s|curl", line)]
    assert rest == [
        "pip install flask-orders",
        "flask db migrate && flask db upgrade",
        "flask orders check",
        'python3 -m venv .venv && .venv/bin/pip install -e ".[example]"',
        ".venv/bin/flask --app example_app demo",
        ".venv/bin/flask --app example_app run",
        'python3 -m venv .venv && .venv/bin/pip install -e ".[test]" && .venv/bin/pytest',
    ]
    assert "mkdocs serve" in page_text("README")
