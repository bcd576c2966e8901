"""A real browser: Debian's Chromium, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from .servers import Missing, refuse_unwanted


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start it, where the tests on SQLite are wanted."""
    refuse_unwanted("sqlite")
    path = shutil.which("chromium")
    if path is None:
        raise Missing("no Chromium: install chromium (Debian)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
