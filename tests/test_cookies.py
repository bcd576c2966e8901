"""A customer known by a cookie: another site's page can't order or cancel in that name."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from flask_wtf import CSRFProtect
from flask_wtf.csrf import generate_csrf
from sqlalchemy.engine import URL

from flask_orders import orders_bp

from .support.checks import check
from .support.database import nothing_changed
from .support.logins import CONFIG, WELL, login_shop, signed_in
from .support.people import close
from .support.requests import CALLS, NO_ORDER, ORDERS, SAVE
from .support.responses import body, refused
from .support.shops import Shop


def wrong_types() -> list[dict[str, Any]]:
    """What another site's page may send with a customer's cookie, without asking first."""
    text = '{"action": "save_order"}'
    return [
        {"data": {"action": "save_order"}},
        {"data": {"action": "save_order", "file": (io.BytesIO(b"x"), "x.json")}},
        {"data": text, "content_type": "text/plain"},
        {"data": text, "content_type": "text/plain; charset=utf-8; x=application/json"},
        {"data": text, "content_type": "application/x-www-form-urlencoded"},
        {"data": text},
        {},
    ]


def test_a_cookie_s_post_must_be_json(database: URL) -> None:
    """Also where no body is read: another site's form can cancel nothing."""
    shop = login_shop(database)
    client = signed_in(shop, 1)
    order = client.post(ORDERS, json=SAVE).headers["Location"]
    with nothing_changed(shop):
        for url in (ORDERS, f"{order}checkout/", f"{order}cancel/", NO_ORDER + "cancel/"):
            for options in wrong_types():
                refused(client.post(url, **options), 415, "unsupported_media_type")
            for options in wrong_types():
                refused(shop.app.test_client().post(url, **options), 401, "unauthorized")
    for kind in ("application/json", "application/json; charset=utf-8", "application/x+json"):
        assert client.post(f"{order}cancel/", content_type=kind).status_code == 200
    close(shop)


def test_a_browser_s_question_before_a_post_needs_no_customer(sqlite_file: URL) -> None:
    """A preflight (CORS) is sent without cookies; the shop's own extension answers it."""
    shop = login_shop(sqlite_file)
    with nothing_changed(shop):
        for _method, url in CALLS:
            answer = shop.app.test_client().options(url)
            assert (answer.status_code, answer.text) == (200, "")
            assert "Access-Control-Allow-Origin" not in answer.headers
    close(shop)


def csrf_shop(url: URL, arrange: Callable[[CSRFProtect], Any], **config: Any) -> Shop:
    shop = login_shop(url, config={**CONFIG, **config})
    csrf = CSRFProtect(shop.app)
    csrf.exempt(shop.app.view_functions["login"])
    arrange(csrf)
    shop.app.add_url_rule("/csrf", "csrf", generate_csrf)
    return shop


def test_csrf_protection_on_demands_its_token_in_a_header(sqlite_file: URL) -> None:
    """A check is content: this is right for a cookie, and it says what else there is."""
    shop = csrf_shop(sqlite_file, lambda csrf: None)
    client = signed_in(shop, 1)
    with nothing_changed(shop):
        for url in (ORDERS, f"{NO_ORDER}checkout/", f"{NO_ORDER}cancel/"):
            answer = client.post(url, json=SAVE)
            assert (answer.status_code, body(answer)["code"]) == (400, "bad_request")
            assert "CSRF token is missing" in body(answer)["detail"]
    headers = {"X-CSRFToken": client.get("/csrf").text}
    assert client.post(ORDERS, json=SAVE, headers=headers).status_code == 201
    assert client.post(ORDERS, data=SAVE, headers=headers).status_code == 415
    code, output = check(shop.app)
    assert (code, output.count("\n")) == (0, 2), output
    assert "Note: CSRFProtect demands its token in the header X-CSRFToken" in output
    close(shop)


@pytest.mark.parametrize(
    ("arrange", "config"),
    [
        (lambda csrf: csrf.exempt(orders_bp), {}),
        (lambda csrf: None, {"WTF_CSRF_ENABLED": False}),
    ],
)
def test_csrf_protection_off_leaves_json_only(
    sqlite_file: URL, arrange: Callable[[CSRFProtect], Any], config: dict[str, Any]
) -> None:
    shop = csrf_shop(sqlite_file, arrange, **config)
    client = signed_in(shop, 1)
    with nothing_changed(shop):
        for options in wrong_types():
            assert client.post(ORDERS, **options).status_code == 415
    assert client.post(ORDERS, json=SAVE).status_code == 201
    assert check(shop.app) == WELL
    close(shop)
