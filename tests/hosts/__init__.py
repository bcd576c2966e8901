"""Whole small shops, each as its owner wrote it, with the lines that flask_orders added marked.

Each shop is executed anew for each test that loads it, so that every test has
an app, a `db` and classes of its own, and the shop as it was before can run beside it.
"""

import ast
import itertools
import sys
from collections.abc import Collection
from pathlib import Path
from types import ModuleType

MARK = "# + flask_orders"
# Each shop whose driver is a module of `driving/`, and those that drivers.py drives.
NAMES = (
    *("classic", "uuid_keys", "rich", "factory"),
    *sorted(path.stem for path in Path(__file__).with_name("driving").glob("[a-z]*.py")),
)

_numbers = itertools.count()


def load(name: str, *, installed: bool = True) -> ModuleType:
    """The shop as a module of its own; not `installed`, without the marked lines."""
    path = _path(name)
    lines = path.read_text().splitlines(keepends=True)
    source = "".join(line for line in lines if installed or not _is_marked(line))
    module = ModuleType(f"{__name__}.{name}_{next(_numbers)}")
    module.__file__ = str(path)
    # SQLAlchemy and Flask look up by its name the module in which a class or an app is made.
    sys.modules[module.__name__] = module
    exec(compile(source, path, "exec"), module.__dict__)
    return module


def added_lines(name: str, *, within: Collection[str] = ()) -> int:
    """How many lines it has cost the shop to install flask_orders.

    With `within`, only those of the classes and functions of these names.
    """
    source = _path(name).read_text()
    return sum(
        _is_marked(line)
        for number, line in enumerate(source.splitlines(), start=1)
        if not within or number in _lines_of(source, within)
    )


def parts(name: str) -> int:
    """How many parts the shop says: the arguments of its `mapping.product`, `cart`, `cart_item`."""
    calls = [node for node in ast.walk(_declaring(name)) if isinstance(node, ast.Call)]
    mappings = ("mapping.product", "mapping.cart", "mapping.cart_item")
    return sum(len(call.keywords) for call in calls if ast.unparse(call.func) in mappings)


def lines(name: str) -> list[str]:
    """The lines of the shop, without their marks."""
    source = _path(name).read_text().splitlines()
    return [line.rstrip().removesuffix(MARK).strip() for line in source]


def mapping(name: str) -> list[str]:
    """The lines of the shop's call of `declare_models`."""
    call = _declaring(name)
    return lines(name)[call.lineno - 1 : call.end_lineno]


def _declaring(name: str) -> ast.Call:
    nodes = ast.walk(ast.parse(_path(name).read_text()))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    (found,) = [call for call in calls if ast.unparse(call.func) == "declare_models"]
    return found


def _lines_of(source: str, names: Collection[str]) -> set[int]:
    """The numbers of the lines of these classes and functions."""
    return {
        number
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name in names
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def _is_marked(line: str) -> bool:
    return line.rstrip().endswith(MARK)


def _path(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.py")
