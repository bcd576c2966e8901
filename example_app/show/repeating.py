"""Send the current request again, in this process or in a worker that is killed."""

import json
import os
import signal
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from flask import Flask, current_app, request
from werkzeug.wrappers import Response

# In the environ of a request that a trick sends: it is not recorded, and no trick is played on it.
INNER = "example_app.show.inner"

WORKER = "example_app.show.killed_worker"

# Seconds until a worker has started, ordered and been killed.
LONGEST = 60


def environ_of_request() -> dict[str, Any]:
    """Return the environ of the current request, without its body."""
    environ = {name: value for name, value in request.environ.items() if isinstance(value, str)}
    return {**environ, "wsgi.url_scheme": request.scheme, INNER: "yes"}


def answer(app: Flask, environ: dict[str, Any], body: bytes) -> Response:
    """Return the app's response."""
    streams = {"wsgi.input": BytesIO(body), "wsgi.errors": sys.stderr}
    return Response.from_app(app.wsgi_app, {**environ, **streams}, buffered=True)


def is_killed_while_answering() -> bool:
    """Let a new process handle the current request, which kills itself after its COMMIT.

    Returns False if it was not killed: it ordered nothing.
    """
    url = current_app.config["SQLALCHEMY_DATABASE_URI"]
    worker = subprocess.run(  # noqa: S603 # nothing of the request is in the command
        [sys.executable, "-m", WORKER, current_app.instance_path],
        input=json.dumps([environ_of_request(), request.get_data(as_text=True)]).encode(),
        cwd=Path(__file__).parents[2],
        env={**os.environ, "DATABASE_URL": url.render_as_string(hide_password=False)},
        capture_output=True,
        timeout=LONGEST,
        check=False,
    )
    return worker.returncode == -signal.SIGKILL
