"""Every kind of shop has a host or a test that shows its outcome, and a page or a reason.

The rows are those of the shapes that were found in real shops, in a few words each.
"""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from . import hosts

TESTS = Path(__file__).parent
SHOPS = TESTS.parent / "docs" / "shops"


@dataclass(frozen=True)
class Row:
    """A shape, the hosts that have it, the tests of its outcome, and its page of `docs/shops`."""

    shape: str
    hosts: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    page: str | None = None


ROWS = {
    1: Row("one cart each, other names, no SKU", ("one_cart_each",)),
    2: Row("several carts in turn", ("carts_in_turn", "carts_by_status"), page="carts-in-turn"),
    3: Row("no cart table, floats, forms", ("server_rendered",), page="server-rendered"),
    4: Row("variants without foreign keys, own vouchers", ("variants",), page="variants"),
    5: Row("an association table as cart", ("association",), page="no-cart-table"),
    6: Row("cart items in a bare table", ("bare_table",), page="no-cart-table"),
    7: Row("stock is quantity minus allocated", ("reserved_stock",), page="stock"),
    8: Row("stock is taken in the cart", ("taken_in_cart",), page="stock"),
    9: Row(
        "soft delete and tenants by criteria, siblings",
        ("tenants",),
        ("test_shops_tenants.py::test_a_command_expires_the_orders_of_every_bakery",),
        "tenants-and-soft-delete-criteria",
    ),
    10: Row("options and files of cart items", ("item_options",), page="options-and-counters"),
    11: Row("counters on the cart", ("counters",), page="options-and-counters"),
    12: Row("a cart in the session", ("session_cart",), page="session-carts"),
    13: Row("two open carts", tests=("test_shops_carts_in_turn.py::TestTwoOpenCarts",)),
    14: Row("a token of its own", ("gateway", "bare_table"), page="sign-in"),
    15: Row("logins and customers in two tables", ("two_tables",), page="sign-in"),
    16: Row(
        "keys of any type",
        ("public_ids",),
        (
            "test_shops_keys.py::test_an_order_with_a_key_of_any_type",
            "test_shops_keys.py::test_rows_are_found_by_the_unique_columns",
        ),
        "keys",
    ),
    17: Row("fields of its own", ("own_fields",), page="own-fields"),
    18: Row(
        "guests",
        tests=("test_shops_guests.py::test_a_visitor_without_a_customer_s_row_orders_nothing",),
        page="not-supported",
    ),
    19: Row(
        "orders of its own",
        ("reserved_stock",),
        ("test_own_orders_table.py::test_both_kinds_of_orders_side_by_side",),
        "moving-over",
    ),
    20: Row("items saved for later", ("saved_for_later",)),
    21: Row("a price by item", ("engravings",), page="own-prices-and-vouchers"),
    22: Row("stock by warehouse", ("warehouses",), page="stock"),
    23: Row("a sale price", ("sale_prices",), page="sale-prices"),
    24: Row("soft delete by hand", ("soft_delete", "soft_delete_query"), page="soft-delete"),
    25: Row(
        "several tables of products, JSON stock, a key of tenant and id",
        tests=("test_shops_refused.py::test_it_is_refused_when_it_is_declared",),
        page="not-supported",
    ),
    26: Row(
        "a base with columns of its own",
        ("reserved_stock",),
        ("test_base_classes.py::test_a_column_that_nothing_fills_is_refused",),
        "moving-over",
    ),
    27: Row(
        "joined inheritance",
        ("joined_inheritance",),
        ("test_shops_inheritance.py::test_an_item_is_deleted_from_all_its_tables",),
    ),
    28: Row(
        "a class on a join or a view",
        tests=(
            "test_shops_refused.py::test_it_is_refused_when_it_is_declared",
            "test_shops_refused.py::test_a_view_is_named_by_check",
        ),
        page="not-supported",
    ),
    29: Row(
        "declared anywhere, any number of times",
        ("reserved_stock", "factory"),
        (
            "test_declare_anywhere.py::test_an_order_wherever_the_models_were_declared",
            "test_looking_too_early.py::test_no_form_of_a_part_configures_a_mapper",
        ),
        "moving-over",
    ),
}

# The pages whose code is that of these files.
CODE = {
    "stock": ("reserved_stock", "taken_in_cart", "warehouses"),
    "tenants-and-soft-delete-criteria": ("tenants",),
    "keys": ("public_ids",),
    "moving-over": ("reserved_stock",),
    "not-supported": ("../test_shops_guests",),
}

# The hosts that are tested nowhere else for the lines that they take.
COUNTED = (
    *("reserved_stock", "taken_in_cart", "warehouses", "tenants", "joined_inheritance"),
    "public_ids",
)


def test_every_row_is_there() -> None:
    assert list(ROWS) == list(range(1, 30))
    assert [number for number, row in ROWS.items() if not row.hosts + row.tests] == []


@pytest.mark.parametrize("number", ROWS)
def test_its_hosts_tests_and_page_exist(number: int) -> None:
    row = ROWS[number]
    assert set(row.hosts) <= set(hosts.NAMES)
    for test in row.tests:
        file, name = test.split("::")
        assert name in defined(file)
    if row.page is not None:
        assert (SHOPS / f"{row.page}.md").exists()


@pytest.mark.parametrize("name", COUNTED)
def test_it_takes_twenty_lines_and_eight_parts_at_most(name: str) -> None:
    assert hosts.added_lines(name) <= 20
    assert hosts.parts(name) <= 8
    assert hosts.changed_classes(name) == set()


@pytest.mark.parametrize("page", CODE)
def test_the_code_of_a_page_is_that_of_a_shop(page: str) -> None:
    files = [TESTS / "hosts" / f"{name}.py" for name in CODE[page]]
    lines = {
        line.removesuffix(hosts.MARK).strip()
        for file in files
        for line in file.read_text().splitlines()
    }
    text = (SHOPS / f"{page}.md").read_text()
    blocks = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    shown = [line.strip() for block in blocks for line in block.splitlines() if line.strip()]
    assert shown
    assert [line for line in shown if line not in lines] == []


def test_a_page_is_sixty_lines_at_most() -> None:
    assert [
        page.name for page in SHOPS.glob("*.md") if len(page.read_text().splitlines()) > 60
    ] == []


@cache
def defined(file: str) -> set[str]:
    """Return the names of a module's tests and classes."""
    nodes = ast.walk(ast.parse((TESTS / file).read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
