"""Sign-in and registration; the JWT is in a cookie that scripts can't read."""

from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_jwt_extended import set_access_cookies, unset_jwt_cookies
from marshmallow import EXCLUDE, ValidationError
from werkzeug.exceptions import HTTPException

from ..accounts import new_customer, token_of
from ..schemas import RegisterSchema, SignInSchema


def add_to(pages: Blueprint) -> None:
    """Add the routes to the blueprint."""
    pages.get("/sign-in/")(show_sign_in)
    pages.post("/sign-in/")(sign_in)
    pages.post("/sign-out/")(sign_out)


def show_sign_in() -> str:
    """Return the form to sign in, or to register."""
    return _form()


def sign_in() -> ResponseReturnValue:
    """Sign in, or register first; then go back to where the customer came from."""
    is_new = request.form.get("new") == "yes"
    try:
        schema = RegisterSchema() if is_new else SignInSchema()
        credentials: Any = schema.load(request.form, unknown=EXCLUDE)
        if is_new:
            new_customer(credentials)
        token = token_of(credentials)
    except ValidationError as error:
        return _form(errors=error.messages_dict), 400
    except HTTPException as error:
        return _form(message=error.description), error.code or 400
    response = make_response(redirect(_back(), 303))
    set_access_cookies(response, token)
    return response


def sign_out() -> Response:
    """Forget the customer."""
    response = make_response(redirect(url_for("pages.show_catalogue"), 303))
    unset_jwt_cookies(response)
    return response


def _form(message: str | None = None, errors: dict[str, list[str]] | None = None) -> str:
    return render_template("shop/sign_in.html", message=message, errors=errors or {})


def _back() -> str:
    """Return a path of this shop's: never another site, to which a link could lead."""
    back = request.args.get("back", "")
    is_own = back.startswith("/shop/") and "\\" not in back
    return back if is_own else url_for("pages.show_catalogue")
