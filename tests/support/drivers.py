"""The drivers, each on a server that it is for: SQLAlchemy's name and the package to install."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

from sqlalchemy.engine import URL

from . import servers


@dataclass(frozen=True)
class Driver:
    """A driver on one of the servers in `servers.SERVERS`."""

    server: str
    name: str
    module: str
    install: str

    @contextmanager
    def url(self) -> Iterator[URL]:
        """Yield the URL of the server, by this driver.

        Raises:
            Missing: the driver is not installed, or the server is missing.
        """
        servers.refuse_unwanted(self.server)
        if find_spec(self.module) is None:
            raise servers.Missing(f"no {self.install}: pip install {self.install}")
        with servers.server(self.server) as url:
            yield url.set(drivername=self.name)


# `mysqlclient` is compiled: it needs a C compiler, and on Debian the package libmariadb-dev.
DRIVERS = {
    "psycopg": Driver("postgresql", "postgresql+psycopg", "psycopg", "psycopg"),
    "psycopg2": Driver("postgresql", "postgresql+psycopg2", "psycopg2", "psycopg2-binary"),
    "pymysql-mysql": Driver("mysql", "mysql+pymysql", "pymysql", "PyMySQL"),
    "mysqlclient-mysql": Driver("mysql", "mysql+mysqldb", "MySQLdb", "mysqlclient"),
    "mysql-connector": Driver("mysql", "mysql+mysqlconnector", "mysql", "mysql-connector-python"),
    "pymysql-mariadb": Driver("mariadb", "mysql+pymysql", "pymysql", "PyMySQL"),
    "mysqlclient-mariadb": Driver("mariadb", "mysql+mysqldb", "MySQLdb", "mysqlclient"),
}
# The whole test suite runs by the others.
RARER = ("psycopg2", "mysqlclient-mysql", "mysql-connector", "mysqlclient-mariadb")
