"""What the shops have in common whose customers sign in with a browser, by cookies."""

import re
from collections.abc import Mapping
from typing import Any

from flask.testing import FlaskClient

from ..drivers import PASSWORD, Buyer, Driver


class BrowserDriver(Driver):
    """A shop whose customers register and sign in by forms, with CSRF tokens in them."""

    REGISTER = "/register"
    SIGN_IN = "/sign-in"

    def signed_in(self) -> tuple[FlaskClient, str]:
        """Sign a new customer up and in; return the browser, and the customer's e-mail."""
        browser = self.app.test_client()
        form = {"email": f"c{self.number()}@example.com", "password": PASSWORD}
        for page in (self.REGISTER, self.SIGN_IN):
            assert submit(browser, page, form).status_code == 302
        return browser, form["email"]

    def browser(self, buyer: Buyer) -> FlaskClient:
        """Return a browser with the customer's cookies."""
        browser = self.app.test_client()
        for name, value in buyer.cookies.items():
            browser.set_cookie(name, value)
        return browser


def cookies_of(browser: FlaskClient, *names: str) -> dict[str, str]:
    found = {name: browser.get_cookie(name) for name in names}
    return {name: cookie.value for name, cookie in found.items() if cookie is not None}


def token_in(page: str) -> str:
    """Return the CSRF token in a form."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


def submit(browser: FlaskClient, path: str, form: Mapping[str, Any], page: str = "") -> Any:
    """Fill in the form on a page, and submit it to the path."""
    token = token_in(browser.get(page or path).text)
    return browser.post(path, data={**form, "csrf_token": token})
