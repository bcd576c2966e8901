"""A web server whose worker is killed at every line of its standard input.

`python -m tests.support.worker DATABASE_URL WRITER`: prints its port, and after each kill a line.
The socket outlives the workers, as it does under any process manager: clients whose worker is
killed see a connection that is reset, and can connect again.
"""

import os
import signal
import socket
import sys
from contextlib import nullcontext
from typing import NoReturn

from flask import Flask
from sqlalchemy.engine import make_url
from werkzeug.serving import make_server

from .shops import make_shop
from .writers import stepwise


def serve(listening: socket.socket, app: Flask) -> NoReturn:
    host, port = listening.getsockname()
    make_server(host, port, app, threaded=True, fd=listening.fileno()).serve_forever()
    os._exit(0)


def start(listening: socket.socket, app: Flask) -> int:
    worker = os.fork()
    if worker == 0:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the life of the process
        serve(listening, app)
    return worker


def main(url: str, writer: str) -> None:
    # Made before it is forked, so that the next worker is ready immediately; it has no connection.
    app = make_shop(make_url(url), create_tables=False).app
    with socket.socket() as listening, stepwise() if writer == "stepwise" else nullcontext():
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        print(listening.getsockname()[1], flush=True)
        worker = start(listening, app)
        for _ in sys.stdin:
            os.kill(worker, signal.SIGKILL)
            os.waitpid(worker, 0)
            worker = start(listening, app)
            print("killed", flush=True)
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
