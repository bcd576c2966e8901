"""Stop a request before any of its statements, while something else runs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

# Seconds: a request that has not gone on by then waits for a lock of the other.
BLOCKED = 0.05
TOO_LONG = 30


class Paced:
    """A request in a thread, which stops before one of its statements until `go_on`."""

    def __init__(self, call: Callable[[], Any], pause_at: int) -> None:
        self._call = call
        self._pause_at = pause_at
        self._count = 0
        self._go_on = threading.Event()
        self.was_paused = False
        self.stopped = threading.Event()
        self.answer: Any = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.answer = self._call()
        self.stopped.set()

    def step(self) -> None:
        self._count += 1
        if self._count == self._pause_at:
            self.was_paused = True
            self.stopped.set()
            self._go_on.wait(TOO_LONG)

    def start(self) -> None:
        self.thread.start()
        self.stopped.wait(BLOCKED)

    def go_on(self) -> None:
        self._go_on.set()
        self.thread.join(BLOCKED)


@contextmanager
def paced(engine: sa.Engine, *requests: Paced) -> Iterator[None]:
    """Report each statement of the requests to them before it is sent, COMMIT included."""

    def on_statement(*_event: Any) -> None:
        for request in requests:
            if request.thread is threading.current_thread():
                request.step()

    event.listen(engine, "before_cursor_execute", on_statement)
    event.listen(engine, "commit", on_statement)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", on_statement)
        event.remove(engine, "commit", on_statement)


def change_meanwhile(engine: sa.Engine, request: Paced, change: Callable[[], object]) -> None:
    """Stop the request, make the change unless a lock prevents it, and let both end."""
    with paced(engine, request):
        request.start()
        request.stopped.wait(TOO_LONG)
        changer = threading.Thread(target=change)
        changer.start()
        changer.join(BLOCKED)
        request.go_on()
        request.thread.join(TOO_LONG)
        changer.join(TOO_LONG)
    assert request.answer is not None
