"""The pages as a site: built without a warning, and read in a browser without a network."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from flask import Flask, Response, send_from_directory
from playwright.sync_api import Route, expect

from .support.chromium import chromium
from .support.commands import run
from .support.docs import ROOT, installed
from .support.servers import required
from .support.serving import served

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the site, on this machine."""
    site = tmp_path_factory.mktemp("site")
    with required(installed("docs", "mkdocs")):
        run(["mkdocs", "build", "--strict", "--site-dir", site], ROOT)
    app = Flask("site", static_folder=None)

    @app.get("/", defaults={"path": ""})
    @app.get("/<path:path>")
    def page(path: str) -> Response:
        is_folder = path.endswith("/") or not path
        return send_from_directory(site, f"{path}index.html" if is_folder else path)

    with served(app) as url:
        yield url


def test_the_search_needs_no_other_host(url: str) -> None:
    """Neither do the pages: no font, picture, script or figure is another site's."""
    asked = []

    def refuse_others(route: Route) -> None:
        asked.append(route.request.url)
        if urlsplit(route.request.url).hostname == "127.0.0.1":
            route.continue_()
        else:
            route.abort()

    with required(chromium("docs")) as browser:
        page = browser.new_page()
        page.route("**/*", refuse_others)
        page.goto(url)
        page.get_by_role("textbox", name="Search").first.click()
        # Before, its index is read, and what is typed is lost.
        expect(page.locator(".md-search-result__meta")).to_have_text("Type to start searching")
        page.keyboard.type("largest remainder")
        # The words are on that page alone; the page that links to it may come first.
        page.locator("article h1").get_by_text("Money", exact=True).click()
        expect(page).to_have_title("Money - flask_orders")
    assert [address for address in asked if not address.startswith(url)] == []
