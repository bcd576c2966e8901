"""The drawer's own endpoints: arm a trick, and read the drawer again."""

from urllib.parse import urlsplit

from flask import Blueprint, abort, redirect, request, url_for
from flask_jwt_extended import current_user, verify_jwt_in_request
from werkzeug.wrappers import Response

from .drawer import drawer
from .memory import memory
from .tricks import TRICKS

show = Blueprint(
    "show", __name__, url_prefix="/show", static_folder="static", template_folder="templates"
)


@show.post("/tricks/")
def arm() -> Response:
    """Prepare a trick for the customer's next order, and go back to the page."""
    verify_jwt_in_request(locations="cookies")
    name = request.form.get("trick", "")
    if name not in TRICKS:
        abort(400, f"'trick' must be one of {', '.join(TRICKS)}.")
    prepare = TRICKS[name].prepare
    if prepare is not None:
        prepare(current_user.id)
    memory().armed.put(current_user.id, name)
    return redirect(_back(), 303)


@show.get("/drawer/")
def show_drawer() -> str:
    """Return the drawer alone, for a page that has sent a request by itself."""
    return drawer()


def _back() -> str:
    """Return the path of the page with the button."""
    path = urlsplit(request.referrer or "").path
    return path if path.startswith("/shop/") else url_for("pages.show_checkout")
