"""The pages whose Python is that of shops that are tested, line by line."""

import pytest

from . import hosts
from .support.docs import EXAMPLE, HOSTS, ROOT, TESTS, python_lines

# Whose shops are about something else than the mapping.
WITHOUT_MAPPING = {"shops/own-prices-and-vouchers", "shops/sign-in"}


@pytest.mark.parametrize("page", HOSTS)
def test_its_code_is_a_shop_s(page: str) -> None:
    lines = {line for name in HOSTS[page] for line in hosts.lines(name)}
    assert [line for line in python_lines(page) if line not in lines] == []


@pytest.mark.parametrize("page", [page for page in HOSTS if page not in WITHOUT_MAPPING])
def test_the_first_shop_s_mapping_is_there_in_full(page: str) -> None:
    code = python_lines(page)
    assert [line for line in hosts.mapping(HOSTS[page][0]) if line not in code] == []


@pytest.mark.parametrize("page", EXAMPLE)
def test_its_code_is_the_example_s(page: str) -> None:
    assert missing(page, lines_below("example_app")) == []


@pytest.mark.parametrize("page", TESTS)
def test_its_code_is_the_tests(page: str) -> None:
    assert missing(page, lines_below("tests")) == []


def missing(page: str, lines: set[str]) -> list[str]:
    code = python_lines(page)
    assert code
    return [line for line in code if line not in lines and not line.startswith("#")]


def lines_below(folder: str) -> set[str]:
    return {
        line.strip().removesuffix(hosts.MARK).rstrip()
        for path in ROOT.joinpath(folder).rglob("*.py")
        for line in path.read_text().splitlines()
    }


def test_the_form_s_key_is_the_shop_s() -> None:
    """The HTML too."""
    field = '<input type="hidden" name="key" value="{{ request.form.key or number }}">'
    assert field in ROOT.joinpath("docs/shops/server-rendered.md").read_text()
    assert any(field in path.read_text() for path in ROOT.joinpath("tests/hosts").rglob("*.py"))
