"""A web server whose worker is killed at every line of its standard input; run by test_kills.py.

`python -m tests.worker DATABASE_URL`: prints its port, and after each kill a line. The socket
outlives the workers, as it does under any process manager: clients whose worker is killed see a
connection that is reset, and can connect again.
"""

import os
import signal
import socket
import sys
from typing import NoReturn

from sqlalchemy.engine import make_url
from werkzeug.serving import make_server

from .shops import make_shop


def serve(listening: socket.socket, url: str) -> NoReturn:
    shop = make_shop(make_url(url), create_tables=False)
    host, port = listening.getsockname()
    make_server(host, port, shop.app, threaded=True, fd=listening.fileno()).serve_forever()
    os._exit(0)


def start(listening: socket.socket, url: str) -> int:
    worker = os.fork()
    if worker == 0:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the life of the process
        serve(listening, url)
    return worker


def main(url: str) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        print(listening.getsockname()[1], flush=True)
        worker = start(listening, url)
        for _ in sys.stdin:
            os.kill(worker, signal.SIGKILL)
            os.waitpid(worker, 0)
            worker = start(listening, url)
            print("killed", flush=True)
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)


if __name__ == "__main__":
    main(sys.argv[1])
