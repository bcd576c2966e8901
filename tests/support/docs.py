"""The code in the README and in the pages of `docs/`, and how it is tested."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .servers import Missing, refuse_unwanted

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

# Pages of which each block is executed.
RUN = (
    *("README", "index", "cors", "events", "lifecycle", "own-code", "reference/tables"),
    *("shops/row-level-security", "testing", "tutorial", "writing-with-the-order"),
    *("databases/mysql-and-mariadb", "databases/pgbouncer", "databases/postgresql"),
    "databases/postgresql-failover",
)

# Pages whose lines of Python are those of shops in `tests/hosts`.
HOSTS = {
    "shops/carts-in-turn": ("carts_in_turn", "carts_by_status"),
    "shops/no-cart-table": ("association", "server_rendered", "bare_table"),
    "shops/options-and-counters": ("item_options", "counters"),
    "shops/own-fields": ("own_fields",),
    "shops/own-prices-and-vouchers": ("variants", "engravings"),
    "shops/sale-prices": ("sale_prices",),
    "shops/server-rendered": ("server_rendered",),
    "shops/session-carts": ("session_cart",),
    "shops/sign-in": ("bare_table", "gateway"),
    "shops/soft-delete": ("soft_delete", "soft_delete_query"),
    "shops/variants": ("variants",),
}

# Pages whose lines of Python are those of the example shop.
EXAMPLE = ("admin", "monitoring", "taking-payments")

# Pages whose lines of Python are lines of the tests.
TESTS = (
    "own-models",
    *(f"shops/{name}" for name in ("keys", "moving-over", "not-supported", "stock")),
    "shops/tenants-and-soft-delete-criteria",
)


def page_text(page: str) -> str:
    """Return a page's text; the page "README" is not in `docs`."""
    path = ROOT / "README.md" if page == "README" else DOCS / f"{page}.md"
    return path.read_text()


def blocks(page: str, language: str = "python") -> list[str]:
    """Return the code blocks of a language, in their order."""
    return re.findall(rf"(?ms)^```{language}\b[^\n]*\n(.*?)^```$", page_text(page))


def python_lines(page: str) -> list[str]:
    """Return the lines of Python in a page, without their indentation."""
    return [line.strip() for block in blocks(page) for line in block.splitlines() if line.strip()]


def run(page: str, names: dict[str, Any], numbers: Sequence[int] = (0,)) -> dict[str, Any]:
    """Execute blocks of a page with these names; return all names afterwards."""
    found = blocks(page)
    namespace = {"__name__": __name__, **names}
    for number in numbers:
        exec(compile(found[number], f"docs/{page}.md", "exec"), namespace)
    return namespace


@contextmanager
def installed(extra: str, *modules: str) -> Iterator[None]:
    """Require modules of an extra, for tests that ORDERS_TEST_SERVERS calls "docs"."""
    refuse_unwanted("docs")
    for name in modules:
        if find_spec(name) is None:
            raise Missing(f'no {name}: pip install -e ".[{extra}]"')
    yield


def pages() -> list[str]:
    """Return the name of every page, and the README."""
    found = [str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md")]
    return ["README", *sorted(found)]
