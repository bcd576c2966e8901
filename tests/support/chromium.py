"""A real browser: Debian's Chromium, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from .servers import Missing, refuse_unwanted


@contextmanager
def chromium(wanted: str) -> Iterator[Browser]:
    """Start it, where ORDERS_TEST_SERVERS names what the tests in it are about."""
    refuse_unwanted(wanted)
    path = shutil.which("chromium")
    if path is None:
        raise Missing("no Chromium: install chromium (Debian)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
