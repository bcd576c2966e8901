"""The shop as a process manager imports it.

`gunicorn tests.support.crowded:app`, with the database's URL in ORDERS_TEST_CROWDED.
"""

import os

from sqlalchemy.engine import make_url

from .shops import make_shop

app = make_shop(make_url(os.environ["ORDERS_TEST_CROWDED"]), create_tables=False).app
