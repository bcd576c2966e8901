"""The shop for gunicorn, on the database named in the environment."""

import os

from sqlalchemy.engine import make_url

from tests.support.shops import make_shop

from .stage import DATABASE

app = make_shop(make_url(os.environ[DATABASE]), create_tables=False).app
