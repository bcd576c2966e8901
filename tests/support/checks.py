"""Run `flask orders check`, and tell its findings from the mapping that it prints before them."""

from flask import Flask

# What the printed lines of the mapping begin with: one for each class, or its own problem.
LINES = ("product: ", "cart: ", "cart item: ")


def check(app: Flask) -> tuple[int, str]:
    """Return the exit code and the findings."""
    code, _, findings = check_with_mapping(app)
    return code, findings


def check_with_mapping(app: Flask) -> tuple[int, list[str], str]:
    """Return the exit code, the lines of the mapping, and the findings."""
    result = app.test_cli_runner().invoke(args=["orders", "check"], catch_exceptions=False)
    with app.app_context():
        app.extensions["sqlalchemy"].engine.dispose()
    lines = result.output.splitlines(keepends=True)
    mapping = [line.rstrip("\n") for line in lines if line.startswith(LINES)]
    return result.exit_code, mapping, "".join(each for each in lines if not each.startswith(LINES))
