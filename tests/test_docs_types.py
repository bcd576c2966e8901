"""The Python in the README and in `docs/` is typed: by mypy --strict, and by pyright.

The lines of the shops in `tests/hosts`, of the example shop and of the tests are checked where they
are. Here every other page is a module, below the names that its reader's shop has.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .support.commands import run
from .support.docs import ROOT, RUN, blocks, installed
from .support.servers import required

pytestmark = pytest.mark.server

# A page that begins with nothing.
WHOLE = "tutorial"

SHOP = """
from flask import Flask
from flask_jwt_extended import JWTManager
from flask_sqlalchemy import SQLAlchemy

app, db, jwt = Flask(__name__), SQLAlchemy(), JWTManager()
"""

ORM = """
from decimal import Decimal
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, Numeric, String
from sqlalchemy.orm import Mapped, mapped_column, relationship
"""

CLASSES = """
from flask_orders.models import OrderItemMixin, OrderMixin

class Customer(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    is_verified: Mapped[bool]
    points: Mapped[int]

class Order(OrderMixin, db.Model):
    gift_note: Mapped[str | None]

class OrderItem(OrderItemMixin, db.Model):
    engraving: Mapped[str | None]

class Invoice(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey(Order.id))

class Cart(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    total_items: Mapped[int]
    customer: Mapped[Customer] = relationship()

class CartItem(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    engraving: Mapped[str | None]

class Product(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
"""

# What the lines of a page take from the shop besides.
NAMES = {
    "README": ORM + blocks("own-models", "python before")[0],
    "databases/postgresql": f"""{ORM}{CLASSES}
from flask import render_template
from sqlalchemy import select
""",
    "events": """
from typing import Any

class Celery:
    def send_task(self, name: str, args: list[dict[str, Any]], task_id: str) -> None: ...

celery = Celery()
""",
    "lifecycle": f"""{ORM}
order_id, other_id, amount = uuid4(), uuid4(), Decimal("19.00")
""",
    "own-code": f"""{ORM}{CLASSES}
from flask import Blueprint
from flask_login import current_user

shop, user = Blueprint("shop", __name__), Customer()
""",
    "testing": """
CHECKOUT = {"action": "checkout"}
""",
    "writing-with-the-order": ORM + CLASSES,
}

# The classes of `db.Model`, which is made at run time, take their columns as keywords.
PYRIGHT = {"reportAttributeAccessIssue": False, "reportCallIssue": False}
MYPY = ("--disable-error-code", "name-defined", "--allow-subclassing-any")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A module for each page."""
    with required(installed("dev", "mypy", "pyright")):
        folder = tmp_path_factory.mktemp("pages")
        for page in RUN:
            before = [] if page == WHOLE else [SHOP, NAMES.get(page, "")]
            name = page.replace("/", "_").replace("-", "_")
            folder.joinpath(f"{name}.py").write_text("\n".join([*before, *blocks(page)]))
        yield folder


def test_it_is_strict_to_mypy(folder: Path) -> None:
    # By the configuration, which says what has no types; an editable install has a path of its own.
    options = ("--config-file", ROOT / "pyproject.toml", "--cache-dir", folder / "cache")
    modules = sorted(folder.glob("*.py"))
    checked = run(["mypy", *options, *MYPY, *modules], folder, MYPYPATH=str(ROOT))
    assert f"no issues found in {len(RUN)} source files" in checked


def test_it_is_right_to_pyright(folder: Path) -> None:
    project = {"include": ["."], "extraPaths": [str(ROOT)], "pythonVersion": "3.11", **PYRIGHT}
    folder.joinpath("pyrightconfig.json").write_text(json.dumps(project))
    assert "0 errors, 0 warnings" in run(["pyright"], folder)
