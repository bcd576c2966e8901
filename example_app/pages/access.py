"""Pages of which the customer has to be known."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_jwt_extended import current_user

View = Callable[..., ResponseReturnValue]


def signed_in(view: View) -> View:
    """Send a visitor who is not signed in to do so, and back to the page."""

    @wraps(view)
    def for_customers(*args: Any, **kwargs: Any) -> ResponseReturnValue:
        if current_user:
            return view(*args, **kwargs)
        back = request.full_path if request.method == "GET" else None
        return redirect(url_for("pages.show_sign_in", back=back), 303)

    return for_customers
