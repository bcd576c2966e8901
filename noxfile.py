"""The checks of a change, one by one: `nox -s quick`; `.ci/run` does all of them."""

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["quick", "lint", "types"]

CORE = ("-m", "core and not server")
AT_ONCE = ("-q", "-n", "auto", "--dist", "loadfile")


@nox.session(python="3.11")
def quick(session: nox.Session) -> None:
    """Run the core of the tests, on SQLite."""
    session.install("-e", ".[test]")
    session.run("pytest", *AT_ONCE, *CORE, *session.posargs)


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Run the tests that need no server but PostgreSQL."""
    session.install("-e", ".[test]")
    session.run("pytest", *AT_ONCE, "-m", "not server", *session.posargs)


@nox.session(python="3.11")
def full(session: nox.Session) -> None:
    """Run all tests for which a server is there."""
    session.install("-e", ".[test,mysqlclient]")
    session.run("pytest", *session.posargs)


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """Run the core of the tests, on the lowest versions of all dependencies."""
    session.run_install(
        *("uv", "pip", "install", "--resolution", "lowest-direct", "-e", ".[test]"),
        external=True,
        env={"VIRTUAL_ENV": session.virtualenv.location},
    )
    session.run("pytest", *AT_ONCE, *CORE, *session.posargs)


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """Check the style."""
    session.install("ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python="3.11")
def types(session: nox.Session) -> None:
    """Check the types, and that every public name has one."""
    # Not editable: --verifytypes reads what is installed.
    session.install(".[dev]")
    session.run("mypy")
    session.run("pyright")
    with session.chdir(session.create_tmp()):
        session.run("pyright", "--verifytypes", "flask_orders", "--ignoreexternal")


@nox.session(python="3.11")
def docs(session: nox.Session) -> None:
    """Build the pages; a warning is an error."""
    session.install("-e", ".[docs]")
    session.run("mkdocs", "build", "--strict", "--site-dir", session.create_tmp())
