"""The reference is what the code says, and every link in the docs leads somewhere."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from .support.commands import run
from .support.docs import DOCS, ROOT, page_text, pages

# A file or folder of this project in code.
NAMED = r"`((?:flask_orders|example_app|tests|docs|benchmarks)/[\w./-]+)`"

REFERENCE = [page for page in pages() if "<!-- generated: " in page_text(page)]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as they are written now: by a process that knows no errors of other tests."""
    folder = tmp_path_factory.mktemp("pages") / "docs"
    shutil.copytree(DOCS, folder)
    run([sys.executable, "reference/generated.py"], folder)
    return folder


@pytest.mark.parametrize("page", REFERENCE)
def test_it_is_as_generated(generated: Path, page: str) -> None:
    """Run `python docs/reference/generated.py` after a change."""
    assert page_text(page) == generated.joinpath(f"{page}.md").read_text()


def test_every_part_is_on_a_page() -> None:
    text = "".join(map(page_text, REFERENCE))
    parts = re.findall(r'(?m)^    "(\w+)": \w+,$', (DOCS / "reference/generated.py").read_text())
    assert sorted(re.findall(r"<!-- generated: (\w+) -->", text)) == sorted(parts) != []


@pytest.mark.parametrize("page", pages())
def test_every_link_leads_somewhere(page: str) -> None:
    folder = ROOT if page == "README" else (DOCS / page).parent
    links = re.findall(r"\]\(([^)#\s]+)(#[^)]*)?\)", page_text(page))
    paths = [folder / path for path, _anchor in links if not path.startswith("https://")]
    assert [str(path) for path in paths if not path.exists()] == []


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"([\w/-]+)\.md$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert listed == set(pages()) - {"README"}


def test_the_readme_is_short() -> None:
    assert len(page_text("README").splitlines()) <= 150


def test_the_glossary_has_each_word_once() -> None:
    words = re.findall(r"(?m)^\| ([^|]+) \|", page_text("glossary"))[2:]
    assert len(words) == len(set(words)) > 10


def test_no_page_names_a_path_that_is_gone() -> None:
    """Files and folders of this project that a page names in code."""
    named = {path for page in pages() for path in re.findall(NAMED, page_text(page))}
    assert [path for path in sorted(named) if not Path(ROOT, path).exists()] == []
