"""Whole small shops, each as its owner wrote it, with the lines that flask_orders added marked.

Each shop is executed anew for each driver that loads it, so that it has an app, a `db` and classes
of its own, and the shop as it was before can run beside it.
"""

import ast
import itertools
import sys
import weakref
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType

MARK = "# + flask_orders"
# Each shop whose driver is a module of `driving/`, and those that drivers.py drives.
NAMES = (
    *("classic", "uuid_keys", "rich", "factory"),
    *sorted(path.stem for path in Path(__file__).with_name("driving").glob("[a-z]*.py")),
)
# The calls whose arguments are parts.
MAPPINGS = ("product", "cart", "cart_item")

_numbers = itertools.count()


def load(
    name: str, *, installed: bool = True, replacing: Mapping[str, str] | None = None
) -> ModuleType:
    """The shop as a module of its own.

    Args:
        installed: False leaves the marked lines out.
        replacing: texts of it that a mistake has replaced by others.
    """
    path = _path(name)
    lines = path.read_text().splitlines(keepends=True)
    source = "".join(line for line in lines if installed or not _is_marked(line))
    for text, other in (replacing or {}).items():
        assert text in source
        source = source.replace(text, other)
    module = ModuleType(f"{__name__}.{name}_{next(_numbers)}")
    module.__file__ = str(path)
    # SQLAlchemy and Flask look up by its name the module in which a class or an app is made.
    sys.modules[module.__name__] = module
    exec(compile(source, path, "exec"), module.__dict__)
    return module


class Kept:
    """Keeps a loaded shop among Python's modules; without it the shop can be freed."""

    def __init__(self, module: ModuleType) -> None:
        weakref.finalize(self, sys.modules.pop, module.__name__, None)


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


def changed_classes(name: str) -> set[str]:
    """The shop's own classes in which a line is marked."""
    source = _path(name).read_text()
    marked = {n for n, line in enumerate(source.splitlines(), start=1) if _is_marked(line)}
    return {
        node.name
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.lineno not in marked
        if marked & _lines_of(source, (node.name,))
    }


def lines(name: str) -> list[str]:
    """The lines of the shop, without their marks."""
    source = _path(name).read_text().splitlines()
    return [
        line.rstrip().removesuffix(MARK).rstrip().removesuffix("# fmt: skip").strip()
        for line in source
    ]


def mapping(name: str) -> list[str]:
    """The lines of the shop's call of `declare_models`."""
    call = _declaring(name)
    return lines(name)[call.lineno - 1 : call.end_lineno]


def parts(name: str) -> int:
    """How many parts the shop says in its one call of `declare_models`."""
    mapped = [call for call in ast.walk(_declaring(name)) if _called(call) in MAPPINGS]
    return sum(len(call.keywords) for call in mapped if isinstance(call, ast.Call))


def _declaring(name: str) -> ast.Call:
    tree = ast.parse(_path(name).read_text())
    (call,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _called(node) == "declare_models"
    ]
    return call


def _called(node: ast.AST) -> str | None:
    """The last name of what is called: `product` of `fo.mapping.product(...)`."""
    if not isinstance(node, ast.Call):
        return None
    return getattr(node.func, "attr", getattr(node.func, "id", None))


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
