"""What just happened: a drawer beside each page, with buttons that try to break the order.

For show only: nothing else imports this package, and a real shop leaves it out. It shows the last
request and response as curl and JSON, and the rows that changed. What it remembers is in the memory
of one process.
"""

from flask import Flask

from .recording import record
from .tricks import break_commits
from .views import show


def add_show(app: Flask) -> None:
    """Add the drawer to the shop's pages; the shop's database has to be open by then."""
    app.register_blueprint(show)
    break_commits(app)
    record(app)
